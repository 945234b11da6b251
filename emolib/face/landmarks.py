"""The 68 landmarks (iBUG order) that everything here stands on, from the face net: of pictures, and of clips of aligned crops.

The net has its own idea of a brow's edge or a lip's rim; so what it sees is shifted by what it sees beside the face model's vertices on
drawn people (:attr:`emolib.face.model.FaceModel.landmark_bias`), and a fit need not explain that as expression.

Conventions: images are uint8 RGB (H, W, 3); points are (x, y) in pixels, x right, y down, pixel centres at integer + 0.5.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.face.alignment import LEFT_EYE, RIGHT_EYE
from emolib.face.arkit import ARKIT
from emolib.face.finding import IBUG68, SEEN, crop, find, read, upright
from emolib.face.landmarker import POINTS_SIZE, SHAPE_NAMES, FaceNet, load_face_net
from emolib.face.loaders import load_face_model
from emolib.media.pictures import Source, load_image

SMALL = 64  # px: width of a face below which a user is told
PLACE = (0.497, 0.585, 0.82, 0.0)  # of the face in an aligned crop, as finding.read wants it, in the crop's sides
BATCH = 16
GRID = 512  # points of crops lie on a grid of 1 / 512 of the side, see ask
_ORDER = [
    SHAPE_NAMES.index(name) if name in SHAPE_NAMES else 0 for name in ARKIT
]  # tongueOut is not read: the net's neutral
NOISE = 1.2e-6  # of float32, in sides of the crop; half as much again as the largest of 400 pictures


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


@dataclass(frozen=True)
class Question:
    """What can be asked of the face net's features (n, 64, 32, 32), in float32 or float64.

    answer: features -> tensors (n, ...). grids: how many steps a unit has on which each tensor's values are laid (0: not laid on any).
    noise: by how much float32 may be off.
    """

    answer: Callable[[Tensor], Sequence[Tensor]]
    grids: tuple[int, ...]
    noise: tuple[float, ...]


@torch.no_grad()
def ask(frames: np.ndarray, *questions: Question) -> list[list[np.ndarray]]:
    """The answers, float64 (T, ...), to each question about aligned crops, uint8 (T, S, S, 3); the same on every machine.

    The grids are finer than the nets are sure. Convolutions in float32 differ by processor; a frame with a value so near the middle
    between two grid points that this could decide is looked at again in float64.
    """
    if not len(frames):
        raise EmolibError("no face found in any of 0 frames; expected aligned crops of a face")
    net, parts = load_face_net(), []
    for i in range(0, len(frames), BATCH):
        batch = frames[i : i + BATCH]
        seen = _answers(features(batch, net), questions)
        unsure = np.zeros(len(batch), bool)
        for values, grid, noise in seen:
            if grid:
                apart = np.abs(values * grid - np.floor(values * grid) - 0.5) < noise * grid
                unsure |= apart.reshape(len(batch), -1).any(1)
        if unsure.any():
            for (values, *_), (exact, *_) in zip(seen, _answers(features(batch[unsure], _exact(net)), questions)):
                values[unsure] = exact
        parts.append([np.round(values * grid) / grid if grid else values for values, grid, _ in seen])
    whole = iter([np.concatenate(part) for part in zip(*parts)])
    return [[next(whole) for _ in question.grids] for question in questions]


def _answers(seen: Tensor, questions: Sequence[Question]) -> list[tuple[np.ndarray, int, float]]:
    return [
        (answer.double().numpy(), grid, noise)
        for question in questions
        for answer, grid, noise in zip(question.answer(seen), question.grids, question.noise)
    ]


def features(frames: np.ndarray, net: FaceNet) -> Tensor:
    """What the face net's first half makes of aligned crops, uint8 (n, S, S, 3): (n, 64, 32, 32) in the precision of ``net``."""
    frames = np.require(frames, requirements=["C", "W"])  # torch shares memory, and warns of what may not be written to
    return features_of(torch.from_numpy(frames).permute(0, 3, 1, 2).to(_kind(net)) / 255, net)


def features_of(pictures: Tensor, net: FaceNet) -> Tensor:
    """The same of pictures (n, 3, S, S) in [0, 1]."""
    size = pictures.shape[-1]
    rois = pictures.new_tensor(PLACE) * pictures.new_tensor([size, size, size, 1])
    return net.points.features(crop(pictures, rois.expand(len(pictures), 4), POINTS_SIZE))


def _kind(net: FaceNet) -> torch.dtype:
    return net.canonical.dtype


def landmarks_question() -> Question:
    """The 68 landmarks (n, 68, 2) as the net sees them, in sides of the crop, and whether there is a face, in [0, 1]."""
    net = load_face_net()

    def answer(seen: Tensor) -> list[Tensor]:
        points, presence = (net if seen.dtype == torch.float32 else _exact(net)).points.answer(seen)
        place = (points[:, list(IBUG68), :2] / POINTS_SIZE - 0.5) * PLACE[2] + points.new_tensor(PLACE[:2])
        return [place, presence.sigmoid()]

    return Question(answer, (GRID, 0), (NOISE, 0.0))


def track(frames: np.ndarray, *, bias: bool = False) -> np.ndarray:
    """Landmarks (T, 68, 2) of a clip of aligned crops, uint8 (T, S, S, 3); frames without a face are interpolated.
    ``bias``: leaves the net's own idea of where a landmark is.

    Raises :class:`EmolibError` if no frame shows a face.
    """
    landmarks = tracked(ask(frames, landmarks_question())[0], frames.shape[1])
    return landmarks if bias else unbiased(landmarks)


def tracked(answers: list[np.ndarray], size: int) -> np.ndarray:
    """Answers to :func:`landmarks_question` -> (T, 68, 2) in pixels of crops of side ``size``, holes filled.

    Raises :class:`EmolibError` if no frame shows a face.
    """
    landmarks, presence = answers
    if not (presence >= SEEN).any():
        raise EmolibError(
            f"no face found in any of {len(presence)} frames; expected aligned crops of a face, align the clip first"
        )
    return filled(np.where((presence >= SEEN)[:, None, None], landmarks * size, np.nan))


@torch.no_grad()
def shapes(frames: np.ndarray) -> np.ndarray:
    """What the shape net reads in a clip of aligned crops, uint8 (T, S, S, 3): (T, 52) in [0, 1], in the order of ARKIT."""
    net, size, parts = load_face_net(), frames.shape[1], []
    for i in range(0, len(frames), BATCH):
        pictures = torch.from_numpy(np.ascontiguousarray(frames[i : i + BATCH])).permute(0, 3, 1, 2).float() / 255
        rois = torch.tensor(PLACE) * torch.tensor([size, size, size, 1.0])
        parts.append(net.shapes(upright(read(pictures, rois.expand(len(pictures), 4), net))).numpy())
    return np.concatenate(parts)[:, _ORDER]


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
