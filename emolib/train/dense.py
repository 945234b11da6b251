"""Trains the dense landmarks of :mod:`emolib.face.dense` on photographs whose points are known (:mod:`synthface.portraits`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emolib.face.alignment import nme
from emolib.face.dense import SIZE, DenseNet, mirrored
from emolib.face.loaders import load_face_model
from emolib.media.pictures import to_tensor
from emolib.train.augment import other_camera, other_frame
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


def moved_points(points: Tensor, maps: Tensor, mirror: Tensor) -> Tensor:
    """Points (B, K, 2) in image sides of pictures that :func:`other_frame` has changed by ``maps`` (B, 2, 3)."""
    linear, shift = maps[:, :, :2], maps[:, :, 2]
    moved = torch.linalg.solve(linear, (2 * points - 1 - shift[:, None]).transpose(1, 2)).transpose(1, 2)
    flipped = torch.linalg.det(linear) < 0  # in a mirrored picture the left brow is on the right
    return (torch.where(flipped[:, None, None], moved[:, mirror], moved) + 1) / 2


@dataclass(kw_only=True)
class DenseTraining(Training):
    """A landmark net on photographs: the Gaussian negative log-likelihood of the true points.

    images: uint8 (N, S, S, 3). points: (N, K, 2) in image sides, of the vertices ``index``. face_model: the file they belong to.
    """

    images: np.ndarray
    points: np.ndarray
    index: tuple[int, ...]
    face_model: Path
    batch_size: int = 32
    lr: float = 2e-3
    ema: float = 0.99

    def prepare(self) -> "DenseTraining":
        torch.manual_seed(self.seed)
        net = DenseNet(list(self.index)).train()
        self.mirror = torch.as_tensor(mirrored(load_face_model(self.face_model), np.array(self.index)))
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on the CPU
        self.models = {"dense": net}
        self.optimizers = {"dense": torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.02)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, np.random.Generator]:
        chosen = rng.integers(len(self.images), size=self.batch_size)
        return to_tensor(self.images[chosen]), torch.from_numpy(self.points[chosen]), rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        images, points, rng = batch
        loop.cosine_rate("dense", self.lr)
        images, maps = other_frame(images.to(loop.device), rng, 0.7)
        truth = moved_points(points.to(loop.device), maps, self.mirror)
        images = other_camera(images, maps, rng, min(1.0, 0.2 + loop.done))
        images, truth = share(images.contiguous(memory_format=torch.channels_last), truth)
        with loop.autocast():
            seen, sigma = loop.models["dense"](images)
        squared, sigma = gather((seen - truth).square().sum(2)), gather(sigma)
        # In pixels; at first sigma is held wide, or a few sure mistakes would rule.
        loss = (squared / (2 * sigma.square()) + 2 * sigma.log()).mean() + 10 * squared.mean().sqrt()
        loop.minimize("dense", loss, clip=1.0)
        return {"loss": loss, "error_px": squared.sqrt().mean() * SIZE, "sigma_px": sigma.mean() * SIZE}

    def save(self, path: Path) -> None:
        net = self.models["dense"]
        shown = self.images[:: max(1, len(self.images) // 256)]
        net.usual.fill_(float(np.median(net.locate(shown)[1])) / shown.shape[1])
        net.save(path)


def score(net: DenseNet, images: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Error on pictures it did not learn from: of the 68 landmarks in percent of the inter-ocular distance, and of all points in pixels."""
    seen, sigma = net.locate(images)
    miss = np.linalg.norm(seen - points * images.shape[1], axis=2)
    return {
        "dense_nme_pct": float(nme(seen[:, :68], points[:, :68] * images.shape[1]).mean()),
        "dense_error_px": float(miss.mean()),
        "dense_sigma_ratio": float(np.sqrt((miss**2 / (2 * sigma**2)).mean())),
    }
