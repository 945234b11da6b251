"""Dense landmarks: a small convolutional net that sees where 193 vertices of the face model lie on an aligned crop.

The 68 points of a public predictor say little about cheeks, gaze or lips that touch, and mean their own places by "brow" and "lip".
Wood et al. ("3D face reconstruction with dense landmarks", ECCV 2022) showed that a net trained on renderings alone can name many more
points, each with how sure it is, and that fitting a face model to them needs nothing else. This is that, small: the points are vertices,
so nothing lies between what is seen and what is fitted, and sigma weighs each of them. It has the place of D3DFR's regressor in the paper
(one look at the picture before the fit), but says where it sees what instead of what follows from it.

Trained on :mod:`synthface.portraits` by ``make landmarks``; the weights are shipped in ``data/pretrained``.
"""

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.face.model import FaceModel
from emolib.media.pictures import to_tensor
from emolib.weights import PRETRAINED, load_into, load_weights, save_weights

SIZE = 128  # side of what the net looks at, pixels
POINTS = 192  # at least: the 68 landmarks, 5 on each eyeball, the rest spread over the face
WEIGHTS = PRETRAINED / "dense.safetensors"
GRID = 512  # see DenseNet.settle
NOISE, NOISE_SIGMA = 5e-7, 2e-5  # of float32 between processors: of points, in image sides; of log2 of a deviation
MEAN_SIGMA = 0.02  # image sides: what the net starts from


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


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    """A residual block of two convolutions (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _undecided(values: np.ndarray, noise: float) -> np.ndarray:
    """Whether ``noise`` could make ``values`` round the other way."""
    return np.abs(values - np.floor(values) - 0.5) < noise


class DenseNet(nn.Module):
    """Crop -> where each of K vertices lies, and how sure that is. ``index`` (K,): vertices of the face model.

    A small ResNet whose coarse maps are added to its finer ones (Lin et al., "Feature pyramid networks", 2017) makes one heat map a point;
    the point is the map's centre of mass (Sun et al., "Integral human pose regression", 2018).
    """

    usual: Tensor

    def __init__(self, index: list[int], widths: tuple[int, ...] = (32, 48, 96, 128), pyramid: int = 64):
        super().__init__()
        self.config = {"index": list(index), "widths": list(widths), "pyramid": pyramid}
        self.stem = nn.Sequential(_conv(3, widths[0], 2), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList(
            nn.Sequential(_conv(low, high, 2), nn.ReLU(inplace=True), _Block(high), _Block(high))
            for low, high in zip(widths, widths[1:])
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid, 1) for width in widths[1:])
        self.smooth = nn.Sequential(_conv(pyramid, pyramid), nn.ReLU(inplace=True))
        self.heat = nn.Conv2d(pyramid, len(index), 1)
        self.register_buffer("usual", torch.tensor(MEAN_SIGMA))  # median sigma on pictures like those it learnt from
        self._twin: list[DenseNet] | None = None  # in float64; in a list, so that it is no part of this module
        self.doubt = nn.Sequential(nn.Linear(widths[-1], 128), nn.ReLU(inplace=True), nn.Linear(128, len(index)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B,3,S,S) in [0,1] -> points (B,K,2) in image sides, their standard deviations (B,K) in image sides."""
        if images.shape[-1] != SIZE:
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=images.shape[-1] > SIZE)
        x, maps = self.stem(images - 0.5), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        top = self.lateral[-1](maps[-1])
        for lateral, fine in zip(self.lateral[-2::-1], maps[-2::-1]):
            top = lateral(fine) + F.interpolate(top, scale_factor=2, mode="nearest")
        weight = (
            self.heat(self.smooth(top)).to(self.usual.dtype).flatten(2).softmax(2).unflatten(2, top.shape[2:])
        )  # (B, K, 32, 32)
        # A little wider than the picture, so that points on its border and beyond can be reached.
        line = torch.linspace(-0.1, 1.1, weight.shape[-1], device=weight.device)
        points = torch.stack([(weight.sum(2) * line).sum(2), (weight.sum(3) * line).sum(2)], 2)
        return points, MEAN_SIGMA * self.doubt(maps[-1].mean((2, 3))).to(self.usual.dtype).clamp(-5, 3).exp()

    @torch.no_grad()
    def locate(self, frames: np.ndarray, batch: int = 32) -> tuple[np.ndarray, np.ndarray]:
        """Aligned crops uint8 (T, S, S, 3) -> points (T, K, 2) in their pixels, standard deviations (T, K) in pixels."""
        parts = []
        for i in range(0, len(frames), batch):
            images = to_tensor(frames[i : i + batch]).to(self.usual.dtype)
            parts.append([x.double().numpy() * frames.shape[1] for x in self(images)])
        points, sigma = (np.concatenate(part) for part in zip(*parts))
        return points, sigma

    def settle(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:meth:`locate`, the same on every machine: points on a grid of 1 / 512 of the side, deviations on one of 1/8 octave.

        Both grids are finer than the net is sure. Convolutions in float32 differ by processor; a frame with a value so near the middle
        between two grid points that this could decide (about one in six) is looked at again in float64, at three times the cost.
        """
        size = frames.shape[1]
        points, sigma = self.locate(frames)
        unsure = _undecided(points / size * GRID, NOISE * GRID).any((1, 2)) | _undecided(
            8 * np.log2(sigma), 8 * NOISE_SIGMA
        ).any(1)
        if unsure.any():
            if self._twin is None:
                self._twin = [copy.deepcopy(self).double()]
            points[unsure], sigma[unsure] = self._twin[0].locate(frames[unsure])
        return np.round(points / size * GRID) / GRID * size, 2 ** (np.round(8 * np.log2(sigma)) / 8)

    def surprise(self, sigma: np.ndarray, size: int) -> float:
        """How many times as unsure as usual the net is of frames of side ``size``, from its sigma (T, K) in pixels: 1 on renderings, 2 and
        more on photographs, of which it has seen none."""
        return float(np.median(sigma) / size / self.usual)

    def knows(self, model: FaceModel) -> bool:
        """Whether this net's vertices are those of ``model``."""
        return bool(model.regions["eyes"].any()) and self.config["index"] == dense_index(model).tolist()

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> "DenseNet":
        """Frozen, in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"index", "widths", "pyramid"}:
            raise EmolibError(f"{path} holds something else than dense landmarks; expected dense.safetensors")
        return load_into(cls(**config), state, path)
