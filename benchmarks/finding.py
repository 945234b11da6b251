"""Which faces are found: the face net beside dlib's detector, on pictures made worse step by step.

    python benchmarks/finding.py            a table: found of how many, by kind
    python benchmarks/finding.py --json     one JSON object

The pictures are two photographs that packages carry and renderings of people of no corpus, each turned, shrunk, cut tight, darkened,
blurred, compressed, partly covered, or (renderings) with the head turned to the side. A face is found where a detector puts the 68
landmarks within a fifth of the eye distance of where they are: on photographs, where dlib sees them before anything is done. The bounds of
:mod:`emolib.face.finding` were set with these pictures in view: expect somewhat less elsewhere.
"""

import argparse
import io
import json
from collections.abc import Iterator

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from emolib.errors import EmolibError
from emolib.face.alignment import interocular, nme, warp_affine
from emolib.face.camera import project
from emolib.face.dlib_landmarks import detect
from emolib.face.finding import find
from emolib.face.geometry import transform
from emolib.face.loaders import load_face_model
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.synth import Studio, named_rng

NEAR = 20.0  # per cent of the eye distance
Shot = tuple[str, np.ndarray, np.ndarray]  # kind, picture uint8 (H, W, 3), landmarks (68, 2)


def photographs() -> list[tuple[np.ndarray, np.ndarray]]:
    """The two photographs, the face 80 px wide or more, with their landmarks."""
    hopper = plt.imread(matplotlib.cbook.get_sample_data("grace_hopper.jpg"))
    return [(picture, detect(picture)[0].landmarks) for picture in (skimage.data.astronaut(), hopper)]


def renderings(people: int, yaw: float, size: int = 256) -> list[tuple[np.ndarray, np.ndarray]]:
    """Faces at rest whose heads are turned to the side by ``yaw`` degrees."""
    studio, out = Studio(0, size, 1.0), []
    index = load_face_model().landmark_index.numpy()
    for person in range(people):
        body, _, _, _ = studio.cast(500_000 + person)
        rng = named_rng(0, "finding", person)
        still = np.zeros((1, 52), np.float32)
        pose, _ = studio.framed(body, still, np.zeros((1, 6), np.float32), rng)
        pose[:, 1] += np.deg2rad(yaw)
        scene = Scene.sample(rng, size * SUPERSAMPLE)
        frame = photograph(body, scene, still, pose, size, rng)[0]
        points = torch.from_numpy(body.head.vertices[index][None])
        out.append((frame, project(points, torch.from_numpy(pose), size)[0, :, :2].numpy()))
    return out


def under(picture: np.ndarray, points: np.ndarray, matrix: np.ndarray, size: tuple[int, int]):
    """The picture under a similarity (2, 3), as (width, height), and its points."""
    return warp_affine(picture, matrix, size), transform(matrix, points)


def turned(picture: np.ndarray, points: np.ndarray, degrees: float):
    """Turned about the middle of the face, on a square that holds all of it."""
    side = int(np.hypot(*picture.shape[:2]))
    angle = np.deg2rad(degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return under(picture, points, np.column_stack([linear, side / 2 - linear @ points.mean(0)]), (side, side))


def shrunk(picture: np.ndarray, points: np.ndarray, width: float):
    """So small that the face is ``width`` px wide."""
    scale = width / np.ptp(points[:, 0])
    size = (max(32, round(picture.shape[1] * scale)), max(32, round(picture.shape[0] * scale)))
    return under(picture, points, np.array([[scale, 0, 0], [0, scale, 0.0]]), size)


def cut(picture: np.ndarray, points: np.ndarray, room: float):
    """The box of the landmarks and ``room`` of its sides about it."""
    low, high = points.min(0), points.max(0)
    low, high = low - room * (high - low), high + room * (high - low)
    low, high = np.maximum(low, 0).astype(int), np.minimum(high, picture.shape[1::-1]).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]], points - low


def compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def covered(picture: np.ndarray, points: np.ndarray, part: str) -> np.ndarray:
    """A grey bar over the eyes, the mouth, or the left half of the face."""
    eye, out = interocular(points), picture.copy()
    middle = {"eyes": points[36:48], "mouth": points[48:68], "left half": points[[0, 36, 48]]}[part].mean(0)
    wide, high = {"eyes": (0.9, 0.2), "mouth": (0.6, 0.4), "left half": (0.5, 1.5)}[part]
    (x0, y0), (x1, y1) = (np.maximum(middle + s * eye * np.array([wide, high]), 0).astype(int) for s in (-1, 1))
    out[y0:y1, x0:x1] = 90
    return out


def worse(picture: np.ndarray, points: np.ndarray) -> Iterator[Shot]:
    """A picture with one face, made worse in every way."""
    width = float(np.ptp(points[:, 0]))
    for degrees in (15, 30, 45, 60, 90, 120, 180, -30, -60, -135):
        yield ("turned", *turned(picture, points, degrees))
    for pixels in (64, 48, 32, 24):
        yield ("small", *shrunk(picture, points, pixels))
    for room in (0.5, 0.25, 0.1, 0.0):
        yield ("cut tight", *cut(picture, points, room))
    for light in (0.4, 0.2, 0.1, 0.05):
        yield "dark", np.round(picture * light).astype(np.uint8), points
    for blur in (0.02, 0.04, 0.06, 0.08):
        yield "blurred", np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(blur * width))), points
    for quality in (20, 10, 5, 2):
        yield "compressed", compressed(picture, quality), points
    for part in ("eyes", "mouth", "left half"):
        yield "covered", covered(picture, points, part), points


def shots(people: int) -> list[Shot]:
    """All pictures."""
    made: list[Shot] = []
    for picture, points in photographs() + renderings(people, 0):
        made += worse(picture, points)
    for yaw in (-60, -45, -30, 30, 45, 60):
        made += [("head to the side", picture, points) for picture, points in renderings(people, yaw)]
    return made


def found(finder, shot: Shot) -> bool:
    """Whether one of the faces that ``finder`` finds is the one that is there."""
    try:
        faces = finder(np.ascontiguousarray(shot[1]))
    except EmolibError:
        return False
    return any(nme(face.landmarks, shot[2]) < NEAR for face in faces)


def measure(people: int) -> dict[str, dict[str, int]]:
    """{kind: {pictures, face net, dlib}}."""
    table: dict[str, dict[str, int]] = {}
    for shot in tqdm(shots(people), desc="pictures"):
        row = table.setdefault(shot[0], {"pictures": 0, "face net": 0, "dlib": 0})
        row["pictures"] += 1
        row["face net"] += found(find, shot)
        row["dlib"] += found(detect, shot)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--people", type=int, default=2, help="rendered people")
    arguments = parser.parse_args()
    table = measure(arguments.people)
    if arguments.json:
        print(json.dumps(table))
        return
    print(f"{'kind':18} {'pictures':>8} {'face net':>8} {'dlib':>5}")
    for kind, row in table.items():
        print(f"{kind:18} {row['pictures']:8} {row['face net']:8} {row['dlib']:5}")


if __name__ == "__main__":
    main()
