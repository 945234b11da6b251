"""Photographs of people with something before their faces, and where it is: what :mod:`emolib.face.covers` learns from.

Hair that falls over the forehead, glasses, hands and whatever else :func:`synthface.randomise.occlude` draws. The truth needs no second
renderer: hair is where a picture changes with its colour, and what is drawn over a picture where it no longer matters what is under. What
is painted *on* a face (:mod:`synthface.makeup`) covers nothing.
"""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from synthface.expressions import EMOTIONS, VISEMES, performance
from synthface.makeup import made_up
from synthface.people import Person
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.randomise import occlude, randomised, randomised_scene
from synthface.synth import Studio, named_rng

FIRST_PERSON = 600_000  # of no corpus, crowd or portrait set
HELD_OUT = 20_000  # number of the first of those that no net is trained on
SHOTS = 10  # photographs of one person
BARE, GLASSES = 0.3, 0.4  # shares of the photographs with nothing drawn before the face, and with glasses
PAINTED = 0.6  # share of those with makeup or shadows on the face
_LENGTH = 20  # frames of a performance, one of which is shown


def covered_portraits(studio: Studio, person: int) -> tuple[np.ndarray, np.ndarray]:
    """SHOTS photographs of one person: images uint8 (n, S, S, 3), and uint8 (n, 2, S, S) how far each pixel is covered, 255 wholly, and
    whether it shows glasses or what is behind their lenses."""
    body, style, _, _ = studio.cast(FIRST_PERSON + person)
    rng = named_rng(studio.seed, "covered", person)
    images, covers = [], []
    for shot in range(SHOTS):
        scene = Scene.sample(rng, studio.size * SUPERSAMPLE)
        who, where = (randomised(body, rng), randomised_scene(scene, rng)) if shot % 3 == 2 else (body, scene)
        emotion, level = str(rng.choice(EMOTIONS)), int(rng.integers(1, 4))
        said = [(str(sound), 0.12 * k, 0.12 * (k + 1)) for k, sound in enumerate(rng.choice(list(VISEMES), 3), 2)]
        arkit, pose = performance(emotion, 1 if emotion == "neutral" else level, said, _LENGTH, 25.0, style, rng)
        moment = slice(_LENGTH // 2, _LENGTH // 2 + 1)
        pose = pose + np.append(rng.normal(0, [0.12, 0.25, 0.08]), [0, 0, 0])
        pose, landmarks = studio.framed(body, arkit, pose.astype(np.float32), rng)
        at = arkit[moment], pose[moment]
        frame = photograph(who, where, *at, studio.size, rng)
        clean = replace(scene, noise=0.0, softness=0.0, quality=0, aperture=0.0)
        dark, light = (
            photograph(_dyed(body, tone), clean, *at, studio.size, np.random.default_rng(0)) for tone in (0.02, 0.7)
        )
        hair = np.clip((np.abs(light.astype(int) - dark).max(-1) - 10) / 30.0, 0, 1)
        if rng.random() < PAINTED:
            frame = made_up(frame, landmarks[moment], rng)
        frame, thing, glasses = _with_thing(frame, landmarks[moment], rng)
        images.append(frame[0])
        covers.append(np.round(255 * np.concatenate([np.maximum(hair, thing), glasses])).astype(np.uint8))
    return np.stack(images), np.stack(covers)


def _dyed(person: Person, tone: float) -> Person:
    """``person`` with grey hair; what the texture has of it is told by its shine (:mod:`synthface.paint`)."""
    texture = person.texture.copy()
    texture[texture[..., 3] < 0.1, :3] = tone
    return replace(person, texture=texture, hair_colour=np.full(3, tone))


def _with_thing(
    frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """frames (1, S, S, 3) with or without something before the face, how far each pixel is covered (1, S, S) in [0, 1], and where that
    is glasses, lenses and all."""
    kind, nothing = rng.random(), np.zeros(frames.shape[:3])
    if kind < BARE:
        return frames, nothing, nothing
    glasses, seed = kind < BARE + GLASSES, int(rng.integers(2**32))
    while not glasses and _on_the_eyes(landmarks, frames.shape[1], seed):
        seed += 1

    def draw(picture: np.ndarray) -> np.ndarray:
        own = np.random.default_rng(seed)
        return spectacles(picture, landmarks, own)[0] if glasses else occlude(picture, landmarks, own)

    black, white = (draw(np.full_like(frames, level)).astype(float) for level in (0, 255))
    worn = spectacles(frames, landmarks, np.random.default_rng(seed))[1] if glasses else nothing
    return draw(frames), np.clip(1 - (white - black).mean(-1) / 255, 0, 1), worn


def _on_the_eyes(landmarks: np.ndarray, side: int, seed: int) -> bool:
    """Whether :func:`occlude` draws glasses, of other kinds than these: what changes when the eyes alone change places."""
    swapped = landmarks.copy()
    swapped[:, 36:48] = 2 * landmarks[:, 36:48].mean(1, keepdims=True) - landmarks[:, 36:48]
    white = np.full((1, side, side, 3), 255, np.uint8)
    one, other = (occlude(white, points, np.random.default_rng(seed)) for points in (landmarks, swapped))
    return bool((one != other).any())


def spectacles(frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Glasses as people wear them before the face of ``frames`` (1, S, S, 3), and where they are, lenses and all (1, S, S) in [0, 1]: thin
    or heavy rims, some without a lower half or with a heavy upper one of another colour, lenses that tint and shine. landmarks (1, 68, 2).
    """
    side, fine = frames.shape[1], 4
    points = landmarks[0]
    right, left = points[36:42].mean(0), points[42:48].mean(0)
    along = left - right
    unit, down = np.linalg.norm(along), np.array([-along[1], along[0]])
    wide, high = rng.uniform(0.32, 0.44), rng.uniform(0.2, 0.36)
    power, width = rng.uniform(2, 5), rng.choice([rng.uniform(0.012, 0.035), rng.uniform(0.035, 0.08)])
    angle = np.linspace(0, 2 * np.pi, 49)
    ring = np.stack([np.sign(f(angle)) * np.abs(f(angle)) ** (2 / power) for f in (np.cos, np.sin)], 1) * [wide, high]
    sag, apart = rng.uniform(-0.05, 0.12), rng.uniform(0.48, 0.56)
    rim, lens, brow = (Image.new("L", (fine * side,) * 2) for _ in range(3))

    def place(shape: np.ndarray) -> list[tuple[float, float]]:
        return [tuple(p) for p in fine * ((right + left) / 2 + shape[:, :1] * along + shape[:, 1:] * down)]

    def line(shape: np.ndarray, thick: float, on: Image.Image = rim) -> None:
        ImageDraw.Draw(on).line(place(shape), fill=255, width=max(1, round(fine * thick * unit)), joint="curve")

    shown = ring[24:] if rng.random() < 0.2 else ring  # half rims: the upper arc, y < 0
    heavy = rng.uniform(0.06, 0.12) if rng.random() < 0.3 else 0  # of brow lines, that upper arc
    for x in (-apart, apart):
        line(shown + [x, sag], width)
        if heavy:
            line(ring[24:] + [x, sag], heavy, brow)
        ImageDraw.Draw(lens).polygon(place(ring + [x, sag]), fill=255)
    bridge = np.array([[wide - apart, 0], [0, -0.07], [apart - wide, 0]]) + [0, sag - 0.3 * high]
    line(bridge, max(width, 0.02))
    for sign in (-1, 1):
        line(
            np.array(
                [[sign * (apart + wide), -0.3 * high + sag], [sign * rng.uniform(1.15, 1.5), rng.uniform(-0.2, 0.1)]]
            ),
            1.2 * width,
        )
    rim_share, lens_share, brow_share = (
        np.asarray(x.reduce(fine), np.float32)[None, ..., None] / 255 for x in (rim, lens, brow)
    )
    metal, horn = (255 * rng.uniform(0.02, 0.9) ** 2 * rng.uniform(low, 1.0, 3) for low in (0.7, 0.2))
    y, x = np.mgrid[0:side, 0:side] / side
    gloss = 1 + 0.5 * np.sin(rng.uniform(4, 30) * (x + rng.normal() * y) + rng.uniform(0, 6))[None, ..., None]
    out = frames * (1 - lens_share * rng.choice([0, rng.uniform(0, 0.35), rng.uniform(0, 0.95)], p=[0.5, 0.35, 0.15]))
    if rng.random() < 0.3:  # a window's reflection
        band = np.clip(1 - np.abs((x * rng.uniform(-1, 1) + y - rng.uniform(0.2, 0.6)) / rng.uniform(0.03, 0.1)), 0, 1)
        out = out + lens_share * rng.uniform(20, 120) * band[None, ..., None]
    out = out + rim_share * (metal * gloss - out)
    out = out + brow_share * (horn * gloss - out)
    worn = np.maximum(np.maximum(rim_share, brow_share), lens_share)[..., 0]
    return np.clip(out + 0.5, 0, 255).astype(np.uint8), worn
