"""What a corpus gives away: prosody by emotion, and how far a *linear* classifier tells emotion, strength and person.

Three things are asked of several views of a clip, of one frame and of the whole clip:

- emotion (8 classes) and intensity (3 levels, clips that are not neutral): trained on the train people, tested on the test people;
- identity: who of the test people it is; trained on every other clip of each emotion of theirs, tested on the rest.

A *signal* should say something: landmarks (of the renderer; a real corpus has none), sound, pixels (coarse grey). A *shortcut*
must say nothing of emotion and intensity: the corners of the picture, the loudness, the length of the clip, the number of the
frame. Where one does, a network would learn it in place of the face. One person is filmed in one session, so the
background tells *who* it is, as in every real corpus: that row is there *by design*.

Accuracy is balanced (the mean over classes of the share that is told), so a guesser has exactly 1 / classes, however often a class
occurs. A clip or corpus is anything that reads like those of :mod:`emolib.corpus.clips`.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from emolib.errors import EmolibError
from emolib.media.audio import SAMPLE_RATE, mel, mel_windows
from synthface.expressions import EMOTIONS
from synthface.room import voiced_level

SIGNALS, SHORTCUTS = ("landmarks", "sound", "pixels"), ("background", "loudness", "length", "frame index")
FRAMES = 8  # looked at in each clip
WINDOW = 20  # mel frames around a video frame, 0.2 s
CELLS = 16  # the grey picture of a clip is CELLS x CELLS, that of one frame half of it a side


def prosody(clip) -> dict[str, float]:
    """How a clip sounds: pitch (Hz, median of YIN), its range (semitones, 10 % to 90 %), level (dB), letters a second, pauses.

    pause_share: share of the time between the first and the last sound (0 to 1) that is 20 dB or more under the voice.
    """
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
        "level_db": voiced_level(audio),
        "letters_per_s": len(clip.text) / (len(audio) / SAMPLE_RATE),
        "pause_share": pause_share(audio),
    }


def pause_share(audio: np.ndarray) -> float:
    """Share of the time (0 to 1) between the first and the last loud 20 ms of ``audio`` (n,) that is 20 dB or more under the voice."""
    windows = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    level = 20 * np.log10(np.sqrt((windows**2).mean(1)) + 1e-6)
    loud = np.flatnonzero(level > voiced_level(audio) - 20)
    return float(1 - len(loud) / (loud[-1] - loud[0] + 1)) if len(loud) else 0.0


def _grey(pictures: np.ndarray, cells: int) -> np.ndarray:
    """(n, S, S) -> (n, cells * cells): means of a grid of squares."""
    side = pictures.shape[1] // cells
    cut = pictures[:, : cells * side, : cells * side]
    return cut.reshape(-1, cells, side, cells, side).mean((2, 4)).reshape(-1, cells * cells)


def features(clip) -> dict[tuple[str, str], np.ndarray]:
    """{(probe, unit): float (rows, dimensions)}; unit 'clip' has one row, 'frame' one for each of :data:`FRAMES` frames.

    'landmarks' only where the truth is known.
    """
    at = np.linspace(0.1, 0.9, FRAMES) * (clip.n_frames - 1)
    at = at.round().astype(int)
    frames = clip.frames(at).astype(np.float32) / 255
    grey, edge = frames.mean(-1), max(1, frames.shape[1] // 10)
    corners = np.stack(
        [frames[:, :edge, :edge], frames[:, :edge, -edge:]], 1
    )  # (n, 2, e, e, 3): hair and shoulders are elsewhere
    back = np.concatenate([corners.mean((2, 3)), corners.std((2, 3))], 1).reshape(len(at), -1)
    audio = clip.audio()
    sound = mel(audio)
    change = np.abs(np.diff(sound, axis=0))
    window = mel_windows(sound, clip.n_frames, clip.fps, WINDOW)[at]  # (n, W, 80)
    out = {
        ("sound", "clip"): np.concatenate([sound.mean(0), sound.std(0), change.mean(0)])[None],
        ("sound", "frame"): np.concatenate([window.mean(1), window.std(1)], 1),
        ("pixels", "clip"): _grey(grey, CELLS).mean(0)[None],
        ("pixels", "frame"): _grey(grey, CELLS // 2),
        ("background", "clip"): back.mean(0)[None],
        ("background", "frame"): back,
        ("loudness", "clip"): np.array([[voiced_level(audio)]]),
        ("length", "clip"): np.array([[float(clip.n_frames)]]),
        ("frame index", "frame"): at[:, None].astype(float),
    }
    if clip.corpus == "synth":
        landmarks = clip.truth()["landmarks"].reshape(clip.n_frames, -1) / frames.shape[1]
        out["landmarks", "clip"], out["landmarks", "frame"] = landmarks.mean(0)[None], landmarks[at]
    return out


def balanced_accuracy(label: np.ndarray, said: np.ndarray) -> float:
    """The mean over the classes in ``label`` (n,) of the share of its rows for which ``said`` (n,) is right; 0 to 1."""
    return float(np.mean([(said[label == c] == c).mean() for c in np.unique(label)]))


def _interval(label, said, group, draws: int = 200) -> tuple[float, float]:
    """95 % interval of :func:`balanced_accuracy`, by drawing groups (people or clips) anew; a class that is not drawn does not count."""
    rng = np.random.default_rng(0)
    names, group = np.unique(group, return_inverse=True)
    classes, label = np.unique(label, return_inverse=True)
    right = classes[label] == said
    # (groups, classes): how many rows, and how many of them are right
    count, hit = (np.zeros((len(names), len(classes))) for _ in range(2))
    np.add.at(count, (group, label), 1)
    np.add.at(hit, (group, label), right)
    weight = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    share = (weight @ hit) / np.where(weight @ count > 0, weight @ count, np.nan)
    low, high = np.percentile(np.nanmean(share, axis=1), [2.5, 97.5])
    return float(low), float(high)


def _tell(x, label, train, test) -> np.ndarray:
    """The classes that a linear classifier, fitted to the ``train`` rows of ``x``, gives the ``test`` rows."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if x.shape[1] == 1:  # a line through one number tells the extremes only; sixteen steps tell any class that it could
        edges = np.unique(np.quantile(x[train], np.linspace(0, 1, 17)[1:-1]))
        x = np.eye(len(edges) + 1)[np.searchsorted(edges, x[:, 0])]
    weak = 1.0 if x.shape[1] <= 20 else 0.05  # few columns cannot overfit: a shortcut gets every chance
    model = LogisticRegression(C=weak, max_iter=300, tol=1e-3, class_weight="balanced")
    return make_pipeline(StandardScaler(), model).fit(x[train], label[train]).predict(x[test])


def _targets(table: pd.DataFrame) -> Iterable[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """-> (target, label, train, test), each (clips,); a target that the corpus cannot ask for is left out."""
    train, test = (table["split"] == "train").to_numpy(), (table["split"] == "test").to_numpy()
    emotion = table["emotion"].map(EMOTIONS.index).to_numpy()
    moved = emotion != EMOTIONS.index("neutral")
    # Neighbours in each person's list of clips differ in strength or take: both halves have the same emotions.
    order = table.assign(place=range(len(table))).sort_values(["identity", "emotion", "intensity", "clip_id"])
    odd = (order.groupby("identity").cumcount() % 2 == 1).sort_index().to_numpy()
    people = table["identity"].astype("category").cat.codes.to_numpy()
    yield "emotion", emotion, train, test
    yield "intensity", table["intensity"].to_numpy(), train & moved, test & moved
    yield "identity", people, test & ~odd, test & odd


def probe(corpus) -> pd.DataFrame:
    """How well linear probes do: one row for each target, probe and unit. Clips of other emotions than the eight are passed over.

    Columns: target (emotion, intensity, identity), probe, unit (clip or frame), kind (signal, shortcut, by design), dimensions, accuracy
    (balanced, 0 to 1), low and high (its 95 % interval, by drawing people anew; for frames, identity and fewer than four people
    clips), chance (1 / classes), n_test (rows). Raises :class:`EmolibError` without clips of both splits.
    """
    corpus = corpus.select(emotion=EMOTIONS, split=["train", "test"])
    table = corpus.table
    if set(table["split"]) != {"train", "test"}:
        raise EmolibError(
            "the probes need train and test clips; the corpus has " + (", ".join(set(table["split"])) or "none")
        )
    views = [features(clip) for clip in corpus]
    rows = []
    for target, label, train, test in _targets(table):
        classes = np.unique(label[test])
        if len(classes) < 2 or len(np.unique(label[train])) < 2:
            continue
        for name in (*SIGNALS, *SHORTCUTS):
            for unit in ("clip", "frame"):
                if any((name, unit) not in view for view in views):
                    continue
                x = np.concatenate([view[name, unit] for view in views])
                of = np.repeat(np.arange(len(views)), [len(view[name, unit]) for view in views])  # clip of each row
                said = _tell(x, label[of], train[of], test[of])
                truth, of = label[of][test[of]], of[test[of]]
                group = table["identity"].to_numpy()[of]
                if unit == "frame" or target == "identity" or len(set(group)) < 4:
                    group = of
                low, high = _interval(truth, said, group)
                kind = "signal" if name in SIGNALS else "shortcut"
                rows.append({
                    "target": target, "probe": name, "unit": unit,
                    "kind": "by design" if (target, name) == ("identity", "background") else kind,
                    "dimensions": x.shape[1], "accuracy": balanced_accuracy(truth, said), "low": low, "high": high,
                    "chance": 1 / len(classes), "n_test": len(truth),
                })  # fmt: skip
    return pd.DataFrame(rows)
