"""Which triangle each pixel shows, and what is drawn there, on the CPU with gradients, compiled: z-buffer, barycentrics, blending.

:mod:`emolib.face.render` holds the same in plain torch, for other devices. Arithmetic on the screen is in float64 whatever the arrays
hold: it costs nothing here, and slivers at the silhouette need it.
"""

import math

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from emolib.face.kernels.compiled import compiler
from emolib.face.kernels.parallel import by_part, share_out

# No fast maths: what may be contracted or reassociated is, on one processor and not on another.
compiled = compiler(__name__, error_model="numpy")

EDGE = -1e-6  # barycentrics down to this are inside: a vertex exactly on a pixel centre must not leave a hole
FLAT, FAR = 1e-30, 1e60  # in place of 0 and of infinity where a weight does not change along a row
TILE = 8  # pixels


@compiled
def _box(screen, i, j, k, top, bottom, size):
    """First and last row, first and last column of the pixel centres that a triangle may cover."""
    x0, y0, x1, y1, x2, y2 = screen[i, 0], screen[i, 1], screen[j, 0], screen[j, 1], screen[k, 0], screen[k, 1]
    first = max(top, int(math.ceil(min(y0, y1, y2) - 0.501)))
    last = min(bottom - 1, int(math.floor(max(y0, y1, y2) - 0.499)))
    left = max(0, int(math.ceil(min(x0, x1, x2) - 0.501)))
    return first, last, left, min(size - 1, int(math.floor(max(x0, x1, x2) - 0.499)))


@compiled
def _fill(screen, f, i, j, k, area, box, top, near, face):
    """Puts a triangle into the z-buffer, row by row between its edges."""
    x0, y0, q0 = np.float64(screen[i, 0]), np.float64(screen[i, 1]), 1.0 / np.float64(screen[i, 2])
    # Weights of the second and third corner, and q = 1 / depth, are linear: their steps along x and along y.
    inverse = 1.0 / area
    ux, uy = (screen[k, 1] - y0) * inverse, (x0 - screen[k, 0]) * inverse
    vx, vy = (y0 - screen[j, 1]) * inverse, (screen[j, 0] - x0) * inverse
    wx, wy = -ux - vx, -uy - vy
    q1, q2 = 1.0 / np.float64(screen[j, 2]) - q0, 1.0 / np.float64(screen[k, 2]) - q0
    qx, qy = ux * q1 + vx * q2, uy * q1 + vy * q2
    # Where along a row each weight passes EDGE: a left end of the inside if the weight grows with x, else a right end.
    ru, rv, rw = 1.0 / (ux or FLAT), 1.0 / (vx or FLAT), 1.0 / (wx or FLAT)
    lu, lv, lw = (0.0 if ru > 0 else -FAR), (0.0 if rv > 0 else -FAR), (0.0 if rw > 0 else -FAR)
    hu, hv, hw = (FAR if ru > 0 else 0.0), (FAR if rv > 0 else 0.0), (FAR if rw > 0 else 0.0)
    first, last, left, right = box
    start = x0 - 0.5
    for y in range(first, last + 1):
        dy = y + 0.5 - y0
        u, v, w = (EDGE - uy * dy) * ru + start, (EDGE - vy * dy) * rv + start, (EDGE - 1.0 - wy * dy) * rw + start
        begin = int(math.ceil(max(left, u + lu, v + lv, w + lw)))
        end = int(math.floor(min(right, u + hu, v + hv, w + hw)))
        q = q0 + qy * dy - qx * start
        for x in range(begin, end + 1):
            depth = np.float32(q + qx * x)
            if depth > near[y - top, x]:
                near[y - top, x] = depth
                face[y - top, x] = f


@compiled
def _hidden(screen, i, j, k, box, top, far):
    """Whether all tiles that a triangle may touch show something nearer all over."""
    q = np.float32((1 + 1e-5) / min(screen[i, 2], screen[j, 2], screen[k, 2]))
    first, last, left, right = box
    for y in range((first - top) // TILE, (last - top) // TILE + 1):
        for x in range(left // TILE, right // TILE + 1):
            if far[y, x] < q:
                return False
    return True


@compiled
def _zbuffer(triangles, screen, top, bottom, near, face):
    """Rows top to bottom of one image: which triangle is nearest, face (rows, S), and its 1 / depth, which is linear on screen.

    What looks to the camera goes first; most of the rest then falls to a test by tiles. The result does not depend on it.
    """
    rows, size = face.shape
    near[:] = 0
    face[:] = -1
    later, count = np.empty(len(triangles), np.int32), 0
    for f in range(len(triangles)):
        i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        box = _box(screen, i, j, k, top, bottom, size)
        if box[0] > box[1] or box[2] > box[3]:
            continue
        x, y = np.float64(screen[i, 0]), np.float64(screen[i, 1])
        area = (screen[j, 0] - x) * (screen[k, 1] - y) - (screen[k, 0] - x) * (screen[j, 1] - y)
        if screen[i, 2] <= 0 or screen[j, 2] <= 0 or screen[k, 2] <= 0:
            continue
        if area < 0:
            _fill(screen, f, i, j, k, area, box, top, near, face)
        elif area > 0:
            later[count] = f
            count += 1
    far = np.full(((rows - 1) // TILE + 1, (size - 1) // TILE + 1), np.float32(np.inf))
    for y in range(rows):
        for x in range(size):
            far[y // TILE, x // TILE] = min(far[y // TILE, x // TILE], near[y, x])
    for f in later[:count]:
        i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        box = _box(screen, i, j, k, top, bottom, size)
        if not _hidden(screen, i, j, k, box, top, far):
            x, y = np.float64(screen[i, 0]), np.float64(screen[i, 1])
            area = (screen[j, 0] - x) * (screen[k, 1] - y) - (screen[k, 0] - x) * (screen[j, 1] - y)
            _fill(screen, f, i, j, k, area, box, top, near, face)


@compiled
def _visible(share, triangles, screen, face_id):
    _, begin, end, top, bottom = share
    near = np.empty((bottom - top, face_id.shape[2]), np.float32)
    for b in range(begin, end):
        _zbuffer(triangles, screen[b], top, bottom, near, face_id[b, top:bottom])


@compiled
def _seen(screen, i, j, k, px, py):
    """Corners of a triangle from a point on screen, and the area opposite each, which over its depth is its weight times the sum."""
    x0, y0, x1, y1 = screen[i, 0] - px, screen[i, 1] - py, screen[j, 0] - px, screen[j, 1] - py
    x2, y2 = screen[k, 0] - px, screen[k, 1] - py
    w0, w1, w2 = (
        (x1 * y2 - x2 * y1) / screen[i, 2],
        (x2 * y0 - x0 * y2) / screen[j, 2],
        (x0 * y1 - x1 * y0) / screen[k, 2],
    )
    return x0, y0, x1, y1, x2, y2, w0, w1, w2, 1.0 / (w0 + w1 + w2)


@compiled
def _pull(screen, i, j, k, seen, g0, g1, g2, out):
    """Adds d loss / d screen to out (V, 3), from g = d loss / d barycentrics."""
    x0, y0, x1, y1, x2, y2, w0, w1, w2, inverse = seen
    mean = (g0 * w0 + g1 * w1 + g2 * w2) * inverse
    # From normalised weights to w_i = area_i / z_i, to the areas opposite each corner.
    a0, a1, a2 = (
        (g0 - mean) * inverse / screen[i, 2],
        (g1 - mean) * inverse / screen[j, 2],
        (g2 - mean) * inverse / screen[k, 2],
    )
    out[i, 0] += a2 * y1 - a1 * y2
    out[i, 1] += a1 * x2 - a2 * x1
    out[i, 2] -= a0 * w0
    out[j, 0] += a0 * y2 - a2 * y0
    out[j, 1] += a2 * x0 - a0 * x2
    out[j, 2] -= a1 * w1
    out[k, 0] += a1 * y0 - a0 * y1
    out[k, 1] += a0 * x1 - a1 * x0
    out[k, 2] -= a2 * w2


@compiled
def _weights(share, triangles, screen, face_id, bary):
    _, begin, end, top, bottom = share
    for b in range(begin, end):
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f = face_id[b, y, x]
                u, v, w = 0.0, 0.0, 0.0
                if f >= 0:
                    _, _, _, _, _, _, u, v, w, inverse = _seen(
                        screen[b], triangles[f, 0], triangles[f, 1], triangles[f, 2], x + 0.5, y + 0.5
                    )
                    u, v, w = u * inverse, v * inverse, w * inverse
                bary[b, y, x, 0], bary[b, y, x, 1], bary[b, y, x, 2] = u, v, w


@compiled
def _weights_backward(share, triangles, screen, face_id, grad, out):
    part, begin, end, top, bottom = share
    for b in range(begin, end):
        out[part, b] = 0
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f, g = face_id[b, y, x], grad[b, y, x]
                if f >= 0 and (g[0] != 0 or g[1] != 0 or g[2] != 0):
                    i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                    seen = _seen(screen[b], i, j, k, x + 0.5, y + 0.5)
                    _pull(screen[b], i, j, k, seen, g[0], g[1], g[2], out[part, b])


@compiled
def _blend(share, triangles, face_id, bary, values, out):
    _, begin, end, top, bottom = share
    for b in range(begin, end):
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f = face_id[b, y, x]
                if f < 0:
                    out[b, y, x] = 0
                    continue
                i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                u, v, w = bary[b, y, x, 0], bary[b, y, x, 1], bary[b, y, x, 2]
                for c in range(values.shape[2]):
                    out[b, y, x, c] = u * values[b, i, c] + v * values[b, j, c] + w * values[b, k, c]


@compiled
def _blend_backward(share, triangles, face_id, bary, values, grad, out_bary, out_values):
    part, begin, end, top, bottom = share
    for b in range(begin, end):
        out_values[part, b] = 0
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f = face_id[b, y, x]
                for corner in range(3):
                    total = 0.0
                    if f >= 0:
                        vertex, weight = triangles[f, corner], bary[b, y, x, corner]
                        for c in range(values.shape[2]):
                            g = grad[b, y, x, c]
                            total += g * values[b, vertex, c]
                            out_values[part, b, vertex, c] += g * weight
                    out_bary[b, y, x, corner] = total


@compiled
def _draw(share, triangles, screen, colour, face_id, image):
    _, begin, end, top, bottom = share
    for b in range(begin, end):
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f = face_id[b, y, x]
                if f < 0:
                    image[b, 0, y, x], image[b, 1, y, x], image[b, 2, y, x] = 0, 0, 0
                    continue
                i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                _, _, _, _, _, _, u, v, w, inverse = _seen(screen[b], i, j, k, x + 0.5, y + 0.5)
                for c in range(3):
                    value = (u * colour[b, i, c] + v * colour[b, j, c] + w * colour[b, k, c]) * inverse
                    image[b, c, y, x] = min(max(value, 0.0), 1.0)


@compiled
def _draw_backward(share, triangles, screen, colour, face_id, image, grad, out_screen, out_colour):
    part, begin, end, top, bottom = share
    for b in range(begin, end):
        out_screen[part, b], out_colour[part, b] = 0, 0
        for y in range(top, bottom):
            for x in range(face_id.shape[2]):
                f = face_id[b, y, x]
                if f < 0 or (grad[b, 0, y, x] == 0 and grad[b, 1, y, x] == 0 and grad[b, 2, y, x] == 0):
                    continue
                i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                seen = _seen(screen[b], i, j, k, x + 0.5, y + 0.5)
                u, v, w = seen[6] * seen[9], seen[7] * seen[9], seen[8] * seen[9]
                g0, g1, g2 = 0.0, 0.0, 0.0
                for c in range(3):
                    if 0 < image[b, c, y, x] < 1:  # else clamped
                        g = np.float64(grad[b, c, y, x])
                        g0 += g * colour[b, i, c]
                        g1 += g * colour[b, j, c]
                        g2 += g * colour[b, k, c]
                        out_colour[part, b, i, c] += g * u
                        out_colour[part, b, j, c] += g * v
                        out_colour[part, b, k, c] += g * w
                _pull(screen[b], i, j, k, seen, g0, g1, g2, out_screen[part, b])


class Barycentrics(torch.autograd.Function):
    """screen (B, V, 3), triangles (F, 3), face_id (B, S, S) -> perspective-correct barycentrics (B, S, S, 3), 0 where empty."""

    @staticmethod
    def forward(ctx, screen, triangles, face_id):
        bary = torch.empty(*face_id.shape, 3, dtype=screen.dtype)
        share_out(_weights, face_id.shape[1], triangles, screen, face_id, bary, batch=len(bary))
        ctx.save_for_backward(screen, triangles, face_id)
        return bary

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        screen, triangles, face_id = ctx.saved_tensors
        rows = face_id.shape[1]
        out = by_part(screen, rows)
        share_out(_weights_backward, rows, triangles, screen, face_id, grad, out, batch=len(grad))
        return out.sum(0), None, None


class Blend(torch.autograd.Function):
    """face_id (B, S, S), bary (B, S, S, 3), triangles (F, 3), values (B, V, C) -> (B, S, S, C), 0 where empty."""

    @staticmethod
    def forward(ctx, face_id, bary, triangles, values):
        out = torch.empty(*face_id.shape, values.shape[-1], dtype=values.dtype)
        share_out(_blend, face_id.shape[1], triangles, face_id, bary, values, out, batch=len(out))
        ctx.save_for_backward(face_id, bary, triangles, values)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        face_id, bary, triangles, values = ctx.saved_tensors
        rows = face_id.shape[1]
        out_bary, out = torch.empty(bary.shape, dtype=bary.dtype), by_part(values, rows)
        share_out(_blend_backward, rows, triangles, face_id, bary, values, grad, out_bary, out, batch=len(grad))
        return None, out_bary, None, out.sum(0)


class Draw(torch.autograd.Function):
    """screen, colour (B, V, 3), triangles (F, 3), face_id (B, S, S) -> image (B, 3, S, S) in [0, 1], 0 where empty.

    Barycentrics, interpolation and clamping in one, for a picture: nothing per pixel is kept but the picture.
    """

    @staticmethod
    def forward(ctx, screen, colour, triangles, face_id):
        size = face_id.shape[1]
        image = torch.empty(len(face_id), 3, size, size, dtype=colour.dtype)
        share_out(_draw, size, triangles, screen, colour, face_id, image, batch=len(image))
        ctx.save_for_backward(screen, colour, triangles, face_id, image)
        return image

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        screen, colour, triangles, face_id, image = ctx.saved_tensors
        rows = face_id.shape[1]
        out = [by_part(x, rows) for x in (screen, colour)]
        share_out(_draw_backward, rows, triangles, screen, colour, face_id, image, grad, *out, batch=len(grad))
        return out[0].sum(0), out[1].sum(0), None, None


def zbuffer(screen: torch.Tensor, triangles: torch.Tensor, size: int) -> torch.Tensor:
    """Nearest triangle of each pixel centre, (B, S, S) int64, -1 where empty; screen (B, V, 3) float32."""
    face_id = torch.empty(len(screen), size, size, dtype=torch.long)
    share_out(_visible, size, triangles, screen, face_id, batch=len(screen))
    return face_id
