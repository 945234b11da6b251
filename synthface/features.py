"""What is painted on a synthetic face beyond its skin tone: brows hair by hair, beard, lips, make-up, eyes, teeth.

:mod:`synthface.skin` paints these too, but for one colour a vertex of the 3DMM; here a texel is half a millimetre. All
functions take places (P, 3) on the mean face (model units, 0.14 m each) and change linear RGB colours (P, 3) in place.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from synthface.skin import REGIONS, Anatomy, Skin

# Where people's brows are, over the landmarks 21 .. 17 (nose to temple), which lie on the ridge of the bone: model units.
_BROW_LIFT = np.array([0.042, 0.026, 0.026, 0.012, 0.004])
_IRIS = 0.43  # radius, in radii of the eyeball


@dataclass(frozen=True)
class Looks:
    """What a person does with the face, and what is not in :class:`synthface.skin.Skin`. Amounts in [0, 1] unless said."""

    sex: float
    brow: np.ndarray  # (3,) linear RGB
    brow_width: float  # half width in the middle, model units
    brow_density: float
    brow_arch: float  # model units
    brow_slant: float  # model units by which the inner end is lower (> 0) or higher
    beard: float  # density of the hairs, 0: shaved or none
    beard_shape: str  # stubble, full, goatee or moustache
    lip: np.ndarray  # (3,) linear RGB
    gloss: float
    blush: float
    shadow: np.ndarray  # (4,) eye shadow: linear RGB, amount
    liner: float  # darkness of lashes and liner

    @classmethod
    def sample(cls, rng: np.random.Generator, skin: Skin, tone: np.ndarray, sex: float, brow: np.ndarray) -> "Looks":
        """Draws looks. ``tone`` (3,) linear RGB of the skin, ``brow`` (3,) that of brow and beard, ``sex`` 0 male .. 1 female."""
        female = sex > 0.5
        made_up = female and rng.random() < 0.45
        # lips are skin with more blood near the surface: redder, a little darker, never far from the skin around
        lip = tone * rng.uniform([0.8, 0.58, 0.61], [0.95, 0.74, 0.77])
        if made_up:
            stick = np.array([[0.42, 0.06, 0.07], [0.45, 0.12, 0.12], [0.5, 0.17, 0.16], [0.3, 0.05, 0.1]])
            lip += rng.uniform(0.25, 0.75) * (stick[rng.integers(4)] * rng.uniform(0.8, 1.1) - lip)
        shades = np.array([[0.16, 0.1, 0.08], [0.1, 0.08, 0.1], [0.3, 0.16, 0.13], [0.12, 0.13, 0.2]])
        shape = str(rng.choice(["stubble", "stubble", "full", "goatee", "moustache"]))
        bearded = not female and rng.random() < 0.6
        light = np.array([0.21, 0.71, 0.08])
        brow = brow * min(1.0, 0.45 * (tone @ light) / (brow @ light))  # fair hair too is darker than the skin
        return cls(
            sex=sex,
            brow=brow,
            brow_width=float(np.clip(rng.normal(0.024 if female else 0.031, 0.004), 0.016, 0.042)),
            brow_density=float(np.clip(rng.normal(0.74 if female else 0.78, 0.12), 0.45, 1.0)),
            brow_arch=float(np.clip(rng.normal(0.01 if female else 0.002, 0.007), -0.01, 0.022)),
            brow_slant=float(np.clip(rng.normal(0, 0.006), -0.012, 0.01)),
            beard=float(rng.uniform(0.15, 0.9) if shape == "stubble" else rng.uniform(0.7, 1)) if bearded else 0.0,
            beard_shape=shape,
            lip=lip.clip(0.01, 0.9),
            gloss=float(rng.uniform(0.3, 1.0)) if made_up else float(rng.uniform(0, 0.3)),
            blush=float(rng.uniform(0.2, 0.8)) if made_up and rng.random() < 0.7 else 0.0,
            shadow=np.append(shades[rng.integers(4)], rng.uniform(0.1, 0.5) if made_up else 0.0),
            liner=float(rng.uniform(0.75, 1)) if made_up else float(rng.uniform(0.45, 0.75) if female else 0.4),
        )


def step(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at x <= 0 to 1 at x >= 1."""
    t = np.clip(x, 0, 1)
    return t * t * (3 - 2 * t)


def fine_noise(points: np.ndarray, cell, rng: np.random.Generator) -> np.ndarray:
    """Noise (P,) in [0, 1], piecewise smooth over cells of size ``cell`` (scalar or one a column) of points (P, 2)."""
    size = 256
    grid = rng.random((size, size)).astype(np.float32)
    scaled = points / cell + 1000.5
    low = np.floor(scaled).astype(int)
    (fx, fy), (ix, iy) = (scaled - low).T, low.T % size
    jx, jy = (ix + 1) % size, (iy + 1) % size
    return (grid[ix, iy] * (1 - fx) + grid[jx, iy] * fx) * (1 - fy) + (grid[ix, jy] * (1 - fx) + grid[jx, jy] * fx) * fy


def brow_curves(anatomy: Anatomy, looks: Looks) -> list[np.ndarray]:
    """The middle lines (60, 3) of both brows, inner end first, on the mean face."""
    s, curves = np.linspace(0, 1, 60), []
    for side in (anatomy.landmarks[21:16:-1], anatomy.landmarks[22:27]):
        marks = side.copy()
        marks[:, 1] += _BROW_LIFT
        smooth = np.polyfit(np.linspace(0, 1, 5), marks, 3)
        curve = sum(s[:, None] ** (3 - k) * smooth[k] for k in range(4))
        curve[:, 1] += looks.brow_arch * np.sin(np.pi * np.clip(1.2 * s - 0.2, 0, 1)) - looks.brow_slant * (1 - 2 * s)
        curves.append(curve)
    return curves


def brows(colour: np.ndarray, points: np.ndarray, anatomy: Anatomy, looks: Looks, rng: np.random.Generator) -> None:
    """Paints both brows, hair by hair, into ``colour`` (P, 3), linear RGB of points (P, 3) of the mean face."""
    for curve in brow_curves(anatomy, looks):
        near = np.flatnonzero((np.abs(points - curve.mean(0)) < [0.32, 0.2, 0.3]).all(1))
        place = points[near]
        index = cKDTree(curve[:, :2]).query(place[:, :2])[1]
        s = index / (len(curve) - 1)
        tangent = np.gradient(curve[:, :2], axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        away = place[:, :2] - curve[index, :2]
        outward = np.sign(tangent[:, 0].sum())
        across = outward * (tangent[index, 0] * away[:, 1] - tangent[index, 1] * away[:, 0])
        along = (tangent[index] * away).sum(1) + s * np.linalg.norm(np.diff(curve[:, :2], axis=0), axis=1).sum()
        width = looks.brow_width * np.interp(s, [0, 0.15, 0.5, 1], [0.75, 1, 0.95, 0.3])
        # hairs stand up at the nose and lie down towards the temple
        lean = np.interp(s, [0, 0.25, 1], [0.25, 1.1, 1.45])
        hairs = np.stack(
            [along * np.cos(lean) - across * np.sin(lean), along * np.sin(lean) + across * np.cos(lean)], 1
        )
        strand = fine_noise(hairs, [0.007, 0.045], rng)
        body = np.clip(1.25 - (np.abs(across) / width) ** 2 * 0.9 - 0.7 * (strand - 0.5), 0, 1)
        ends = step((along + 0.02) / 0.09) * step((1.08 - s) / 0.3)
        front = step((place[:, 2] - curve[index, 2] + 0.25) / 0.2)
        amount = looks.brow_density * step(body) * ends * front * (0.72 + 0.56 * (strand - 0.3))
        colour[near] += amount.clip(0, 0.92)[:, None] * (looks.brow - colour[near])


def beard(colour: np.ndarray, points: np.ndarray, anatomy: Anatomy, looks: Looks, rng: np.random.Generator) -> None:
    """Paints the beard, if there is one, into ``colour`` (P, 3), linear RGB of points (P, 3) of the mean face: stubble or hairs."""
    if not looks.beard:
        return
    marks, (x, y) = anatomy.landmarks, points[:, :2].T
    far = np.abs(x) / (0.98 * marks[16, 0])
    edge = marks[33, 1] - 0.05 + 0.42 * np.clip(far, 0, 1.1) ** 2.4  # nose base to sideburns
    patches = fine_noise(points[:, :2], 0.07, rng) - 0.5
    area = step((edge - y) / 0.16 + 0.35 * patches) * step((y - marks[8, 1] + 0.32) / 0.16)
    area *= step((points[:, 2] + 0.25) / 0.2) * step((marks[33, 1] - 0.015 - y) / 0.05)
    corner = np.hypot(np.abs(x) - 0.3, (y + 0.33) * 1.1)
    area *= 1 - 0.75 * np.exp(-((corner / 0.13) ** 2))  # thin beside the mouth
    low = marks[57, 1]  # lower lip
    lip = np.exp(-(((y - low + 0.05) / 0.05) ** 2)) * step((0.12 - np.abs(x)) / 0.06) * step((np.abs(x) - 0.02) / 0.04)
    area *= 1 - 0.6 * lip
    if looks.beard_shape == "goatee":
        area *= np.clip(step((0.3 - np.hypot(x, y - low + 0.02)) / 0.12), 0.12, 1)
    elif looks.beard_shape == "moustache":
        area *= np.clip(step((y - marks[48, 1] + 0.02) / 0.06) * step((0.27 - np.abs(x)) / 0.08), 0.12, 1)
    if looks.beard_shape == "stubble":  # dots of hair ends, and the blue-grey of the roots under the skin
        dots = step((rng.random(len(points)) - 0.45) / 0.5) * (0.5 + fine_noise(points[:, :2], 0.012, rng))
        amount = 0.62 * looks.beard * area * (0.42 + 0.55 * dots)
    else:
        hairs = fine_noise(points[:, [0, 1]] + 0.15 * x[:, None] * [0, 1], [0.008, 0.035], rng)
        amount = 0.9 * looks.beard * area * (0.55 + 0.6 * hairs)
    root = 0.8 * looks.brow + 0.1 * colour
    colour += amount.clip(0, 0.95)[:, None] * (root - colour)


def lips(colour: np.ndarray, weights: np.ndarray, looks: Looks, lines: np.ndarray) -> np.ndarray:
    """Paints the lips into ``colour`` (P, 3), linear RGB; returns how much lip, 0 to 1, each texel is (P,).

    ``weights`` (P, R) of ``skin.REGIONS``; ``lines`` (P,): noise of fine furrows.
    """
    amount = step(weights[:, REGIONS.index("lips")] * 1.05) ** 1.2
    colour += (0.9 * amount)[:, None] * (looks.lip * (1 - 0.13 * np.clip(lines, 0, 1.5))[:, None] - colour)
    return amount


def make_up(colour: np.ndarray, points: np.ndarray, anatomy: Anatomy, looks: Looks) -> None:
    """Paints eye shadow over the lids and blush on the cheeks into ``colour`` (P, 3), linear RGB of points (P, 3) of the mean face."""
    marks = anatomy.landmarks
    for lid, cheek in ((slice(36, 40), 48), (slice(42, 46), 54)):
        middle = marks[lid].mean(0)
        if looks.shadow[3]:
            away = (points - middle - [0, 0.02, 0]) / [0.1, 0.045, 0.12]
            amount = looks.shadow[3] * np.exp(-(away**2).sum(1)) * step((points[:, 1] - middle[1] + 0.03) / 0.03)
            colour += amount[:, None] * (looks.shadow[:3] - colour)
        if looks.blush:
            away = points - (0.62 * middle + 0.38 * marks[cheek]) - [0.1 * np.sign(middle[0]), -0.03, 0]
            amount = 0.55 * looks.blush * np.exp(-(away**2).sum(1) / 0.03)
            colour *= 1 - amount[:, None] * [0.05, 0.42, 0.34]


def lashes(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Darkness (P,) of the lashes along the lids: strong above, weak below, fading inwards; and the crease of the upper lid."""
    out = np.zeros(len(points))
    for lid, strength, width in (
        ((36, 37, 38, 39), 0.95, 0.013), ((45, 44, 43, 42), 0.95, 0.013),
        ((36, 41, 40, 39), 0.45, 0.01), ((45, 46, 47, 42), 0.45, 0.01),
    ):  # fmt: skip
        corners = anatomy.landmarks[list(lid)]
        line = np.stack([np.interp(np.linspace(0, 3, 40), range(4), corners[:, k]) for k in range(3)], 1)
        distance, index = cKDTree(line).query(points)
        out = np.maximum(out, strength * (1 - 0.5 * index / 39) * np.exp(-((distance / width) ** 2)))
        if strength > 0.5:
            fold = line + np.sin(np.pi * np.linspace(0.1, 0.9, 40))[:, None] * [0, 0.034, 0]
            distance = cKDTree(fold).query(points)[0]
            out = np.maximum(out, 0.3 * np.exp(-((distance / 0.009) ** 2)))
    return out


def eyes(points: np.ndarray, anatomy: Anatomy, skin: Skin, age: float, rng: np.random.Generator) -> np.ndarray:
    """Linear RGB (P, 3) of points (P, 3) of the eyeballs of the mean face.

    Sclera with veins, iris with fibres, collarette and limbal ring, pupil.
    """
    centre = anatomy.eyes[(points[:, 0] > 0).astype(int)]
    direction = (points - centre) / anatomy.eye_radius
    radius = np.hypot(direction[:, 0], direction[:, 1]) / _IRIS
    angle = np.arctan2(direction[:, 1], direction[:, 0])
    fibres = sum(np.sin(k * angle + rng.uniform(0, 6) + 2 * radius) for k in (13, 21, 34, 55)) / 4
    pale = skin.iris**2 + 0.3 * ((skin.iris**2).mean() - skin.iris**2)
    iris = (1.05 * pale + 0.01)[None] * (1 + 0.35 * fibres + 0.25 * np.cos(7 * radius))[:, None]
    iris = iris * (1 + 0.5 * np.exp(-(((radius - 0.55) / 0.15) ** 2)))[:, None]
    iris *= (1 - 0.75 * np.exp(-(((radius - 0.96) / 0.12) ** 2)))[:, None]  # limbal ring
    iris *= step((radius - 0.9 * skin.pupil) / 0.09)[:, None]
    veins = np.clip(radius - 1.3, 0, 1) * (0.5 + 0.5 * np.sin(23 * angle + 4 * np.sin(9 * radius)))
    white = np.array([0.78, 0.75, 0.72]) * (1 - np.array([0.0, 0.02, 0.07]) * max(0, age - 40) / 35)
    white = white * (1 - 0.2 * min(skin.melanin, 1.4))  # the eyes of dark faces are a little browner
    sclera = white - veins[:, None] * [0.03, 0.14, 0.13] - np.clip(radius - 1.5, 0, 0.7)[:, None] * [0.06, 0.2, 0.2]
    colour = iris + step((radius - 0.97) / 0.1)[:, None] * (sclera - iris)
    return np.where((direction[:, 2] <= -0.2)[:, None], [0.55, 0.3, 0.25], colour).clip(0, 1)


def teeth(points: np.ndarray, upper: np.ndarray, anatomy: Anatomy, age: float, rng: np.random.Generator) -> np.ndarray:
    """Linear RGB (P, 3) of points (P, 3) of the two arches: teeth of their own widths and shades, dark between, gum, darker to the back.

    ``upper`` (P,) bool: which arch.
    """
    marks = anatomy.landmarks
    back = marks[62, 2] - 0.32
    angle = np.arctan2(points[:, 0], np.maximum(points[:, 2] - back, 0.02))
    shade = np.array([0.78, 0.73, 0.64]) * rng.uniform(0.85, 1.08) * (1 - np.array([0, 0.04, 0.14]) * rng.random())
    shade = shade * (1 - np.array([0.0, 0.03, 0.12]) * max(0, age - 30) / 45)
    out = np.empty((len(points), 3))
    for row, widths, toward in (
        (upper, [0.25, 0.2, 0.22, 0.2, 0.22, 0.3], -1), (~upper, [0.16, 0.17, 0.2, 0.2, 0.22, 0.3], 1)
    ):  # fmt: skip
        bite = toward * (toward * points[row & (points[:, 2] > back + 0.15), 1]).max(initial=-1)
        ends = np.concatenate([[0], np.cumsum(np.array(widths) * rng.uniform(0.95, 1.05, 6))])
        far = np.abs(angle[row])
        tooth = np.clip(np.searchsorted(ends, far) - 1, 0, 5)
        gap = np.minimum(far - ends[tooth], np.abs(ends[tooth + 1] - far))
        across = (far - ends[tooth]) / (ends[tooth + 1] - ends[tooth])
        single = rng.uniform(0.93, 1.04, 12)[tooth + 6 * (angle[row] > 0)]
        away = np.abs(points[row, 1] - bite)  # from the biting edge
        light = single * (1 - 0.5 * np.exp(-((gap / 0.017) ** 2))) * np.interp(far, [0.6, 1.5], [1, 0.4])
        light *= 0.88 + 0.12 * np.sin(np.pi * across.clip(0, 1))
        enamel = shade * light[:, None] * (1 - np.array([0, 0.05, 0.14]) * np.clip(away / 0.12, 0, 1)[:, None])
        rim = 0.115 - 0.018 * (2 * across - 1) ** 2  # gums arch over each tooth
        gum = np.array([0.5, 0.17, 0.16]) * np.interp(far, [0.35, 1.3], [1, 0.3])[:, None]
        out[row] = enamel + step((away - rim) / 0.02)[:, None] * (gum - enamel)
    return out.clip(0, 1)
