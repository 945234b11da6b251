"""What speech features cost, how little a gain changes them, and how well a linear probe hears emotions in them.

    python benchmarks/speech.py                        the costs
    python benchmarks/speech.py --ravdess FOLDER       and the probe, on a copy of RAVDESS (unseen actors, four folds)
    python benchmarks/speech.py --json                 one JSON object

Costs are seconds a second of sound, beside the log-mel's in the same run.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from emolib.media.audio import mel
from emolib.metrics.speech import change, cost, ravdess_probe
from emolib.speech.features import speech_features
from emolib.speech.voiced import speech_probability
from synthface.phrases import SENTENCES
from synthface.speech import speak

MAKERS = {"log-mel": mel, "speech features": speech_features, "voice detector": speech_probability}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ravdess", type=Path, help="a folder with Actor_01 and so on")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    voice = np.concatenate([speak(text).audio for text in SENTENCES[:8]])
    report = {"s per s": {name: cost(make, voice) for name, make in MAKERS.items()}, "change, %": change(voice)}
    if arguments.ravdess:
        probe = ravdess_probe(arguments.ravdess, (0, 1, 2, 3))
        report["balanced accuracy"] = {f"layer {layer}": value for layer, value in probe.items()}
    if arguments.json:
        print(json.dumps(report))
        return
    for title, rows in report.items():
        print(title)
        for name, value in rows.items():
            print(f"  {name:24} {value:.4f}")


if __name__ == "__main__":
    main()
