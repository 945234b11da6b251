"""Shading and development of the photographs of :mod:`synthface.photo`, pixel by pixel: compiled, no fast maths (same bits everywhere).

Colours are linear RGB; directions are unit vectors in model space, towards light, camera or out of the surface; the camera looks from
(0, 0, CAMERA). Vectors are tuples of three numbers.
"""

from typing import NamedTuple

import numba
import numpy as np

from emolib.face.camera import CAMERA
from emolib.face.kernels.compiled import compiler
from synthface.paint import KINDS, TEXTURE

SUPERSAMPLE = 2
SKIN, MOUTH, EYE, TEETH, TONGUE, SOCKET, HAIR, CLOTH, SHELL = range(len(KINDS))
compiled = compiler(__name__)
# Written into its callers: a call would count references to every array that a group holds, at every pixel.
inlined = numba.njit(inline="always")


class Visible(NamedTuple):
    """What each pixel shows: face_id (S, S), -1 where empty; bary (S, S, 3)."""

    face_id: np.ndarray
    bary: np.ndarray


class Mesh(NamedTuple):
    """triangles, uv_triangles (F, 3); kind (F,) of surface; uv (Vt, 2)."""

    triangles: np.ndarray
    uv_triangles: np.ndarray
    kind: np.ndarray
    uv: np.ndarray


class Corners(NamedTuple):
    """Of N vertices: points, normals (N, 3); light_in (N, 2), ambient and key that arrive; inside (N,), light that deep in the mouth."""

    points: np.ndarray
    normals: np.ndarray
    light_in: np.ndarray
    inside: np.ndarray


class Look(NamedTuple):
    """Of a person: texture (T, T, 4) RGB and shine; strands (T, T) of hair; wrinkles (T, T, W) uint8 and how deep each is, creases (W,);
    colours of hair and cloth (3,); fabric (128, 128, 3); the crown (3,) from which strands run."""

    texture: np.ndarray
    strands: np.ndarray
    wrinkles: np.ndarray
    creases: np.ndarray
    hair: np.ndarray
    cloth: np.ndarray
    fabric: np.ndarray
    crown: np.ndarray


class Lights(NamedTuple):
    """lights (3, 6): direction and colour of key, fill, rim; sky, ground (3,): ambient light from above and below."""

    lights: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


class Spot(NamedTuple):
    """A visible point: normal, place, towards (the camera); its texture coordinates; light that arrives."""

    normal: tuple
    place: tuple
    towards: tuple
    u: float
    v: float
    ambient: float
    key: float
    deep: float


class Paint(NamedTuple):
    """What a point is made of: colour, shine, glint (of hair), and the light that reaches it."""

    colour: tuple
    shine: float
    glint: float
    ambient: float
    key: float


@compiled
def normals_of(points, triangles):
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


@inlined
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _unit(a, little):
    length = 1 / np.sqrt(_dot(a, a) + little)
    return a[0] * length, a[1] * length, a[2] * length


@inlined
def _scaled(a, factor):
    return a[0] * factor, a[1] * factor, a[2] * factor


@inlined
def _at(values, corners, weights):
    """Barycentric mean (3,) of rows of values (N, 3)."""
    i, j, k = corners
    a, b, c = weights
    return (
        a * values[i, 0] + b * values[j, 0] + c * values[k, 0],
        a * values[i, 1] + b * values[j, 1] + c * values[k, 1],
        a * values[i, 2] + b * values[j, 2] + c * values[k, 2],
    )


@inlined
def _spot(f, weights, mesh, vertices):
    """The visible point of triangle ``f`` at barycentric ``weights``; hair and cloth have no back."""
    a, b, c = weights
    i, j, k = mesh.triangles[f]
    normal = _unit(_at(vertices.normals, (i, j, k), weights), 1e-12)
    place = _at(vertices.points, (i, j, k), weights)
    towards = _unit((-place[0], -place[1], CAMERA - place[2]), 0.0)
    if _dot(normal, towards) < 0 and (mesh.kind[f] == HAIR or mesh.kind[f] == CLOTH):
        normal = _scaled(normal, -1.0)
    light, inside = vertices.light_in, vertices.inside
    p, q, r = mesh.uv_triangles[f]
    return Spot(
        normal,
        place,
        towards,
        a * mesh.uv[p, 0] + b * mesh.uv[q, 0] + c * mesh.uv[r, 0],
        a * mesh.uv[p, 1] + b * mesh.uv[q, 1] + c * mesh.uv[r, 1],
        a * light[i, 0] + b * light[j, 0] + c * light[k, 0],
        a * light[i, 1] + b * light[j, 1] + c * light[k, 1],
        a * inside[i] + b * inside[j] + c * inside[k],
    )


@inlined
def _texel(texture, x, y, c):
    """Channel ``c`` of a texture (T, T, 4) at (x, y) pixels, bilinear."""
    ix, iy = int(x), int(y)
    fx, fy = x - ix, y - iy
    above = texture[iy, ix, c] * (1 - fx) + texture[iy, ix + 1, c] * fx
    below = texture[iy + 1, ix, c] * (1 - fx) + texture[iy + 1, ix + 1, c] * fx
    return above * (1 - fy) + below * fy


@inlined
def _paint(what, spot, look):
    """What the surface is made of at a spot."""
    top = look.texture.shape[0] - 1.01
    x, y = min(max(spot.u * TEXTURE - 0.5, 0.0), top), min(max((1 - spot.v) * TEXTURE - 0.5, 0.0), top)
    r, g, b = _texel(look.texture, x, y, 0), _texel(look.texture, x, y, 1), _texel(look.texture, x, y, 2)
    shine, ambient, key, deep = _texel(look.texture, x, y, 3), spot.ambient, spot.key, spot.deep
    if what == SKIN:
        crease = 0.0
        for k in range(look.creases.shape[0]):
            crease += look.creases[k] * look.wrinkles[int(y), int(x), k] / 255
        crease = min(0.6 * crease, 0.4)
        return Paint(
            (r * (1 - 0.8 * crease), g * (1 - crease), b * (1 - crease)), shine * (1 - crease), 1.0, ambient, key
        )
    if what == HAIR:
        strand, hair = np.float64(look.strands[int(y), int(x)]), look.hair
        colour = (hair[0] * strand, hair[1] * strand, hair[2] * strand)
        return Paint(colour, strand, strand, 0.25 + 0.75 * ambient, 0.25 + 0.75 * key)
    if what == SHELL:
        glint = (g + 0.002) / (look.hair[1] + 0.002)
        return Paint(
            (r, g, b), shine, glint if glint < 1.7 else 0.0, 0.15 + 0.85 * ambient, key
        )  # or skin shows through
    if what == CLOTH:
        weave, cloth = look.fabric[int(spot.v * 768) & 127, int(spot.u * 1536) & 127], look.cloth
        colour = (np.float64(cloth[0] * weave[0]), np.float64(cloth[1] * weave[1]), np.float64(cloth[2] * weave[2]))
        return Paint(colour, 0.05, 1.0, 0.3 + 0.7 * ambient, 0.3 + 0.7 * key)
    if what == EYE:
        return Paint((r, g, b), shine, 1.0, 0.25 + 0.75 * ambient, 0.2 + 0.8 * key)
    if what == SOCKET:
        return Paint((r, g, b), shine, 1.0, ambient, key)
    # Inside the mouth, what light there is comes from red walls.
    return Paint((r, g * (0.85 + 0.15 * deep), b * (0.8 + 0.2 * deep)), shine, 1.0, deep, deep)


@inlined
def _wrap(what, shine):
    """How far light reaches round the terminator, for red, green and blue: through skin and lips it goes on, red the furthest."""
    if what == SKIN or what == TONGUE or what == MOUTH or (what == SHELL and shine >= 0.1):
        return 0.3, 0.2, 0.16
    if what == TEETH or what == EYE:
        return 0.35, 0.35, 0.35
    return 0.05, 0.05, 0.05


@inlined
def _strand_gloss(spot, half, nl, glint, look):
    """Kajiya and Kay: the shine of a strand that runs from the crown outwards, along the surface."""
    n, crown = spot.normal, look.crown
    away = (spot.place[0] - crown[0], spot.place[1] - crown[1], spot.place[2] - crown[2])
    along = _dot(away, n)
    strand = _unit((away[0] - along * n[0], away[1] - along * n[1] - 0.5, away[2] - along * n[2]), 1e-9)
    th = _dot(strand, half)
    return 0.05 * glint * glint * (0.3 + 2 * look.hair[1]) * max(1 - th * th, 0.0) ** 20 * max(nl + 0.2, 0.0)


@inlined
def _gloss(what, k, spot, half, nl, paint):
    """The shine of light number ``k``: Blinn and Phong with Schlick's Fresnel; eyes and wet surfaces have their own."""
    nh = max(_dot(spot.normal, half), 0.0)
    fresnel = 0.04 + 0.96 * (1 - max(_dot(spot.towards, half), 0.0)) ** 5
    if what == EYE:
        shine = (3.0 if k == 0 else 0.5) * nh**180 + 0.2 * nh**30 * fresnel
    elif what == TEETH or what == TONGUE or what == MOUTH:
        shine = spot.deep * (0.5 * nh**60)
    else:
        shine = paint.shine * fresnel * (1.6 * nh**10 + 3.5 * nh**35)
    return shine * max(min(4 * nl, 1.0), 0.0)


@inlined
def _lit(what, spot, paint, look, light):
    """Linear RGB of a spot."""
    up, ambient = 0.5 + 0.5 * spot.normal[1], paint.ambient
    wrap, hairy = _wrap(what, paint.shine), what == HAIR or (what == SHELL and paint.shine < 0.1)
    sky, ground, lights = light.sky, light.ground, light.lights
    diffuse = (
        ambient * (sky[0] * up + ground[0] * (1 - up)),
        ambient * (sky[1] * up + ground[1] * (1 - up)),
        ambient * (sky[2] * up + ground[2] * (1 - up)),
    )
    gloss = (0.0, 0.0, 0.0)
    for k in range(3):
        towards = (np.float64(lights[k, 0]), np.float64(lights[k, 1]), np.float64(lights[k, 2]))
        seen = paint.key if k == 0 else 0.4 + 0.6 * ambient if k == 1 else ambient
        nl, eye = _dot(spot.normal, towards), spot.towards
        half = _unit((towards[0] + eye[0], towards[1] + eye[1], towards[2] + eye[2]), 1e-9)
        shine = _strand_gloss(spot, half, nl, paint.glint, look) if hairy else _gloss(what, k, spot, half, nl, paint)
        arrives = (seen * lights[k, 3], seen * lights[k, 4], seen * lights[k, 5])
        diffuse = (
            diffuse[0] + arrives[0] * max((nl + wrap[0]) / (1 + wrap[0]), 0.0) * 0.5,
            diffuse[1] + arrives[1] * max((nl + wrap[1]) / (1 + wrap[1]), 0.0) * 0.5,
            diffuse[2] + arrives[2] * max((nl + wrap[2]) / (1 + wrap[2]), 0.0) * 0.5,
        )
        gloss = (gloss[0] + arrives[0] * shine, gloss[1] + arrives[1] * shine, gloss[2] + arrives[2] * shine)
    r, g, b = paint.colour
    return r * diffuse[0] + gloss[0], g * diffuse[1] + gloss[1], b * diffuse[2] + gloss[2]


@compiled
def shade(visible, mesh, vertices, look, light, focus, aperture, out):
    """Fills ``out`` (S, S, 4), linear RGB and blur, where a triangle shows. focus: z that is sharp; aperture: blur a unit away from it."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            f = visible.face_id[y, x]
            if f < 0:
                continue
            weights = (
                np.float64(visible.bary[y, x, 0]),
                np.float64(visible.bary[y, x, 1]),
                np.float64(visible.bary[y, x, 2]),
            )
            spot = _spot(f, weights, mesh, vertices)
            colour = _lit(mesh.kind[f], spot, _paint(mesh.kind[f], spot, look), look, light)
            for c in range(3):
                out[y, x, c] = colour[c]
            out[y, x, 3] = aperture * max(abs(spot.place[2] - focus) - 0.25, 0.0)  # the face itself is in focus


@compiled
def develop(linear, grain, exposure, noise, softness, out):
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
