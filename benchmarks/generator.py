"""How fast a portrait is moved: ms a frame from coefficients to the pasted picture, by the side of the face; and a peer beside it.

    python benchmarks/generator.py                   a table
    python benchmarks/generator.py --json            one JSON object
    python benchmarks/generator.py --peer FOLDER     and the generator of your own checkout of first-order-model, ratio in one run

The shipped HEF works at its own side S whatever the face's; "look" is what the mesh says at the face's side, "frames" that, HEF and the
photograph at its own resolution, "paste" into the picture, "whole" frames and paste. The peer (Siarohin et al. 2019) gets random weights
and key points, batch 1, its own published size 256; it does not paste. Ours and the peer's take turns, so that what else runs weighs on
both.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from emolib.demo import portrait
from emolib.face.alignment import Alignment
from emolib.face.landmarks import detect
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.hef import Hef
from emolib.media.pictures import to_frames, to_tensor
from emolib.pipeline.photographs import average_sigma, photographs, seconds_a_frame
from emolib.portrait import Portrait
from emolib.sight import sight
from emolib.weights import PRETRAINED

BATCH = 4
SIDES = (128, 256, 512, 1024)


def ours(hef: Hef, side: int) -> dict:
    """name -> what is timed, for a batch."""
    model, image, own = load_face_model(), portrait(), Coefficients.zeros(1)
    alignment = Alignment.from_landmarks(detect(image)[0].landmarks, side)
    ready = Portrait(hef, model, to_tensor(np.array(alignment.crop(image))[None]), own)
    pose = torch.linspace(-0.1, 0.1, BATCH)[:, None] * torch.tensor([[1.0, 1, 0.3, 0, 0, 0]])
    wanted, sigma = own.expand(BATCH).replace(pose=pose), torch.zeros(1, hef.config["sigma_dim"])
    faces = to_frames(ready.frames(wanted, sigma))

    def pasted():
        for face in to_frames(ready.frames(wanted, sigma)):
            alignment.paste(face, image)

    return {
        f"{side} whole": pasted,
        f"{side} look": lambda: sight(model, ready.view, wanted, side),
        f"{side} frames": lambda: ready.frames(wanted, sigma),
        f"{side} paste": lambda: [alignment.paste(face, image) for face in faces],
    }


def peer(folder: Path) -> dict:
    """The generator of a checkout of first-order-model, as its config for faces (vox-256) makes it."""
    sys.path.insert(0, str(folder))
    from modules.generator import OcclusionAwareGenerator

    config = yaml.safe_load((folder / "config" / "vox-256.yaml").read_text())["model_params"]
    net = OcclusionAwareGenerator(**config["generator_params"], **config["common_params"]).eval()
    points = config["common_params"]["num_kp"]
    places = {"value": torch.rand(1, points, 2) * 1.6 - 0.8, "jacobian": torch.eye(2).expand(1, points, 2, 2)}
    source = torch.rand(1, 3, 256, 256)

    def made():
        with torch.no_grad():
            for _ in range(BATCH):
                net(source, kp_source=places, kp_driving=places)

    return {"peer 256": made}


def timed(work: dict, seconds: float) -> dict[str, float]:
    """Median ms a frame of each, in turns for ``seconds``."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for function in work.values():
        function()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, function in work.items():
            start = time.perf_counter()
            function()
            found[name].append((time.perf_counter() - start) / BATCH * 1000)
    return {name: round(float(np.median(times)), 1) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="your checkout of first-order-model")
    parser.add_argument("--seconds", type=float, default=60, help="how long to measure (default 60)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    hef, work = Hef.load(PRETRAINED / "hef.safetensors").eval(), {}
    for side in SIDES:
        work |= ours(hef, side)
    if arguments.peer:
        work |= peer(arguments.peer)
    found = timed(work, arguments.seconds)
    for photograph in photographs(hef, load_face_model()):  # whole, in their own pictures
        found[f"{photograph.name} {photograph.portrait.side}"] = round(
            1000 * seconds_a_frame(photograph, average_sigma(hef)), 1
        )
    if arguments.peer:
        found["peer 256 / ours 256"] = round(found["peer 256"] / found["256 whole"], 2)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<22} {value:8.1f}")


if __name__ == "__main__":
    main()
