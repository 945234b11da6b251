"""How well the emotions that synthetic voices act are heard in voices never heard before: espeak's beside natural ones (extra ``voices``).

    python benchmarks/voices.py                two rows
    python benchmarks/voices.py --json         one JSON object

Each of so many speakers, all with a voice of their own, says a sentence with each of the eight emotions at level 3, in a room. A logistic
regression on mean and deviation over time of Whisper's layer 2, four folds of speakers; chance is .125. The interval is over speakers.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from emolib.emotions import EMOTIONS
from emolib.speech.features import speech_features
from synthface import crowd_speech, natural, speech

LEVEL, LAYER = 3, 2


def speakers(kind: str, count: int) -> list[tuple[speech.Speaker, np.random.Generator]]:
    """``count`` speakers with voices that differ, and what draws their sentences."""
    names = natural.VOICES if kind == "natural" else speech.VOICES
    out = []
    for k in range(count):
        rng, sex = np.random.default_rng([11, k]), ("female", "male")[k % 2]
        speaker = speech.Speaker.sample(rng, sex)
        out.append((replace(speaker, voice=names[sex][k // 2 % len(names[sex])]), rng))
    return out


def heard(kind: str, count: int) -> np.ndarray:
    """(count, 8, 768): what is heard of each speaker and emotion."""
    rows = []
    for speaker, rng in tqdm(speakers(kind, count), desc=kind, mininterval=5):
        for emotion in EMOTIONS:
            text = crowd_speech.sentence(rng)
            said = crowd_speech.say(text, speaker, emotion, 1 if emotion == "neutral" else LEVEL, rng)
            features = speech_features(said.audio, (LAYER,))
            rows.append(np.concatenate([features.mean(0), features.std(0)]))
    return np.array(rows).reshape(count, len(EMOTIONS), -1)


def probe(rows: np.ndarray) -> np.ndarray:
    """(count,): share of each speaker's emotions that a probe of the other folds' speakers tells."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right, labels = np.zeros(len(rows)), np.arange(len(EMOTIONS))
    for fold in range(4):
        out = np.arange(len(rows)) % 8 // 2 == fold  # both sexes in each
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        model.fit(rows[~out].reshape(-1, rows.shape[2]), np.tile(labels, (~out).sum()))
        right[out] = (model.predict(rows[out].reshape(-1, rows.shape[2])).reshape(-1, 8) == labels).mean(1)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", type=int, default=26, help="of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    report, rng = {}, np.random.default_rng(0)
    for kind in ("espeak", "natural") if natural.available() else ("espeak",):
        begin = time.perf_counter()
        right = probe(heard(kind, arguments.speakers))
        draws = rng.choice(right, (4000, len(right))).mean(1)
        low, high = np.quantile(draws, (0.025, 0.975))
        seconds = (time.perf_counter() - begin) / (len(right) * len(EMOTIONS) * crowd_speech.SECONDS)
        report[kind] = {"accuracy": right.mean(), "low": low, "high": high, "s per s": seconds}
    if arguments.json:
        print(json.dumps(report))
        return
    for kind, row in report.items():
        print(f"{kind:8} {row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]   {row['s per s']:.2f} s a second")


if __name__ == "__main__":
    main()
