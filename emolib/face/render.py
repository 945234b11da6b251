"""A differentiable renderer for the 3DMM: rasteriser, SH shading, R(theta) -> I_rd and mask M, I^3d, and motion fields.

The camera is that of :mod:`emolib.face.camera`, the light that of D3DFR (Deng et al. 2019). Pixel centres lie at integer + 0.5.
Which triangle a pixel shows is decided by a z-buffer and carries no gradient; the barycentric coordinates do, with respect to the vertices
on screen. Interpolation is perspective-correct.

Backends of the z-buffer, behind :func:`rasterize`: ``numba`` (CPU, compiled, images in parallel), ``torch`` (any device), ``pytorch3d``
(where it is installed). All make the same fragments. Barycentrics and interpolation follow the device: compiled on the CPU
(:mod:`emolib.face.kernels.pixel`, :mod:`emolib.face.kernels.vertex`), torch elsewhere.
"""

import importlib.util
import weakref
from dataclasses import dataclass

import torch

from emolib.errors import EmolibError
from emolib.face.camera import move, project, to_screen
from emolib.face.kernels.pixel import EDGE, Barycentrics, Blend, Draw, zbuffer
from emolib.face.kernels.vertex import H0, H1, H2, H20, H22, Normals, Shade
from emolib.face.model import Coefficients, FaceModel

BACKENDS = ("auto", "numba", "torch", "pytorch3d")


@dataclass(frozen=True)
class Fragments:
    """face_id (B, H, W) int64, -1 where empty; bary (B, H, W, 3) perspective-correct, differentiable, 0 where empty."""

    face_id: torch.Tensor
    bary: torch.Tensor


@dataclass(frozen=True)
class Rendering:
    """image (B, 3, H, W) in [0, 1], 0 outside the head; mask (B, 1, H, W), 1 on the face; face_id (B, H, W), -1 where empty."""

    image: torch.Tensor
    mask: torch.Tensor
    face_id: torch.Tensor


def _zbuffer_torch(screen: torch.Tensor, triangles: torch.Tensor, size: int, budget: int = 2**22) -> torch.Tensor:
    """The same z-buffer on any device: triangles are binned by the size of their bounding box and tested in chunks.

    Each candidate (triangle, pixel) pair that is inside competes with ``scatter_reduce`` on a key that holds 1 / depth.
    """
    batch, device = len(screen), screen.device
    corners = screen[:, triangles]  # (B, F, 3, 3)
    x, y, z = corners.unbind(-1)  # each (B, F, 3)
    first_x, last_x = (x.amin(-1) - 0.501).ceil().long().clamp(min=0), (x.amax(-1) - 0.499).floor().long()
    first_y, last_y = (y.amin(-1) - 0.501).ceil().long().clamp(min=0), (y.amax(-1) - 0.499).floor().long()
    wide = last_x.clamp(max=size - 1) - first_x + 1
    high = last_y.clamp(max=size - 1) - first_y + 1
    area = (x[..., 1] - x[..., 0]) * (y[..., 2] - y[..., 0]) - (x[..., 2] - x[..., 0]) * (y[..., 1] - y[..., 0])
    alive = (wide > 0) & (high > 0) & (area != 0) & (z > 0).all(-1)
    near = torch.zeros(batch * size * size, device=device, dtype=screen.dtype)
    kept = []
    extent = torch.maximum(wide, high)
    low = 0
    while low < size:  # bins of box side (low, side]
        side = max(2, 2 * low)
        b, f = torch.nonzero(alive & (extent > low) & (extent <= side), as_tuple=True)
        low = side
        window = torch.arange(side, device=device)
        for part in torch.arange(len(b), device=device).split(max(1, budget // side**2)):
            pb, pf = b[part], f[part]
            column = first_x[pb, pf, None] + window  # (n, side)
            row = first_y[pb, pf, None] + window
            inside, q = _test(corners[pb, pf], column + 0.5, row + 0.5)
            inside &= (column < size)[:, None, :] & (row < size)[:, :, None]
            pixel = (pb[:, None, None] * size + row[:, :, None]) * size + column[:, None, :]
            pixel, q, face = pixel[inside], q[inside], pf[:, None, None].expand(inside.shape)[inside]
            near.scatter_reduce_(0, pixel, q, "amax")
            kept.append((pixel, q, face))
    face_id = torch.full_like(near, len(triangles), dtype=torch.long)
    for pixel, q, face in kept:  # among equals the first triangle wins, as in the loop of the compiled one
        winner = q == near[pixel]
        face_id.scatter_reduce_(0, pixel[winner], face[winner], "amin")
    face_id[face_id == len(triangles)] = -1
    return face_id.view(batch, size, size)


def _test(corners: torch.Tensor, px: torch.Tensor, py: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """corners (n, 3, 3), pixel centres px, py (n, side) -> inside (n, side, side) and 1 / depth there."""
    x, y, z = (c[:, :, None, None] for c in corners.unbind(-1))  # (n, 3, 1, 1)
    px, py = px[:, None, :], py[:, :, None]
    inverse = 1 / ((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0]))
    w0 = ((x[:, 1] - px) * (y[:, 2] - py) - (x[:, 2] - px) * (y[:, 1] - py)) * inverse
    w1 = ((x[:, 2] - px) * (y[:, 0] - py) - (x[:, 0] - px) * (y[:, 2] - py)) * inverse
    w2 = 1 - w0 - w1
    inside = (w0 >= EDGE) & (w1 >= EDGE) & (w2 >= EDGE)
    return inside, w0 / z[:, 0] + w1 / z[:, 1] + w2 / z[:, 2]


def _zbuffer_pytorch3d(screen: torch.Tensor, triangles: torch.Tensor, size: int) -> torch.Tensor:
    """The same through PyTorch3D, whose normalised screen has +x to the left and +y up."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    flat = torch.cat([1 - 2 * screen[..., :2] / size, screen[..., 2:]], -1)
    meshes = Meshes(list(flat), [triangles] * len(flat))
    face_id = rasterize_meshes(meshes, size, faces_per_pixel=1, perspective_correct=True)[0][..., 0]
    offset = torch.arange(len(flat), device=screen.device)[:, None, None] * len(triangles)
    return torch.where(face_id >= 0, face_id - offset, face_id)


def _choose(backend: str, device: torch.device) -> str:
    if backend not in BACKENDS:
        raise EmolibError(f"rasteriser backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    if backend == "auto":
        backend = "numba" if device.type == "cpu" else "torch"
    if backend == "pytorch3d" and importlib.util.find_spec("pytorch3d") is None:
        raise EmolibError(
            "backend 'pytorch3d' asked for, but PyTorch3D is not installed; use 'auto' or environment.yml"
        )
    return backend


def _visible(screen: torch.Tensor, triangles: torch.Tensor, size: int, backend: str) -> torch.Tensor:
    """The triangle that each pixel shows, (B, S, S) int64, -1 where empty."""
    backend = _choose(backend, screen.device)
    frozen = screen.detach().float()
    if backend == "numba":
        return zbuffer(frozen.cpu(), triangles.cpu(), size).to(screen.device)
    return (_zbuffer_torch if backend == "torch" else _zbuffer_pytorch3d)(frozen, triangles, size)


def rasterize(screen: torch.Tensor, triangles: torch.Tensor, size: int, *, backend: str = "auto") -> Fragments:
    """What each pixel shows.

    screen (B, V, 3) from :func:`project`, triangles (F, 3) int64 -> :class:`Fragments` of ``size`` x ``size`` pixels. ``backend``:
    auto (numba on the CPU, torch elsewhere), numba, torch or pytorch3d; raises :class:`EmolibError` for another or a missing one.
    """
    face_id = _visible(screen, triangles, size, backend)
    if screen.device.type == "cpu":
        return Fragments(face_id, Barycentrics.apply(screen, triangles, face_id))
    return Fragments(face_id, _barycentrics_torch(screen, triangles, face_id))


def _barycentrics_torch(screen: torch.Tensor, triangles: torch.Tensor, face_id: torch.Tensor) -> torch.Tensor:
    """What :class:`emolib.face.kernels.pixel.Barycentrics` computes, on any device."""
    b, y, x = torch.nonzero(face_id >= 0, as_tuple=True)
    corners = screen[b[:, None], triangles[face_id[b, y, x]]]  # (n, 3, 3)
    weights = _barycentric(corners, x.to(screen.dtype) + 0.5, y.to(screen.dtype) + 0.5)
    bary = torch.zeros(*face_id.shape, 3, dtype=screen.dtype, device=screen.device)
    return bary.index_put((b, y, x), weights)


def _barycentric(corners: torch.Tensor, px: torch.Tensor, py: torch.Tensor) -> torch.Tensor:
    """Perspective-correct barycentrics (n, 3) of pixel centres in triangles with screen corners (n, 3, 3)."""
    x, y, z = corners.unbind(-1)  # each (n, 3)
    dx, dy = x - px[:, None], y - py[:, None]
    area = dx.roll(-1, 1) * dy.roll(-2, 1) - dx.roll(-2, 1) * dy.roll(-1, 1)  # twice the area opposite each corner
    weights = area / z
    return weights / weights.sum(1, keepdim=True)


def interpolate(fragments: Fragments, triangles: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
    """attributes (B, V, C) at the vertices -> (B, H, W, C) at the pixels, 0 where empty."""
    if attributes.device.type == "cpu":
        return Blend.apply(fragments.face_id, fragments.bary, triangles, attributes)
    return _blend_torch(fragments, triangles, attributes)


def _blend_torch(fragments: Fragments, triangles: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
    """What :class:`emolib.face.kernels.pixel.Blend` computes, on any device."""
    b, y, x = torch.nonzero(fragments.face_id >= 0, as_tuple=True)
    corners = attributes[b[:, None], triangles[fragments.face_id[b, y, x]]]  # (n, 3, C)
    values = (fragments.bary[b, y, x][:, :, None] * corners).sum(1)
    image = torch.zeros(*fragments.face_id.shape, attributes.shape[-1], dtype=values.dtype, device=values.device)
    return image.index_put((b, y, x), values)


def vertex_normals(vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    """Unit normals (B, V, 3), out of the head: the sum of the (area-weighted) normals of the triangles around."""
    if vertices.device.type == "cpu":
        return Normals.apply(vertices, triangles)
    a, b, c = vertices[:, triangles].unbind(2)  # each (B, F, 3)
    face = torch.linalg.cross(b - a, c - a)
    index = triangles.T.reshape(-1)  # the first corners, the second, the third
    total = torch.zeros_like(vertices).index_add(1, index, face.repeat(1, 3, 1))
    return torch.nn.functional.normalize(total, dim=-1)


def sh_shade(normals: torch.Tensor, albedo: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """Diffuse shading by 3 bands of spherical harmonics, as D3DFR: albedo * (Y(n) . (gamma + ambient)).

    normals, albedo (B, V, 3); gamma (B, 27) as (3 channels, 9). gamma = 0 is the ambient light 0.8 on the first coefficient, which
    multiplies the albedo by 0.8 pi / sqrt(4 pi) = 0.709. Returns (B, V, 3), not clamped.
    """
    ambient = torch.zeros(9, dtype=gamma.dtype, device=gamma.device)
    ambient[0] = 0.8
    light = gamma.unflatten(1, (3, 9)) + ambient  # (B, 3, 9)
    if normals.device.type == "cpu":
        return Shade.apply(normals, albedo, light)
    return _shade_torch(normals, albedo, light)


def _shade_torch(normals: torch.Tensor, albedo: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    """What :class:`emolib.face.kernels.vertex.Shade` computes, on any device."""
    x, y, z = normals.unbind(-1)
    first = [torch.full_like(x, H0), -H1 * y, H1 * z, -H1 * x]
    second = [H2 * x * y, -H2 * y * z, H20 * (3 * z**2 - 1), -H2 * x * z, H22 * (x**2 - y**2)]
    return albedo * (torch.stack(first + second, -1) @ light.transpose(1, 2))


# FaceModel -> (F + 1,): 1 for the triangles that the 3DMM explains; last, for -1, 0.
_explained: weakref.WeakKeyDictionary[FaceModel, torch.Tensor] = weakref.WeakKeyDictionary()


def face_mask(model: FaceModel, face_id: torch.Tensor) -> torch.Tensor:
    """face_id (B, H, W) -> (B, 1, H, W): 1 where a pixel shows what the 3DMM explains: facial skin, eyes, the mouth's inside."""
    if model not in _explained:
        names = ("face", "eyes", "socket", "mouth", "teeth", "tongue")
        vertex = torch.stack([model.regions[name] for name in names]).any(0)  # (V,)
        triangle = vertex[model.triangles].all(1).float()  # (F,)
        _explained[model] = torch.cat([triangle, triangle.new_zeros(1)])
    return _explained[model][face_id][:, None]


def render(model: FaceModel, coefficients: Coefficients, size: int, *, backend: str = "auto") -> Rendering:
    """R(theta) of Sec. 3.1: the rendered face I_rd, its mask M, and which triangle each pixel shows.

    Differentiable with respect to every coefficient but through visibility. The image shows the whole head mesh; M (Eq. 6) only
    the face that the 3DMM explains.
    """
    vertices = model.shape(coefficients.alpha, coefficients.beta)
    moved = move(vertices, coefficients.pose)
    normals = vertex_normals(moved, model.triangles)  # of the turned head: those of the head, turned
    colour = sh_shade(normals, model.albedo(coefficients.delta), coefficients.gamma)
    screen = to_screen(moved, size)
    face_id = _visible(screen, model.triangles, size, backend)
    if screen.device.type == "cpu":
        image = Draw.apply(screen, colour, model.triangles, face_id)
    else:
        fragments = Fragments(face_id, _barycentrics_torch(screen, model.triangles, face_id))
        image = interpolate(fragments, model.triangles, colour).clamp(0, 1).permute(0, 3, 1, 2)
    return Rendering(image, face_mask(model, face_id), face_id)


def composite(model: FaceModel, theta: Coefficients, pictures: torch.Tensor) -> tuple[torch.Tensor, Rendering]:
    """(I^3d, R(theta)): I^3d = M * I^rd + (1 - M) * I (Sec. 3.3) for pictures I (B, 3, S, S) in [0, 1]. Differentiable."""
    drawn = render(model, theta, pictures.shape[-1])
    return drawn.mask * drawn.image + (1 - drawn.mask) * pictures, drawn


def motion(
    model: FaceModel, source: Coefficients, drive: Coefficients, size: int, *, backend: str = "auto"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Backward flow from ``drive`` to ``source``: where each surface point that the drive shows lies in the source image.

    Returns flow (B, 2, H, W), x then y, in the units of ``grid_sample`` (2 / size a pixel) and relative to the pixel's own place, 0
    outside the head; and mask (B, 1, H, W), 1 on the whole head mesh. ``grid_sample(source_image, base_grid + flow)`` makes the source
    move as the drive (where the source shows the point). A batch of one source goes with any number of drives.
    """
    if len(source) == 1 < len(drive):
        source = source.expand(len(drive))
    places = [project(model.shape(c.alpha, c.beta), c.pose, size) for c in (source, drive)]
    fragments = rasterize(places[1], model.triangles, size, backend=backend)
    seen = interpolate(fragments, model.triangles, places[0][..., :2])  # (B, H, W, 2), pixels of the source
    centre = torch.arange(size, device=seen.device, dtype=seen.dtype) + 0.5
    own = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1)
    mask = (fragments.face_id >= 0)[:, None].to(seen.dtype)
    return (seen - own).permute(0, 3, 1, 2) * (2 / size) * mask, mask
