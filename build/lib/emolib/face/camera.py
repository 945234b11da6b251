"""The camera: model space -> screen, for numpy and torch alike.

That of D3DFR (Deng et al. 2019), which Xu et al. 2023 build on: at (0, 0, 10) it looks to -z, its focal length is
1015 * size / 224 pixels, its centre size / 2;

    X' = Rz(roll) Ry(yaw) Rx(pitch) X + t,  depth = 10 - X'_z,  u = size/2 + f X'_x / depth,  v = size/2 - f X'_y / depth.
"""

import numpy as np
import torch

FOCAL = 1015.0 / 224.0  # of the image's side
CAMERA = 10.0
SCALE = 0.8  # units a decimetre: the field of view at depth 10 then holds the whole head, hair and some neck


def rotation(angles):
    """(B, 3) pitch, yaw, roll in rad, or poses (B, 6) -> R = Rz(roll) Ry(yaw) Rx(pitch) (B, 3, 3); arrays or tensors."""
    library = torch if isinstance(angles, torch.Tensor) else np
    (sx, sy, sz), (cx, cy, cz) = library.sin(angles[:, :3]).T, library.cos(angles[:, :3]).T
    rows = [
        library.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx], 1),
        library.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx], 1),
        library.stack([-sy, cy * sx, cy * cx], 1),
    ]
    return library.stack(rows, 1)


def move(vertices: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
    """vertices (B, V, 3), pose (B, 6) -> R X + t, (B, V, 3)."""
    return torch.baddbmm(pose[:, None, 3:], vertices, rotation(pose).transpose(1, 2))


def to_screen(moved: torch.Tensor, size: int) -> torch.Tensor:
    """Points before the camera (B, V, 3) -> screen (B, V, 3): u right and v down in pixels, depth in units."""
    x, y, z = moved.unbind(-1)
    depth = CAMERA - z
    scale = FOCAL * size / depth
    return torch.stack([size / 2 + scale * x, size / 2 - scale * y, depth], -1)


def project(vertices: torch.Tensor, pose: torch.Tensor, size: int) -> torch.Tensor:
    """vertices (B, V, 3), pose (B, 6) -> screen (B, V, 3), see :func:`to_screen`."""
    return to_screen(move(vertices, pose), size)
