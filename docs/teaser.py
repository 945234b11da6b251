"""Makes ``docs/teaser.png`` and ``docs/intensity.png``, the README's pictures: python docs/teaser.py"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from emolib.demo import portrait, speech
from emolib.emotions import EMOTIONS
from emolib.media.pictures import to_frames
from emolib.request import check
from emolib.talker import Talker

HERE = Path(__file__).resolve().parent
MOMENT = 0.56  # s into the sentence
CELL = 256


@torch.no_grad()
def frame(talker: Talker, emotion: str, intensity: float) -> np.ndarray:
    """The portrait at MOMENT of the demo sentence, cut to its head."""
    request = check(portrait(), speech(), emotion, intensity, HERE / "teaser.mp4", pose="still", blinks=False)
    ready, alignment = talker.portrait(request)
    wanted, sigma = talker.coefficients(request, ready.own)
    at = slice(int(MOMENT * 25), int(MOMENT * 25) + 1)
    pasted = alignment.paste(to_frames(ready.frames(wanted[at], sigma[at]))[0], request.image)
    x, y = request.faces[0].landmarks.mean(0).round().astype(int)
    return np.asarray(
        Image.fromarray(pasted[max(0, y - 120) : y + 100, x - 110 : x + 110]).resize((CELL, CELL), Image.LANCZOS)
    )


def sheet(cells: list[tuple[str, np.ndarray]], columns: int, name: str) -> None:
    rows = -(-len(cells) // columns)
    picture = Image.new("RGB", (columns * CELL, rows * (CELL + 22)), "white")
    for i, (label, image) in enumerate(cells):
        x, y = i % columns * CELL, i // columns * (CELL + 22)
        picture.paste(Image.fromarray(image), (x, y + 22))
        ImageDraw.Draw(picture).text((x + 6, y + 5), label, fill="black")
    picture.save(HERE / name)


def main() -> None:
    talker = Talker.load(device="cpu")
    sheet([(f"{e}, 3", frame(talker, e, 3)) for e in EMOTIONS], 4, "teaser.png")
    words = ("happy", "sadly surprised")
    sheet([(f"{w}, {i:g}", frame(talker, w, i)) for w in words for i in (1, 1.67, 2.33, 3)], 4, "intensity.png")


if __name__ == "__main__":
    main()
