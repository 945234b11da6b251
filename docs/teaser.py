"""Makes the README's pictures, ``docs/teaser.png`` and ``docs/intensity.png``, and the contact sheet ``docs/sheet.jpg``: two photographs
that ship in packages and six drawn people of no corpus, every emotion at three levels. Ten minutes: python docs/teaser.py"""

from dataclasses import replace
from pathlib import Path

import matplotlib.cbook
import numpy as np
import torch
from PIL import Image, ImageDraw

from emolib.demo import portrait, speech
from emolib.emotions import EMOTIONS
from emolib.face.arkit import ARKIT
from emolib.media.pictures import to_frames
from emolib.request import Request, check
from emolib.talker import Talker
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.synth import Studio, named_rng

HERE = Path(__file__).resolve().parent
MOMENT = 0.56  # s into the sentence
CELL, SMALL = 256, 112  # px
DRAWN = range(700_000, 700_006)  # people of no corpus
SIDE = 384  # px: of their portraits


@torch.no_grad()
def frames(talker: Talker, picture: np.ndarray, asked: list[tuple[str, float]], cell: int) -> list[np.ndarray]:
    """The portrait at MOMENT of the demo sentence for each emotion and level, cut to its head."""
    requests = [_request(picture, *each) for each in asked]
    ready, alignment = talker.portrait(requests[0])
    at = slice(int(MOMENT * 25), int(MOMENT * 25) + 1)
    landmarks = requests[0].faces[0].landmarks
    middle, reach = landmarks.mean(0), 0.95 * np.ptp(landmarks[:, 1])
    box = tuple(float(v) for v in (*(middle - reach), *(middle + reach)))
    cells = []
    for request in requests:
        wanted, sigma = talker.coefficients(request, ready.own)
        pasted = alignment.paste(to_frames(ready.frames(wanted[at], sigma[at]))[0], request.image)
        cells.append(
            np.asarray(Image.fromarray(pasted).resize((cell, cell), Image.Resampling.LANCZOS, box=_within(box, pasted)))
        )
    return cells


def _request(picture: np.ndarray, emotion: str, intensity: float) -> Request:
    return check(picture, speech(), emotion, intensity, HERE / "teaser.mp4", pose="still", blinks=False)


def _within(box: tuple[float, ...], picture: np.ndarray) -> tuple[float, ...]:
    """The square ``box``, moved and shrunk into the picture."""
    height, width = picture.shape[:2]
    side = min(box[2] - box[0], height, width)
    x, y = np.clip(box[0], 0, width - side), np.clip(box[1], 0, height - side)
    return x, y, x + side, y + side


def drawn(person: int) -> np.ndarray:
    """A drawn person at rest, uint8 (SIDE, SIDE, 3)."""
    studio = Studio(7, SIDE, 1.0)
    body, _, _, _ = studio.cast(person)
    rng = named_rng(7, "sheet", person)
    scene = replace(Scene.sample(rng, SIDE * SUPERSAMPLE), quality=0)
    arkit = np.zeros((1, len(ARKIT)), np.float32)
    pose, _ = studio.framed(body, arkit, np.zeros((1, 6), np.float32), rng)
    return photograph(body, scene, arkit, pose, SIDE, rng)[0]


def sheet(cells: list[tuple[str, np.ndarray]], columns: int, name: str) -> None:
    rows, cell = -(-len(cells) // columns), cells[0][1].shape[0]
    picture = Image.new("RGB", (columns * cell, rows * (cell + 22)), "white")
    for i, (label, image) in enumerate(cells):
        x, y = i % columns * cell, i // columns * (cell + 22)
        picture.paste(Image.fromarray(image), (x, y + 22))
        ImageDraw.Draw(picture).text((x + 6, y + 5), label, fill="black")
    picture.save(HERE / name)


def main() -> None:
    talker = Talker.load(device="cpu")
    for name, asked in {
        "teaser.png": [(emotion, 3.0) for emotion in EMOTIONS],
        "intensity.png": [(words, level) for words in ("happy", "sadly surprised") for level in (1, 1.67, 2.33, 3)],
    }.items():
        labels = [f"{words}, {level:g}" for words, level in asked]
        sheet(list(zip(labels, frames(talker, portrait(), asked, CELL))), 4, name)
    hopper = np.asarray(
        Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    )
    asked = [(emotion, float(level)) for level in (1, 2, 3) for emotion in EMOTIONS]
    cells = []
    for picture in (portrait(), hopper, *map(drawn, DRAWN)):
        cells += [(f"{e} {level:g}", x) for (e, level), x in zip(asked, frames(talker, picture, asked, SMALL))]
    sheet(cells, len(EMOTIONS), "sheet.jpg")


if __name__ == "__main__":
    main()
