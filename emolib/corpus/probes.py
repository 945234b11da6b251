"""What a corpus gives away: prosody by emotion, and how well a *linear* classifier tells the emotion of unseen people.

The first three probes see what should carry the emotion (landmarks, sound, pixels) and should be well above chance; the last
ones see what should not (background, length of the clip) and should be near it. A corpus that fails the second part
teaches shortcuts. Loudness stands between: real anger is loud, so it may say something, but never all.
"""

import numpy as np
import pandas as pd

from emolib.corpus.clips import Clip, Corpus
from emolib.media.audio import SAMPLE_RATE, mel
from emolib.params import EMOTIONS

SIGNALS, SHORTCUTS = ("landmarks", "sound", "pixels"), ("loudness", "background", "length")


def loudness(audio: np.ndarray) -> float:
    """Level of the voiced parts, dB re full scale: the 80th percentile of 20 ms windows."""
    windows = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    return float(20 * np.log10(np.percentile(np.sqrt((windows**2).mean(1)), 80) + 1e-6))


def prosody(clip: Clip) -> dict[str, float]:
    """How a clip sounds: pitch (Hz, median of YIN), its range (semitones, 10 % to 90 %), level (dB), letters a second."""
    import librosa

    audio = clip.audio()
    level = librosa.feature.rms(y=audio, frame_length=1024, hop_length=256)[0]
    pitch = librosa.yin(audio, fmin=60, fmax=500, sr=SAMPLE_RATE, frame_length=1024, hop_length=256)
    pitch = pitch[: len(level)][level > 0.3 * level.max()]
    low, high = np.percentile(pitch, [10, 90])
    return {
        "identity": clip.identity,
        "emotion": clip.emotion,
        "intensity": clip.intensity,
        "pitch_hz": float(np.median(pitch)),
        "range_semitones": float(12 * np.log2(high / low)),
        "level_db": loudness(audio),
        "letters_per_s": len(clip.text) / (len(audio) / SAMPLE_RATE),
    }


def features(clip: Clip) -> dict[str, np.ndarray]:
    """One vector a probe; 'landmarks' only where the truth is known."""
    frames = clip.frames((np.linspace(0.2, 0.8, 3) * clip.n_frames).astype(int)).astype(np.float32) / 255
    grey, side = frames.mean(-1), frames.shape[1]
    cell = side // 16
    coarse = grey[:, : 16 * cell, : 16 * cell].reshape(3, 16, cell, 16, cell).mean((0, 2, 4))
    edge = side // 10
    corners = frames[:, :edge, :edge], frames[:, :edge, -edge:]
    sound = mel(clip.audio())
    out = {
        "sound": np.concatenate([sound.mean(0), sound.std(0), np.abs(np.diff(sound, axis=0)).mean(0)]),
        "pixels": coarse.ravel(),
        "loudness": np.array([loudness(clip.audio())]),
        "background": np.concatenate([np.r_[c.mean((0, 1, 2)), c.std((0, 1, 2))] for c in corners]),
        "length": np.array([clip.n_frames, len(clip.text)], np.float32),
    }
    if clip.corpus == "synth":
        out["landmarks"] = clip.truth()["landmarks"].mean(0).ravel() / side
    return out


def probe(corpus: Corpus) -> pd.DataFrame:
    """Accuracy of a linear probe for each of :func:`features`, trained on the train and measured on the test identities.

    Columns: probe, kind (signal or shortcut), dimensions, accuracy, chance (share of the commonest class), n_test.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = [(clip.split, EMOTIONS.index(clip.emotion), features(clip)) for clip in corpus]
    split, label = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    train, test = split == "train", split == "test"
    table = []
    for name in (*SIGNALS, *SHORTCUTS):
        if name not in rows[0][2]:
            continue
        x = np.stack([r[2][name] for r in rows])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=2000, class_weight="balanced"))
        right = model.fit(x[train], label[train]).predict(x[test]) == label[test]
        table.append({
            "probe": name, "kind": "signal" if name in SIGNALS else "shortcut", "dimensions": x.shape[1],
            "accuracy": float(right.mean()), "chance": float(np.bincount(label[test]).max() / test.sum()),
            "n_test": int(test.sum()),
        })  # fmt: skip
    return pd.DataFrame(table)
