"""Faces of a picture that a user gives, one that fills its picture among them.

The detector learnt from pictures with room about their faces; of 624 photographs cropped to the face it finds 494. Where it finds none, it
is shown the picture in a frame of its mean colour: 605 of them.
"""

import numpy as np
import torch
from PIL import Image

from emolib.errors import EmolibError
from emolib.face.finding import SEEN, SMALLEST, find, read, rois_of
from emolib.face.landmarker import POINTS_SIZE
from emolib.face.landmarks import Face, detect, unbiased
from emolib.media.pictures import Source, load_image

FRAME = 0.5  # how wide it is, of the picture's longer side
GLANCE = 2 * SMALLEST - 1  # px: side of the framed picture, which is too little for parts of it to be looked at


def faces_of(image: Source, *, face: int | None = None) -> list[Face]:
    """As :func:`emolib.face.landmarks.detect`; where that finds none, the largest face of the framed picture."""
    try:
        return detect(image, face=face)
    except EmolibError:
        if face not in (None, 1) or (found := _filling(load_image(image))) is None:
            raise
        return [found]


@torch.no_grad()
def _filling(image: np.ndarray) -> Face | None:
    """The largest face of a picture in its frame, in pixels of the picture, seen small first and then as large as the net takes it."""
    framed, margin = _framed(image)
    small, scale = _shrunk(framed, GLANCE / len(framed))
    try:
        found = find(small, face=1)[0]
    except EmolibError:
        return None
    points = torch.from_numpy(found.points)[None].float() / scale
    fine, scale = _shrunk(framed, 2 * POINTS_SIZE / float(rois_of(points)[0, 2]))
    frame = torch.from_numpy(fine).permute(2, 0, 1)[None] / 255.0
    points = points * scale
    for _ in range(2):
        reading = read(frame, rois_of(points))
        points = reading.points
    if float(reading.presence) < SEEN:
        return None
    corners = (points[0, :, :2].numpy() / scale - margin).astype(float)
    box = (*corners.min(0).tolist(), *corners.max(0).tolist())
    return Face(box, unbiased(reading.landmarks[0].numpy() / scale - margin), found.score)


def _framed(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture in the middle of a square of its mean colour, and how far its corner is from the square's, (x, y) px."""
    side = max(image.shape[:2]) + 2 * round(FRAME * max(image.shape[:2]))
    framed = np.empty((side, side, 3), np.uint8)
    framed[:] = image.mean((0, 1)).round()
    corner = np.array([side - image.shape[1], side - image.shape[0]]) // 2
    framed[corner[1] : corner[1] + image.shape[0], corner[0] : corner[0] + image.shape[1]] = image
    return framed, corner


def _shrunk(square: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """A square picture made ``scale`` times as large, if that is smaller, and how large it is then."""
    if scale >= 1:
        return square, 1.0
    side = max(1, round(len(square) * scale))
    return np.array(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS)), side / len(square)
