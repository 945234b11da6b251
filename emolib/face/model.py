"""The 3D morphable model of Eq. 1 (Xu et al. 2023) and the coefficients that drive it.

    S(alpha, beta) = S_mean + alpha B_id + beta B_exp        T(delta) = T_mean + delta B_alb

Conventions, for the whole of ``emolib.face``:

- Model space: y up, the face looks to +z, x to the right of the image. One unit is ``FaceModel.mm_per_unit`` millimetres
  of the mean head (about a decimetre). Every head is aligned to the mean by a similarity, so size lives in the pose's depth.
- Pose p = (pitch, yaw, roll in rad; tx, ty, tz in units): X' = Rz(roll) Ry(yaw) Rx(pitch) X + t; see :mod:`emolib.face.camera`.
- Landmarks: the 68 points of iBUG / Multi-PIE in their usual order. Index 36 is the outer corner of the eye on the *left of the
  image* (the person's right).
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import torch

from emolib.face.arkit import ARKIT
from emolib.face.camera import project
from emolib.face.npz import checked, read_npz, write_npz

SIZES = {"alpha": 80, "beta": 64, "delta": 80, "gamma": 27, "pose": 6}
REGIONS = ("face", "mouth", "teeth", "tongue", "eyes", "socket", "skin", "lips", "ears", "neck", "scalp")
ARRAYS: dict[
    str, tuple[int | str, ...]
] = {  # what a model must have: shape, with V vertices, F triangles, T texture coordinates
    "mean_shape": ("V", 3),
    "id_basis": (SIZES["alpha"], "V", 3),
    "exp_basis": (SIZES["beta"], "V", 3),
    "mean_albedo": ("V", 3),
    "albedo_basis": (SIZES["delta"], "V", 3),
    "triangles": ("F", 3),
    "landmark_index": (68,),
    "uv": ("T", 2),
    "uv_triangles": ("F", 3),
    "arkit_to_beta": (len(ARKIT), SIZES["beta"]),
    "beta_to_arkit": (SIZES["beta"], len(ARKIT)),
    "mm_per_unit": (),
}
INDICES = {"triangles": "V", "landmark_index": "V", "uv_triangles": "T"}  # into what


@dataclass
class Coefficients:
    """What drives the 3DMM: a batch of B faces. Vector order alpha, beta, delta, gamma, p (257 numbers, Sec. 3.1).

    alpha (B, 80) identity, ~N(0, 1); beta (B, 64) expression, unit scale; delta (B, 80) albedo, ~N(0, 1);
    gamma (B, 27) light: 3 channels x 9 spherical harmonics; pose (B, 6): pitch, yaw, roll in rad, tx, ty, tz.
    """

    alpha: torch.Tensor
    beta: torch.Tensor
    delta: torch.Tensor
    gamma: torch.Tensor
    pose: torch.Tensor

    def __post_init__(self):
        for name, size in SIZES.items():
            value = getattr(self, name)
            if value.ndim != 2 or value.shape[1] != size or len(value) != len(self.alpha):
                raise ValueError(f"{name} is {tuple(value.shape)}; expected ({len(self.alpha)}, {size})")

    @classmethod
    def zeros(cls, batch: int, device: torch.device | str = "cpu") -> "Coefficients":
        """The mean face, looking at the camera in the default light."""
        return cls(**{name: torch.zeros(batch, size, device=device) for name, size in SIZES.items()})

    @classmethod
    def from_vector(cls, vector: torch.Tensor) -> "Coefficients":
        """From (B, 257) as :meth:`to_vector` writes them."""
        if vector.ndim != 2 or vector.shape[1] != sum(SIZES.values()):
            raise ValueError(f"the vector is {tuple(vector.shape)}; expected (B, {sum(SIZES.values())})")
        return cls(**dict(zip(SIZES, vector.split(list(SIZES.values()), dim=1))))

    def to_vector(self) -> torch.Tensor:
        return torch.cat([getattr(self, name) for name in SIZES], dim=1)  # (B, 257)

    def save(self, path: str | Path) -> Path:
        """Writes one npz with an array a field, whole or not at all."""
        return write_npz(path, {name: getattr(self, name).detach().cpu().numpy() for name in SIZES})

    @classmethod
    def load(cls, path: str | Path) -> "Coefficients":
        """What :meth:`save` wrote. Raises :class:`EmolibError` for arrays of another size or type, or that are not finite."""
        arrays = read_npz(path, tuple(SIZES), "coefficients")
        batch, remedy = (*arrays["alpha"].shape, 0)[0], "fit the pictures anew"
        sound = {n: checked(arrays[n], f"{n} of {path}", (batch, size), remedy) for n, size in SIZES.items()}
        return cls(**{name: torch.from_numpy(value) for name, value in sound.items()})

    @classmethod
    def cat(cls, parts: list["Coefficients"]) -> "Coefficients":
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in SIZES})

    def __len__(self) -> int:
        return len(self.alpha)

    def __getitem__(self, index) -> "Coefficients":
        """A slice, an index (keeps the batch dimension), a list of indices or a boolean mask."""
        if isinstance(index, int | np.integer):
            index = [range(len(self))[index]]
        return Coefficients(**{name: getattr(self, name)[index] for name in SIZES})

    def replace(self, **fields_: torch.Tensor) -> "Coefficients":
        return replace(self, **fields_)

    def expand(self, n: int) -> "Coefficients":
        """One face repeated n times (a view)."""
        return Coefficients(**{name: getattr(self, name).expand(n, -1) for name in SIZES})

    def double(self) -> "Coefficients":
        return Coefficients(**{name: getattr(self, name).double() for name in SIZES})

    def to(self, device: torch.device | str) -> "Coefficients":
        return Coefficients(**{name: getattr(self, name).to(device) for name in SIZES})


@dataclass(frozen=True, eq=False)
class FaceModel:
    """Eq. 1. V vertices, F triangles; tensors are float32 but for the indices. :func:`emolib.face.loaders.load_face_model` reads one.

    ``regions``: name -> (V,) bool vertex mask. 'face' (the frontal skin that the model explains: no scalp, ears, neck), 'mouth' (its
    inside), 'teeth', 'tongue', 'eyes' (both eyeballs), 'socket' (lining of the lids), 'skin' (all skin), 'lips', 'ears', 'neck', 'scalp'.
    ``arkit_to_beta`` (52, 64): beta = actions @ arkit_to_beta for the weights, in [0, 1], of the 52 ARKit facial actions;
    ``beta_to_arkit`` (64, 52): its least-squares inverse.
    """

    mean_shape: torch.Tensor  # (V, 3)
    id_basis: torch.Tensor  # (80, V, 3), scaled so that alpha ~ N(0, 1)
    exp_basis: torch.Tensor  # (64, V, 3)
    mean_albedo: torch.Tensor  # (V, 3) in [0, 1]
    albedo_basis: torch.Tensor  # (80, V, 3)
    triangles: torch.Tensor  # (F, 3) int64
    landmark_index: torch.Tensor  # (68,) int64
    uv: torch.Tensor  # (Vt, 2) in [0, 1], v up
    uv_triangles: torch.Tensor  # (F, 3) int64 into uv
    arkit_to_beta: torch.Tensor  # (52, 64)
    beta_to_arkit: torch.Tensor  # (64, 52)
    regions: dict[str, torch.Tensor]
    arkit_names: tuple[str, ...]
    mm_per_unit: float
    explained: torch.Tensor = field(default_factory=lambda: torch.full((3,), float("nan")))
    """Share of the samples' variance that the identity, expression and albedo bases hold; nan where nobody said."""
    beta_mean: torch.Tensor = field(default_factory=lambda: torch.zeros(SIZES["beta"]))
    beta_covariance: torch.Tensor = field(default_factory=lambda: torch.eye(SIZES["beta"]))
    """What beta is like in people who speak with emotions, (64,) and (64, 64): the prior of a fit."""
    landmark_bias: torch.Tensor = field(default_factory=lambda: torch.zeros(68, 2))
    """Where the face net sees the landmarks of upright drawn people, less where they are, in eye distances; 0 where nobody measured."""

    def save(self, path: str | Path) -> Path:
        """Writes one compressed npz (bases as float16), whole or not at all."""
        arrays: dict[str, np.ndarray] = {"arkit_names": np.array(self.arkit_names)}
        arrays["mm_per_unit"] = np.array(self.mm_per_unit, np.float32)
        arrays |= {f"region_{name}": mask.cpu().numpy() for name, mask in self.regions.items()}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, torch.Tensor):
                value = value.detach().cpu()
                kind = torch.float16 if f.name.endswith("_basis") else value.dtype
                arrays[f.name] = value.to(torch.int32 if kind == torch.int64 else kind).numpy()
        return write_npz(path, arrays)

    def shape(self, alpha: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        """alpha (B, 80), beta (B, 64) -> vertices (B, V, 3). Eq. 1, first line."""
        basis = torch.cat([self.id_basis, self.exp_basis]).flatten(1)  # (144, V*3)
        return (self.mean_shape.flatten() + torch.cat([alpha, beta], 1) @ basis).unflatten(1, (-1, 3))

    def albedo(self, delta: torch.Tensor) -> torch.Tensor:
        """delta (B, 80) -> per-vertex albedo (B, V, 3) in [0, 1]. Eq. 1, second line."""
        albedo = (self.mean_albedo.flatten() + delta @ self.albedo_basis.flatten(1)).unflatten(1, (-1, 3))
        return albedo.clamp(0, 1)

    def landmarks(self, alpha: torch.Tensor, beta: torch.Tensor, pose: torch.Tensor, size: int) -> torch.Tensor:
        """The 68 landmarks (B, 68, 2) in pixels of an image of side ``size``; computes only their vertices."""
        index = self.landmark_index
        basis = torch.cat([self.id_basis[:, index], self.exp_basis[:, index]]).flatten(1)  # (144, 204)
        points = self.mean_shape[index].flatten() + torch.cat([alpha, beta], 1) @ basis
        return project(points.unflatten(1, (-1, 3)), pose, size)[..., :2]

    def double(self) -> "FaceModel":
        """The same in float64, for what must not depend on the machine's last digits (:mod:`emolib.face.exact`)."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        floats = {k: v.double() for k, v in values.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
        return FaceModel(**values | floats)

    def to(self, device: torch.device | str) -> "FaceModel":
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in moved.items()}
        return FaceModel(**moved | {"regions": {k: v.to(device) for k, v in self.regions.items()}})
