"""How far speech features can be trusted: what a gain changes, what they cost, and what a linear probe hears of real acted emotions."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.media.audio import load_audio
from emolib.media.sound import SAMPLE_RATE
from emolib.speech.features import LAYERS, speech_features

CALM, NEUTRAL = 2, 1  # of RAVDESS's names; calm counts as neutral, so there are seven classes and chance is .143


def change(voice: np.ndarray, levels: tuple[int, ...] = (-6, -20, -40)) -> dict[str, float]:
    """Per cent of the features' own spread by which they change when ``voice`` (n,) peaks at other levels, dBFS, also in 16 bits there."""
    plain = speech_features(voice / np.abs(voice).max())
    spread = np.linalg.norm(plain - plain.mean(0))
    found = {}
    for level in levels:
        quiet = (voice / np.abs(voice).max() * 10 ** (level / 20)).astype(np.float32)
        rounded = (np.round(quiet * 32767) / 32767).astype(np.float32)
        for name, sound in ((f"peak at {level} dB", quiet), (f"rounded at {level} dB", rounded)):
            found[name] = 100 * float(np.linalg.norm(speech_features(sound) - plain) / spread)
    return found


def cost(make: Callable[[np.ndarray], np.ndarray], voice: np.ndarray) -> float:
    """Seconds that ``make`` takes a second of ``voice``: the best of three."""
    make(voice[:SAMPLE_RATE])
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        make(voice)
        times.append(time.perf_counter() - begin)
    return min(times) * SAMPLE_RATE / len(voice)


def ravdess_probe(folder: str | Path, layers: tuple[int, ...] = LAYERS) -> dict[int, float]:
    """Layer -> balanced accuracy of a logistic regression on its mean and deviation over time: seven classes, unseen actors, four folds.

    folder: RAVDESS's speech, Actor_01 and so on. Raises :class:`EmolibError` if nothing of the kind is there.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    files = sorted(Path(folder).glob("Actor_*/*-*-*-*-*-*-*.*"))
    if not files:
        raise EmolibError(f"no speech of RAVDESS in {folder}; expected Actor_01/03-01-01-01-01-01-01.wav and so on")
    fields = np.array([[int(part) for part in path.stem.split("-")] for path in files])
    classes = np.where(fields[:, 2] == CALM, NEUTRAL, fields[:, 2])
    heard = [speech_features(load_audio(path), layers) for path in files]
    inputs = np.stack([np.stack([x.mean(0), x.std(0)]) for x in heard]).reshape(len(files), 2, len(layers), -1)
    found = {}
    for number, layer in enumerate(layers):
        rows, scores = inputs[:, :, number].reshape(len(files), -1), []
        for fold in range(4):
            out = fields[:, 6] % 4 == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight="balanced"))
            answer = model.fit(rows[~out], classes[~out]).predict(rows[out])
            scores.append(balanced_accuracy_score(classes[out], answer))
        found[layer] = float(np.mean(scores))
    return found
