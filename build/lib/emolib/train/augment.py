"""What is done to pictures on their way into a training: another camera, another place in the frame."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, rng: np.random.Generator, strength: float = 1.0) -> Tensor:
    """(B,3,S,S) in [0,1] -> the same faces under another camera: mirrored, turned and moved a little, other colours and light
    from a side, blurred, noisy, and half of them with a patch missing.

    strength: 0 (mirror only) to 1; training starts low, since a net that sees only the hardest pictures learns nothing at first.
    """
    return other_camera(*other_frame(images, rng, strength), rng, strength)


def _uniform(rng: np.random.Generator, images: Tensor, low: float, high: float, *shape: int) -> Tensor:
    """One draw a picture, (B, *shape)."""
    return torch.as_tensor(rng.uniform(low, high, (len(images), *shape)), dtype=torch.float32, device=images.device)


def other_frame(images: Tensor, rng: np.random.Generator, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """The geometric half of :func:`augment`: images, and the affine maps (B, 2, 3) from the new picture to the old, both in [-1, 1]."""

    def about(half):
        return _uniform(rng, images, -half * strength, half * strength)

    angle, scale, mirror = about(0.15), 1 + about(0.1), torch.sign(_uniform(rng, images, -1, 1))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([cos * mirror, -sin, about(0.08), sin * mirror, cos, about(0.08)], 1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False), maps


def other_camera(images: Tensor, maps: Tensor, rng: np.random.Generator, strength: float = 1.0) -> Tensor:
    """The other half: colours, light, sharpness, noise and patches."""
    size, device = images.shape[-1], images.device

    def uniform(low, high, *shape):
        return _uniform(rng, images, low, high, *shape)

    def about(half, *shape):
        return uniform(-half * strength, half * strength, *shape)

    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    ramp = (grid * about(0.25, 1, 1, 2)).sum(3)[:, None]
    images = images * (1 + about(0.2, 3, 1, 1)) * (1 + about(0.25, 1, 1, 1)) * (1 + ramp)
    grey, mean = images.mean(1, keepdim=True), images.mean((1, 2, 3), keepdim=True)
    images = torch.lerp(images, grey, uniform(0, strength, 1, 1, 1))
    images = torch.lerp(images, mean, about(0.25, 1, 1, 1))

    coarse = F.interpolate(images, scale_factor=1 - 0.5 * strength * rng.random(), mode="bilinear", antialias=True)
    images = torch.lerp(images, F.interpolate(coarse, (size, size), mode="bilinear"), uniform(0, 1, 1, 1, 1).round())
    images = images + torch.as_tensor(rng.normal(0, 0.03 * strength, images.shape), dtype=torch.float32, device=device)

    centre, half = uniform(-1, 1, 1, 1, 2), uniform(0.05, 0.25, 1, 1, 2)
    raster = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, size, device=device)] * 2, indexing="ij"), -1)
    patch = ((raster - centre).abs() < half).all(3)[:, None] & (uniform(0, 1, 1, 1, 1) < 0.5 * strength)
    return torch.where(patch, uniform(0, 1, 3, 1, 1), images).clamp(0, 1)
