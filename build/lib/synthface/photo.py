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

import numba
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from emolib.face.arkit import INDEX
from emolib.face.camera import CAMERA, FOCAL, rotation
from emolib.face.exact import product, settled
from emolib.face.render import rasterize
from synthface.paint import KINDS, TEXTURE, WRINKLES
from synthface.people import Person, around, occlusion
from synthface.template import MASKS, template

SUPERSAMPLE = 2
_SKIN, _MOUTH, _EYE, _TEETH, _TONGUE, _SOCKET, _HAIR, _CLOTH, _SHELL = range(len(KINDS))
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
            quality=int(rng.choice([0, rng.integers(55, 96)], p=[0.4, 0.6])),
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


@numba.njit(cache=True, nogil=True)
def _normals(points, triangles):
    """Area-weighted unit vertex normals (N, 3)."""
    out = np.zeros_like(points)
    for f in range(len(triangles)):
        a, b, c = triangles[f]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz
    for i in range(len(out)):
        length = np.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + 1e-12
        out[i] /= length
    return out


@numba.njit(cache=True, nogil=True)
def _shade(face_id, bary, triangles, kind, points, normals, light_in, inside, uv_triangles, uv, texture, strands,
           wrinkles, creases, lights, sky, ground, hair, cloth, fabric, hair_axis, focus, aperture, out):  # fmt: skip
    """Fills ``out`` (S, S, 4), linear RGB and blur, where a triangle shows. ``light_in`` (N, 2): ambient and key that arrive;
    ``inside`` (N,): light left that deep in the mouth."""
    side, top = out.shape[0], texture.shape[0] - 1
    for y in range(side):
        for x in range(side):
            f = face_id[y, x]
            if f < 0:
                continue
            what, glint = kind[f], np.float32(1)
            n0 = n1 = n2 = p0 = p1 = p2 = tu = tv = ambient = key = deep = np.float32(0)
            for k in range(3):
                w, i, j = bary[y, x, k], triangles[f, k], uv_triangles[f, k]
                n0 += w * normals[i, 0]
                n1 += w * normals[i, 1]
                n2 += w * normals[i, 2]
                p0 += w * points[i, 0]
                p1 += w * points[i, 1]
                p2 += w * points[i, 2]
                tu += w * uv[j, 0]
                tv += w * uv[j, 1]
                ambient += w * light_in[i, 0]
                key += w * light_in[i, 1]
                deep += w * inside[i]
            length = 1 / np.sqrt(n0 * n0 + n1 * n1 + n2 * n2 + 1e-12)
            n0, n1, n2 = n0 * length, n1 * length, n2 * length
            v0, v1, v2 = -p0, -p1, CAMERA - p2
            length = 1 / np.sqrt(v0 * v0 + v1 * v1 + v2 * v2)
            v0, v1, v2 = v0 * length, v1 * length, v2 * length
            facing = n0 * v0 + n1 * v1 + n2 * v2
            if facing < 0 and (what == _HAIR or what == _CLOTH):
                n0, n1, n2, facing = -n0, -n1, -n2, -facing
            # texture, bilinear
            gx, gy = min(max(tu * TEXTURE - 0.5, 0), top - 0.01), min(max((1 - tv) * TEXTURE - 0.5, 0), top - 0.01)
            ix, iy = int(gx), int(gy)
            fx, fy = gx - ix, gy - iy
            a00, a10, a01, a11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
            t = (texture[iy, ix] * a00 + texture[iy, ix + 1] * a10) + (
                texture[iy + 1, ix] * a01 + texture[iy + 1, ix + 1] * a11
            )
            r, g, b, shine = t[0], t[1], t[2], t[3]
            if what == _SKIN:
                crease = np.float32(0)
                for k in range(creases.shape[0]):
                    crease += creases[k] * wrinkles[iy, ix, k] * np.float32(1 / 255)
                crease = min(0.6 * crease, np.float32(0.4))
                r, g, b, shine = r * (1 - 0.8 * crease), g * (1 - crease), b * (1 - crease), shine * (1 - crease)
            elif what == _HAIR:
                strand = strands[iy, ix]
                r, g, b, shine, glint = hair[0] * strand, hair[1] * strand, hair[2] * strand, strand, strand
                ambient, key = 0.25 + 0.75 * ambient, 0.25 + 0.75 * key
            elif what == _SHELL:
                ambient, glint = 0.15 + 0.85 * ambient, (g + 0.002) / (hair[1] + 0.002)
                glint = glint if glint < 1.7 else np.float32(0)  # skin shows through
            elif what == _CLOTH:
                jx, jy = int(tu * 1536) & 127, int(tv * 768) & 127
                weave = fabric[jy, jx]
                r, g, b, shine = cloth[0] * weave[0], cloth[1] * weave[1], cloth[2] * weave[2], np.float32(0.05)
                key, ambient = 0.3 + 0.7 * key, 0.3 + 0.7 * ambient
            elif what == _EYE:
                ambient, key = 0.25 + 0.75 * ambient, 0.2 + 0.8 * key
            elif what != _SOCKET:
                ambient, key = deep, deep
                g, b = g * (0.85 + 0.15 * deep), b * (0.8 + 0.2 * deep)  # what light there is comes from red walls
            glint = 0.05 * glint * glint
            up = 0.5 + 0.5 * n1
            d0 = ambient * (sky[0] * up + ground[0] * (1 - up))
            d1 = ambient * (sky[1] * up + ground[1] * (1 - up))
            d2 = ambient * (sky[2] * up + ground[2] * (1 - up))
            s0 = s1 = s2 = np.float32(0)
            wrap0, wrap1, wrap2 = np.float32(0.05), np.float32(0.05), np.float32(0.05)
            if what == _SKIN or what == _TONGUE or what == _MOUTH or (what == _SHELL and shine >= 0.1):
                wrap0, wrap1, wrap2 = np.float32(0.3), np.float32(0.2), np.float32(0.16)
            elif what == _TEETH or what == _EYE:
                wrap0, wrap1, wrap2 = np.float32(0.35), np.float32(0.35), np.float32(0.35)
            for k in range(3):
                l0, l1, l2 = lights[k, 0], lights[k, 1], lights[k, 2]
                seen = key if k == 0 else 0.4 + 0.6 * ambient if k == 1 else ambient
                nl = n0 * l0 + n1 * l1 + n2 * l2
                h0, h1, h2 = l0 + v0, l1 + v1, l2 + v2
                length = 1 / np.sqrt(h0 * h0 + h1 * h1 + h2 * h2 + 1e-9)
                vh = (v0 * h0 + v1 * h1 + v2 * h2) * length
                if what == _HAIR or (what == _SHELL and shine < 0.1):
                    # the strand runs from the crown outwards, along the surface
                    a0, a1, a2 = p0 - hair_axis[0], p1 - hair_axis[1], p2 - hair_axis[2]
                    along = a0 * n0 + a1 * n1 + a2 * n2
                    t0, t1, t2 = a0 - along * n0, a1 - along * n1 - 0.5, a2 - along * n2
                    length2 = 1 / np.sqrt(t0 * t0 + t1 * t1 + t2 * t2 + 1e-9)
                    th = (t0 * h0 + t1 * h1 + t2 * h2) * length * length2
                    spec = (
                        (glint * (0.3 + 2 * hair[1]))
                        * max(1 - th * th, np.float32(0)) ** 20
                        * max(nl + 0.2, np.float32(0))
                    )
                else:
                    nh = max((n0 * h0 + n1 * h1 + n2 * h2) * length, np.float32(0))
                    fresnel = 0.04 + 0.96 * (1 - max(vh, np.float32(0))) ** 5
                    if what == _EYE:
                        spec = (3.0 * nh**180 if k == 0 else 0.5 * nh**180) + 0.2 * nh**30 * fresnel
                    elif what == _TEETH or what == _TONGUE or what == _MOUTH:
                        spec = deep * (0.5 * nh**60)
                    else:
                        spec = shine * fresnel * (1.6 * nh**10 + 3.5 * nh**35)
                    spec *= max(min(4 * nl, np.float32(1)), np.float32(0))
                d0 += seen * lights[k, 3] * max((nl + wrap0) / (1 + wrap0), np.float32(0)) * 0.5
                d1 += seen * lights[k, 4] * max((nl + wrap1) / (1 + wrap1), np.float32(0)) * 0.5
                d2 += seen * lights[k, 5] * max((nl + wrap2) / (1 + wrap2), np.float32(0)) * 0.5
                s0 += seen * lights[k, 3] * spec
                s1 += seen * lights[k, 4] * spec
                s2 += seen * lights[k, 5] * spec
            out[y, x, 0] = r * d0 + s0
            out[y, x, 1] = g * d1 + s1
            out[y, x, 2] = b * d2 + s2
            out[y, x, 3] = aperture * max(abs(p2 - focus) - 0.25, np.float32(0))  # the face itself is in focus


@numba.njit(cache=True, nogil=True)
def _develop(linear, grain, exposure, noise, softness, out):
    """Averages ``linear`` (2S, 2S, 4: RGB, blur) down, applies a filmic curve, the lens' blur, sRGB gamma and ``grain``.

    -> ``out`` uint8 (S, S, 3).
    """
    side = out.shape[0]
    small, rows = np.zeros((side, side, 4), np.float32), np.empty((side, side, 3), np.float32)
    for y in range(side):
        for x in range(side):
            for dy in range(SUPERSAMPLE):
                for dx in range(SUPERSAMPLE):
                    pixel = linear[y * SUPERSAMPLE + dy, x * SUPERSAMPLE + dx]
                    for c in range(3):
                        v = pixel[c] * exposure
                        small[y, x, c] += v / (1 + max(v - 0.5, np.float32(0)) * 0.7)  # highlights roll off
                    small[y, x, 3] += pixel[3]
            for c in range(4):
                small[y, x, c] *= np.float32(1 / SUPERSAMPLE**2)
    reach = max(side // 128, 1)  # the blur's standard deviation: about 1 pixel at 128
    for y in range(side):
        for x in range(side):
            x0, x1, x3, x4 = (
                max(x - 2 * reach, 0),
                max(x - reach, 0),
                min(x + reach, side - 1),
                min(x + 2 * reach, side - 1),
            )
            for c in range(3):
                ends, near = small[y, x0, c] + small[y, x4, c], small[y, x1, c] + small[y, x3, c]
                rows[y, x, c] = (ends + 4 * near + 6 * small[y, x, c]) * np.float32(1 / 16)
    for y in range(side):
        y0, y1, y3, y4 = (
            max(y - 2 * reach, 0),
            max(y - reach, 0),
            min(y + reach, side - 1),
            min(y + 2 * reach, side - 1),
        )
        for x in range(side):
            blur = min(softness + small[y, x, 3], np.float32(1))
            for c in range(3):
                ends, near = rows[y0, x, c] + rows[y4, x, c], rows[y1, x, c] + rows[y3, x, c]
                soft = (ends + 4 * near + 6 * rows[y, x, c]) * np.float32(1 / 16)
                value = small[y, x, c] + blur * (soft - small[y, x, c])
                value = np.float32(np.float64(min(max(value, np.float32(0)), np.float32(1))) ** (1 / 2.2))
                value += noise * (0.5 + value) * grain[y, x, c]
                out[y, x, c] = np.uint8(min(max(value * 255 + 0.5, np.float32(0)), np.float32(255)))


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
    for t in range(len(arkit)):
        fragments = rasterize(torch.from_numpy(screen[t : t + 1]), triangles, side)
        points, linear = world[t], np.zeros((side, side, 4), np.float32)
        linear[..., :3] = scene.background  # out of focus as it is
        inside = np.clip(1.1 - 2.4 * (lips[t] - moved[t, :, 2]), 0.06, 0.95).astype(np.float32)
        _shade(
            fragments.face_id[0].numpy(), fragments.bary[0].numpy(), person.triangles, person.kind, points,
            _normals(points, person.triangles), light_in, inside, person.uv_triangles, person.uv, person.texture,
            person.strands, person.wrinkles, creases[t].astype(np.float32), scene.lights, scene.sky, scene.ground,
            person.hair_colour,
            person.cloth_colour, person.fabric, (product(turns[t], crown) + shifts[t, 0]).astype(np.float32), focus[t],
            np.float32(scene.aperture), linear,
        )  # fmt: skip
        grain = rng.normal(size=(size, size, 3)).astype(np.float32)
        _develop(
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
