"""Trains the dense landmarks that ship: half an hour, needed only after a change of the face model.

python scripts/train_dense.py            writes data/pretrained/dense.safetensors; prints its error on people it never saw
"""

import argparse
from pathlib import Path

import torch

from emolib.face.dense import SIZE, WEIGHTS, DenseNet, dense_index
from emolib.face.loaders import load_face_model
from emolib.train.dense import score, train_dense
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
    torch.manual_seed(arguments.seed)
    net = DenseNet(index.tolist())
    train_dense(
        net,
        model,
        images,
        points,
        steps=arguments.steps,
        seed=arguments.seed,
        checkpoints=arguments.checkpoints,
        precision="bf16",
    )
    net.save(arguments.out)
    print(score(net, *portrait_set(40, index, first=HELD_OUT, **known)))


if __name__ == "__main__":
    main()
