"""The ICT face kit's folder of OBJ files as the arrays of a :class:`emolib.face.model.FaceModel`.

Li et al., "Learning formation of physically-based face attributes", CVPR 2020 (MIT licence). Reading it takes some seconds, for it is 134
text files: ``load_face_model(folder).save("ict.npz")`` keeps the result. :mod:`emolib.face.loaders` checks what is read.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT
from emolib.face.camera import SCALE
from emolib.face.geometry import umeyama
from emolib.face.model import REGIONS
from emolib.face.npz import in_range, refuse_file

ICT_REMEDY = "fetch the kit's FaceXModel folder anew"
ICT_PARTS = {  # the kit's vertices (its README): first, end
    "face": (0, 6706),  # "narrow face area"
    "head": (6706, 11248),  # the rest of the skin
    "mouth": (11248, 13294),
    "socket": (13294, 14062),
    "gums": (14062, 17039),  # and tongue
    "teeth": (17039, 21451),
    "left eye": (21451, 23021),
    "right eye": (23021, 24591),
}
ICT_VERTICES = 26719  # the rest is see-through in the kit (tear film, lashes, shade): opaque, it would hide the eyes
ICT_TILES = 6  # its texture tiles side by side: face, head, gums, teeth, and the eyes, which lie over the face
ACTION_RMS = 0.2  # weight of an action in the random expressions that our own basis is made of: root mean square


def ict_shapes(action: str) -> tuple[str, ...]:
    """The kit's expression(s) that make up an ARKit action: sides are _L and _R, two actions are split, tongueOut is not there."""
    if action in ("browInnerUp", "cheekPuff"):
        return f"{action}_L", f"{action}_R"
    if action == "tongueOut":
        return ()
    side = action.replace("Left", "_L").replace("Right", "_R")
    return (action if action in ("jawLeft", "jawRight", "mouthLeft", "mouthRight") else side,)  # directions, not sides


def read_ict(folder: str | Path, default: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The kit's ``FaceXModel`` folder of OBJ files -> the arrays of a model (24,591 vertices, 48,836 triangles).

    - Units: centimetres become units of 125 mm, those of the default model, whose middle of the 68 landmarks they share,
      so a pose means the same for both. The kit's eyelashes, tear film and other transparent parts are left out.
    - Identity: the first 80 of its 100 modes, each one standard deviation.
    - Expression: 53 named shapes. Their principal axes, scaled so that actions of rms 0.2 give beta unit mean square, are the
      first 53 of beta; the other 11 are zero. ``arkit_to_beta`` and back is exact for 51 actions; the kit has no tongueOut.
    - The kit has no albedo modes: each vertex takes those of its nearest neighbours of the same part of the default model,
      once the 68 landmarks have been laid over each other. Lips, ears, neck, scalp and tongue are told in the same way.
    - uv: the kit's tiles side by side.
    """
    folder = Path(folder)
    refuse = partial(refuse_file, folder, ICT_REMEDY)

    def read(name: str, **options) -> tuple[np.ndarray, ...]:
        mesh = read_obj(folder / f"{name}.obj", **options)
        if len(mesh[0]) != ICT_VERTICES:
            refuse(f"{name}.obj", f"has {len(mesh[0])} vertices", str(ICT_VERTICES))
        if not np.isfinite(mesh[0]).all():
            refuse(f"{name}.obj", "has vertices that are nan or infinite", "numbers")
        return mesh

    neutral, uv, triangles, uv_triangles = read("generic_neutral_mesh")
    in_range(refuse, "the faces of generic_neutral_mesh.obj", triangles, 0, ICT_VERTICES - 1)
    in_range(refuse, "the texture corners of generic_neutral_mesh.obj", uv_triangles, 0, len(uv) - 1)
    landmarks = _ict_landmarks(folder, refuse)
    kept = max(end for _, end in ICT_PARTS.values())
    whole = (triangles < kept).all(1)
    triangles, uv_triangles = triangles[whole], uv_triangles[whole]

    def shapes(names: list[str]) -> np.ndarray:
        moved = np.empty((len(names), kept, 3), np.float32)
        for row, name in zip(moved, names):
            row[:] = read(name, faces=False)[0][:kept] - neutral[:kept]
        return moved * np.float32(SCALE / 10)

    mean = neutral[:kept].astype(np.float64) * (SCALE / 10)
    mean += default["mean_shape"][default["landmark_index"]].mean(0) - mean[landmarks].mean(0)
    near, weights = _neighbours(mean, landmarks, default)
    return _ict_regions(mean, landmarks, near[:, 0], default) | {
        "mean_shape": mean.astype(np.float32),
        "id_basis": shapes([f"identity{i:03d}" for i in range(80)]),
        **_ict_expressions(shapes([name for action in ARKIT for name in ict_shapes(action)])),
        "mean_albedo": np.einsum("vkc,vk->vc", default["mean_albedo"][near], weights),
        "albedo_basis": np.einsum("nvkc,vk->nvc", default["albedo_basis"].astype(np.float32)[:, near], weights),
        "triangles": triangles,
        "landmark_index": landmarks,
        "uv": _ict_uv(uv, triangles, uv_triangles),
        "uv_triangles": uv_triangles,
        "arkit_names": np.array(ARKIT),
        "mm_per_unit": np.float32(100 / SCALE),
    }


def read_obj(path: str | Path, *, faces: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """OBJ -> vertices (V, 3), uv (T, 2), triangles (F, 3) and uv_triangles (F, 3), counted from 0; polygons become fans.

    Reads lines ``v x y z``, ``vt u v`` and ``f v/vt v/vt v/vt ...``; ``faces=False`` reads the vertices only. Raises
    :class:`EmolibError` for a file that is missing or written otherwise.
    """
    path = Path(path)
    if not path.is_file():
        raise EmolibError(f"no file {path}; expected an OBJ of the ICT face kit: {ICT_REMEDY}")
    lines = path.read_bytes().splitlines()
    polygons = [line.split()[1:] for line in lines if line.startswith(b"f ")] if faces else []
    try:
        vertices = _columns(lines, b"v ", 3)
        uv = _columns(lines if faces else [], b"vt ", 2)
        corners = [[tuple(map(int, corner.split(b"/")[:2])) for corner in polygon] for polygon in polygons]
        fans = [(p[0], p[i], p[i + 1]) for p in corners for i in range(1, len(p) - 1)]
        index = np.array(fans, np.int64).reshape(-1, 3, 2) - 1
    except ValueError as error:
        raise EmolibError(f"{path} is not a readable OBJ ({error}); expected v, vt and f lines: {ICT_REMEDY}") from None
    return vertices, uv, index[..., 0].copy(), index[..., 1].copy()


def _columns(lines: list[bytes], tag: bytes, count: int) -> np.ndarray:
    """The first ``count`` numbers of each line with this tag: (n, count) float32. ValueError if lines differ in length or are short."""
    rows = [line[len(tag) :] for line in lines if line.startswith(tag)]
    table = np.array(list(map(float, b" ".join(rows).split())), np.float32).reshape(len(rows), -1 if rows else count)
    if table.shape[1] < count:
        raise ValueError(f"'{tag.decode().strip()}' with {table.shape[1]} numbers, not {count}")
    return table[:, :count]


def _ict_landmarks(folder: Path, refuse) -> np.ndarray:
    try:
        index = np.array(json.loads((folder / "vertex_indices.json").read_text())["idx_to_landmark_verts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse("vertex_indices.json", f"cannot be read ({error!r})", "a list idx_to_landmark_verts")
    if index.shape != (68,) or index.dtype.kind != "i":
        refuse("idx_to_landmark_verts", f"is {index.dtype} {index.shape}", "68 whole numbers")
    in_range(refuse, "idx_to_landmark_verts", index, 0, ICT_PARTS["head"][1] - 1)  # on the skin
    return index


def _ict_expressions(moved: np.ndarray) -> dict[str, np.ndarray]:
    """Displacements (53, V, 3) of the kit's shapes, in the order of the ARKit actions -> basis and maps.

    With D = U S V' the displacements as rows, weights w make w D = (w U / r) (r U' D): beta = w U / r for the rms weight r.
    """
    flat = moved.reshape(len(moved), -1)
    axes = np.linalg.eigh(flat.astype(np.float64) @ flat.T)[1][:, ::-1]  # U: largest first
    parts = [ict_shapes(action) for action in ARKIT]
    owner = np.repeat(np.arange(len(ARKIT)), [len(names) for names in parts])
    to_shapes = np.eye(len(ARKIT))[:, owner]  # (52, 53): the halves of a split action move together
    basis = np.zeros((64, *moved.shape[1:]), np.float32)
    basis[: len(moved)] = np.tensordot(ACTION_RMS * axes.T, moved, 1)
    to_beta, to_arkit = np.zeros((len(ARKIT), 64), np.float32), np.zeros((64, len(ARKIT)), np.float32)
    to_beta[:, : len(moved)] = to_shapes @ axes / ACTION_RMS
    to_arkit[: len(moved)] = ACTION_RMS * axes.T @ np.linalg.pinv(to_shapes)
    return {"exp_basis": basis, "arkit_to_beta": to_beta, "beta_to_arkit": to_arkit}


def _neighbours(
    mean: np.ndarray, landmarks: np.ndarray, default: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Three vertices (V, 3) of the default model near each of the kit's, nearest first, and their weights (V, 3), which sum to 1.

    A similarity lays the landmarks over each other, a spline in space takes up what it leaves (brows and lips would fray), and
    only vertices of the same part count.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import cKDTree

    theirs = default["mean_shape"].astype(np.float64)
    target = theirs[default["landmark_index"]]
    scale, rotation, shift = umeyama(mean[landmarks], target)
    rigid = scale * mean @ rotation.T + shift
    anchors = rigid[landmarks]
    placed = rigid + RBFInterpolator(anchors, target - anchors, kernel="linear", degree=0, smoothing=1e-3)(rigid)
    region = {name: default[f"region_{name}"] for name in REGIONS}
    left = theirs[:, 0] > 0
    like = {"face": region["skin"], "head": region["skin"], "gums": region["mouth"] | region["tongue"]}
    like |= {"left eye": region["eyes"] & left, "right eye": region["eyes"] & ~left}
    index, far = np.empty((len(mean), 3), np.int64), np.empty((len(mean), 3))
    for part, (first, end) in ICT_PARTS.items():
        candidates = np.flatnonzero(like[part] if part in like else region[part])
        own = placed[first:end]
        if part.endswith("eye"):  # stays a ball, and irises must meet, or colour and gaze part
            own = rigid[first:end] + theirs[candidates].mean(0) - rigid[first:end].mean(0)
        far[first:end], near = cKDTree(theirs[candidates]).query(own, 3)
        index[first:end] = candidates[near]
    weights = 1 / (far**2 + 1e-9)
    return index, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _ict_regions(
    mean: np.ndarray, landmarks: np.ndarray, nearest: np.ndarray, default: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    part = {name: np.zeros(len(nearest), bool) for name in ICT_PARTS}
    for name, (first, end) in ICT_PARTS.items():
        part[name][first:end] = True
    label = {name: default[f"region_{name}"][nearest] for name in ("lips", "ears", "neck", "scalp", "tongue")}
    tongue = part["gums"] & label["tongue"]
    regions = {
        "face": part["face"] & (mean[:, 1] > mean[landmarks[8], 1] - 0.05),  # the kit's goes on to the throat
        "skin": part["face"] | part["head"],
        "lips": part["face"] & label["lips"],
        "mouth": part["mouth"] | part["gums"] & ~tongue,
        "tongue": tongue,
        "teeth": part["teeth"],
        "eyes": part["left eye"] | part["right eye"],
        "socket": part["socket"],
    }
    rest = regions["skin"] & ~regions["face"]
    regions |= {name: rest & label[name] for name in ("ears", "neck", "scalp")}
    return {f"region_{name}": mask for name, mask in regions.items()}


def _ict_uv(uv: np.ndarray, triangles: np.ndarray, uv_triangles: np.ndarray) -> np.ndarray:
    """The kit's tiles 0-3 (u runs on from tile to tile) and two more for the eyes, which it draws over tile 0 -> [0, 1]."""
    uv = uv.copy()
    for tile, name in enumerate(("left eye", "right eye"), start=ICT_TILES - 2):
        first, end = ICT_PARTS[name]
        own = np.unique(uv_triangles[((triangles >= first) & (triangles < end)).all(1)])
        uv[own, 0] += tile
    used = np.zeros(len(uv), bool)
    used[uv_triangles] = True
    return np.where(used[:, None], uv / [ICT_TILES, 1], 0).astype(np.float32)
