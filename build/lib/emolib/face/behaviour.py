"""How any head moves, real or rendered: it turns about its neck, and it blinks."""

import numpy as np

from emolib.face.camera import rotation

NECK = np.array([0.0, -0.9, -0.9])  # dm: where the head turns, seen from the model's origin


def about_neck(angles: np.ndarray, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """(n, 3) pitch, yaw, roll in rad -> poses (n, 6) that turn the head about :data:`NECK` and move it by ``shift`` (n, 3)."""
    shift = shift + NECK - np.einsum("nij,j->ni", rotation(angles), NECK)
    return np.concatenate([angles, shift], axis=1)


def blinks(n: int, fps: float, rng: np.random.Generator, per_minute: float = 20.0) -> np.ndarray:
    """Lid closure (n,) in [0, 1]: closes in 80 ms, opens in 160 ms, not in the first 0.2 s (that frame is a source)."""
    t = (np.arange(n) + 0.5) / fps
    out, when = np.zeros(n), 0.3 + rng.exponential(30.0 / per_minute)
    while when < n / fps:
        out = np.maximum(out, np.interp(t, [when - 0.08, when, when + 0.04, when + 0.2], [0, 1, 1, 0]))
        when += 0.5 + rng.exponential(60.0 / per_minute)
    return out
