"""What is painted on a face or falls on it, and covers nothing: eye shadow and liner, darker brows, rings under eyes, shadows, stray light.

Drawn over photographs of drawn people, so that a net that looks for glasses and hair (:mod:`synthface.covered`) does not take these for
them: on real faces dark, sharp-edged eyes are the rule.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FINE = 4  # times as fine are strokes drawn


def made_up(frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``frames`` uint8 (1, S, S, 3) of a face with ``landmarks`` (1, 68, 2), with some of all this on it."""
    out, points = frames[0].astype(np.float32), landmarks[0]
    unit = float(np.linalg.norm(points[42:48].mean(0) - points[36:42].mean(0)))
    paint = _Brush(out.shape[0], unit)
    if rng.random() < 0.5:  # eye shadow, up to the brows or beyond the lids
        colour, opacity = _pigment(rng), rng.uniform(0.1, 0.85)
        reach = rng.uniform([0.2, 0.08], [0.42, 0.24])
        up = rng.uniform(-0.02, 0.12)
        for eye in (points[36:42], points[42:48]):
            share = paint.blob(eye.mean(0) - [0, up * unit], reach, rng.uniform(0.02, 0.08))
            out = _over(out, share * opacity * rng.uniform(0.7, 1), colour)
    if rng.random() < 0.6:  # liner and lashes, drawn out beyond the corner or not
        colour, width, wing = _pigment(rng) * rng.uniform(0, 0.5), rng.uniform(0.015, 0.05), rng.uniform(0, 0.14)
        lower = rng.random() < 0.5
        for eye, sign in ((points[36:42], -1), (points[42:48], 1)):
            lid = eye[[0, 1, 2, 3]]
            tip = (eye[0] if sign < 0 else eye[3]) + unit * wing * np.array([sign, -0.5])
            lid = np.vstack([tip, lid]) if sign < 0 else np.vstack([lid, tip])
            strokes = [lid, eye[[3, 4, 5, 0]]] if lower else [lid]
            out = _over(out, paint.lines(strokes, width, rng.uniform(0, 0.02)) * rng.uniform(0.5, 1), colour)
    if rng.random() < 0.4:  # brows
        colour, width = _pigment(rng) * rng.uniform(0, 0.6), rng.uniform(0.04, 0.13)
        share = paint.lines([points[17:22], points[22:27]], width, rng.uniform(0.005, 0.03))
        out = _over(out, share * rng.uniform(0.3, 0.95), colour)
    if rng.random() < 0.4:  # rings under the eyes, rouge, contours: darker or redder skin
        for _ in range(int(rng.integers(1, 4))):
            spot = rng.uniform([0.15, 0.12], [0.75, 0.75]) * unit
            tone = rng.uniform([0.6, 0.4, 0.4], [1.15, 0.95, 0.95])
            reach = rng.uniform(0.08, 0.35, 2)
            for sign in (-1, 1):
                share = paint.blob(points[27] + [sign * spot[0], spot[1]], reach, rng.uniform(0.03, 0.12))
                out = _over(out, share, out * tone)
    if rng.random() < 0.5:
        out = _shaded(out, rng)
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)[None]


def _pigment(rng: np.random.Generator) -> np.ndarray:
    """A colour, dark more often than not, (3,) in [0, 255]."""
    return 255 * rng.uniform(0.02, 0.8) ** 1.7 * rng.uniform(0.3, 1, 3)


def _over(out: np.ndarray, share: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return out + share[..., None] * (colour - out)


def _shaded(out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shadow of something at its side falls on the face, or light of another colour."""
    side = out.shape[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    turn, soft = rng.uniform(0, 2 * np.pi), rng.uniform(0.01, 0.3)
    along = x * np.cos(turn) + y * np.sin(turn) - rng.uniform(-0.2, 0.3)
    along = along + rng.uniform(0, 0.08) * np.sin(rng.uniform(5, 30) * (y * np.cos(turn) - x * np.sin(turn)))
    share = 1 / (1 + np.exp(-np.clip(along / soft * 4, -30, 30)))
    light = rng.uniform(0.2, 1.3) * rng.uniform(0.6, 1, 3)
    return out * (1 + share[..., None] * (light - 1)).astype(np.float32)


class _Brush:
    """Shapes in a picture of ``side`` pixels, in units of the distance ``unit`` between the eyes: (S, S) in [0, 1]."""

    def __init__(self, side: int, unit: float):
        self.side, self.unit = side, unit

    def _soft(self, canvas: Image.Image, soft: float) -> np.ndarray:
        blurred = canvas.filter(ImageFilter.GaussianBlur(FINE * soft * self.unit))
        return np.asarray(blurred.reduce(FINE), np.float32) / 255

    def lines(self, strokes: list[np.ndarray], width: float, soft: float) -> np.ndarray:
        canvas = Image.new("L", (FINE * self.side,) * 2)
        for points in strokes:
            ImageDraw.Draw(canvas).line(
                [tuple(p) for p in FINE * points],
                fill=255,
                width=max(1, round(FINE * width * self.unit)),
                joint="curve",
            )
        return self._soft(canvas, soft)

    def blob(self, centre: np.ndarray, reach: np.ndarray, soft: float) -> np.ndarray:
        """An ellipse of half axes ``reach``."""
        canvas = Image.new("L", (FINE * self.side,) * 2)
        corners = [*(FINE * (centre - self.unit * reach)), *(FINE * (centre + self.unit * reach))]
        ImageDraw.Draw(canvas).ellipse([float(v) for v in corners], fill=255)
        return self._soft(canvas, soft)
