"""Hair of synthetic people: styles, colours, the hairline and strands as texture, the shell and what hangs from it as geometry.

Hairlines and strands are drawn on the template head (raw MakeHuman decimetres: y up, z to the front, eyes at y = 7.28, crown at
8.49), so they lie right on every head; geometry is in model units (0.8 a decimetre).
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from emolib.face.exact import product
from synthface.skin import Skin

# style: thickness of the shell (dm), reach of the curtain below the middle of the head (model units; 0: none)
STYLES = {
    "bald": (0, 0),
    "shaved": (0, 0),
    "short": (0.05, 0),
    "crop": (0.07, 0),
    "parted": (0.11, 0),
    "full": (0.14, 0),
    "curly": (0.17, 0),
    "bob": (0.11, 0.85),
    "long": (0.09, 1.7),
    "fringe": (0.1, 1.3),
    "tied": (0.04, 0),
}
_OF_MEN = {"bald": 0.1, "shaved": 0.13, "short": 0.24, "crop": 0.15, "parted": 0.18, "full": 0.1, "curly": 0.1}
_OF_WOMEN = {"crop": 0.08, "full": 0.1, "curly": 0.14, "bob": 0.2, "long": 0.22, "fringe": 0.11, "tied": 0.15}
# The hairline of the template, seen from the side: height y at depth z.
_HAIRLINE = (
    [-0.4, 0.0, 0.2, 0.42, 0.6, 0.72, 0.85, 1.0, 1.2, 1.5],
    [6.5, 6.6, 6.9, 7.2, 7.3, 7.3, 7.56, 7.8, 7.96, 8.08],
)
_COLOURS = {  # display RGB, and how common: among those fair enough for any, among the others
    "black": ((0.075, 0.06, 0.055), 0.1, 0.7),
    "dark brown": ((0.15, 0.1, 0.075), 0.28, 0.3),
    "brown": ((0.28, 0.19, 0.13), 0.27, 0.0),
    "auburn": ((0.4, 0.2, 0.11), 0.08, 0.0),
    "dark blond": ((0.47, 0.36, 0.24), 0.17, 0.0),
    "blond": ((0.66, 0.53, 0.36), 0.1, 0.0),
}
_GREY = np.array([0.66, 0.65, 0.64])
_AXIS = -0.2  # depth of the vertical axis around which hair hangs, model units


@dataclass(frozen=True)
class Hair:
    """One person's hair. ``style``: a key of :data:`STYLES`. Colours are linear RGB."""

    style: str
    colour: np.ndarray  # (3,)
    brow: np.ndarray  # (3,) of brows and beard, which grey later and less
    recess: float  # how far the hairline is drawn back (dm; < 0: low), more at the temples
    fringe: float  # how far hair falls over the forehead (dm)
    part: float  # x of the parting (dm); 9: none
    waves: np.ndarray  # (24,) phases of the hairline's irregularities

    @classmethod
    def sample(cls, rng: np.random.Generator, skin: Skin, sex: float, age: float, ethnicity) -> "Hair":
        """Draws hair that fits ``sex`` (0 male .. 1 female), ``age`` (years) and ``ethnicity`` (african, asian, caucasian; sums to 1)."""
        female = sex > 0.5
        odds = dict(_OF_WOMEN if female else _OF_MEN)
        odds["curly"] *= 0.5 + 3 * ethnicity[0]
        if female:
            odds = {k: v * (0.4 if age > 58 and k in ("long", "fringe") else 1) for k, v in odds.items()}
        else:
            odds["bald"] *= 0.3 if age < 35 else 1 + (age - 35) / 15
        total = sum(odds.values())
        style = str(rng.choice(list(odds), p=[v / total for v in odds.values()]))
        fair = float(np.clip(1.3 * ethnicity[2] * np.exp(-1.5 * skin.melanin), 0, 1))
        chance = np.array([fair * a + (1 - fair) * b for _, a, b in _COLOURS.values()])
        name = str(rng.choice(list(_COLOURS), p=chance / chance.sum()))
        natural = np.array(_COLOURS[name][0]) * rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3)
        grey = float(np.clip((age - rng.normal(56, 6)) / 16, 0, 1))
        dyed = female and rng.random() < 0.5
        colour = natural + (0.0 if dyed else 1.0) * grey * (_GREY * rng.uniform(0.75, 1.1) - natural)
        brow = 0.62 * natural + 0.05 * np.array([1, 0.8, 0.6]) if natural.max() > 0.2 else natural
        brow = brow + 0.4 * grey * (0.75 * _GREY - brow)
        recess = rng.normal(-0.06, 0.04) + (0 if female else 0.25 * rng.random() * np.clip((age - 28) / 30, 0, 1.2))
        return cls(
            style=style,
            colour=(colour**2.2).astype(np.float32),
            brow=brow**2.2,
            recess=float(recess),
            fringe=float(
                rng.uniform(0.28, 0.42) if style == "fringe" else rng.uniform(0.05, 0.28) if style == "crop" else 0
            ),
            part=float(
                rng.choice([-1, 1]) * rng.uniform(0.2, 0.38)
                if style == "parted" or (style in ("bob", "long") and rng.random() < 0.5)
                else rng.normal(0, 0.03)
                if style in ("bob", "long")
                else 9.0
            ),
            waves=rng.uniform(0, 2 * np.pi, 24),
        )

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far template points (..., 3) lie behind the hairline (dm, negative in the face); the ears are bare."""
        x, z = points[..., 0], points[..., 2]
        front = np.clip((z - 0.75) / 0.25, 0, 1)
        temples = np.exp(-(((np.abs(x) - 0.46) / 0.16) ** 2))
        line = front * (self.recess + (0.1 + 1.2 * max(self.recess, 0)) * temples)
        # a fringe ends in a bow
        line = line - self.fringe * front * np.clip((0.72 - np.abs(x)) / 0.2, 0, 1)
        wave = sum(np.sin((3 + 2.3 * k) * x + (2 + 1.1 * k) * z + self.waves[k]) / (1 + 0.5 * k) for k in range(8))
        return hair_depth(points) - line - 0.016 * wave

    def cover(self, raw: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """How much hair hides the scalp (P,) in [0, 1] at raw (P, 3): a soft rim of single strands, and baby hairs before it.

        ``noise`` (P,) of deviation 1 makes it ragged.
        """
        depth = self.depth(raw)
        if self.style in ("bald", "shaved"):  # stubble: no strands, a wide soft rim
            full = {"bald": 0.1, "shaved": 0.72}[self.style]
            return full * _step(depth / 0.3 + 0.3) * (0.9 + 0.1 * noise).clip(0, 1.2)
        around, down = crown(raw)
        single = sum(np.sin(k * around + (2 + k % 5) * down + self.waves[k % 24]) for k in range(61, 260, 17)) / 2.5
        width = 0.24 if self.fringe < 0.2 else 0.11
        ragged = 0.03 if self.fringe else 0.014
        rim = _step((depth + ragged * single + 0.006 * noise) / width + 0.25)
        baby = 0.2 * _step((depth + 0.15) / 0.2) * np.clip(0.5 + 0.4 * single, 0, 1)
        cover = np.maximum(rim, baby)
        if self.part < 5:  # the parting shows a line of scalp
            line = np.exp(-(((raw[:, 0] - self.part - 0.01 * noise) / 0.02) ** 2)) * _step((raw[:, 2] - 0.2) / 0.4)
            cover = cover * (1 - 0.25 * line * _step((raw[:, 1] - 7.9) / 0.15))
        return cover

    def strands(self, raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Brightness (P,) about 1 of the hair at raw (P, 3): outwards from the crown, across from a parting, or curls."""
        around, down = crown(raw)
        if self.style == "curly":
            return _curls(raw, rng)
        if self.part < 5:
            top = _step((raw[:, 1] - 7.5) / 0.5) * _step((raw[:, 2] + 0.1) / 0.4)
            aside = np.abs(raw[:, 0] - self.part)
            combed = _locks(0.9 * raw[:, 2] + 0.3 * aside, aside, rng)
            return (1 - top) * _locks(around, down, rng) + top * combed
        return _locks(around, down, rng)

    def strand_texture(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """Brightness (side, side) float32 of the hair that hangs: columns go around, rows down."""
        around, down = np.meshgrid(np.linspace(-np.pi, np.pi, side), np.linspace(0, 4, side))
        return _locks(around + 0.02 * np.sin(3 * down + self.waves[0]), down, rng).astype(np.float32)

    def rise(self, raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Height (V,) of the hair's surface over the scalp at raw (V, 3), model units."""
        thickness = STYLES[self.style][0]
        depth = self.depth(raw)
        frequency = 4.0 if self.style == "curly" else 2.2
        bumps = product(
            rng.normal(0, 0.3, 5),
            np.sin(product(raw, rng.normal(0, frequency, (3, 5))) + rng.uniform(0, 6, 5)).T.reshape(5, -1),
        )
        height = np.clip((depth + 0.02) / (0.28 if self.fringe else 0.4), 0, 1) ** 0.8 * thickness * (1 + 0.3 * bumps)
        height *= np.interp(raw[:, 1], [7.0, 7.7], [0.55, 1]) if self.style in ("short", "crop", "parted") else 1
        if self.part < 5:
            height *= 1 - 0.3 * np.exp(-(((raw[:, 0] - self.part) / 0.14) ** 2)) * _step((raw[:, 2] - 0.1) / 0.4)
        return height

    def curtain(self, skin: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Hair that hangs close around ``skin`` (V, 3): head and shell, model units.

        -> points (rows * columns, 3), uv of each, how much each follows the head, rows. It starts on the shell above the
        temples, lies on the cheek's side before the ear and falls straight from the widest place above.
        """
        rows, columns = 18, 72
        hang = STYLES[self.style][1]
        fall = np.linspace(0, 1, rows)
        y = 0.62 - fall * (0.62 + hang)
        ends = np.interp(
            y, [-0.9, -0.45, 0.0, 0.35, 0.62], rng.uniform([1.9, 2.1, 2.25, 2.12, 1.95], [2.1, 2.4, 2.4, 2.22, 2.0])
        )
        around = np.linspace(-1, 1, columns)
        theta = around * ends[:, None]  # 0 is the nape
        close = outline(skin, theta, y)
        edge = np.clip((1 - np.abs(around)) / 0.22, 0, 1)
        radius = close + edge * (np.maximum.accumulate(close, axis=0) - close)  # the front lies on the cheek
        margin = np.interp(fall, [0, 0.12, 0.3, 1], [-0.03, 0.0, 0.02, 0.06])[:, None]
        radius = gaussian_filter(radius, (1.2, 1.2)) + margin + 0.015 + 0.02 * edge
        turns, phase = rng.integers(7, 15), rng.uniform(0, 6)
        radius += rng.uniform(0.006, 0.022) * np.sin(theta * turns + phase + 2.5 * fall[:, None]) * edge
        down = y[:, None] - rng.normal(0, 0.02, columns) * fall[:, None] ** 2 + 0.1 * (1 - edge) * fall[:, None]
        points = np.stack(
            [radius * np.sin(theta), np.broadcast_to(down, theta.shape), _AXIS - radius * np.cos(theta)], -1
        )
        uv = np.stack(np.broadcast_arrays(0.5 + theta / (2 * np.pi), 0.9 - 0.8 * fall[:, None]), -1)
        follow = np.repeat(np.clip(1 - 1.2 * (fall - 0.4), 0.3, 1), columns)
        return points.reshape(-1, 3).astype(np.float32), uv.reshape(-1, 2), follow, rows


def hair_depth(points: np.ndarray) -> np.ndarray:
    """How far template points (..., 3) lie behind the average hairline (dm, negative in the face); the ears are bare."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    ear = (np.abs(x) > 0.735) & (y < 7.42) & (z > -0.15)
    return np.where(ear, -1.0, y - np.interp(z, *_HAIRLINE))


def outline(vertices: np.ndarray, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Radius (R, C) of a body (V, 3) around the vertical axis of :data:`_AXIS`, at angles theta (R, C) and heights y (R,)."""
    around = np.arctan2(vertices[:, 0], _AXIS - vertices[:, 2])
    far = np.hypot(vertices[:, 0], vertices[:, 2] - _AXIS)
    out = np.zeros(theta.shape)
    for r, height in enumerate(y):
        near = np.abs(vertices[:, 1] - height) < 0.07
        if not near.any():
            out[r] = out[r - 1] if r else 0.3
            continue
        close = np.abs((around[near][None] - theta[r][:, None] + np.pi) % (2 * np.pi) - np.pi) < 0.09
        value = np.where(close, far[near][None], 0).max(1)
        good = np.flatnonzero(value > 0)
        out[r] = np.interp(np.arange(len(value)), good, value[good]) if len(good) else out[r - 1]
    return out


def crown(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polar coordinates of template points (..., 3) about the crown: angle around it (0 is the front), distance (dm)."""
    out = raw - np.array([0.0, 8.4, 0.1])
    return np.arctan2(out[..., 0], out[..., 2]), np.linalg.norm(out, axis=-1)


def _step(x: np.ndarray) -> np.ndarray:
    t = np.clip(x, 0, 1)
    return t * t * (3 - 2 * t)


def _locks(around: np.ndarray, down: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Locks and fine strands along ``down``."""
    waves = sum(
        rng.normal() * np.sin(k * around + rng.uniform(0, 6) + rng.normal(0, 1.5) * down) for k in range(12, 210, 9)
    )
    return np.clip(1 + 0.085 * waves, 0.45, 1.7)


def _curls(raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    warped = raw + 0.05 * np.sin(raw[:, [1, 2, 0]] * 14 + rng.uniform(0, 6, 3))
    waves = sum(np.sin(product(warped, rng.normal(0, 24, 3)) + rng.uniform(0, 6)) for _ in range(10))
    return np.clip(1 + 0.17 * waves, 0.35, 1.7)
