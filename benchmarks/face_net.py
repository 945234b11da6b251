"""What the face net sees of drawn people at several sizes, and what its parts cost.

    python benchmarks/face_net.py            two tables
    python benchmarks/face_net.py --json     one JSON object

Sizes: portraits of people of no corpus, drawn at 256 px and shrunk; error of the landmarks of an aligned crop in per cent of the
inter-ocular distance, as the net sees them (raw), after its bias on drawn people is taken off, and of the dense landmarks. Costs: ms an
image in batches of 8 with the threads of this machine; what is exact on every machine includes the frames looked at twice.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from emolib.face.alignment import nme
from emolib.face.dense import dense_index
from emolib.face.fitting import dense_net
from emolib.face.landmarker import load_face_net
from emolib.face.landmarks import ask, landmarks_question, track
from emolib.face.loaders import load_face_model
from synthface.portraits import FIRST_PERSON, HELD_OUT, portraits
from synthface.synth import Studio

DRAWN, SIZES = 256, (64, 96, 128, 256)  # px
INNER = slice(17, 68)


def errors(people: int) -> list[dict]:
    """One row a size, over every second portrait (the others are turned) of ``people``."""
    model, studio = load_face_model(), Studio(7, DRAWN, 1.0)
    net, index = dense_net(model), dense_index(model)
    shots = [portraits(studio, FIRST_PERSON + HELD_OUT + 900 + person, index) for person in range(people)]
    images, points = (np.concatenate([shot[part][::2] for shot in shots]) for part in (0, 1))
    rows = []
    for size in SIZES:
        small = np.stack([np.array(Image.fromarray(i).resize((size, size), Image.Resampling.BOX)) for i in images])
        truth = points[:, :68] * size / DRAWN
        seen = {"raw": track(small, bias=True), "unbiased": track(small), "dense": net.locate(small)[0][:, :68]}
        row = {"size": size}
        for name, found in seen.items():
            apart = np.linalg.norm(found - truth, axis=2)
            apart *= nme(found, truth)[:, None] / apart.mean(1, keepdims=True)  # px -> per cent
            row |= {f"{name}, inner": float(apart[:, INNER].mean()), f"{name}, all 68": float(apart.mean())}
        rows.append(row)
    return rows


@torch.no_grad()
def costs(repeats: int) -> dict[str, float]:
    """Part -> ms an image, the best of ``repeats``."""
    net, dense = load_face_net(), dense_net(load_face_model())
    frames = portraits(Studio(7, 128, 1.0), FIRST_PERSON + HELD_OUT + 900, dense_index(load_face_model()))[0][:8]
    images, small = torch.rand(8, 3, 256, 256), torch.rand(8, 3, 128, 128)
    points = net.points(images)[0]
    parts: dict[str, Callable] = {
        "detector": lambda: net.detector(small),
        "points": lambda: net.points(images),
        "shapes": lambda: net.shapes(points),
        "68 landmarks of crops, exact": lambda: track(frames),
        "68 and 192 points of crops, exact": lambda: ask(frames, landmarks_question(), dense.question()),
    }
    spent = {}
    for name, work in parts.items():
        work()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        spent[name] = 1000 * min(times) / 8
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--people", type=int, default=12, help="people, 8 portraits each")
    parser.add_argument("--repeats", type=int, default=20, help="the best of so many runs")
    arguments = parser.parse_args()
    result = {"errors_pct": errors(arguments.people), "ms_per_image": costs(arguments.repeats)}
    if arguments.json:
        print(json.dumps(result))
        return
    for row in result["errors_pct"]:
        print(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    for name, value in result["ms_per_image"].items():
        print(f"{name:36} {value:6.2f} ms")


if __name__ == "__main__":
    main()
