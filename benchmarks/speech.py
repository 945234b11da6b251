"""What speech features cost, how little a gain changes them, and how well a linear probe hears emotions in them.

    python benchmarks/speech.py                        the costs
    python benchmarks/speech.py --ravdess FOLDER       and the probe, on a copy of RAVDESS (unseen actors, four folds)
    python benchmarks/speech.py --json                 one JSON object

Costs are seconds a second of sound, beside the log-mel's in the same run. The probe is a logistic regression on mean and deviation over
time of one layer; calm counts as neutral, so there are seven classes and chance is .143.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from emolib.corpus.ravdess import EMOTION
from emolib.media.audio import SAMPLE_RATE, load_audio, mel
from emolib.speech.features import speech_features
from emolib.speech.voiced import speech_probability
from synthface.phrases import SENTENCES
from synthface.speech import speak

LAYERS = (0, 1, 2, 3)
CALM = 2


def costs(voice: np.ndarray) -> dict[str, float]:
    """s a second of sound: the best of three."""
    found = {}
    for name, make in (("log-mel", mel), ("speech features", speech_features), ("voice detector", speech_probability)):
        make(voice[:SAMPLE_RATE])
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            make(voice)
            times.append(time.perf_counter() - begin)
        found[name] = min(times) * SAMPLE_RATE / len(voice)
    return found


def change(voice: np.ndarray) -> dict[str, float]:
    """Per cent of the features' own spread by which they change: at other levels, and when rounded to 16 bits there."""
    plain = speech_features(voice / np.abs(voice).max())
    spread = np.linalg.norm(plain - plain.mean(0))
    found = {}
    for level in (-6, -20, -40):
        quiet = (voice / np.abs(voice).max() * 10 ** (level / 20)).astype(np.float32)
        rounded = (np.round(quiet * 32767) / 32767).astype(np.float32)
        for name, sound in ((f"peak at {level} dB", quiet), (f"rounded at {level} dB", rounded)):
            found[name] = 100 * float(np.linalg.norm(speech_features(sound) - plain) / spread)
    return found


def probe(folder: Path) -> dict[str, float]:
    """Balanced accuracy on unseen actors by layer, mean of four folds of actors."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    files = sorted(path for path in folder.glob("Actor_*/*-*-*-*-*-*-*.*"))
    fields = np.array([[int(part) for part in path.stem.split("-")] for path in files])
    classes = np.where(fields[:, 2] == CALM, 1, fields[:, 2])
    assert set(classes) <= set(EMOTION), "these are not RAVDESS's names"
    heard = [speech_features(load_audio(path), LAYERS) for path in files]
    heard = np.stack([np.stack([x.mean(0), x.std(0)]) for x in heard]).reshape(len(files), 2, len(LAYERS), -1)
    found = {}
    for layer in LAYERS:
        inputs, scores = heard[:, :, layer].reshape(len(files), -1), []
        for fold in range(4):
            out = fields[:, 6] % 4 == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight="balanced"))
            scores.append(
                balanced_accuracy_score(classes[out], model.fit(inputs[~out], classes[~out]).predict(inputs[out]))
            )
        found[f"layer {layer}"] = float(np.mean(scores))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ravdess", type=Path, help="a folder with Actor_01 and so on")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    voice = np.concatenate([speak(text).audio for text in SENTENCES[:8]])
    report = {"s per s": costs(voice), "change, %": change(voice)}
    if arguments.ravdess:
        report["balanced accuracy"] = probe(arguments.ravdess)
    if arguments.json:
        print(json.dumps(report))
        return
    for title, rows in report.items():
        print(title)
        for name, value in rows.items():
            print(f"  {name:24} {value:.4f}")


if __name__ == "__main__":
    main()
