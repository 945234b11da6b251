"""Trains the dense landmarks of :mod:`emolib.face.dense` on photographs whose points are known (:mod:`synthface.portraits`)."""

import numpy as np
import torch
from torch import Tensor

from emolib.face.alignment import nme
from emolib.face.dense import SIZE, DenseNet, mirrored
from emolib.face.model import FaceModel
from emolib.train.augment import other_camera, other_frame
from emolib.train.loop import Trainer, cosine_rate


def moved_points(points: Tensor, maps: Tensor, mirror: Tensor) -> Tensor:
    """Points (B, K, 2) in image sides of pictures that :func:`other_frame` has changed by ``maps`` (B, 2, 3)."""
    linear, shift = maps[:, :, :2], maps[:, :, 2]
    moved = torch.linalg.solve(linear, (2 * points - 1 - shift[:, None]).transpose(1, 2)).transpose(1, 2)
    flipped = torch.linalg.det(linear) < 0  # in a mirrored picture the left brow is on the right
    return (torch.where(flipped[:, None, None], moved[:, mirror], moved) + 1) / 2


def train_dense(net: DenseNet, model: FaceModel, images: np.ndarray, points: np.ndarray, *, steps: int, batch_size: int = 32,
                lr: float = 2e-3, **trainer) -> Trainer:  # fmt: skip
    """Trains ``net`` in place: the Gaussian negative log-likelihood of the true points (N, K, 2), image sides, on uint8 (N, S, S, 3)."""
    mirror = torch.as_tensor(mirrored(model, np.array(net.config["index"])))
    net.to(memory_format=torch.channels_last)  # BatchNorm nets gain a quarter on the CPU
    optimizer = torch.optim.AdamW(net.train().parameters(), lr=lr, weight_decay=0.02)
    run = Trainer({"dense": net}, {"dense": optimizer}, steps=steps, ema=0.99, name="dense", **trainer)
    for step in run:
        cosine_rate(run.optimizers["dense"], step, steps, lr)
        chosen = run.rng.integers(len(images), size=batch_size)
        batch = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).to(run.device).float() / 255
        batch, maps = other_frame(batch, run.rng, 0.7)
        truth = moved_points(torch.from_numpy(points[chosen]).to(run.device), maps, mirror)
        batch = other_camera(batch, maps, run.rng, min(1.0, 0.2 + step / steps)).contiguous(
            memory_format=torch.channels_last
        )
        with run.autocast():
            seen, sigma = run.models["dense"](batch)
        squared = (seen - truth).square().sum(2)
        # In pixels; at first sigma is held wide, or a few sure mistakes would rule.
        loss = (squared / (2 * sigma.square()) + 2 * sigma.log()).mean() + 10 * squared.mean().sqrt()
        run.minimize("dense", loss, clip=1.0)
        run.log(loss=loss, error_px=squared.sqrt().mean() * SIZE, sigma_px=sigma.mean() * SIZE)
    finished = run.finish("dense")
    shown = images[:: max(1, len(images) // 256)]
    finished.usual.fill_(float(np.median(finished.see(shown)[1])) / shown.shape[1])
    return run


def score(net: DenseNet, images: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Error on pictures it did not learn from: of the 68 landmarks in percent of the inter-ocular distance, and of all points in pixels."""
    seen, sigma = net.see(images)
    miss = np.linalg.norm(seen - points * images.shape[1], axis=2)
    return {
        "dense_nme_pct": float(nme(seen[:, :68], points[:, :68] * images.shape[1]).mean()),
        "dense_error_px": float(miss.mean()),
        "dense_sigma_ratio": float(np.sqrt((miss**2 / (2 * sigma**2)).mean())),
    }
