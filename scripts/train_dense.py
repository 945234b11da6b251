"""Makes anew what stands on the face model alone: where the face net sees its landmarks, and the dense landmarks that ship.

python scripts/train_dense.py            half an hour, needed only after a change of the face model (`python -m synthface.build`);
                                         writes data/pretrained, prints the net's error on people it never saw; goes on if interrupted
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emolib.face.dense import SIZE, WEIGHTS, DenseNet, dense_index
from emolib.face.loaders import default_path, load_face_model
from emolib.files import replacing
from emolib.fingerprint import fingerprint
from emolib.train.dense import DenseTraining, score
from emolib.train.loop import train
from synthface.portraits import HELD_OUT, landmark_bias, portrait_set

AT_ONCE = 100  # people whose portraits are drawn and kept together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--people", type=int, default=300, help="people to learn from, 16 photographs each (2 s of a core a person)"
    )
    parser.add_argument("--steps", type=int, default=3600, help="optimiser steps of 64 photographs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--checkpoints", type=Path, default=Path(".checkpoints/dense"))
    arguments = parser.parse_args()
    calibrate()
    model = load_face_model()
    index = dense_index(model)
    sets = [
        kept_portraits(arguments.checkpoints, index, first, min(AT_ONCE, arguments.people - first), arguments.seed)
        for first in range(0, arguments.people, AT_ONCE)
    ]
    images, points = (np.concatenate(part) for part in zip(*sets))
    training = DenseTraining(
        images=images, points=points, index=tuple(index.tolist()), face_model=default_path(),
        steps=arguments.steps, seed=arguments.seed,
    )  # fmt: skip
    train(training, arguments.out, checkpoints=arguments.checkpoints)
    net = DenseNet.load(arguments.out)
    print(score(net, *kept_portraits(arguments.checkpoints, index, HELD_OUT, 40, arguments.seed)))


def calibrate() -> None:
    """Writes into the shipped face model where the face net sees its landmarks on drawn people."""
    bias = torch.from_numpy(landmark_bias()).float()
    model = load_face_model(default_path())
    if not torch.equal(model.landmark_bias, bias):
        replace(model, landmark_bias=bias).save(default_path())


def kept_portraits(
    folder: Path, index: np.ndarray, first: int, people: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images and points of :func:`synthface.portraits.portrait_set`, drawn once: minutes that an interrupted run does not lose."""
    mark = fingerprint("synthface.portraits", index=index.tolist(), first=first, people=people, seed=seed)
    path = folder / f"portraits-{mark[:16]}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        images, points = portrait_set(people, index, size=SIZE, seed=seed, first=first)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, images=images, points=points)
    with np.load(path) as kept:
        return kept["images"], kept["points"]


if __name__ == "__main__":
    main()
