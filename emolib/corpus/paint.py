"""The paint of a synthetic person: a texture with skin, eyes, teeth and scalp, masks of wrinkles, strands of hair.

The colours of :mod:`emolib.face.skin` (which also colour the 3DMM), evaluated at every texel, and on top what a 3DMM with one
colour a vertex cannot say: pores, lines of the lips, lashes, the hair on the scalp, creases. What belongs to the face is
painted in the coordinates of the mean face, what belongs to the hair in those of the template head (raw MakeHuman
decimetres: y up, z to the front, eyes at y = 7.28, crown at 8.49), so it lies right on every head. Linear RGB.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, zoom
from scipy.spatial import cKDTree

from emolib.face.build import region_weights
from emolib.face.heads import PARTS, HeadSampler
from emolib.face.model import FaceModel, default_path
from emolib.face.render import rasterize
from emolib.face.skin import REGIONS, Anatomy, Skin, albedo

TEXTURE = 512
KINDS = ("skin", "mouth", "eye", "teeth", "tongue", "socket", "hair", "cloth", "shell")
KIND_OF_PART = np.array(
    [KINDS.index({"neck": "skin"}.get(name.split("_")[0], name.split("_")[0])) for name in PARTS], np.int8
)
WRINKLES = ("forehead", "glabella", "nasolabial", "crow", "nose")
# The hairline of the template, seen from the side: height y at depth z.
_HAIRLINE = (
    [-0.4, 0.0, 0.2, 0.42, 0.6, 0.72, 0.85, 1.0, 1.2, 1.5],
    [6.5, 6.6, 6.9, 7.2, 7.3, 7.3, 7.6, 7.85, 8.02, 8.15],
)


def hair_depth(points: np.ndarray) -> np.ndarray:
    """How far template points (..., 3) lie behind the hairline (dm, negative in the face); the ears are bare."""
    height = np.interp(points[..., 2], *_HAIRLINE)
    recess = 0.12 * np.exp(-(((np.abs(points[..., 0]) - 0.45) / 0.15) ** 2)) * (points[..., 2] > 0.8)
    ear = (np.abs(points[..., 0]) > 0.735) & (points[..., 1] < 7.62) & (points[..., 2] > -0.15)
    return np.where(ear, -1.0, points[..., 1] - height - recess)


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
    anatomy: Anatomy

    @classmethod
    def make(cls) -> "_Atlas":
        sampler, model = HeadSampler(), FaceModel.load(default_path())
        shared, mean = sampler.template, model.mean_shape.numpy()
        screen = np.stack(
            [shared.uv[:, 0] * TEXTURE, (1 - shared.uv[:, 1]) * TEXTURE, np.full(len(shared.uv), 10.0)], 1
        )
        screen = torch.from_numpy(screen.astype(np.float32))[None]
        fragments = rasterize(screen, torch.from_numpy(shared.uv_triangles), TEXTURE)
        face, bary = fragments.face_id[0].numpy(), fragments.bary[0].numpy()
        # texels beside an island take the nearest one's point, so that bilinear look-ups at seams find no hole
        away, (rows, columns) = distance_transform_edt(face < 0, return_indices=True)
        where = np.nonzero(away < 4)
        source = rows[where], columns[where]
        face, bary = face[source], bary[source][..., None]
        corners = shared.triangles[face]
        weights = region_weights(sampler)
        anatomy = Anatomy.of(mean, model.landmark_index.numpy(), weights)
        at = {"raw": shared.vertices, "points": mean, "weights": weights}
        at = {name: (bary * values[corners]).sum(1).astype(np.float32) for name, values in at.items()}
        return cls(where=where, kind=KIND_OF_PART[shared.part[face]], anatomy=anatomy, **at)


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise over the texture, (P,) of standard deviation about 1, ``cells`` (rows, columns) to the picture."""
    grid = rng.normal(size=(cells[0] + 1, cells[1] + 1)).astype(np.float32)
    picture = zoom(grid, (TEXTURE / grid.shape[0], TEXTURE / grid.shape[1]), order=1, mode="nearest", grid_mode=True)
    return 1.4 * picture[_atlas().where]


def paint(skin: Skin, style: str, crease: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """-> texture (512, 512, 4) linear RGB and shine, wrinkles (512, 512, 5) uint8."""
    atlas = _atlas()
    # the colours of skin.py are meant to be shown as they are; here they are lit, and photographed
    colour = albedo(skin, atlas.points, atlas.weights, atlas.anatomy) ** 1.9
    is_skin = atlas.kind == KINDS.index("skin")
    pores = _noise(rng, (TEXTURE, TEXTURE)) * 0.02 + _noise(rng, (TEXTURE // 4, TEXTURE // 4)) * 0.02
    colour *= 1 + (pores * is_skin)[:, None]
    lips = atlas.weights[:, REGIONS.index("lips")]
    colour *= (1 - 0.25 * lips * np.clip(_noise(rng, (TEXTURE // 4, TEXTURE)), 0, 1))[:, None]
    lashes = _lashes(atlas.points, atlas.anatomy) * is_skin * rng.uniform(0.5, 0.95)
    colour *= (1 - lashes)[:, None]
    wrinkles = _wrinkle_masks(atlas.points, atlas.anatomy) * is_skin[:, None]
    colour *= (1 - 0.25 * np.clip(crease - 0.4, 0, 1) * wrinkles[:, [0, 2, 3]].max(1))[
        :, None
    ]  # what age leaves at rest
    strands = _strands(*crown(atlas.raw), rng)
    cover = {"bald": 0.12, "shaved": 0.75}.get(style, 1.0) * is_skin
    cover = cover * np.clip(hair_depth(atlas.raw) / 0.12 + 0.25 * _noise(rng, (TEXTURE // 3, TEXTURE // 3)), 0, 1)
    colour += cover[:, None] * (skin.hair**2.2 * strands[:, None] - colour)
    shine = np.where(is_skin, 0.42 + 0.1 * _noise(rng, (12, 12)) + 0.5 * lips, 0.3) * (1 - 0.7 * cover)
    texture = np.zeros((TEXTURE, TEXTURE, 4), np.float32)
    texture[atlas.where] = np.column_stack([colour, shine.clip(0.05, 1.2)])
    masks = np.zeros((TEXTURE, TEXTURE, len(WRINKLES)), np.uint8)
    masks[atlas.where] = np.round(255 * wrinkles.clip(0, 1))
    return texture, masks


def crown(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polar coordinates of template points (..., 3) about the crown: angle around it (0 is the front), distance (dm)."""
    out = raw - np.array([0.0, 8.4, 0.1])
    return np.arctan2(out[..., 0], out[..., 2]), np.linalg.norm(out, axis=-1)


def _strands(around: np.ndarray, down: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness about 1 of hair that runs outwards from the crown: locks and fine strands."""
    waves = sum(
        rng.normal() * np.sin(k * around + rng.uniform(0, 6) + rng.normal(0, 2) * down) for k in range(14, 200, 7)
    )
    return np.clip(1 + 0.06 * waves, 0.5, 1.6)


def strand_texture(rng: np.random.Generator) -> np.ndarray:
    around, down = np.meshgrid(np.linspace(-np.pi, np.pi, TEXTURE), np.linspace(0, 4, TEXTURE))
    return _strands(around, down, rng).astype(np.float32)


def _lashes(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Darkness (P,) of the lashes along the lids: strong above, weak below."""
    out = np.zeros(len(points))
    for lid, strength in (
        ((36, 37, 38, 39), 0.9), ((42, 43, 44, 45), 0.9), ((36, 41, 40, 39), 0.35), ((42, 47, 46, 45), 0.35),
    ):  # fmt: skip
        corners = anatomy.landmarks[list(lid)]
        line = np.stack([np.interp(np.linspace(0, 3, 25), range(4), corners[:, k]) for k in range(3)], 1)
        distance = cKDTree(line).query(points)[0]
        out = np.maximum(out, strength * np.exp(-((distance / 0.02) ** 2)))
    return out


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
