"""Trains what sees things before a face (:mod:`emolib.face.covers`) on photographs whose truth is known (:mod:`synthface.covered`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from emolib.face.covers import CoverNet, maps_of, placed
from emolib.face.landmarker import load_face_net
from emolib.media.pictures import to_tensor
from emolib.train.augment import other_frame
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


@dataclass(kw_only=True)
class CoverTraining(Training):
    """The head of :class:`CoverNet` by cross entropy with the share of each pixel that is covered.

    images: uint8 (N, S, S, 3), aligned crops. covers: uint8 (N, 2, S, S), 255 where wholly covered, and where glasses
    are. versions: how many times each is seen under another camera; what the face net makes of them is kept in memory (400 kB each).
    """

    images: np.ndarray
    covers: np.ndarray
    versions: int = 2
    batch_size: int = 32
    lr: float = 2e-3
    ema: float = 0.995

    def prepare(self) -> "CoverTraining":
        torch.manual_seed(self.seed)
        self.fine, self.coarse, self.truth = self._look()
        net = CoverNet()
        self.models = {"covers": net.train()}
        self.optimizers = {"covers": torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.02)}
        return self

    @torch.no_grad()
    def _look(self) -> tuple[Tensor, Tensor, Tensor]:
        """The face net's maps of every version in half precision, and the truth (N, 2, 64, 64)."""
        rng, net = np.random.default_rng([self.seed, 1]), load_face_net()
        parts: list[tuple[Tensor, ...]] = []
        for start in tqdm(range(0, self.versions * len(self.images), 32), desc="features", mininterval=5):
            chosen = np.arange(start, min(start + 32, self.versions * len(self.images))) % len(self.images)
            covers = torch.from_numpy(self.covers[chosen]).float() / 255
            both, _ = other_frame(torch.cat([to_tensor(self.images[chosen]), covers], 1), rng, 1.0)
            images = _camera(both[:, :3], rng)
            fine, coarse = maps_of(images, net)
            parts.append((fine.half().contiguous(), coarse.half().contiguous(), placed(both[:, 3:]).half()))
        fine, coarse, truth = (torch.cat(part) for part in zip(*parts))
        return fine, coarse, truth

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.from_numpy(rng.integers(len(self.fine), size=self.batch_size))
        return self.fine[chosen].float(), self.coarse[chosen].float(), self.truth[chosen].float()

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        fine, coarse, truth = share(*(x.to(loop.device) for x in batch))
        loop.cosine_rate("covers", self.lr)
        with loop.autocast():
            logits = loop.models["covers"](fine, coarse)
        loss = gather(F.binary_cross_entropy_with_logits(logits, truth, reduction="none")).mean()
        loop.minimize("covers", loss, clip=1.0)
        return {"loss": loss}

    def save(self, path: Path) -> None:
        self.models["covers"].save(path)


def _camera(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Other colours, sharpness and noise. :func:`emolib.train.augment.other_camera` would not do: its patches too lie before the face."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.as_tensor(rng.uniform(low, high, (len(images), channels, 1, 1)), dtype=torch.float32)

    size = images.shape[-2:]
    images = images.clamp(1e-3, 1) ** uniform(-0.4, 0.4).exp() * uniform(0.8, 1.2, 3) * uniform(0.75, 1.25)
    images = torch.lerp(images, images.mean(1, keepdim=True), uniform(0, 0.8))
    coarse = F.interpolate(images, scale_factor=rng.uniform(0.5, 1), mode="bilinear", antialias=True)
    images = torch.lerp(images, F.interpolate(coarse, size, mode="bilinear"), uniform(0, 1).round())
    return (images + torch.as_tensor(rng.normal(0, rng.uniform(0, 0.03), images.shape), dtype=torch.float32)).clamp(
        0, 1
    )


def score(net: CoverNet, images: np.ndarray, covers: np.ndarray) -> dict[str, float]:
    """On pictures it did not learn from, at 64 x 64: intersection over union of what is covered by half and more, and of glasses; how much
    of the rest is taken for covered, percent."""
    hit, either, false, bare = torch.zeros(2), torch.zeros(2), 0.0, 0.0
    for i in range(0, len(images), 32):
        with torch.no_grad():
            seen = net(*maps_of(to_tensor(images[i : i + 32]), load_face_net())).sigmoid() > 0.5
        truth = placed(torch.from_numpy(covers[i : i + 32]).float() / 255)
        there, free = truth > 0.5, truth[:, 0] < 0.1
        hit, either = hit + (seen & there).sum((0, 2, 3)), either + (seen | there).sum((0, 2, 3))
        false, bare = false + float((seen[:, 0] & free).sum()), bare + float(free.sum())
    covered, glasses = (hit / either).tolist()
    return {"cover_iou": covered, "glasses_iou": glasses, "cover_false_pct": 100 * false / bare}
