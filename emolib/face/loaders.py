"""Face models on disk, as a :class:`emolib.face.model.FaceModel`: our own npz, BFM09 as D3DFR packs it, the ICT face kit.

Each reader gives the arrays that our npz holds, by the same names and in the conventions of :mod:`emolib.face.model`;
`load_face_model` checks them, whoever wrote them, and assembles the model. The kit is read by :mod:`emolib.face.ict`.

Sources: Paysan et al., "A 3D face model for pose and illumination invariant face recognition", AVSS 2009 (BFM09); Deng et
al., "Accurate 3D face reconstruction with weakly-supervised learning", CVPRW 2019 (D3DFR, its file layout and its
expressions after Guo et al. 2018).
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT
from emolib.face.ict import ICT_REMEDY, read_ict
from emolib.face.model import ARRAYS, INDICES, REGIONS, FaceModel
from emolib.face.npz import checked, in_range, read_npz, refuse_file
from emolib.weights import PRETRAINED

SHIPPED = "face_model.npz"


def default_path() -> Path:
    """The file of the face model that ships. Raises :class:`EmolibError` if it is not there."""
    path = PRETRAINED / SHIPPED
    if not path.is_file():
        raise EmolibError(
            f"no face model at {path}, where the shipped one lies; fetch it or run `python -m synthface.build`"
        )
    return path


def load_face_model(path: str | Path | None = None) -> FaceModel:
    """A face model on disk: a folder is the ICT face kit, ``.mat`` is BFM09 of D3DFR, anything else our npz.

    Without ``path`` the one that ``$EMOLIB_FACE_MODEL`` names, else the shipped one. Raises :class:`EmolibError` for what is missing,
    unreadable, of a wrong shape or type, not finite, or out of range.
    """
    if path is None and (named := os.environ.get("EMOLIB_FACE_MODEL")):
        if not Path(named).exists():
            raise EmolibError(f"no {named}, which EMOLIB_FACE_MODEL names; expected a face model: correct or unset it")
        path = named
    path = default_path() if path is None else Path(path)
    if path.is_dir():
        default = read_npz(default_path(), (*ARRAYS, "arkit_names"), "face model")
        return _assemble(path, read_ict(path, default), ICT_REMEDY)
    if path.suffix.lower() == ".mat":
        return _assemble(path, read_bfm(path), BFM_REMEDY)
    return _assemble(path, read_npz(path, (*ARRAYS, "arkit_names"), "face model"), "make the file anew")


def _assemble(path: Path, arrays: dict[str, np.ndarray], remedy: str) -> FaceModel:
    """Arrays of :data:`ARRAYS`, 'arkit_names', 'region_<name>' and perhaps 'explained' -> a model that is sound."""
    refuse = partial(refuse_file, path, remedy)
    named = {"V": arrays["mean_shape"], "F": arrays["triangles"], "T": arrays["uv"]}
    sizes = {letter: (array.shape or (0,))[0] for letter, array in named.items()}
    sound = {}
    for name, letters in ARRAYS.items():
        shape = tuple(sizes[n] if isinstance(n, str) else n for n in letters)
        kind = "iu" if name in INDICES else "fiu"
        sound[name] = checked(arrays[name], f"{name} of {path}", shape, remedy, kind)
        if name in INDICES:
            in_range(refuse, name, sound[name], 0, sizes[INDICES[name]] - 1)
        if not sound[name].size:
            refuse(name, "is empty", "at least one row")
    for name in ("mean_albedo", "uv"):
        if sound[name].min() < -1e-3 or sound[name].max() > 1.001:
            refuse(name, f"runs from {sound[name].min():.3g} to {sound[name].max():.3g}", "values in [0, 1]")
    scale = float(sound.pop("mm_per_unit"))
    if scale <= 0:
        refuse("mm_per_unit", f"is {scale:g}", "a positive number")
    names = tuple(str(name) for name in arrays["arkit_names"].ravel())
    if sorted(names) != sorted(ARKIT):
        odd = sorted(set(names) ^ set(ARKIT))[:3] or names[:3]
        refuse("arkit_names", f"has {len(names)} names, odd ones {', '.join(odd)}", "the 52 ARKit actions, each once")
    regions = {}
    for key in sorted({key for key in arrays if key.startswith("region_")} | {f"region_{name}" for name in REGIONS}):
        if key not in arrays:
            refuse(key, "is missing", f"a mask ({sizes['V']},)")
        regions[key.removeprefix("region_")] = checked(arrays[key], f"{key} of {path}", (sizes["V"],), remedy, "b")
    share = arrays.get("explained", np.full(3, np.nan))
    if share.dtype.kind != "f" or share.shape != (3,):
        refuse("explained", f"is {share.dtype} {share.shape}", "3 shares of variance")
    n = sound["exp_basis"].shape[0]
    mean = checked(arrays.get("beta_mean", np.zeros(n)), f"beta_mean of {path}", (n,), remedy)
    covariance = checked(arrays.get("beta_covariance", np.eye(n)), f"beta_covariance of {path}", (n, n), remedy)
    bias = checked(arrays.get("landmark_bias", np.zeros((68, 2))), f"landmark_bias of {path}", (68, 2), remedy)
    if np.linalg.eigvalsh(covariance.astype(float)).min() <= 0 or np.abs(covariance - covariance.T).max() > 1e-4:
        refuse("beta_covariance", "is no covariance", "a symmetric, positive definite matrix")
    return FaceModel(
        **{name: torch.from_numpy(value) for name, value in sound.items()},
        regions={name: torch.from_numpy(mask) for name, mask in regions.items()},
        arkit_names=names,
        mm_per_unit=scale,
        explained=torch.from_numpy(share.astype(np.float32)),
        beta_mean=torch.from_numpy(mean),
        beta_covariance=torch.from_numpy(covariance),
        landmark_bias=torch.from_numpy(bias),
    )


# BFM09 and Exp_PCA -------------------------------------------------------------------------------------------------

BFM_REMEDY = "make BFM_model_front.mat anew with D3DFR's transferBFM09"


def read_bfm(path: str | Path) -> dict[str, np.ndarray]:
    """``BFM_model_front.mat`` of D3DFR (N = 35,709 there) -> the arrays of a model. Its coefficients and pose hold as they are.

    One unit is 100 mm; the mean shape is centred on the mean of its vertices; y is up, z to the camera, x to the right of
    the image, and the bases hold the standard deviations, all as in D3DFR. What the file lacks:

    - Regions: 'face' is D3DFR's frontal mask, which it renders and compares (``frontmask2_idx``; eyes and lips are part of
      it, they are one surface here); 'skin' is its ``skinmask``, forehead, cheeks and nose; 'lips' is what lies inside the
      outline of landmarks 48-59. All others are empty: no mouth, teeth or separate eyes, ears and neck not told apart.
    - Exp_PCA has no names, so both maps to and from the ARKit actions are zero.
    - uv is a cylinder around the vertical axis through the rearmost vertex.
    """
    path = Path(path)
    matrices = _read_mat(path)
    refuse = partial(refuse_file, path, BFM_REMEDY)

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return checked(matrices[name], f"{name} of {path}", shape, BFM_REMEDY, "fiub")

    def from_one(name: str, shape: tuple[int, ...]) -> np.ndarray:
        index = array(name, shape)
        if (index != np.round(index)).any():
            refuse(name, "holds fractions", "whole numbers")
        index = index.astype(np.int64)
        in_range(refuse, name, index, 1, vertices)
        return index - 1

    vertices = matrices["meanshape"].size // 3
    mean = array("meanshape", (1, 3 * vertices)).reshape(-1, 3)
    mean = mean - mean.mean(0, dtype=np.float64).astype(np.float32)
    landmarks = from_one("keypoints", (1, 68))[0]
    triangles = from_one("tri", (len(matrices["tri"]), 3))
    regions = {f"region_{name}": np.zeros(vertices, bool) for name in REGIONS}
    regions["region_face"][from_one("frontmask2_idx", (len(matrices["frontmask2_idx"]), 1))] = True
    regions["region_skin"] = array("skinmask", (1, vertices))[0] > 0.5
    regions["region_lips"] = _inside(mean, mean[landmarks[48:60]])
    regions["region_lips"][landmarks[48:60]] = True

    def basis(name: str, count: int) -> np.ndarray:
        return np.ascontiguousarray(array(name, (3 * vertices, count)).T).reshape(count, vertices, 3)

    return regions | {
        "mean_shape": mean,
        "id_basis": basis("idBase", 80),
        "exp_basis": basis("exBase", 64),
        "mean_albedo": array("meantex", (1, 3 * vertices)).reshape(-1, 3) / 255,
        "albedo_basis": basis("texBase", 80) / 255,
        "triangles": triangles,
        "landmark_index": landmarks,
        "uv": _cylinder(mean),
        "uv_triangles": triangles,
        "arkit_to_beta": np.zeros((len(ARKIT), 64), np.float32),
        "beta_to_arkit": np.zeros((64, len(ARKIT)), np.float32),
        "arkit_names": np.array(ARKIT),
        "mm_per_unit": np.float32(100),
    }


BFM_NAMES = "meanshape meantex idBase exBase texBase tri keypoints frontmask2_idx skinmask".split()


def _read_mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    if not path.is_file():
        raise EmolibError(f"no face model file at {path}; expected D3DFR's BFM_model_front.mat: {BFM_REMEDY}")
    try:
        matrices = loadmat(path)
    except Exception as error:  # a damaged file can fail anywhere inside the parser
        raise EmolibError(
            f"{path} is not a readable mat file ({error}); expected D3DFR's layout: {BFM_REMEDY}"
        ) from None
    missing = [name for name in BFM_NAMES if not isinstance(matrices.get(name), np.ndarray)]  # a sparse matrix is none
    if missing:
        raise EmolibError(f"{path} lacks {', '.join(missing)}; expected D3DFR's BFM_model_front.mat: {BFM_REMEDY}")
    return matrices


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(V,) bool: seen from the front, inside a closed outline (n, 3), and not far behind it."""
    from matplotlib.path import Path as Outline

    return Outline(outline[:, :2]).contains_points(points[:, :2]) & (points[:, 2] > outline[:, 2].min() - 0.1)


def _cylinder(points: np.ndarray) -> np.ndarray:
    """uv (V, 2) in [0, 1]: angle around the axis through the rearmost point, left to right; height."""
    x, y, z = points.T
    uv = np.stack([np.arctan2(x, z - z.min()), y], 1)
    low, high = uv.min(0), uv.max(0)
    return ((uv - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
