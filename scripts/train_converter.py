"""Trains a converter on performances without pictures and measures it on actors it has not seen, beside what it must beat.

    python scripts/train_converter.py                     hours, goes on if interrupted
    python scripts/train_converter.py --voices espeak --people 80 --performances 12 --steps 800

Acts into a folder, trains, prints a table of lips and one of movement by emotion and level, and leaves eac.safetensors beside them.
Natural voices need the extra ``voices``.
"""

import argparse
from pathlib import Path

import pandas as pd

from emolib.ame import Ame
from emolib.corpus.acted import act
from emolib.eac import Eac
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.train.acted import Acted, ActedTraining
from emolib.train.acted_scores import acted_scores, by_net, rivals
from emolib.train.loop import train
from emolib.weights import PRETRAINED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--performances", type=int, default=22, help="of each of them")
    parser.add_argument("--voices", choices=("espeak", "natural", "mixed"), default="mixed")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--held-out", type=int, default=20, help="people who are only measured on")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--parent", type=Path, help="weights to go on from")
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints/acted"))
    arguments = parser.parse_args()
    stage = arguments.folder / f"{arguments.voices}_{arguments.performances}"
    act(stage, range(arguments.people), arguments.performances, voices=arguments.voices)
    known = Acted(stage, 0, arguments.people - arguments.held_out)
    training = ActedTraining(
        acted=known,
        ame=PRETRAINED / "clip.safetensors",
        face_model=PRETRAINED / SHIPPED,
        steps=arguments.steps,
        seed=arguments.seed,
        parent=arguments.parent,
    )
    run = train(training, arguments.folder / "eac.safetensors", checkpoints=arguments.folder / "training")
    unseen = Acted(stage, known.count, arguments.held_out).clips()
    eac, ame, model = Eac.load(run.weights), Ame.load(training.ame), load_face_model(training.face_model)
    table = []
    for name, says in ({"net": by_net(eac, ame)} | rivals(known.clips())).items():
        clips, movement = acted_scores(says, unseen, model)
        table.append({"row": name} | clips.mean(numeric_only=True).drop(["person", "level"]).to_dict())
        if name == "net":
            shown = movement
    for found, name in ((pd.DataFrame(table), "lips"), (shown, "movement")):
        found.to_csv(arguments.folder / f"{name}.csv", index=False)
        print(found.round(3).to_string(index=False), end="\n\n")


if __name__ == "__main__":
    main()
