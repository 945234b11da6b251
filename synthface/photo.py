"""The camera of the synthetic corpus: photographs of a :class:`synthface.people.Person`, richer than what the 3DMM renders.

Same geometry conventions as :mod:`emolib.face.render` (whose rasteriser finds the visible triangles), but shading per pixel:
a key, a fill and a rim light, skin that lets red light round the terminator (wrapped diffuse, as a cheap stand-in for
subsurface scattering), its shine (Blinn-Phong with Schlick's Fresnel), cornea highlights, anisotropic hair (Kajiya and Kay
1989), ambient occlusion and soft key shadows from shadow maps, wrinkles that come with the expression, a blurred background,
a filmic tone curve, depth of focus, sensor noise and compression. Drawn at twice the size in linear light and averaged down.
"""

import functools
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from emolib.face.arkit import INDEX
from emolib.face.camera import CAMERA, FOCAL, rotation
from emolib.face.exact import product, settled
from emolib.face.render import rasterize
from synthface.paint import WRINKLES
from synthface.people import Person, around, occlusion
from synthface.photo_kernels import SUPERSAMPLE, Corners, Lights, Look, Mesh, Visible, develop, normals_of, shade
from synthface.template import MASKS, template

# Which activations deepen which wrinkles (rows in the order of WRINKLES).
_CREASED_BY = np.zeros((len(WRINKLES), len(INDEX)), np.float32)
for _wrinkle, _names in {
    "forehead": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "glabella": ("browDownLeft", "browDownRight"),
    "nasolabial": ("mouthSmileLeft", "mouthSmileRight", "noseSneerLeft", "noseSneerRight", "mouthStretchLeft"),
    "crow": ("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight"),
    "nose": ("noseSneerLeft", "noseSneerRight"),
}.items():
    for _name in _names:
        _CREASED_BY[WRINKLES.index(_wrinkle), INDEX[_name]] = {5: 0.4, 4: 0.35, 3: 0.4}.get(len(_names), 0.5)


@dataclass(frozen=True, eq=False)
class Scene:
    """Light, background and camera of one clip. Directions point to the light; colours are linear RGB."""

    lights: np.ndarray  # (3, 6): direction, colour; key, fill, rim
    sky: np.ndarray  # (3,) ambient light from above
    ground: np.ndarray  # (3,) and from below
    background: np.ndarray  # (side, side, 3)
    exposure: float
    noise: float  # sensor noise, standard deviation in display units
    softness: float = 0.0  # of the lens: share of the blurred picture everywhere, 0..1
    aperture: float = 0.0  # the same, for each unit of distance from the plane of focus, which is the face's
    quality: int = 0  # of the JPEG pictures that the clip went through; 0: none

    @classmethod
    def sample(cls, rng: np.random.Generator, side: int) -> "Scene":
        """Draws a scene; ``side``: of the supersampled picture, pixels."""
        warm = rng.normal(0, 0.08)
        white = np.array([1 + warm, 1.0, 1 - warm])
        azimuth, elevation = rng.uniform(-1.1, 1.1), rng.uniform(0.1, 0.65)
        key = _towards(azimuth, elevation)
        fill, rim = _towards(-azimuth * rng.uniform(0.5, 1.2), 0.1), _towards(np.pi - azimuth * 0.6, 0.5)
        strength = rng.uniform([1.2, 0.45, 0.2], [1.9, 0.9, 1.0])
        colours = strength[:, None] * np.stack([white, 1.5 - 0.5 * white, np.ones(3)])
        ambient = rng.uniform(0.5, 0.8)
        return cls(
            lights=np.concatenate([np.stack([key, fill, rim]), colours], 1).astype(np.float32),
            sky=(ambient * (2 - white)).astype(np.float32),
            ground=(0.55 * ambient * rng.uniform([0.9, 0.8, 0.7], 1.0)).astype(np.float32),
            background=_background(rng, side),
            exposure=float(rng.uniform(0.85, 1.1)),
            noise=float(rng.uniform(0.004, 0.012)),
            softness=float(rng.uniform(0, 0.3)),
            aperture=float(rng.choice([0, rng.uniform(0.3, 1.5)], p=[0.3, 0.7])),
            quality=int(rng.choice([0, int(rng.integers(55, 96))], p=[0.4, 0.6])),
        )


def _towards(azimuth: float, elevation: float) -> np.ndarray:
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def _background(rng: np.random.Generator, side: int) -> np.ndarray:
    """An out-of-focus wall (side, side, 3): a gradient, a few blurred shapes, grain."""
    y, x = np.mgrid[0:side, 0:side] / side
    ramp = np.clip(0.5 + (x - 0.5) * rng.normal(0, 0.7) + (y - 0.5) * rng.normal(0, 0.7), 0, 1)[..., None]
    ends = rng.uniform(0.02, 0.7, (2, 1)) * rng.dirichlet([40, 40, 40], 2) * 3
    wall = ramp * ends[0] + (1 - ramp) * ends[1]
    for _ in range(rng.integers(0, 6)):
        cx, cy = rng.uniform(0, 1, 2)
        wide, high = rng.uniform(0.04, 0.3, 2)
        if rng.random() < 0.5:
            shape = (np.abs(x - cx) < wide) & (np.abs(y - cy) < 2 * high)
        else:
            shape = ((x - cx) / wide) ** 2 + ((y - cy) / wide) ** 2 < 1
        wall = np.where(
            shape[..., None], 0.5 * wall + 0.5 * rng.uniform(0.02, 0.8) * rng.dirichlet([15, 15, 15]) * 3, wall
        )
    wall = gaussian_filter(wall, (side * 0.025, side * 0.025, 0))
    return np.clip(wall * (1 + gaussian_filter(rng.normal(0, 0.3, (side, side, 1)), (2, 2, 0))), 0, 1).astype(
        np.float32
    )


def photograph(person: Person, scene: Scene, arkit: np.ndarray, pose: np.ndarray, size: int, rng: np.random.Generator):
    """A clip: ``arkit`` (T, 52), ``pose`` (T, 6) -> frames uint8 (T, size, size, 3)."""
    side = size * SUPERSAMPLE
    moved = person.vertices.reshape(1, -1) + product(arkit, person.actions)  # (T, N * 3)
    moved = moved.reshape(len(arkit), -1, 3).astype(np.float32)
    turns, shifts = settled(rotation(pose[:, :3])), pose[:, None, 3:].astype(np.float32)
    headed = (product(moved, turns.transpose(0, 2, 1)) + shifts).astype(np.float32)
    middle = np.median(pose, axis=0)
    rest = settled(rotation(0.3 * middle[None, :3]))[0]
    body = (product(moved, rest.T) + (0.7 * middle[3:] + 0.3 * pose[:, 3:])[:, None]).astype(np.float32)
    world = person.follow[:, None] * headed + (1 - person.follow[:, None]) * body
    key = occlusion(world[0], person.triangles, around(scene.lights[0, :3], 0.25, 8))
    light_in = np.stack([person.occlusion, np.maximum(key, 0.08)], 1).astype(np.float32)
    creases = np.clip(product(arkit, _CREASED_BY.T), 0, 1) * person.crease  # (T, 5)
    lips, crown = moved[:, _lips(), 2].max(axis=1) - 0.09, np.array([0.0, 0.9, -0.35], np.float32)
    focus = (product(turns, [0, 0, 0.5]) + shifts[:, 0])[:, 2].astype(np.float32)
    scale = FOCAL * side / (CAMERA - world[..., 2])
    screen = np.stack([side / 2 + scale * world[..., 0], side / 2 - scale * world[..., 1], CAMERA - world[..., 2]], -1)
    triangles, frames = torch.from_numpy(person.triangles), np.empty((len(arkit), size, size, 3), np.uint8)
    mesh = Mesh(person.triangles, person.uv_triangles, person.kind, person.uv)
    lights = Lights(scene.lights, scene.sky, scene.ground)
    for t in range(len(arkit)):
        fragments = rasterize(torch.from_numpy(screen[t : t + 1]), triangles, side)
        points, linear = world[t], np.zeros((side, side, 4), np.float32)
        linear[..., :3] = scene.background  # out of focus as it is
        inside = np.clip(1.1 - 2.4 * (lips[t] - moved[t, :, 2]), 0.06, 0.95).astype(np.float32)
        visible = Visible(fragments.face_id[0].numpy(), fragments.bary[0].numpy())
        corners = Corners(points, normals_of(points, person.triangles), light_in, inside)
        look = Look(
            person.texture, person.strands, person.wrinkles, creases[t].astype(np.float32), person.hair_colour,
            person.cloth_colour, person.fabric, product(turns[t], crown) + shifts[t, 0],
        )  # fmt: skip
        shade(visible, mesh, corners, look, lights, float(focus[t]), float(scene.aperture), linear)
        grain = rng.normal(size=(size, size, 3)).astype(np.float32)
        develop(
            linear, grain, np.float32(scene.exposure), np.float32(scene.noise), np.float32(scene.softness), frames[t]
        )
        if scene.quality:
            frames[t] = _compressed(frames[t], scene.quality)
    return frames


def _compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    """``frame`` uint8 (S, S, 3) as JPEG gives it back."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@functools.cache
def _lips() -> np.ndarray:
    """Vertices of the lips (L,): how far back teeth and tongue lie, and how much light gets there, is measured from them."""
    return np.flatnonzero(template().masks[MASKS.index("lips")] > 0.5)
