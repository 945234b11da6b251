"""Trains the converter that ships on performances without pictures, measures it on actors it has not seen, beside what it must beat.

    python scripts/train_converter.py                     hours (a natural voice takes 3 s a sentence); goes on if interrupted
    python scripts/train_converter.py --voices espeak --people 80 --performances 12 --steps 800

Acts into a folder, draws the pictures by which an emotion may be told, trains, and writes data/pretrained/converter: weights, tables
of lips, movement and growth, and a manifest. Unseen actors have heads, voices and sentences of their own. Natural voices need the extra
``voices``.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emolib.ame import Ame
from emolib.corpus.acted import act
from emolib.corpus.aligned import real_clips
from emolib.corpus.crowd import draw_crowd
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.files import replacing, write_atomic
from emolib.media.pictures import to_tensor
from emolib.train.acted import Acted, ActedTraining
from emolib.train.acted_scores import acted_scores, by_net, measures, real_voices, rivals
from emolib.train.loop import read_record, train
from emolib.weights import PRETRAINED, load_weights, save_weights, sha256
from synthface.acting import NATURAL_EVERY, SEED

TARGET = PRETRAINED / "converter"
UNSEEN, EACH = 24, 22  # people who are only measured on, and performances of each: every emotion at every level


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--performances", type=int, default=22, help="of each of them")
    parser.add_argument("--voices", choices=("espeak", "natural", "mixed"), default="mixed")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pictures", type=int, default=60, help="people whose pictures tell emotions")
    parser.add_argument("--first-picture", type=int, default=3000, help="number of the first: whom the judges know not")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ravdess", type=Path, help="folder of RAVDESS's speech, to measure real voices too")
    parser.add_argument("--window", type=int, default=32, help="1/100 s that are heard about a frame")
    parser.add_argument("--parent", type=Path, help="weights to go on from")
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints/acted"))
    arguments = parser.parse_args()
    stage, unseen = arguments.folder / f"{arguments.voices}_{arguments.performances}", arguments.folder / "unseen"
    act(unseen, range(UNSEEN), EACH, voices=arguments.voices, unseen=True)
    act(stage, range(arguments.people), arguments.performances, voices=arguments.voices)
    numbers = range(arguments.first_picture, arguments.first_picture + arguments.pictures)
    training = ActedTraining(
        acted=Acted(stage, 0, arguments.people),
        ame=PRETRAINED / "clip.safetensors",
        pictures=tell_by_pictures(arguments.folder, numbers),
        face_model=PRETRAINED / SHIPPED,
        steps=arguments.steps,
        lr=arguments.lr,
        window=arguments.window,
        seed=arguments.seed,
        parent=arguments.parent,
    )
    run = train(training, arguments.folder / "eac.safetensors", checkpoints=arguments.folder / "training")
    clips, mixed = Acted(unseen, 0, UNSEEN).clips(), arguments.voices == "mixed"
    measured = measure(run.weights, training, clips, arguments.folder, mixed)
    if arguments.ravdess:
        measured |= on_real_voices(run.weights, training, arguments.ravdess)
    ship(run.weights, arguments, measured)
    print(json.dumps(measured, indent=1))


def tell_by_pictures(folder: Path, numbers: range) -> Path:
    """e_img (8, N, D) by the shipped tower of the crowd's people of ``numbers``, as a file: every take and frame of an emotion."""
    tower, stills = Ame.load(PRETRAINED / "clip.safetensors"), draw_crowd(folder / "crowd", "stills", numbers)
    rows = []
    for path in stills:
        with np.load(path) as file:
            images = file["images"].reshape(len(EMOTIONS), -1, *file["images"].shape[3:])
        rows.append(torch.stack([tower.image(to_tensor(shown)).float() for shown in images]))
    kept = folder / "pictures.npy"
    with replacing(kept) as temporary, open(temporary, "wb") as file:
        np.save(file, torch.cat(rows, 1).numpy())
    return kept


def measure(weights: Path, training: ActedTraining, clips: list[dict], folder: Path, mixed: bool) -> dict[str, float]:
    """Writes tables of the unseen ``clips`` to ``folder``; the few numbers that say how good the converter is. mixed: whether every
    :data:`NATURAL_EVERY`-th person speaks naturally."""
    eac, ame, model = Eac.load(weights), Ame.load(training.ame), load_face_model(training.face_model)
    known = training.acted.clips()
    measured, movement, grown, told = measures(eac, ame, clips, known, model, training.seed)
    rows = {"text": told} | ({"text, natural voices": told[told["person"] % NATURAL_EVERY == 0]} if mixed else {})
    others = (
        {"audio": by_net(eac, ame, "audio")} | rivals(known) | {"truth": lambda clip: torch.from_numpy(clip["beta"])}
    )
    rows |= {name: acted_scores(says, clips, model)[0] for name, says in others.items()}
    kind = ["person", "emotion", "level"]
    means = [{"row": name, "n_clips": len(s)} | s.drop(columns=kind).mean().to_dict() for name, s in rows.items()]
    for frame, name in ((pd.DataFrame(means), "lips"), (movement, "movement"), (grown, "growth")):
        frame.round(4).to_csv(folder / f"{name}.csv", index=False)
        print(frame.round(3).to_string(index=False), end="\n\n")
    return {name: round(value, 4) for name, value in (measured | {"step_ms": read_record(weights)["step_ms"]}).items()}


def on_real_voices(weights: Path, training: ActedTraining, folder: Path) -> dict[str, float]:
    """Lips and emotions of RAVDESS's voices, every third utterance, of which none was learnt from."""
    face = load_face_model(training.face_model)
    found = real_voices(Eac.load(weights), Ame.load(training.ame), real_clips(folder, face, every=3), face)
    return {name: round(value, 4) for name, value in found.items()}


def ship(weights: Path, arguments: argparse.Namespace, measured: dict[str, float]) -> None:
    """Weights (fp16), tables and manifest to :data:`TARGET`."""
    TARGET.mkdir(parents=True, exist_ok=True)
    state, config = load_weights(weights)
    save_weights(TARGET / "eac.safetensors", state, config, dtype=torch.float16)
    for name in ("lips", "movement", "growth"):
        with replacing(TARGET / f"{name}.csv") as temporary:
            shutil.copyfile(arguments.folder / f"{name}.csv", temporary)
    record = read_record(weights)
    manifest = {
        "command": "make converter",
        "files": {"eac.safetensors": sha256(TARGET / "eac.safetensors")},
        "learnt from": f"{arguments.people} people, {arguments.performances} performances each, voices {arguments.voices}",
        "told by": f"pictures of {arguments.pictures} people from number {arguments.first_picture}",
        "seed_of_the_actors": SEED,
        "parent": sha256(arguments.parent) if arguments.parent else None,
        "steps": record.get("steps"),
        "steps of the parent": read_record(arguments.parent).get("steps") if arguments.parent else None,
        "code": record.get("code"),
        "measured": measured,
    }
    write_atomic(TARGET / "manifest.json", json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
