"""Trains the dense landmarks that ship: half an hour, needed only after a change of the face model.

python scripts/train_dense.py            writes data/pretrained/dense.safetensors; prints its error on people it never saw
"""

import argparse
from pathlib import Path

from emolib.face.dense import SIZE, WEIGHTS, DenseNet, dense_index
from emolib.face.loaders import default_path, load_face_model
from emolib.train.dense import DenseTraining, score
from emolib.train.loop import train
from synthface.portraits import HELD_OUT, portrait_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--people", type=int, default=300, help="people to learn from, 16 photographs each (1 s of two cores a person)"
    )
    parser.add_argument("--steps", type=int, default=4500, help="optimiser steps of 32 photographs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--checkpoints", type=Path, default=Path(".checkpoints/dense"))
    arguments = parser.parse_args()
    model = load_face_model()
    index = dense_index(model)
    known = {"size": SIZE, "seed": arguments.seed}
    images, points = portrait_set(arguments.people, index, **known)
    training = DenseTraining(
        images=images, points=points, index=tuple(index.tolist()), face_model=default_path(),
        steps=arguments.steps, seed=arguments.seed, precision="bf16",
    )  # fmt: skip
    train(training, arguments.out, checkpoints=arguments.checkpoints)
    net = DenseNet.load(arguments.out)
    print(score(net, *portrait_set(40, index, first=HELD_OUT, **known)))


if __name__ == "__main__":
    main()
