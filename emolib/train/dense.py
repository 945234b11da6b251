"""Trains the dense landmarks of :mod:`emolib.face.dense` on photographs whose points are known (:mod:`synthface.portraits`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from emolib.face.alignment import nme
from emolib.face.dense import SIZE, DenseNet, mirrored
from emolib.face.landmarker import load_face_net
from emolib.face.landmarks import features_of
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
    """The head of the dense landmarks on photographs: the Gaussian negative log-likelihood of the true points.

    images: uint8 (N, S, S, 3). points: (N, K, 2) in image sides, of the vertices ``index``. face_model: the file they belong to.
    versions: how many times each photograph is seen under another camera; what the face net's first half, which stays as it is, makes
    of them is kept in memory (131 kB each), so that a step costs only the head.
    """

    images: np.ndarray
    points: np.ndarray
    index: tuple[int, ...]
    face_model: Path
    versions: int = 3
    batch_size: int = 64
    lr: float = 8e-4
    ema: float = 0.995

    def prepare(self) -> "DenseTraining":
        torch.manual_seed(self.seed)
        self.mirror = torch.as_tensor(mirrored(load_face_model(self.face_model), np.array(self.index)))
        self.features, self.places = self._look()
        net = DenseNet(list(self.index))
        net.start(load_face_net(), self.places)
        self.models = {"dense": net.train()}
        self.optimizers = {"dense": torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.02)}
        return self

    @torch.no_grad()
    def _look(self) -> tuple[Tensor, Tensor]:
        """Features (versions x N, 64, 32, 32) in half precision, and the true points on the pictures they are of."""
        rng, net = np.random.default_rng([self.seed, 1]), load_face_net()
        features, places = [], []
        for start in tqdm(range(0, self.versions * len(self.images), 32), desc="features", mininterval=5):
            chosen = np.arange(start, min(start + 32, self.versions * len(self.images))) % len(self.images)
            images, maps = other_frame(to_tensor(self.images[chosen]), rng, 0.7)
            places.append(moved_points(torch.from_numpy(self.points[chosen]), maps, self.mirror))
            images = other_camera(images, maps, rng, float(rng.uniform(0, 0.8)))
            features.append(features_of(images, net).half().contiguous())
        return torch.cat(features), torch.cat(places)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(rng.integers(len(self.features), size=self.batch_size))
        return self.features[chosen].float(), self.places[chosen]

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        features, truth = share(*(x.to(loop.device) for x in batch))
        loop.cosine_rate("dense", self.lr)
        with loop.autocast():
            fine, sigma, first = loop.models["dense"](features)
        sigma = gather(sigma)
        squared, before = (gather((seen - truth).square().sum(2)) for seen in (fine, first))
        # In pixels; at first sigma is held wide, or a few sure mistakes would rule.
        after, first = (
            (miss / (2 * sigma.square()) + 2 * sigma.log()).mean() + 10 * miss.mean().sqrt()
            for miss in (squared, before)
        )
        loss = after + 0.5 * first
        loop.minimize("dense", loss, clip=1.0)
        return {"loss": loss, "error_px": squared.sqrt().mean() * SIZE, "sigma_px": sigma.mean() * SIZE}

    def save(self, path: Path) -> None:
        self.models["dense"].save(path)


def score(net: DenseNet, images: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Error on pictures it did not learn from: of the 68 landmarks in percent of the inter-ocular distance, and of all points in pixels."""
    seen, sigma = net.locate(images)
    miss = np.linalg.norm(seen - points * images.shape[1], axis=2)
    return {
        "dense_nme_pct": float(nme(seen[:, :68], points[:, :68] * images.shape[1]).mean()),
        "dense_error_px": float(miss.mean()),
        "dense_sigma_ratio": float(np.sqrt((miss**2 / (2 * sigma**2)).mean())),
    }
