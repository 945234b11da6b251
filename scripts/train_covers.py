"""Makes anew what sees things before a face: data/pretrained/covers.safetensors.

python scripts/train_covers.py           half an hour; prints its score on people it never saw; goes on if interrupted
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from emolib.face.covers import WEIGHTS, load_cover_net
from emolib.files import replacing
from emolib.fingerprint import fingerprint
from emolib.train.covers import CoverTraining, score
from emolib.train.loop import train
from synthface.covered import HELD_OUT, covered_portraits
from synthface.synth import Studio

SIZE = 128  # px: side of the photographs
AT_ONCE = 40  # people drawn and kept together
_WORKER: dict = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=160, help="people to learn from, 10 photographs each")
    parser.add_argument("--steps", type=int, default=800, help="optimiser steps of 32 photographs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--checkpoints", type=Path, default=Path(".checkpoints/covers"))
    arguments = parser.parse_args()
    kept = [
        drawn(arguments, first, min(AT_ONCE, arguments.people - first)) for first in range(0, arguments.people, AT_ONCE)
    ]
    images, covers = (np.concatenate(part) for part in zip(*kept))
    training = CoverTraining(images=images, covers=covers, steps=arguments.steps, seed=arguments.seed)
    train(training, arguments.out, checkpoints=arguments.checkpoints)
    print(score(load_cover_net(arguments.out), *drawn(arguments, HELD_OUT, AT_ONCE // 2)))


def drawn(arguments: argparse.Namespace, first: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and covers of ``people`` from number ``first`` on, drawn once: minutes that an interrupted run does not lose."""
    mark = fingerprint("synthface.covered", first=first, people=people, seed=arguments.seed, size=SIZE)
    path = arguments.checkpoints / f"covered-{mark[:16]}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(arguments.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(_work, arguments.seed, person) for person in range(first, first + people)]
            parts = [job.result() for job in tqdm(jobs, desc="portraits", unit="person", mininterval=5)]
        images, covers = (np.concatenate(part) for part in zip(*parts))
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, images=images, covers=covers)
    with np.load(path) as kept:
        return kept["images"], kept["covers"]


def _work(seed: int, person: int) -> tuple[np.ndarray, np.ndarray]:
    torch.set_num_threads(1)
    if "studio" not in _WORKER:
        _WORKER["studio"] = Studio(seed, SIZE, 1.0)
    return covered_portraits(_WORKER["studio"], person)


if __name__ == "__main__":
    main()
