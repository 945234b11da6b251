"""The 68 landmarks (iBUG order) that everything here stands on, from the face net: of pictures, and of clips of aligned crops.

The net has its own idea of a brow's edge or a lip's rim; so what it sees is shifted by what it sees beside the face model's vertices on
drawn people (:attr:`emolib.face.model.FaceModel.landmark_bias`), and a fit need not explain that as expression.

Conventions: images are uint8 RGB (H, W, 3); points are (x, y) in pixels, x right, y down, pixel centres at integer + 0.5.
"""

import copy
import functools
from dataclasses import dataclass

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.alignment import LEFT_EYE, RIGHT_EYE
from emolib.face.arkit import ARKIT
from emolib.face.finding import IBUG68, SEEN, find, read, upright
from emolib.face.landmarker import SHAPE_NAMES, FaceNet, load_face_net
from emolib.face.loaders import load_face_model
from emolib.media.pictures import Source, load_image

SMALL = 64  # px: width of a face below which a user is told
PLACE = (0.497, 0.585, 0.82, 0.0)  # of the face in an aligned crop, as finding.read wants it, in the crop's sides
BATCH = 16
GRID = 512  # points of crops lie on a grid of 1 / 512 of the side, see _settled
_ORDER = [
    SHAPE_NAMES.index(name) if name in SHAPE_NAMES else 0 for name in ARKIT
]  # tongueOut is not read: the net's neutral
NOISE = 2e-6  # of float32 between processors, in sides of the crop


@dataclass(frozen=True)
class Face:
    """One face: ``box`` (left, top, right, bottom), ``landmarks`` (68, 2), ``score`` in [0, 1], how sure the detector is."""

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float


def unbiased(landmarks: np.ndarray) -> np.ndarray:
    """What the face net saw (..., 68, 2) -> where the face model's landmarks are."""
    x, y = np.moveaxis(landmarks[..., RIGHT_EYE, :].mean(-2) - landmarks[..., LEFT_EYE, :].mean(-2), -1, 0)
    to_pixels = np.stack(
        [np.stack([x, y], -1), np.stack([-y, x], -1)], -2
    )  # (..., 2, 2): of upright eye distances, as rows
    return landmarks - _bias() @ to_pixels


@functools.cache
def _bias() -> np.ndarray:
    return load_face_model().landmark_bias.double().numpy()


def detect(image: Source, *, face: int | None = None) -> list[Face]:
    """The faces of an image, largest first, at any angle.

    Args:
        image: uint8 (H, W, 3), or what :func:`emolib.media.pictures.load_image` makes one of.
        face: picks the n-th largest face (1 = largest); the list then holds only that one.

    Raises :class:`EmolibError` if no face is found, or fewer than ``face``.
    """
    return [Face(f.box, unbiased(f.landmarks), f.score) for f in find(load_image(image), face=face)]


def size_notes(face: Face) -> list[str]:
    """What a user should know of the size of a face: one sentence if it is small, else none."""
    width = round(face.box[2] - face.box[0])
    if width >= SMALL:
        return []
    return [f"the face is only {width} px wide, so the result will be soft; {SMALL} px and more look better"]


@torch.no_grad()
def track(frames: np.ndarray, *, bias: bool = False) -> np.ndarray:
    """Landmarks (T, 68, 2) of a clip of aligned crops, uint8 (T, S, S, 3); frames without a face are interpolated.
    ``bias``: leaves the net's own idea of where a landmark is.

    Raises :class:`EmolibError` if no frame shows a face.
    """
    net = load_face_net()
    parts = [_settled(frames[i : i + BATCH], net) for i in range(0, len(frames), BATCH)]
    landmarks = np.concatenate(parts) if parts else np.zeros((0, 68, 2))
    if np.isnan(landmarks).all():
        raise EmolibError(
            f"no face found in any of {len(frames)} frames; expected aligned crops of a face, align the clip first"
        )
    return filled(landmarks) if bias else unbiased(filled(landmarks))


@torch.no_grad()
def shapes(frames: np.ndarray) -> np.ndarray:
    """What the shape net reads in a clip of aligned crops, uint8 (T, S, S, 3): (T, 52) in [0, 1], in the order of ARKIT."""
    net, size, parts = load_face_net(), frames.shape[1], []
    for i in range(0, len(frames), BATCH):
        pictures = torch.from_numpy(np.ascontiguousarray(frames[i : i + BATCH])).permute(0, 3, 1, 2).float() / 255
        rois = torch.tensor(PLACE) * torch.tensor([size, size, size, 1.0])
        parts.append(net.shapes(upright(read(pictures, rois.expand(len(pictures), 4), net))).numpy())
    return np.concatenate(parts)[:, _ORDER]


def _settled(frames: np.ndarray, net: FaceNet) -> np.ndarray:
    """(n, 68, 2) as the net sees them, the same on every machine; NaN without a face.

    The grid is finer than the net is sure. Convolutions in float32 differ by processor; a frame with a value so near the middle between
    two grid points that this could decide is looked at again in float64.
    """
    seen, presence = _seen(frames, net, torch.float32)
    unsure = (np.abs(seen * GRID - np.floor(seen * GRID) - 0.5) < NOISE * GRID).any((1, 2))
    if unsure.any():
        seen[unsure] = _seen(frames[unsure], _exact(net), torch.float64)[0]
    seen[presence < SEEN] = np.nan
    return np.round(seen * GRID) / GRID * frames.shape[1]


def _seen(frames: np.ndarray, net: FaceNet, kind: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    size = frames.shape[1]
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(kind) / 255
    rois = torch.tensor(PLACE, dtype=kind) * torch.tensor([size, size, size, 1], dtype=kind)
    reading = read(pictures, rois.expand(len(frames), 4), net)
    return reading.points[:, list(IBUG68), :2].double().numpy() / size, reading.presence.numpy()


@functools.lru_cache(maxsize=1)
def _exact(net: FaceNet) -> FaceNet:
    return copy.deepcopy(net).double()


def filled(landmarks: np.ndarray) -> np.ndarray:
    """Frames of NaN replaced by linear interpolation in time (held at the ends)."""
    times = np.arange(len(landmarks))
    known = ~np.isnan(landmarks[:, 0, 0])
    flat = landmarks.reshape(len(landmarks), -1).copy()
    for column in range(flat.shape[1]):
        flat[:, column] = np.interp(times, times[known], flat[known, column])
    return flat.reshape(landmarks.shape)
