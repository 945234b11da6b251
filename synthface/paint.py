"""The paint of a synthetic person: a texture with skin, eyes, teeth and scalp, masks of wrinkles.

The skin tones of :mod:`synthface.skin` (which also colour the 3DMM), evaluated at every texel, and on top what a 3DMM with one
colour a vertex cannot say: pores, creases, hair on the scalp, and all of :mod:`synthface.features`. What belongs to the face is
painted in the coordinates of the mean face, what belongs to the hair in those of the template head (raw MakeHuman
decimetres: y up, z to the front, eyes at y = 7.28, crown at 8.49), so it lies right on every head. Linear RGB.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, zoom
from scipy.spatial import cKDTree

from emolib.face.loaders import default_path, load_face_model
from emolib.face.render import rasterize
from synthface import features
from synthface.build import region_weights
from synthface.hair import Hair, hair_depth
from synthface.heads import HeadSampler
from synthface.skin import Anatomy, Skin, albedo, skin_tone
from synthface.template import PARTS

TEXTURE = 512
__all__ = ["KINDS", "KIND_OF_PART", "TEXTURE", "WRINKLES", "hair_depth", "paint"]
KINDS = ("skin", "mouth", "eye", "teeth", "tongue", "socket", "hair", "cloth", "shell")
KIND_OF_PART = np.array(
    [KINDS.index({"neck": "skin"}.get(name.split("_")[0], name.split("_")[0])) for name in PARTS], np.int8
)
WRINKLES = ("forehead", "glabella", "nasolabial", "crow", "nose")


@functools.cache
def _atlas() -> "_Atlas":
    return _Atlas.make()


@dataclass(frozen=True, eq=False)
class _Atlas:
    """What lies at each texel of the texture (row 0 is v = 1), the same for everyone. ``where``: the texels in use."""

    where: tuple[np.ndarray, np.ndarray]  # rows, columns (P,)
    raw: np.ndarray  # (P, 3) on the template, raw decimetres
    points: np.ndarray  # (P, 3) on the mean shape of the face model
    weights: np.ndarray  # (P, R) of skin.REGIONS
    kind: np.ndarray  # (P,) index into KINDS
    upper: np.ndarray  # (P,) bool: upper teeth
    anatomy: Anatomy

    @classmethod
    def make(cls) -> "_Atlas":
        sampler, model = HeadSampler(), load_face_model(default_path())
        shared, mean = sampler.template, model.mean_shape.numpy()
        screen = np.stack(
            [shared.uv[:, 0] * TEXTURE, (1 - shared.uv[:, 1]) * TEXTURE, np.full(len(shared.uv), 10.0)], 1
        )
        places = torch.from_numpy(screen.astype(np.float32))[None]
        fragments = rasterize(places, torch.from_numpy(shared.uv_triangles), TEXTURE)
        face, bary = fragments.face_id[0].numpy(), fragments.bary[0].numpy()
        # texels beside an island take the nearest one's point, so that bilinear look-ups at seams find no hole
        away, (rows, columns) = distance_transform_edt(face < 0, return_indices=True)
        down, across = np.nonzero(away < 4)
        where = down, across
        source = rows[where], columns[where]
        face, bary = face[source], bary[source][..., None]
        corners = shared.triangles[face]
        weights = region_weights(sampler)
        anatomy = Anatomy.of(mean, model.landmark_index.numpy(), weights)
        at = {"raw": shared.vertices, "points": mean, "weights": weights}
        at = {name: (bary * values[corners]).sum(1).astype(np.float32) for name, values in at.items()}
        part = shared.part[face]
        upper = part == PARTS.index("teeth_upper")
        return cls(where=where, kind=KIND_OF_PART[part], upper=upper, anatomy=anatomy, **at)


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise over the texture, (P,) of standard deviation about 1, ``cells`` (rows, columns) to the picture."""
    grid = rng.normal(size=(cells[0] + 1, cells[1] + 1)).astype(np.float32)
    picture = zoom(grid, (TEXTURE / grid.shape[0], TEXTURE / grid.shape[1]), order=1, mode="nearest", grid_mode=True)
    return 1.4 * picture[_atlas().where]


def paint(
    skin: Skin, sex: float, age: float, hair: Hair, crease: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A person's texture (512, 512, 4) float32, linear RGB and shine, and the masks of their :data:`WRINKLES` (512, 512, 5) uint8.

    ``sex``: 0 male .. 1 female. ``age``: years. ``crease``: how deep the wrinkles are, about 0.25 to 1.1.
    """
    atlas = _atlas()
    points, kind = atlas.points, atlas.kind
    # The colours of skin.py are meant to be shown as they are; here they are lit, and photographed. Brows and beard are painted
    # below. Power makes colours purer than they were; a part of that is taken back.
    bare = replace(
        skin,
        brow_density=0.0,
        stubble=0.0,
        blemishes=0.25 * skin.blemishes,
        freckles=0.7 * skin.freckles,
        haemoglobin=0.78 * skin.haemoglobin,
        flush=0.7 * skin.flush,
    )
    colour = _paler(albedo(bare, points, atlas.weights, atlas.anatomy).astype(np.float64) ** 1.9)
    tone = _paler(skin_tone(bare.melanin, bare.haemoglobin) ** 1.9)
    looks = features.Looks.sample(rng, skin, tone, sex, hair.brow)
    is_skin = kind == KINDS.index("skin")
    pores = _noise(rng, (TEXTURE, TEXTURE)) * 0.018 + _noise(rng, (TEXTURE // 4, TEXTURE // 4)) * 0.018
    colour *= 1 + (pores * is_skin)[:, None]
    face = np.flatnonzero(is_skin & (points[:, 2] > -0.3) & (np.abs(points[:, 0]) < 0.68) & (points[:, 1] < 0.5))
    part = colour[face]
    features.make_up(part, points[face], atlas.anatomy, looks)
    furrows = _noise(rng, (TEXTURE // 4, TEXTURE))[face]
    lip = np.zeros(len(points))
    lip[face] = features.lips(part, atlas.weights[face], looks, furrows)
    features.beard(part, points[face], atlas.anatomy, looks, rng)
    features.brows(part, points[face], atlas.anatomy, looks, rng)
    lashes = features.lashes(points[face], atlas.anatomy) * looks.liner
    part += (0.93 * lashes)[:, None] * (np.array([0.02, 0.014, 0.012]) - part)
    colour[face] = part
    for name, layer in (
        ("eye", lambda p: features.eyes(p, atlas.anatomy, skin, age, rng)),
        ("teeth", lambda p: features.teeth(p, atlas.upper[kind == KINDS.index("teeth")], atlas.anatomy, age, rng)),
    ):
        chosen = kind == KINDS.index(name)
        colour[chosen] = layer(points[chosen])
    wrinkles = _wrinkle_masks(points, atlas.anatomy) * is_skin[:, None]
    aged = 0.25 * np.clip(crease - 0.4, 0, 1) * wrinkles[:, [0, 2, 3]].max(1)  # what age leaves at rest
    colour *= (1 - aged)[:, None]
    strands = hair.strands(atlas.raw, rng)
    cover = hair.cover(atlas.raw, _noise(rng, (TEXTURE // 3, TEXTURE // 3))) * is_skin
    colour += cover[:, None] * (hair.colour * strands[:, None] - colour)
    shine = np.where(is_skin, 0.24 + 0.07 * _noise(rng, (12, 12)) + lip * (0.15 + 0.6 * looks.gloss), 0.3)
    texture = np.zeros((TEXTURE, TEXTURE, 4), np.float32)
    # the shader takes a shine below 0.1 for hair
    texture[atlas.where] = np.column_stack([colour.clip(0, 1), shine.clip(0.13, 1.2) * (1 - cover) + 0.05 * cover])
    masks = np.zeros((TEXTURE, TEXTURE, len(WRINKLES)), np.uint8)
    masks[atlas.where] = np.round(255 * wrinkles.clip(0, 1))
    return texture, masks


def _paler(colour: np.ndarray, amount: float = 0.22) -> np.ndarray:
    return (colour + amount * (colour @ np.array([0.3, 0.5, 0.2])[:, None] - colour)) * [1.0, 0.99, 0.94]


def _wrinkle_masks(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Depth (P, 5) in [0, 1] of each of WRINKLES, where they form on the mean face."""
    mark, (x, y) = anatomy.landmarks, points[:, :2].T
    brow, eye = mark[17:27, 1].mean(), mark[36:48, 1].mean()
    front = 1 / (1 + np.exp(-(points[:, 2] - mark[36, 2] + 0.1) / 0.03))

    def bump(value, centre, width):
        return np.exp(-(((value - centre) / width) ** 2))

    height = y - brow - 0.04 * np.cos(5 * x)  # lines bow a little
    forehead = bump(np.mod(height, 0.095), 0.047, 0.022) * bump(height, 0.26, 0.14) * bump(x, 0, 0.38)
    glabella = (bump(np.abs(x), 0.05, 0.014) + 0.5 * bump(x, 0, 0.01)) * bump(y, brow + 0.01, 0.08)
    nose = bump(np.mod(y + np.abs(x), 0.05), 0.025, 0.012) * bump(x, 0, 0.09) * bump(y, mark[27, 1], 0.07)
    folds, crow = np.zeros(len(points)), np.zeros(len(points))
    for side, wing, mouth, corner in ((-1, 31, 48, 36), (1, 35, 54, 45)):
        ends = mark[wing] + [0.07 * side, 0.05, 0], mark[mouth] + [0.13 * side, -0.03, 0]
        s = np.linspace(0, 1, 30)[:, None]
        curve = (1 - s) * ends[0] + s * ends[1] + np.sin(np.pi * s) * [0.04 * side, 0.02, 0]
        distance, index = cKDTree(curve[:, :2]).query(points[:, :2])
        folds = np.maximum(folds, 0.5 * np.exp(-((distance / 0.03) ** 2)) * np.sin(np.pi * (0.05 + 0.75 * index / 29)))
        away = points - mark[corner]
        radius, angle = np.hypot(away[:, 0], away[:, 1]), np.arctan2(away[:, 1], side * away[:, 0])
        crow += bump(np.mod(angle, 0.42), 0.21, 0.09) * bump(radius, 0.13, 0.05) * (np.abs(angle) < 0.9)
    masks = np.stack([forehead, glabella, folds, crow, nose], 1) * front[:, None]
    return masks * (y < eye + 1.0)[:, None]
