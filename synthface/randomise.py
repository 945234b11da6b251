"""Domain randomisation: people, light and pictures that no camera saw, so that what learns from them takes looks from its source.

A generator that knows only the clean people of :mod:`synthface.people` learns what *they* look like, and fails on a real
photograph. Here skin becomes noise, a piece of a picture, a blend or a recolouring; light comes from anywhere in any colour;
backgrounds are pictures; something may cover part of the face. Geometry, motion and truth stay what they were.

One generator state gives one look: call each function once a clip (or, to pair clips of one person, with a generator
seeded by the person). The pictures come with scikit-image and scikit-learn. ``PICTURES`` names all that may be used:
none shows a human face: the portraits that ship beside them (astronaut, hopper) are what results are tested on.
"""

import functools
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from emolib.face.camera import CAMERA, FOCAL
from emolib.face.exact import product
from synthface.paint import KINDS, TEXTURE, _atlas, hair_depth
from synthface.people import Person
from synthface.photo import Scene
from synthface.skin import REGIONS

PICTURES = (
    *("skimage/data/" + name for name in (
        "brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
        "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png")),
    "sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg",
)  # fmt: skip
COVERED = 0.22  # of the box of the landmarks: the most that an occluder hides of a face
OCCLUDED = 0.3  # of the calls of :func:`degrade` draw an occluder
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_TO_LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(2.2)
_PROBES = np.array([[0, 0, 1], [0.7, 0, 0.7], [-0.7, 0, 0.7], [0, 0.6, 0.8], [0, -0.6, 0.8]], np.float32)


def _folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, f"{package} is a requirement"
    return Path(spec.submodule_search_locations[0])


@functools.cache
def picture(path: str) -> Image.Image:
    """One of ``PICTURES``, RGB, its longer side at most 640 pixels; read from the installed package, never from the network."""
    package, inside = path.split("/", 1)
    out = Image.open(_folder(package) / inside).convert("RGB")
    out.thumbnail((640, 640))
    return out


@functools.cache
def _texels() -> SimpleNamespace:
    """The P texels of ``skin``, of the ``eye`` and of the ``inner`` mouth, as indices into the flattened texture.

    Of those of skin also: ``hair``, ``lips``, ``lids`` (P,) in 0..1, how much they are that; ``bare`` (P,) bool, nothing of it;
    ``places`` name -> (P, 2), about -1..1, where they lie in the texture and seen from two sides.
    """
    atlas = _atlas()
    flat, kinds = np.ravel_multi_index(atlas.where, (TEXTURE, TEXTURE)), np.array(KINDS)[atlas.kind]
    chosen = kinds == "skin"
    skin, points, weights = (
        flat[chosen],
        atlas.points[chosen].astype(np.float32),
        atlas.weights[chosen].astype(np.float32),
    )
    depth, lips, lids = hair_depth(atlas.raw[chosen]), *(weights[:, REGIONS.index(n)] for n in ("lips", "eyelids"))
    grid = np.stack([skin % TEXTURE, skin // TEXTURE], 1).astype(np.float32) * np.float32(2 / TEXTURE) - 1
    return SimpleNamespace(
        skin=skin, eye=flat[kinds == "eye"], inner=flat[np.isin(kinds, ["teeth", "tongue", "mouth", "socket"])],
        hair=np.float32(np.clip(depth / 0.12, 0, 1)), lips=lips, lids=lids,
        bare=(depth < -0.05) & (lips + lids < 0.05) & (points[:, 2] > 0),
        places={"texture": grid, "front": points[:, :2], "side": points[:, 1:]},
    )  # fmt: skip


def _tint(rng: np.random.Generator, evenness: float) -> np.ndarray:
    """A colour (3,) of mean 1; ``evenness``: 3 is gaudy, 60 nearly grey."""
    return (3 * rng.dirichlet([evenness] * 3)).astype(np.float32)


def _recolour(rng: np.random.Generator, hue: float) -> np.ndarray:
    """A matrix (3, 3) for colours as rows: turns the hue (standard deviation ``hue`` rad), stretches saturation, tints."""
    c, s = np.cos(angle := rng.normal(0, hue)), np.sin(angle) / 3**0.5
    turn = c * np.eye(3) + (1 - c) / 3 + s * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saturation = rng.choice([rng.uniform(0, 0.5), rng.uniform(0.7, 1.5)], p=[0.2, 0.8])
    stretch = saturation * np.eye(3) + (1 - saturation) * _LUMINANCE
    return (_tint(rng, rng.choice([15, 60, 300]))[:, None] * product(stretch, turn)).T.astype(np.float32)


def _duotone(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    """(H, W) in 0..1 -> (H, W, 3): from one colour to another."""
    ends = np.stack([_tint(rng, 4) * rng.uniform(0.02, 0.25), _tint(rng, 6) * rng.uniform(0.3, 0.75)])
    return ends[0] + grey[..., None] * (ends[1] - ends[0])


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Smooth noise of up to three scales, (side, side, 3) linear RGB in [0, 1], in all colours or between two."""
    scales = rng.choice([2, 3, 5, 9, 16, 30, 60], rng.integers(1, 4), replace=False)
    falloff, channels = rng.uniform(0.1, 0.8), 3 if rng.random() < 0.5 else 1
    total = np.zeros((side, side, channels), np.float32)
    for cells in np.minimum(scales, side // 2):
        grid = torch.from_numpy(rng.normal(size=(1, channels, cells + 1, cells + 1)).astype(np.float32))
        grid = torch.nn.functional.interpolate(grid, size=(side, side), mode="bilinear", align_corners=True)
        total += cells**-falloff * grid[0].permute(1, 2, 0).numpy()
    total *= float(rng.choice([0.7, 1.2, 4.0], p=[0.4, 0.4, 0.2])) / (
        total.std() + 1e-3
    )  # the last: patches with borders
    clouds = 0.5 + 0.5 * np.tanh(total)
    return _duotone(rng, clouds[..., 0]) if channels == 1 else clouds * _tint(rng, 8) * 0.6


def _patch(rng: np.random.Generator, side: int) -> np.ndarray:
    """A piece of one of ``PICTURES``, turned, recoloured at times: (side, side, 3) linear RGB."""
    image = picture(PICTURES[rng.integers(len(PICTURES))])
    edge = min(image.size) * rng.uniform(0.35, 1)
    x, y = rng.uniform(0, 1, 2) * (np.array(image.size) - edge)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=(x, y, x + edge, y + edge))
    out = _TO_LINEAR[np.rot90(np.asarray(image), int(rng.integers(4)))[:, :: int(rng.choice([-1, 1]))]]
    if (draw := rng.random()) < 0.3 or np.ptp(out.mean((0, 1))) < 0.01:  # grey pictures always
        return _duotone(rng, np.sqrt(product(out, _LUMINANCE)))
    return out if draw < 0.65 else np.clip(product(out, _recolour(rng, 1.5)), 0, 1).astype(np.float32)


def _pattern(rng: np.random.Generator, side: int) -> np.ndarray:
    """A piece of a picture or noise: (side, side, 3) linear RGB."""
    return _patch(rng, side) if rng.random() < 0.6 else _noise(rng, side)


def _wrapped(rng: np.random.Generator, pattern: np.ndarray) -> np.ndarray:
    """``pattern`` (S, S, 3) laid on the texels of skin, (P, 3): in texture space, or projected from the front or the side."""
    place = _texels().places[str(rng.choice(["texture", "front", "side"], p=[0.4, 0.5, 0.1]))]
    c, s = np.array([np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)]) * rng.uniform(0.5, 1.3)
    place = (product(place, [[c, -s], [s, c]]) + rng.uniform(4, 6, 2)).astype(np.float32)
    last = len(pattern) - 1  # where it ends it is mirrored
    column, row = np.abs((place * last).astype(np.int32) % (2 * last) - last).T
    return pattern.astype(np.float32).reshape(-1, 3).take(row * len(pattern) + column, axis=0)


def randomised(person: Person, rng: np.random.Generator) -> Person:
    """The same head in another look: skin, hair, cloth, shine; eyes, teeth and mouth keep their paint but for a tint.

    A third are recoloured (half of these lightly), a third blended with a pattern, a third are the pattern; most patterns
    keep how much darker than bare skin the paint of each texel is, so that brows, lips and lashes stay visible.
    """
    at, texture = _texels(), person.texture.reshape(-1, 4).copy()
    real = texture.take(at.skin, axis=0)[:, :3]
    luminance = product(real, _LUMINANCE).astype(np.float32)
    level = np.median(luminance[at.bare]) + np.float32(1e-4)
    ratio = np.clip(luminance / level, 0.03, 3)[:, None]
    matrix, gain = _recolour(rng, rng.choice([0.08, 0.6])), np.exp(np.clip(rng.normal(0, 0.35), -0.8, 0.8))
    matrix *= np.float32(min(gain, 0.45 / level))
    skin = recoloured = np.maximum(product(real, matrix), 0).astype(np.float32)
    share = float(rng.choice([0, rng.uniform(0.25, 0.75), 1], p=[0.3, 0.35, 0.35]))
    if share:
        pattern = _wrapped(rng, _pattern(rng, TEXTURE // 2))
        pattern += float(rng.uniform(0.15, 0.65)) * (pattern.mean(0) - pattern)
        pattern *= np.float32(np.exp(rng.uniform(*np.log([0.1, 0.5])))) / (pattern[at.bare].mean() + np.float32(1e-3))
        features = ratio ** float(rng.choice([0, rng.uniform(0.4, 1.2)], p=[0.15, 0.85]))
        skin = recoloured + share * (np.clip(pattern, 0.01, 0.8) * features - recoloured)
    draw, strands = rng.random(), (_tint(rng, 4) * np.exp(rng.uniform(*np.log([0.01, 0.5])))).astype(np.float32)
    if draw < 0.45:
        hair, strands = recoloured, product(person.hair_colour, matrix).astype(np.float32)
    elif draw < 0.85:
        hair = np.clip(luminance / luminance[at.hair > 0.9].mean(), 0.3, 2)[:, None] * strands
    else:
        hair, strands = skin, skin[at.hair > 0.9].mean(0)
    skin = skin + at.hair[:, None] * (hair - skin)
    for weight, often in ((at.lips, 0.35), (at.lids, 0.25)):
        colour, strength = np.float32(_tint(rng, 3) * rng.uniform(0.03, 0.5)), float(rng.uniform(0.3, 0.9))
        if rng.random() < often:
            skin += strength * weight[:, None] * (np.clip(ratio, 0.3, 1.5) * colour - skin)
    gloss = float(rng.choice([rng.uniform(0, 0.5), rng.uniform(0.5, 1.8)]))
    texture[at.skin, :3] = skin
    texture[at.skin, 3] *= 1 + (gloss - 1) * (1 - at.hair)
    texture[at.eye, :3] = product(texture[at.eye, :3], _recolour(rng, 1.0))
    texture[at.inner, :3] *= _tint(rng, rng.choice([3, 40], p=[0.1, 0.9])) * np.float32(np.exp(rng.normal(0, 0.15)))
    texture = np.clip(texture, 0, np.array([0.95, 0.95, 0.95, 1.2], np.float32)).reshape(person.texture.shape)
    strands = np.clip(strands, 0.002, 0.9).astype(np.float32)
    cloth = np.clip(_tint(rng, 3) * np.float32(rng.uniform(0.02, 0.6)), 0, 0.9)
    return replace(person, texture=texture, hair_colour=strands, cloth_colour=cloth)


def randomised_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene under up to three lights of any colour from anywhere (below and behind too) before any background.

    What arrives at the front of the face is scaled to what a camera's exposure would make of it, 0.6 to 1.5 of the usual.
    """
    lights, gaudy = np.zeros_like(scene.lights), rng.random() < 0.6
    towards = rng.normal(size=(len(lights), 3)) * [1, 0.7, 0.8] + [0, 0.15, 0.5]  # most lie before the face
    lights[:, :3] = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    for k in range(rng.integers(1, len(lights) + 1)):
        lights[k, 3:] = rng.uniform(0.5, 2.0) * _tint(rng, rng.choice([4, 12]) if gaudy else 60)
    ambient = [_tint(rng, rng.choice([6, 40]) if gaudy else 60) * np.exp(rng.uniform(-3, -0.2)) for _ in range(2)]
    up, received = (
        0.5 + 0.5 * _PROBES[:, 1:2],
        0.5 * product(np.clip(product(_PROBES, lights[:, :3].T), 0, None), lights[:, 3:]),
    )
    received += up * ambient[0] + (1 - up) * ambient[1]
    scale = np.float32(np.exp(rng.uniform(*np.log([0.6, 1.5]))) / product(received, _LUMINANCE).mean())
    lights[:, 3:] = np.minimum(lights[:, 3:] * scale, 5)  # a lamp behind does not make a white picture
    sky, ground = np.minimum(np.asarray(ambient, np.float32) * scale, 2)
    noise = float(rng.choice([rng.uniform(0, 0.012), rng.uniform(0.012, 0.03)], p=[0.7, 0.3]))
    background, exposure = np.clip(_background(scene, rng), 0, 1).astype(np.float32), float(rng.uniform(0.85, 1.15))
    return replace(scene, lights=lights, sky=sky, ground=ground, background=background, exposure=exposure, noise=noise)


def _background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3): the scene's own recoloured, one colour, or a picture or noise, sharp or blurred."""
    side, draw = len(scene.background), rng.random()
    if draw < 0.15:
        return product(scene.background, _recolour(rng, 1.5)).astype(np.float32)
    if draw < 0.25:
        return np.broadcast_to(_tint(rng, 6) * rng.uniform(0.0, 0.9), (side, side, 3))
    wall, blur = _pattern(rng, side) * rng.uniform(0.4, 1.2), rng.choice([0, rng.uniform(0.005, 0.05)]) * side
    return gaussian_filter(wall, (blur, blur, 0), truncate=2.5) if blur else wall


def crop_jitter(pose: np.ndarray, rng: np.random.Generator, shift=0.02, scale=0.04, roll=0.025) -> np.ndarray:
    """``pose`` (T, 6) of a clip as a detector that errs would crop it: one shift, size and roll for all frames.

    Standard deviations: ``shift`` in sides of the crop, ``scale`` relative, ``roll`` rad; none beyond two of them. The truth
    stays exact if landmarks are projected (and pose is stored) after this.
    """
    dx, dy, grow, turn = np.clip(rng.normal(size=4), -2, 2) * [shift, shift, scale, roll]
    out = np.array(pose, np.float64)
    depth, out[:, 2] = CAMERA - np.median(out[:, 5]), out[:, 2] + turn
    out[:, 3:5] = out[:, 3:5] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    out[:, 3:5] += np.array([dx, dy]) * depth / (1 + grow) / FOCAL
    out[:, 5] += depth - depth / (1 + grow)
    return out.astype(np.float32)


def degrade(frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Something before the face (in ``OCCLUDED`` of the calls), and a camera of one colour cast, gamma and contrast a clip:
    frames uint8 (T, S, S, 3), landmarks (T, 68, 2) pixels -> frames."""
    if rng.random() < OCCLUDED:
        frames = occlude(frames, landmarks, rng)
    tint, gamma = _tint(rng, rng.choice([30, 100, 1000])), np.exp(np.clip(rng.normal(0, 0.2), -0.4, 0.4))
    contrast, lift = np.clip(rng.normal(1, 0.12), 0.75, 1.25), rng.uniform(0, 0.06)
    if rng.random() < 0.07:  # black and white
        frames = np.repeat(product(frames, _LUMINANCE).astype(np.uint8)[..., None], 3, -1)
    value = 0.45 + contrast * (np.linspace(0, 1, 256)[:, None] ** gamma - 0.45)
    table = np.round(255 * np.clip((lift + (1 - lift) * value) * (0.4 + 0.6 * tint), 0, 1)).astype(np.uint8)  # (256, 3)
    return np.stack([table[:, c][frames[..., c]] for c in range(3)], -1)


def occlude(frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One thing before the face, the same in all frames: it stays, drifts, or (glasses) goes with the face.

    It hides at most ``COVERED`` of the box of the landmarks in any frame.
    """
    side, box, middle = frames.shape[1], np.ptp(landmarks, axis=1), np.median(landmarks, axis=0)
    what = str(rng.choice(["blob", "hand", "bars", "glasses", "sunglasses"]))
    strokes, spot, drift = _shape(what, rng), rng.uniform(-0.55, 0.55, 2), rng.normal(0, rng.choice([0, 0.15]), 2)
    opacity = np.float32(rng.uniform(0.5, 1) if what == "sunglasses" else 1)
    if "glasses" in what:
        centre, eyes = middle[36:48].mean(0), middle[42:48].mean(0) - middle[36:42].mean(0)
        frame = np.stack([eyes, [-eyes[1], eyes[0]]])  # of the strokes: from eye to eye, and down
        motion = landmarks[:, 36:48].mean(1) - centre
    else:
        centre, frame = middle.mean(0) + spot * np.median(box, axis=0), np.eye(2) * np.median(box.max(1))
        motion = drift * side * np.linspace(-1, 1, len(frames))[:, None]
    cover = _drawn(strokes, centre, frame, side)
    while (cover > 0.02).sum() > max(COVERED * box.prod(1).min(), 16):
        cover = _drawn(strokes, centre, frame := 0.93 * frame, side)
    paint = np.broadcast_to(_tint(rng, 6) * rng.uniform(0.02, 0.6), (side, side, 3))
    if rng.random() < 0.6 and "glasses" not in what:
        paint = _pattern(rng, side)
    paint, cover = (255 * np.clip(paint, 0, 1) ** (1 / 2.2)).astype(np.float32), opacity * cover[..., None]
    out = np.empty_like(frames)
    for t, (dx, dy) in enumerate(np.clip(np.round(motion), -side, side).astype(int)):
        share = cover[side - dy : 2 * side - dy, side - dx : 2 * side - dx]
        out[t] = frames[t] + share * (np.roll(paint, (dy, dx), (0, 1)) - frames[t]) + 0.5
    return out


def _shape(what: str, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Strokes: points (n, 2) about the origin in face sizes, and the width of the line (0: a filled polygon)."""
    turn, size, angle = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1), np.linspace(0, 2 * np.pi, 25)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * size
    if "glasses" in what:
        wide, high, width = rng.uniform(0.3, 0.42), rng.uniform(0.2, 0.32), rng.uniform(0.025, 0.07)
        lenses = [(circle * [wide, high] + [x, 0.06], width * (what == "glasses")) for x in (-0.5, 0.5)]
        arms = ((wide - 0.5, 0.5 - wide), (0.5 + wide, 1), (-1, -0.5 - wide))
        return [*lenses, *((np.array([[a, 0], [b, -0.02]]), width) for a, b in arms)]
    if what == "bars":
        gap = rng.uniform(0.4, 0.8)
        return [(np.array([[-1.5, k * gap], [1.5, k * gap]]) @ spin, 0.1 * size) for k in range(rng.integers(1, 4))]
    if what == "hand":
        splay, reach = np.linspace(-0.5, 0.5, 4) + rng.normal(0, 0.06, 4), rng.uniform([0.35, 0.42, 0.42, 0.35], 0.6)
        tips = np.stack([reach * np.sin(splay), -reach * np.cos(splay)], 1)
        fingers = [(np.stack([0.35 * tip, tip]) @ spin, 0.09 * size) for tip in tips]
        return [(circle * [0.2, 0.22] @ spin, 0.0), *fingers]
    radius = np.ones_like(angle) + sum(rng.normal(0, 0.12) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5))
    return [(0.3 * radius[:, None] * circle * [1, rng.uniform(0.4, 1)] @ spin, 0.0)]


def _drawn(strokes, centre: np.ndarray, frame: np.ndarray, side: int) -> np.ndarray:
    """Strokes -> what they cover, (3 side, 3 side) in [0, 1]: the picture is the middle third, about it is room to move."""
    canvas = Image.new("L", (6 * side, 6 * side))
    draw, unit = ImageDraw.Draw(canvas), 2 * np.sqrt(abs(np.linalg.det(frame)))
    for points, width in strokes:
        points = [tuple(p) for p in 2 * (points @ frame + centre + side)]
        if width:
            draw.line(points, fill=255, width=max(1, round(width * unit)), joint="curve")
        else:
            draw.polygon(points, fill=255)
    return np.asarray(canvas.reduce(2), np.float32) / 255
