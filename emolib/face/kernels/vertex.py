"""Vertex normals and spherical-harmonics shading on the CPU, with their gradients, compiled."""

import math

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from emolib.face.kernels.compiled import compiler
from emolib.face.kernels.parallel import share_out

# No fast maths: what may be contracted or reassociated is, on one processor and not on another.
compiled = compiler(__name__, error_model="numpy")

TINY = 1e-12  # the least length a normal is divided by
# Factors of the real spherical harmonics 1, y, z, x, xy, yz, 3zz - 1, xz, xx - yy, times those of the cosine lobe (D3DFR's signs).
_A0, _A1, _A2 = math.pi, 2 * math.pi / math.sqrt(3), 2 * math.pi / math.sqrt(8)
_C0, _C1, _C2 = (f / math.sqrt(4 * math.pi) for f in (1, math.sqrt(3), 3 * math.sqrt(5) / math.sqrt(3)))
H0, H1, H2 = _A0 * _C0, _A1 * _C1, _A2 * _C2
H20, H22 = H2 * 0.5 / math.sqrt(3), H2 * 0.5


@compiled
def _cross(ax, ay, az, bx, by, bz):
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@compiled
def _edges(points, i, j, k):
    """The two edges of a triangle from its first corner."""
    x, y, z = points[i, 0], points[i, 1], points[i, 2]
    return points[j, 0] - x, points[j, 1] - y, points[j, 2] - z, points[k, 0] - x, points[k, 1] - y, points[k, 2] - z


@compiled
def _normals(share, triangles, vertices, out, length):
    for b in range(share[1], share[2]):
        points, total = vertices[b], out[b]
        total[:] = 0
        for f in range(len(triangles)):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            x, y, z = _cross(*_edges(points, i, j, k))
            for v in (i, j, k):
                total[v, 0] += x
                total[v, 1] += y
                total[v, 2] += z
        for v in range(len(total)):
            x, y, z = total[v, 0], total[v, 1], total[v, 2]
            length[b, v] = max(math.sqrt(x * x + y * y + z * z), TINY)
            total[v] /= length[b, v]


@compiled
def _normals_backward(share, triangles, vertices, normals, length, grad, out):
    raw = np.empty_like(vertices[0])  # gradient of the sums before they are normalised
    for b in range(share[1], share[2]):
        points = vertices[b]
        out[b] = 0
        for v in range(len(raw)):
            n, g = normals[b, v], grad[b, v]
            along = n[0] * g[0] + n[1] * g[1] + n[2] * g[2]
            for c in range(3):
                raw[v, c] = (g[c] - n[c] * along) / length[b, v]
        for f in range(len(triangles)):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            ax, ay, az, bx, by, bz = _edges(points, i, j, k)
            x, y, z = (
                raw[i, 0] + raw[j, 0] + raw[k, 0],
                raw[i, 1] + raw[j, 1] + raw[k, 1],
                raw[i, 2] + raw[j, 2] + raw[k, 2],
            )
            ux, uy, uz = _cross(bx, by, bz, x, y, z)
            vx, vy, vz = _cross(x, y, z, ax, ay, az)
            for v, gx, gy, gz in ((i, -ux - vx, -uy - vy, -uz - vz), (j, ux, uy, uz), (k, vx, vy, vz)):
                out[b, v, 0] += gx
                out[b, v, 1] += gy
                out[b, v, 2] += gz


@compiled
def _harmonics(x, y, z):
    return (
        H0,
        -H1 * y,
        H1 * z,
        -H1 * x,
        H2 * x * y,
        -H2 * y * z,
        H20 * (3 * z * z - 1),
        -H2 * x * z,
        H22 * (x * x - y * y),
    )


@compiled
def _shade(share, normals, albedo, light, out):
    for b in range(share[1], share[2]):
        for v in range(normals.shape[1]):
            basis = _harmonics(normals[b, v, 0], normals[b, v, 1], normals[b, v, 2])
            for c in range(3):
                total = 0.0
                for h in range(9):
                    total += light[b, c, h] * basis[h]
                out[b, v, c] = albedo[b, v, c] * total


@compiled
def _shade_backward(share, normals, albedo, light, grad, out_normals, out_albedo, out_light):
    for b in range(share[1], share[2]):
        lights, total = light[b].astype(np.float64), np.zeros((3, 9))
        for v in range(normals.shape[1]):
            x, y, z = normals[b, v, 0], normals[b, v, 1], normals[b, v, 2]
            basis = _harmonics(x, y, z)
            gx, gy, gz = 0.0, 0.0, 0.0
            for c in range(3):
                m, g, shading = lights[c], grad[b, v, c] * albedo[b, v, c], 0.0
                for h in range(9):
                    shading += m[h] * basis[h]
                    total[c, h] += g * basis[h]
                out_albedo[b, v, c] = grad[b, v, c] * shading
                gx += g * (-H1 * m[3] + H2 * (m[4] * y - m[7] * z) + 2 * H22 * m[8] * x)
                gy += g * (-H1 * m[1] + H2 * (m[4] * x - m[5] * z) - 2 * H22 * m[8] * y)
                gz += g * (H1 * m[2] - H2 * (m[5] * y + m[7] * x) + 6 * H20 * m[6] * z)
            out_normals[b, v, 0], out_normals[b, v, 1], out_normals[b, v, 2] = gx, gy, gz
        out_light[b] = total


class Normals(torch.autograd.Function):
    """vertices (B, V, 3), triangles (F, 3) -> unit normals (B, V, 3)."""

    @staticmethod
    def forward(ctx, vertices, triangles):
        out, length = torch.empty(vertices.shape, dtype=vertices.dtype), vertices.new_empty(vertices.shape[:2])
        share_out(_normals, 1, triangles, vertices, out, length, batch=len(vertices))
        ctx.save_for_backward(vertices, triangles, out, length)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        vertices, triangles, normals, length = ctx.saved_tensors
        out = torch.empty_like(normals)
        share_out(_normals_backward, 1, triangles, vertices, normals, length, grad, out, batch=len(vertices))
        return out, None


class Shade(torch.autograd.Function):
    """normals, albedo (B, V, 3), light (B, 3, 9) with the ambient -> colours (B, V, 3)."""

    @staticmethod
    def forward(ctx, normals, albedo, light):
        out = torch.empty(albedo.shape, dtype=albedo.dtype)
        share_out(_shade, 1, normals, albedo, light, out, batch=len(out))
        ctx.save_for_backward(normals, albedo, light)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        normals, albedo, light = ctx.saved_tensors
        out = [torch.empty(x.shape, dtype=x.dtype) for x in (normals, albedo, light)]
        share_out(_shade_backward, 1, normals, albedo, light, grad, *out, batch=len(grad))
        return tuple(out)
