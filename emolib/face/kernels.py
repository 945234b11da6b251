"""Compiled inner loops of the renderer for the CPU: z-buffer, barycentrics and interpolation, with their gradients.

Each works on a batch of images, shared out to as many threads as torch may use. Plain threads, not numba's: its OpenMP pool aborts
a process that forks, as data loaders do. :mod:`emolib.face.render` holds the same in plain torch, for other devices.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch

EDGE = -1e-6  # barycentrics down to this are inside: a vertex exactly on a pixel centre must not leave a hole


def _share(kernel, triangles: torch.Tensor, *batched: torch.Tensor) -> None:
    """kernel(triangles, *arrays) on equal shares of the batch, one a thread."""
    corners = triangles.numpy()
    arrays = [tensor.contiguous().numpy() for tensor in batched]
    batch = len(arrays[0])
    threads = min(torch.get_num_threads(), batch)
    if threads <= 1:
        kernel(corners, *arrays)
        return
    edges = [i * batch // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda a, b: kernel(corners, *[array[a:b] for array in arrays]), edges, edges[1:]))


@numba.njit(cache=True, nogil=True)
def _zbuffer(triangles, screen, face_id):
    size = face_id.shape[1]
    for b in range(len(screen)):
        face_id[b] = -1
        near = np.zeros((size, size), np.float32)  # 1 / depth is linear on screen; the largest is nearest
        for f in range(triangles.shape[0]):
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            x0, y0, z0 = screen[b, i, 0], screen[b, i, 1], screen[b, i, 2]
            x1, y1, z1 = screen[b, j, 0], screen[b, j, 1], screen[b, j, 2]
            x2, y2, z2 = screen[b, k, 0], screen[b, k, 1], screen[b, k, 2]
            area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
            if area == 0 or z0 <= 0 or z1 <= 0 or z2 <= 0:
                continue
            left = max(0, int(math.ceil(min(x0, x1, x2) - 0.501)))
            right = min(size - 1, int(math.floor(max(x0, x1, x2) - 0.499)))
            top = max(0, int(math.ceil(min(y0, y1, y2) - 0.501)))
            bottom = min(size - 1, int(math.floor(max(y0, y1, y2) - 0.499)))
            inverse = 1.0 / area
            q0, q1, q2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
            for y in range(top, bottom + 1):
                py = y + 0.5
                for x in range(left, right + 1):
                    px = x + 0.5
                    w0 = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * inverse
                    w1 = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * inverse
                    w2 = 1.0 - w0 - w1
                    if w0 >= EDGE and w1 >= EDGE and w2 >= EDGE:
                        q = w0 * q0 + w1 * q1 + w2 * q2
                        if q > near[y, x]:
                            near[y, x] = q
                            face_id[b, y, x] = f


@numba.njit(cache=True, nogil=True)
def _weights(triangles, screen, face_id, bary):
    size = face_id.shape[1]
    for b in range(len(screen)):
        for y in range(size):
            for x in range(size):
                f = face_id[b, y, x]
                if f < 0:
                    continue
                i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                dx0, dy0 = screen[b, i, 0] - (x + 0.5), screen[b, i, 1] - (y + 0.5)
                dx1, dy1 = screen[b, j, 0] - (x + 0.5), screen[b, j, 1] - (y + 0.5)
                dx2, dy2 = screen[b, k, 0] - (x + 0.5), screen[b, k, 1] - (y + 0.5)
                w0 = (dx1 * dy2 - dx2 * dy1) / screen[b, i, 2]
                w1 = (dx2 * dy0 - dx0 * dy2) / screen[b, j, 2]
                w2 = (dx0 * dy1 - dx1 * dy0) / screen[b, k, 2]
                inverse = 1.0 / (w0 + w1 + w2)
                bary[b, y, x, 0] = w0 * inverse
                bary[b, y, x, 1] = w1 * inverse
                bary[b, y, x, 2] = w2 * inverse


@numba.njit(cache=True, nogil=True)
def _weights_backward(triangles, screen, face_id, bary, grad, out):
    """Adds d loss / d screen to out (B, V, 3), from grad = d loss / d bary."""
    size = face_id.shape[1]
    for b in range(len(screen)):
        for y in range(size):
            for x in range(size):
                f = face_id[b, y, x]
                if f < 0:
                    continue
                i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                z0, z1, z2 = screen[b, i, 2], screen[b, j, 2], screen[b, k, 2]
                dx0, dy0 = screen[b, i, 0] - (x + 0.5), screen[b, i, 1] - (y + 0.5)
                dx1, dy1 = screen[b, j, 0] - (x + 0.5), screen[b, j, 1] - (y + 0.5)
                dx2, dy2 = screen[b, k, 0] - (x + 0.5), screen[b, k, 1] - (y + 0.5)
                w0, w1, w2 = (dx1 * dy2 - dx2 * dy1) / z0, (dx2 * dy0 - dx0 * dy2) / z1, (dx0 * dy1 - dx1 * dy0) / z2
                inverse = 1.0 / (w0 + w1 + w2)
                g0, g1, g2 = grad[b, y, x, 0], grad[b, y, x, 1], grad[b, y, x, 2]
                mean = g0 * bary[b, y, x, 0] + g1 * bary[b, y, x, 1] + g2 * bary[b, y, x, 2]
                # From normalised weights to w_i = area_i / z_i, to the areas opposite each corner.
                a0, a1, a2 = (g0 - mean) * inverse / z0, (g1 - mean) * inverse / z1, (g2 - mean) * inverse / z2
                out[b, i, 0] += a2 * dy1 - a1 * dy2
                out[b, i, 1] += a1 * dx2 - a2 * dx1
                out[b, i, 2] -= a0 * w0
                out[b, j, 0] += a0 * dy2 - a2 * dy0
                out[b, j, 1] += a2 * dx0 - a0 * dx2
                out[b, j, 2] -= a1 * w1
                out[b, k, 0] += a1 * dy0 - a0 * dy1
                out[b, k, 1] += a0 * dx1 - a1 * dx0
                out[b, k, 2] -= a2 * w2


@numba.njit(cache=True, nogil=True)
def _blend(triangles, face_id, bary, values, out):
    size = face_id.shape[1]
    for b in range(len(values)):
        for y in range(size):
            for x in range(size):
                f = face_id[b, y, x]
                if f >= 0:
                    i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                    u, v, w = bary[b, y, x, 0], bary[b, y, x, 1], bary[b, y, x, 2]
                    for c in range(values.shape[2]):
                        out[b, y, x, c] = u * values[b, i, c] + v * values[b, j, c] + w * values[b, k, c]


@numba.njit(cache=True, nogil=True)
def _blend_backward(triangles, face_id, bary, values, grad, out_bary, out_values):
    size = face_id.shape[1]
    for b in range(len(values)):
        for y in range(size):
            for x in range(size):
                f = face_id[b, y, x]
                if f >= 0:
                    for corner in range(3):
                        vertex, weight, total = triangles[f, corner], bary[b, y, x, corner], 0.0
                        for c in range(values.shape[2]):
                            g = grad[b, y, x, c]
                            total += g * values[b, vertex, c]
                            out_values[b, vertex, c] += g * weight
                        out_bary[b, y, x, corner] = total


class Barycentrics(torch.autograd.Function):
    """screen (B, V, 3), triangles (F, 3), face_id (B, S, S) -> perspective-correct barycentrics (B, S, S, 3), 0 where empty."""

    @staticmethod
    def forward(ctx, screen, triangles, face_id):
        bary = torch.zeros(*face_id.shape, 3, dtype=screen.dtype)
        _share(_weights, triangles, screen.detach(), face_id, bary)
        ctx.save_for_backward(screen, triangles, face_id, bary)
        return bary

    @staticmethod
    def backward(ctx, grad):
        screen, triangles, face_id, bary = ctx.saved_tensors
        out = torch.zeros_like(screen, memory_format=torch.contiguous_format)
        _share(_weights_backward, triangles, screen.detach(), face_id, bary.detach(), grad, out)
        return out, None, None


class Blend(torch.autograd.Function):
    """face_id (B, S, S), bary (B, S, S, 3), triangles (F, 3), values (B, V, C) -> (B, S, S, C), 0 where empty."""

    @staticmethod
    def forward(ctx, face_id, bary, triangles, values):
        out = torch.zeros(*face_id.shape, values.shape[-1], dtype=values.dtype)
        _share(_blend, triangles, face_id, bary.detach(), values.detach(), out)
        ctx.save_for_backward(face_id, bary, triangles, values)
        return out

    @staticmethod
    def backward(ctx, grad):
        face_id, bary, triangles, values = ctx.saved_tensors
        out_bary = torch.zeros_like(bary, memory_format=torch.contiguous_format)
        out_values = torch.zeros_like(values, memory_format=torch.contiguous_format)
        arrays = (face_id, bary.detach(), values.detach(), grad, out_bary, out_values)
        _share(_blend_backward, triangles, *arrays)
        return None, out_bary, None, out_values


def zbuffer(screen: torch.Tensor, triangles: torch.Tensor, size: int) -> torch.Tensor:
    """Nearest triangle of each pixel centre, (B, S, S) int64, -1 where empty; screen (B, V, 3) float32."""
    face_id = torch.empty(len(screen), size, size, dtype=torch.long)
    _share(_zbuffer, triangles, screen, face_id)
    return face_id
