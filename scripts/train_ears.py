"""Teaches the shipped converter's audio encoder real voices: RAVDESS's speech, which you must have, under its licence (CC BY-NC-SA).

    python scripts/train_ears.py FOLDER --out ears.safetensors
    emolib talk --emotion-audio angry.wav --ears ears.safetensors ...

First four folds of actors, to say how good it is on those it has not heard, beside a logistic regression on the same features in the same
folds; then all actors, for the file. Seven classes, calm counts as neutral, which weigh alike.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

from emolib.ame import Ame
from emolib.corpus.ravdess import EMOTION
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.files import check_output, replacing
from emolib.hearing import hear_with
from emolib.media.audio import load_audio
from emolib.metrics.speech import CALM
from emolib.speech.features import speech_features
from emolib.train.acted_scores import probe
from emolib.train.ears import EarsTraining, Voices
from emolib.train.loop import train
from emolib.weights import PRETRAINED

FOLDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RAVDESS's speech: Actor_01 and so on")
    parser.add_argument("--out", type=Path, default=Path("out/ears.safetensors"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--eac", type=Path, default=PRETRAINED / "eac.safetensors", help="the converter that it is for")
    arguments = parser.parse_args()
    out = check_output(arguments.out, [".safetensors"], (arguments.eac,))
    voices = heard(arguments.folder)
    with tempfile.TemporaryDirectory() as temporary:
        scores = [fold(voices, k, arguments, Path(temporary)) for k in range(FOLDS)]
        table = {name: round(float(np.mean([score[name] for score in scores])), 4) for name in scores[0]}
        made = taught(voices, "all", arguments, Path(temporary))
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as unfinished:
            shutil.copyfile(made, unfinished)
    print(json.dumps(table, indent=1))


def heard(folder: Path) -> Voices:
    """Every utterance, through Whisper."""
    files = sorted(folder.glob("Actor_*/*-*-*-*-*-*-*.*"))
    fields = [[int(part) for part in path.stem.split("-")] for path in files]
    if not files:
        raise EmolibError(f"no speech of RAVDESS in {folder}; expected Actor_01/03-01-01-01-01-01-01.wav and so on")
    features = [
        speech_features(load_audio(path)).astype(np.float16) for path in tqdm(files, desc="voices", mininterval=5)
    ]
    named = [EMOTIONS.index(EMOTION[1 if f[2] == CALM else f[2]]) for f in fields]
    return Voices(features, np.array(named), np.array([f[6] for f in fields]), "ravdess")


def taught(voices: Voices, name: str, arguments: argparse.Namespace, folder: Path) -> Path:
    """Weights of the encoder after ``voices``."""
    how = {"steps": arguments.steps, "lr": arguments.lr, "seed": arguments.seed}
    training = EarsTraining(voices=voices, eac=arguments.eac, ame=PRETRAINED / "clip.safetensors", **how)
    return train(training, folder / f"{name}.safetensors", checkpoints=folder / name).weights


def fold(voices: Voices, number: int, arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Balanced accuracies on the actors of a fold: of the encoder as it ships, after the other actors, and of the probe."""
    people = sorted(set(voices.person.tolist()))
    out = voices.of(people[number::FOLDS])
    rest = voices.of([p for p in people if p not in people[number::FOLDS]])
    eac, ame = Eac.load(arguments.eac), Ame.load(PRETRAINED / "clip.safetensors")
    found = {"as it ships": _right(eac, ame, out)}
    hear_with(eac, taught(rest, str(number), arguments, folder))
    found["taught"] = _right(eac, ame, out)
    found["probe"] = probe(rest.heard, rest.emotion, out.heard, out.emotion)
    print({name: round(value, 3) for name, value in found.items()})
    return found


@torch.no_grad()
def _right(eac: Eac, ame: Ame, voices: Voices) -> float:
    texts, known = ame.text(EMOTIONS).float().cpu(), np.unique(voices.emotion)
    told = torch.cat([eac.embed_audio(torch.from_numpy(x.astype(np.float32))[None]) for x in voices.heard])
    near = F.normalize(told - eac.emotion_mean, dim=1) @ F.normalize(texts - texts.mean(0), dim=1).T
    return float(balanced_accuracy_score(voices.emotion, known[near[:, known].argmax(1).numpy()]))


if __name__ == "__main__":
    main()
