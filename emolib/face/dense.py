"""Dense landmarks: a head on the face net that sees where 192 vertices of the face model lie on an aligned crop.

The 68 points of a public predictor say little about cheeks, gaze or lips that touch, and mean their own places by "brow" and "lip".
Wood et al. ("3D face reconstruction with dense landmarks", ECCV 2022) showed that a net trained on renderings alone can name many more
points, each with how sure it is, and that fitting a face model to them needs nothing else: the points are vertices, so nothing lies
between what is seen and what is fitted. Theirs learnt from 100,000 renderings; here the first half of the face net
(:meth:`emolib.face.landmarker.Points.features`), which has seen millions of photographs, stays as it is, and only what follows learns.
It has the place of D3DFR's regressor in the paper (one look at the picture before the fit), but says where it sees what instead of
what follows from it.

Trained on :mod:`synthface.portraits` by ``make landmarks``; the weights are shipped in ``data/pretrained``.
"""

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.face.landmarker import TRUNK, FaceNet, Points
from emolib.face.landmarks import PLACE, Question, ask
from emolib.face.model import FaceModel
from emolib.weights import PRETRAINED, load_into, load_weights, save_weights

SIZE = 128  # side of the crops that the head learns from, pixels
POINTS = 192  # at least: the 68 landmarks, 5 on each eyeball, the rest spread over the face
WEIGHTS = PRETRAINED / "dense.safetensors"
GRID, OCTAVE = 384, 4  # answers lie on a grid of 1 / 384 of the side, deviations on one of 1 / 4 octave
NOISE, NOISE_SIGMA = (
    6e-7,
    8e-6,
)  # of float32: of points, in image sides; of log2 of a deviation (400 pictures: 4e-7, 4e-6)
MEAN_SIGMA = 0.02  # image sides: what the head starts from
STEP = 0.05  # image sides: unit of its answers, so that its layers start on one scale
CHANNELS, GLOBAL = 64, 512  # of the features, of the last map when flattened
AROUND = 3  # cells (of 32 across the face) in which a point is looked for once more, each way


def dense_index(model: FaceModel) -> np.ndarray:
    """Vertices (K,) int64, K = 193 of the face model: its 68 landmarks, each eyeball's pole and rim of the iris, then a spread over the
    face; beyond the landmarks in pairs, a vertex and its mirror image."""
    mean = model.mean_shape.numpy()
    mirror = cKDTree(mean).query(mean * [-1, 1, 1])[1]
    eye = np.flatnonzero(model.regions["eyes"].numpy() & (mean[:, 0] < 0))
    pole = eye[mean[eye, 2].argmax()]
    far = np.linalg.norm(mean[eye] - mean[pole], axis=1)
    ring = eye[np.argsort(np.abs(far - 0.045))[:12]]  # about the rim of the iris: 5.6 mm from the pole
    chosen = model.landmark_index.tolist()
    for vertex in [pole] + [ring[(sign * mean[ring, axis]).argmax()] for axis in (0, 1) for sign in (-1, 1)]:
        chosen += [int(vertex), int(mirror[vertex])]
    face = np.flatnonzero(model.regions["face"].numpy() & (mean[:, 0] <= 0))
    distance = np.linalg.norm(mean[face, None] - mean[chosen], axis=2).min(1)
    while len(chosen) < POINTS:  # farthest-point sampling of one half
        furthest = int(face[distance.argmax()])
        chosen += [furthest, int(mirror[furthest])] if mirror[furthest] != furthest else [furthest]
        distance = np.minimum(distance, np.linalg.norm(mean[face] - mean[furthest], axis=1))
    return np.array(chosen)


def mirrored(model: FaceModel, index: np.ndarray) -> np.ndarray:
    """(K,): where in ``index`` the mirror image of each of its vertices stands."""
    mean = model.mean_shape.numpy()[index]
    return cKDTree(mean).query(mean * [-1, 1, 1])[1]


class DenseNet(nn.Module):
    """Features of the face net -> where each of K vertices lies, and how sure that is. ``index`` (K,): vertices of the face model.

    The second half of the face net answers with all points at once, then each is looked for once more in the finer map about the place
    answered (shape-indexed features: Cao et al., "Face alignment by explicit shape regression", 2014).
    """

    mean: Tensor
    around: Tensor

    def __init__(self, index: list[int], width: int = 32):
        super().__init__()
        self.config: dict = {"index": list(index), "width": width}
        count, net = len(index), Points()
        self.first, self.last = (
            net.blocks[TRUNK : TRUNK + 5],
            net.blocks[TRUNK + 5 :],
        )  # to a map of 16 x 16, and on to one of 2 x 2
        self.whole = nn.Linear(GLOBAL, 3 * count)  # two of place, one of doubt a point
        nn.init.zeros_(self.whole.weight)
        nn.init.zeros_(self.whole.bias)
        self.fine, self.coarse = nn.Conv2d(CHANNELS, width, 1), nn.Conv2d(128, width, 1)
        self.smooth = nn.Conv2d(width, width, 3, 1, 1)
        self.local = nn.Parameter(1e-3 * torch.randn(count, width * AROUND**2, 2))
        self.local_bias = nn.Parameter(torch.zeros(count, 2))
        self.register_buffer("mean", torch.full((count, 2), 0.5))  # places of an average picture, image sides
        line = (torch.arange(AROUND) - (AROUND - 1) / 2) / 16  # a map spans -1 to 1
        self.register_buffer("around", torch.cartesian_prod(line, line).flip(1), persistent=False)

    def start(self, net: FaceNet, points: Tensor) -> None:
        """Begins where the face net's second half is, with the mean of true ``points`` (N, K, 2)."""
        self.first.load_state_dict(net.points.blocks[TRUNK : TRUNK + 5].state_dict())
        self.last.load_state_dict(net.points.blocks[TRUNK + 5 :].state_dict())
        self.mean.copy_(points.mean(0))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 64, 32, 32) -> points (B, K, 2) in image sides, their standard deviations (B, K) in image sides, and the points
        (B, K, 2) before they were looked for once more, for training."""
        middle = self.first(features)
        answer = self.whole(0.1 * self.last(middle).flatten(1)).unflatten(1, (-1, 3))
        first = self.mean + STEP * answer[..., :2]
        fine = F.relu(self.fine(features) + F.interpolate(self.coarse(middle), scale_factor=2.0, mode="bilinear"))
        place = (first.detach() - first.new_tensor(PLACE[:2])) * (2 / PLACE[2])
        there = F.grid_sample(
            F.relu(self.smooth(fine)),
            place[:, :, None] + self.around,
            padding_mode="border",
            align_corners=False,
        )  # (B, C, K, AROUND^2)
        moved = torch.bmm(there.permute(2, 0, 1, 3).flatten(2), self.local).transpose(0, 1) + self.local_bias
        return first + STEP * moved, MEAN_SIGMA * answer[..., 2].clamp(-5, 3).exp(), first

    def question(self) -> Question:
        """What :func:`emolib.face.landmarks.ask` asks of crops: points in their sides, log2 of the deviations."""

        def answer(features: Tensor) -> list[Tensor]:
            points, sigma, _ = (self if features.dtype == torch.float32 else self._exact())(features)
            return [points, sigma.log2()]

        return Question(answer, (GRID, OCTAVE), (NOISE, NOISE_SIGMA))

    def locate(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Aligned crops uint8 (T, S, S, 3) -> points (T, K, 2) in their pixels, standard deviations (T, K) in pixels; on every machine
        the same."""
        return self.read(ask(frames, self.question())[0], frames.shape[1])

    @staticmethod
    def read(answers: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
        """Answers to :meth:`question` -> points (T, K, 2) and standard deviations (T, K) in pixels of crops of side ``size``."""
        return answers[0] * size, 2 ** answers[1] * size

    def knows(self, model: FaceModel) -> bool:
        """Whether this net's vertices are those of ``model``."""
        return bool(model.regions["eyes"].any()) and self.config["index"] == dense_index(model).tolist()

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> "DenseNet":
        """Frozen, in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"index", "width"}:
            raise EmolibError(f"{path} holds something else than dense landmarks; expected dense.safetensors")
        return load_into(cls(**config), state, path)

    def _exact(self) -> "DenseNet":
        return _double(self)


@functools.lru_cache(maxsize=2)
def _double(net: DenseNet) -> DenseNet:
    twin = DenseNet(**net.config)
    return load_into(twin, net.state_dict(), "").double()
