"""What a source shows of a drive, pixel by pixel on the CPU, compiled; :mod:`emolib.sight` says what for, and holds the same in torch."""

import math

import torch
from torch import Tensor

from emolib.face.kernels.compiled import compiler
from emolib.face.kernels.parallel import share_out
from emolib.face.kernels.pixel import _seen

compiled = compiler(__name__, error_model="numpy")

OTHER, SKIN, MOUTH, EYES = 0, 1, 2, 3  # kinds of triangles; other: scalp, ears, neck, which hair or clothes may cover
BEHIND, BEHIND_LIDS = 0.03, 0.01  # units behind what the source shows: anything, and what lids cover
OPEN = 0.25  # share of a place's surroundings that is mouth, from where on the source may show its inside there
LAYERS = 9  # colour (3), flow (2), mask, seen, hidden, inside


@compiled
def _between(field, x, y):
    """field (r, r) at x, y in [0, 1], bilinear, continued beyond its border."""
    side = field.shape[0]
    x, y = min(max(x * side - 0.5, 0.0), side - 1.0), min(max(y * side - 0.5, 0.0), side - 1.0)
    left, top = min(int(x), side - 2), min(int(y), side - 2)
    u, v = x - left, y - top
    upper = field[top, left] * (1 - u) + field[top, left + 1] * u
    return upper * (1 - v) + (field[top + 1, left] * (1 - u) + field[top + 1, left + 1] * u) * v


@compiled
def _look(share, triangles, kind, screen, face_id, places, colour, depth, opening, here, stretched, out):
    _, begin, end, top, bottom = share
    fine, size = face_id.shape[1], out.shape[2]
    block = fine // size
    part = 1.0 / (block * block)
    for b in range(begin, end):
        for row in range(top, bottom):
            for column in range(size):
                for c in range(LAYERS):
                    out[b, c, row, column] = 0
            for y in range(row * block, (row + 1) * block):
                for x in range(fine):
                    f = face_id[b, y, x]
                    if f < 0:
                        continue
                    i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                    _, _, _, _, _, _, u, v, w, inverse = _seen(screen[b], i, j, k, x + 0.5, y + 0.5)
                    u, v, w = u * inverse, v * inverse, w * inverse
                    px = u * places[i, 0] + v * places[j, 0] + w * places[k, 0]  # in the source, of its side
                    py = u * places[i, 1] + v * places[j, 1] + w * places[k, 1]
                    pz = u * places[i, 2] + v * places[j, 2] + w * places[k, 2]
                    at = x // block
                    for c in range(3):
                        value = u * colour[b, i, c] + v * colour[b, j, c] + w * colour[b, k, c]
                        out[b, c, row, at] += value * part
                    out[b, 5, row, at] += part
                    sx, sy = int(math.floor(px * fine)), int(math.floor(py * fine))
                    nearest = 0.0
                    if 0 <= sx < fine and 0 <= sy < fine:
                        nearest = depth[sy, sx]
                    inside = kind[f] == MOUTH
                    if inside:
                        behind = _between(opening[1], px, py) < OPEN
                        out[b, 8, row, at] += part
                        if _between(here[b, 1], (x + 0.5) / fine, (y + 0.5) / fine) < 0.5:
                            continue
                    else:
                        behind = pz - nearest > (BEHIND_LIDS if kind[f] == EYES else BEHIND) or stretched[b, f]
                        if not behind and kind[f] == SKIN and _between(opening[0], px, py) > 0.5:
                            behind = _between(here[b, 0], (x + 0.5) / fine, (y + 0.5) / fine) < 0.5
                    if behind and kind[f] != OTHER:
                        out[b, 7, row, at] += part
                    if inside or not behind:
                        out[b, 6, row, at] += part
                        out[b, 3, row, at] += (2 * px - (2 * x + 1) / fine) * part
                        out[b, 4, row, at] += (2 * py - (2 * y + 1) / fine) * part


def layers(size: int, triangles: Tensor, kind: Tensor, screen: Tensor, face_id: Tensor, *rest: Tensor) -> Tensor:
    """(B, 9, S, S): what :func:`emolib.sight.layers_torch` gives, from the same arguments."""
    out = torch.empty(len(face_id), LAYERS, size, size)
    share_out(_look, size, triangles, kind, screen, face_id, *rest, out, batch=len(out))
    return out
