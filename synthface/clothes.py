"""Clothes of synthetic people: shoulders in a jumper, T-shirt, V-neck or shirt, whose cloth has a weave, stripes or checks."""

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from synthface.hair import outline

NECKS = {  # height of the opening (model units) at the nape, at the sides, in front; height of a collar
    "crew": (-0.8, -0.95, -1.12, 0.0),
    "v": (-0.78, -0.94, -1.34, 0.0),
    "polo": (-0.78, -0.9, -1.08, 0.1),
    "shirt": (-0.8, -0.93, -1.2, 0.16),
}
FABRIC = 128  # texels a side; the fabric repeats


def plain() -> np.ndarray:
    """A pattern (128, 128, 3) that is none."""
    return np.ones((FABRIC, FABRIC, 3), np.float32)


def fabric(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """``cloth_colour`` (3,) linear RGB, muted, and ``fabric`` (128, 128, 3), what to multiply it by: plain, heather, striped or checked."""
    base = rng.choice([0.03, 0.08, 0.2, 0.4, 0.65]) * rng.uniform(0.7, 1.2) * rng.dirichlet([14, 14, 14]) * 3
    other = rng.uniform(0.03, 0.7) * rng.dirichlet([14, 14, 14]) * 3
    y, x = np.mgrid[0:FABRIC, 0:FABRIC]
    kind, period = rng.choice(["plain", "plain", "heather", "stripes", "checks"]), int(rng.choice([16, 32, 64]))
    across, along = (y % period) < period // 3, (x % period) < period // 3
    share = {
        "plain": 0.0 * x,
        "heather": 0.35 * gaussian_filter(rng.random((FABRIC, FABRIC)), 0.7, mode="wrap"),
        "stripes": 0.8 * across,
        "checks": 0.4 * across + 0.4 * along,
    }[str(kind)]
    weave = 1 + 0.08 * rng.normal(size=(FABRIC, FABRIC))
    cloth = ((base + share[..., None] * (other - base)) * weave[..., None]).clip(0.005, 0.85)
    return {"cloth_colour": base.astype(np.float32), "fabric": (cloth / base).astype(np.float32)}


def torso(skin: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Shoulders and collar around a neck, whose vertices are among ``skin`` (V, 3), model units.

    -> points (rows * columns, 3), uv (rows * columns, 2), how much each follows the head (rows * columns,) in [0, 1], rows; columns go
    once around.
    """
    columns = 96
    theta = np.linspace(-np.pi, np.pi, columns, endpoint=False)  # 0 is the nape
    nape, sides, front, collar = NECKS[str(rng.choice(list(NECKS)))]
    turn = np.abs(theta)
    top = np.interp(turn, [0, 0.5 * np.pi, 0.8 * np.pi, np.pi], [nape, sides, 0.6 * sides + 0.4 * front, front])
    top = gaussian_filter1d(top, 2.0 if front > -1.3 else 0.8, mode="wrap")
    levels = np.linspace(-0.75, -1.35, 25)
    neck = outline(skin[np.abs(skin[:, 0]) < 0.62], np.tile(theta, (len(levels), 1)), levels)
    neck = np.array([np.interp(-h, -levels, neck[:, c]) for c, h in enumerate(top)])
    neck = gaussian_filter1d(np.minimum(neck, 0.62), 2.5, mode="wrap") + 0.035
    axis = -0.2
    rows, follow = [], []

    def ring(radius, height, share):
        rows.append(np.stack([radius * np.sin(theta), height, axis - radius * np.cos(theta)], 1))
        follow.append(np.full(columns, share))

    open_front = np.clip((np.pi - turn) / 0.35, 0, 1) ** 0.7  # a shirt's collar is open before the throat
    ring(neck - 0.05, top - 0.06, 0.3)  # the inside, out of sight
    ring(neck - 0.01, top + collar * open_front, 0.25)
    ring(neck + 0.015, top + 0.012 + collar * open_front, 0.2)  # the hem is rolled
    if collar:  # turned down
        ring(neck + 0.05 + 0.02 * open_front, top - 0.03 + 0.4 * collar * open_front, 0.15)
        ring(neck + 0.085, top - 0.06, 0.1)
        ring(neck + 0.05, top - 0.065, 0.1)
    else:
        ring(neck + 0.035, top - 0.01, 0.15)
        ring(neck + 0.04, top - 0.045, 0.1)
    wide, slope = rng.uniform(1.38, 1.6), rng.uniform(0.3, 0.42)
    folds = gaussian_filter1d(rng.normal(0, 1, columns), 1.6, mode="wrap")
    for t in np.linspace(0.12, 1, 12):
        # an ellipse at the shoulders, the neck's shape at the collar; shoulders slope down, chest and back fall
        ellipse = 1 / np.sqrt((np.sin(theta) / wide) ** 2 + (np.cos(theta) / 0.66) ** 2)
        radius = neck + 0.04 + (ellipse - neck - 0.04) * t
        drop = slope * (radius - neck - 0.04).clip(0) / (wide - 0.4) + 0.5 * t**2 * np.cos(theta) ** 2 + 0.35 * t**5
        wrinkle = 0.018 * folds * np.sin(np.pi * t) + 0.012 * np.sin(9 * t + 3 * folds)
        ring(radius, top * (1 - t) + t * sides - drop + wrinkle, 0.1 * (1 - t))
    ring(ellipse, np.full(columns, -2.4), 0.0)
    points = np.concatenate(rows).astype(np.float32)
    # a texel of the fabric is about 4 mm: model units of 140 mm
    down = np.cumsum([0, *[np.linalg.norm(b - a, axis=1).mean() for a, b in zip(rows, rows[1:])]])
    uv = np.stack(np.broadcast_arrays(theta / (2 * np.pi) + 0.5, (down / down[-1])[:, None]), -1).reshape(-1, 2)
    return points, uv * 0.98 + 0.01, np.concatenate(follow), len(rows)
