"""Procedural skin: what a face is coloured like, as a function of where on the canonical face a point lies.

One :class:`Skin` is one person's colouring; :func:`albedo` evaluates it at any points of the mean shape, so the same skin serves the
vertices of the 3DMM (albedo PCA) and the texels of a texture (synthetic corpus).

Skin tone follows the two-chromophore picture (melanin and haemoglobin absorb, Beer-Lambert: Tsumura et al. 2003):

    rgb = base * exp(-melanin * a_mel - haemoglobin * a_hb)

with haemoglobin higher on cheeks, nose, ears and lips. Brows, stubble, freckles, blemishes, iris, teeth are painted on top at places that
come from the 68 landmarks. Colours are sRGB-like values in [0, 1]; the renderer shades them as they are.
"""

from dataclasses import dataclass

import numpy as np

from emolib.face.exact import product

# Columns of the weights (P, R) that say what a point belongs to; what they leave to 1 is plain skin.
REGIONS = ("lips", "mouth", "eyes", "teeth", "tongue", "socket", "eyelids", "ears")
BASE = np.array([0.96, 0.89, 0.84])
MELANIN = np.array([0.62, 0.80, 0.98])
HAEMOGLOBIN = np.array([0.10, 0.62, 0.55])
IRIS = {  # colour, how common
    "dark brown": ((0.16, 0.09, 0.05), 0.40),
    "brown": ((0.30, 0.17, 0.08), 0.25),
    "hazel": ((0.38, 0.30, 0.14), 0.10),
    "green": ((0.30, 0.38, 0.22), 0.08),
    "blue": ((0.32, 0.45, 0.58), 0.12),
    "grey": ((0.45, 0.50, 0.53), 0.05),
}


@dataclass(frozen=True)
class Skin:
    """One person's colouring. Amounts are in [0, 1] unless said otherwise."""

    melanin: float  # 0.05 very fair .. 2 very dark, optical density
    haemoglobin: float  # 0.1 pale .. 0.7 ruddy, optical density
    flush: float  # how much redder cheeks and nose are
    lip: np.ndarray  # (3,) rgb
    hair: np.ndarray  # (3,) rgb of brows, stubble and scalp hair
    brow_density: float
    brow_thickness: float  # half width, model units
    brow_lift: float  # offset upwards, model units
    brow_arch: float  # -1 flat .. 1 arched
    stubble: float
    freckles: float
    blemishes: float
    iris: np.ndarray  # (3,) rgb
    pupil: float  # radius as a part of the iris'
    teeth: np.ndarray  # (3,) rgb
    seed: int  # of the fine pattern


@dataclass(frozen=True)
class Anatomy:
    """Where things are on the mean shape, in model units."""

    landmarks: np.ndarray  # (68, 3)
    eyes: np.ndarray  # (2, 3) centres of the eyeballs, left of the image first
    eye_radius: float
    surface: np.ndarray  # (N, 3) vertices of the skin, for spots to sit on

    @classmethod
    def of(cls, mean: np.ndarray, landmark_index: np.ndarray, weights: np.ndarray) -> "Anatomy":
        """From mean shape (V, 3), landmark_index (68,) and per-vertex region weights (V, R)."""
        balls = mean[weights[:, REGIONS.index("eyes")] > 0.5]
        halves = [balls[balls[:, 0] < 0], balls[balls[:, 0] > 0]]
        centres = np.array([(half.min(0) + half.max(0)) / 2 for half in halves])
        radius = float(np.mean([np.ptp(half[:, 1]) / 2 for half in halves]))
        skin = weights[:, [REGIONS.index(n) for n in ("mouth", "eyes", "teeth", "tongue", "socket")]].sum(1) < 0.1
        return cls(mean[landmark_index], centres, radius, mean[skin & (mean[:, 2] > 0)])


def sample_skin(rng: np.random.Generator, sex: float, age: float, ethnicity=(1 / 3, 1 / 3, 1 / 3)) -> Skin:
    """Draws a colouring that fits sex (0 male .. 1 female), age (years) and ethnicity (african, asian, caucasian)."""
    african, asian, caucasian = ethnicity
    melanin = np.clip(np.dot(ethnicity, [1.0, 0.38, 0.17]) * rng.lognormal(0, 0.3), 0.04, 1.6)
    haemoglobin = float(np.clip(rng.normal(0.34, 0.09), 0.12, 0.65))
    fair = caucasian * np.exp(-1.5 * melanin)
    lipstick = rng.random() < 0.35 * sex
    tone = skin_tone(melanin, haemoglobin + 0.42)
    lip = tone * rng.uniform([0.82, 0.68, 0.72], [0.98, 0.88, 0.92])
    if lipstick:
        lip = 0.45 * lip + 0.55 * rng.uniform([0.45, 0.08, 0.12], [0.8, 0.28, 0.34])
    hair = rng.uniform([0.06, 0.045, 0.035], [0.13, 0.09, 0.07])
    if rng.random() < 0.9 * fair:
        hair = np.array([0.38, 0.25, 0.14]) * rng.uniform(0.5, 1.45) * rng.uniform(0.92, 1.08, 3)
    grey = np.clip((age - rng.normal(52, 9)) / 20, 0, 0.9)
    hair = (1 - grey) * hair + grey * np.array([0.62, 0.61, 0.60])
    names = list(IRIS)
    odds = np.array([IRIS[name][1] for name in names])
    odds[2:] *= fair * 1.6
    iris = np.array(IRIS[names[rng.choice(len(names), p=odds / odds.sum())]][0]) * rng.uniform(0.85, 1.2)
    bearded = sex < 0.5 and rng.random() < 0.6
    return Skin(
        melanin=float(melanin),
        haemoglobin=haemoglobin,
        flush=float(rng.uniform(0.1, 1.0)),
        lip=np.clip(lip, 0.05, 0.95),
        hair=np.clip(hair, 0.02, 0.9),
        brow_density=float(np.clip(rng.normal(0.72 - 0.08 * sex, 0.14), 0.3, 1)),
        brow_thickness=float(np.clip(rng.normal(0.034 - 0.010 * sex, 0.005), 0.016, 0.05)),
        brow_lift=float(rng.normal(-0.022, 0.010)),
        brow_arch=float(np.clip(rng.normal(0.25 * sex, 0.4), -1, 1)),
        stubble=float(rng.uniform(0.1, 0.9)) if bearded else 0.0,
        freckles=float(rng.uniform(0.2, 1) if rng.random() < 0.45 * fair else 0),
        blemishes=float(rng.beta(1.2, 4)),
        iris=np.clip(iris, 0.03, 0.7),
        pupil=float(rng.uniform(0.3, 0.5)),
        teeth=np.array([0.86, 0.83, 0.75]) * rng.uniform([0.85, 0.82, 0.72], [1.08, 1.08, 1.1]),
        seed=int(rng.integers(2**31)),
    )


def skin_tone(melanin, haemoglobin) -> np.ndarray:
    """rgb (..., 3) of skin with the given optical densities (Beer-Lambert)."""
    return BASE * np.exp(-np.asarray(melanin)[..., None] * MELANIN - np.asarray(haemoglobin)[..., None] * HAEMOGLOBIN)


def albedo(skin: Skin, points: np.ndarray, weights: np.ndarray, anatomy: Anatomy, *, fine: bool = True) -> np.ndarray:
    """Colour (P, 3) in [0, 1] of points (P, 3) of the mean shape, whose region weights (P, R) are in the order of REGIONS.

    ``fine=False`` leaves out the gaps between the teeth, which vertices are too sparse to carry.
    """
    rng = np.random.default_rng(skin.seed)
    points = np.asarray(points, np.float32)
    region = {name: weights[:, i, None] for i, name in enumerate(REGIONS)}
    colour = _flesh(skin, points, region, anatomy, rng)
    colour = _spots(skin, colour, points, anatomy, rng)
    colour = _stubble(skin, colour, points, anatomy, rng)
    colour = _brows(skin, colour, points, anatomy, rng)
    lip = skin.lip * (1 + 0.06 * _noise(points, 40.0, rng)[:, None])
    depth = np.clip((anatomy.landmarks[[62, 66], 2].mean() - points[:, 2, None]) / 0.5, 0, 1)  # into the mouth
    shade = 1 - 0.75 * depth**0.7  # little light gets in
    layers = (
        ("lips", lip),
        ("socket", skin_tone(0.3 * skin.melanin, 0.9) * 0.8),
        ("mouth", np.array([0.42, 0.15, 0.13]) * shade),
        ("tongue", np.array([0.64, 0.30, 0.29]) * shade * (1 + 0.05 * _noise(points, 30.0, rng)[:, None])),
        ("teeth", _teeth(skin, points, anatomy, 0.3 if fine else 0.0)),
        ("eyes", _eyes(skin, points, anatomy, rng)),
    )
    for name, value in layers:
        colour = colour + region[name] * (value - colour)
    return np.clip(colour, 0, 1).astype(np.float32)


def _noise(points: np.ndarray, frequency: float, rng: np.random.Generator, waves: int = 16) -> np.ndarray:
    """Smooth noise (P,) of unit variance at about ``frequency`` rad a unit: a sum of random plane waves."""
    directions = rng.normal(0, frequency / np.sqrt(3), (3, waves)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, waves).astype(np.float32)
    return np.cos(product(points, directions) + phases).sum(1) * np.sqrt(2 / waves)


def _blob(points: np.ndarray, centre, radius: float) -> np.ndarray:
    """A soft ball (P,): 1 at its centre."""
    return np.exp(-((points - centre) ** 2).sum(-1) / (2 * radius**2))


def _flesh(skin, points, region, anatomy, rng) -> np.ndarray:
    """Skin tone: blood in cheeks, nose and ears, shadow under the eyes, mottling. (P, 3)"""
    marks = anatomy.landmarks
    cheeks = sum(_blob(points, (marks[eye].mean(0) + 2 * marks[corner]) / 3 + [0, 0.05, 0], 0.17) for eye, corner in (
        (slice(36, 42), 48), (slice(42, 48), 54)))  # fmt: skip
    nose = _blob(points, marks[30], 0.12)
    under = sum(_blob(points, marks[lid].mean(0) - [0, 0.06, 0], 0.07) for lid in ([40, 41], [46, 47]))
    blood = skin.haemoglobin + 0.14 * skin.flush * (cheeks + nose + region["ears"][:, 0])
    blood = blood + 0.05 * _noise(points, 9.0, rng) + 0.06 * under
    dark = skin.melanin * (1 + 0.08 * _noise(points, 5.0, rng) + 0.18 * under + 0.12 * region["eyelids"][:, 0])
    fine = 1 + 0.012 * _noise(points, 120.0, rng)[:, None]
    return skin_tone(dark, np.maximum(blood, 0.02)) * fine


def _spots(skin, colour, points, anatomy, rng) -> np.ndarray:
    """Freckles over nose and cheeks, and a few blemishes and moles anywhere."""
    from scipy.spatial import cKDTree

    where = anatomy.surface
    bridge = anatomy.landmarks[[29, 41, 46]].mean(0)
    pull = np.exp(-((where - bridge) ** 2).sum(1) / (2 * 0.4**2))
    freckles, blemishes = int(260 * skin.freckles), int(14 * skin.blemishes)
    for count, odds, radius, strength in (
        (freckles, pull, (0.006, 0.016), 0.5),
        (blemishes, np.ones(len(where)), (0.008, 0.02), 0.6),
    ):
        if count:
            centres = where[rng.choice(len(where), count, p=odds / odds.sum())] + rng.normal(0, 0.012, (count, 3))
            sizes = rng.uniform(*radius, count)
            distance, nearest = cKDTree(centres).query(points)
            amount = strength * np.exp(-0.5 * (distance / sizes[nearest]) ** 2)[:, None]
            colour = colour * np.exp(-amount * (0.6 * MELANIN + 0.3 * HAEMOGLOBIN))
    return colour


def _stubble(skin, colour, points, anatomy, rng) -> np.ndarray:
    """A beard's shadow on jaw, chin and upper lip."""
    if not skin.stubble:
        return colour
    marks = anatomy.landmarks
    x, y = points[:, 0], points[:, 1]
    half = marks[16, 0] * 0.98
    edge = marks[33, 1] - 0.02 + 0.42 * np.clip(np.abs(x) / half, 0, 1) ** 2.2  # upper rim: nose base to sideburns
    below = _step((edge - y) / 0.07) * _step((y - marks[8, 1] + 0.18) / 0.08) * _step((points[:, 2] + 0.25) / 0.1)
    bare = _blob(points, (marks[48] + [-0.12, 0.06, -0.05]), 0.1) + _blob(
        points, (marks[54] + [0.12, 0.06, -0.05]), 0.1
    )
    grain = np.clip(0.75 + 0.35 * _noise(points, 160.0, rng), 0, 1)
    amount = (0.55 * skin.stubble * below * np.clip(1 - 0.7 * bare, 0, 1) * grain)[:, None]
    return colour + amount * (0.55 * skin.hair + 0.18 * colour - colour)


def _step(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at x <= -1 to 1 at x >= 1."""
    t = np.clip((x + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)


def _brows(skin, colour, points, anatomy, rng) -> np.ndarray:
    """Hair along the landmark curves 17-21 and 22-26: thick towards the nose, thin at the temple, frayed by fine noise."""
    fray = 0.25 * _noise(points, 110.0, rng)
    for side in (anatomy.landmarks[21:16:-1], anatomy.landmarks[22:27]):  # inner end first
        s = np.linspace(0, 1, 40)
        smooth = np.polyfit(np.linspace(0, 1, 5), side, 2)  # a parabola: the landmarks sit on vertices, in steps
        curve = s[:, None] ** 2 * smooth[0] + s[:, None] * smooth[1] + smooth[2]
        curve[:, 1] += skin.brow_lift + 0.025 * skin.brow_arch * np.sin(np.pi * np.clip(s * 1.25 - 0.25, 0, 1))
        near = np.linalg.norm(points - curve.mean(0), axis=1) < 0.75
        offset = points[near, None, :2] - curve[None, :, :2]  # (n, 40, 2)
        squared = (offset**2).sum(-1)
        index = squared.argmin(1)
        place = s[index]
        width = skin.brow_thickness * np.minimum(1, 0.6 + 3 * place) * (1.15 - 0.75 * place)
        depth = np.sqrt(squared[np.arange(len(index)), index]) / width
        front = _step((points[near, 2] - curve[index, 2] + 0.25) / 0.1)
        amount = skin.brow_density * front * _step((1.0 + fray[near] - depth) / 0.55)
        colour = colour.copy()
        colour[near] += amount[:, None] * (skin.hair - colour[near])
    return colour


def _teeth(skin, points, anatomy, darkness: float) -> np.ndarray:
    """Enamel with gaps of that darkness between the teeth and gums away from the biting edge."""
    marks = anatomy.landmarks
    bite = marks[[62, 66], 1].mean()
    back = marks[62, 2] - 0.32
    angle = np.arctan2(points[:, 0], np.maximum(points[:, 2] - back, 0.02))
    gap = np.abs(((angle / 0.27 + 0.5) % 1) - 0.5)  # distance to the nearest gap, in teeth
    enamel = skin.teeth * (1 - darkness * np.exp(-((gap / 0.07) ** 2)))[:, None]
    enamel = enamel * (1 - 0.45 * np.clip(np.abs(angle) - 0.5, 0, 1))[:, None]  # the mouth shades its far ends
    gum = np.array([0.68, 0.36, 0.36])
    amount = _step((np.abs(points[:, 1] - bite) - 0.14) / 0.02)[:, None]
    return enamel + amount * (gum - enamel)


def _eyes(skin, points, anatomy, rng) -> np.ndarray:
    """Sclera, iris with a dark rim and radial fibres, pupil, by the angle from each eyeball's axis."""
    centre = anatomy.eyes[(points[:, 0] > 0).astype(int)]
    direction = (points - centre) / anatomy.eye_radius
    off_axis = np.hypot(direction[:, 0], direction[:, 1]) / 0.4  # radius of the iris in radii of the eyeball
    fibres = 1 + 0.25 * np.sin(17 * np.arctan2(direction[:, 1], direction[:, 0]) + 3 * _noise(points, 20.0, rng))
    iris = skin.iris * (fibres * (1.15 - 0.35 * off_axis))[:, None]
    iris *= (1 - 0.55 * np.exp(-(((off_axis - 0.97) / 0.13) ** 2)))[:, None]
    iris *= (1 - _step((skin.pupil - off_axis) / 0.05))[:, None]
    sclera = np.array([0.90, 0.87, 0.85]) * (1 - 0.05 * np.clip(off_axis - 1, 0, 1))[:, None]
    sclera -= np.clip(off_axis - 1.25, 0, 1)[:, None] * [0.02, 0.16, 0.14]
    white = _step((off_axis - 1.0) / 0.06)[:, None] * (direction[:, 2] > -0.2)[:, None]
    back = (direction[:, 2] <= -0.2)[:, None]
    return np.where(back, [0.75, 0.55, 0.5], iris + white * (sclera - iris))
