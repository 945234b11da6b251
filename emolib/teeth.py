"""Teeth of a photograph's size: enamel and the gaps between, painted over the slab that a face model has for them.

The model's arches are strips of 34 corners each: in a picture of 128 pixels that is all one sees; at a photograph's own resolution a smile
is a grey plate. Where they show, each tooth gets its width, its edge and the brightness of enamel, which the mean colour of the model's
mouth does not have.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from emolib.face.camera import move, to_screen
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import interpolate, rasterize
from emolib.sight import acted, bared

# mm: widths of half an arch from the middle on (Ash and Nelson, Wheeler's Dental Anatomy, 2003): upper, lower.
WIDTHS = ((8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.0), (5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5))
CROWNS = (
    10.0,
    8.5,
)  # mm: how high a tooth stands out of its gum, upper and lower; between teeth the gum reaches further
PAPILLA = 2.5  # mm
MM = 0.01  # units
GAP = 0.35  # mm: half the width of a gap
DARK = 0.35  # how much darker than enamel a gap is
ROUND = 0.12  # and a tooth near its gaps, which turns away
ENAMEL = 1.45  # times as bright as the model's
GUM = (0.95, 0.5, 0.5)  # the same of gums, in red, green, blue
FRONT, BACK = 18.0, 14.0  # mm along an arch: from where on, and how fast, it gets dark towards the back of the mouth
PART = 8  # px: the drawn part of a picture is so many pixels larger than the mouth


@functools.lru_cache(maxsize=2)
def arches(model: FaceModel) -> tuple[Tensor, Tensor]:
    """The triangles (F, 3) of the teeth, and of every vertex (V, 3): how far along its arch it lies, in mm from the middle, how far from
    the biting edge, in mm, and whether it is of the upper arch."""
    teeth = model.regions["teeth"]
    points = model.mean_shape.cpu().numpy()
    triangles = model.triangles[teeth[model.triangles].all(1)]
    height = points[:, 1]
    upper = (acted(model, "jawOpen").norm(dim=1) < 1e-3).cpu().numpy()  # those that stay when the jaw opens
    x, z = points[:, 0], points[:, 2]
    of = teeth.cpu().numpy()
    wide, back = np.abs(x[of]).max(), z[of].min()
    deep = z[of].max() - back
    # An arch is half an ellipse; its length from the middle to the angle t.
    angle = np.linspace(0, math.pi / 2, 200)
    step = np.hypot(wide * np.cos(angle), deep * np.sin(angle)) * (angle[1] - angle[0])
    length = np.cumsum(step) - step[0]
    at = np.arctan2(np.abs(x) / wide, np.maximum(z - back, 0) / deep)
    along = np.sign(x) * np.interp(at, angle, length) / MM
    edges = [height[of & upper].min(), height[of & ~upper].max()]  # they are level, nearly
    deep_in_gum = np.where(upper, height - edges[0], edges[1] - height) / MM
    values = np.stack([along, deep_in_gum, upper], 1).astype(np.float32)
    return triangles, torch.from_numpy(values).to(model.mean_shape)


def enamel(along: Tensor, height: Tensor, upper: Tensor) -> Tensor:
    """How many times as bright as the model's teeth a place ``along`` (mm from the middle) of an arch and ``height`` (mm from the biting
    edge) is: (..., 3)."""
    colour = along.new_zeros(*along.shape, 3)
    for widths, crown, own in zip(WIDTHS, CROWNS, (upper > 0.5, upper <= 0.5)):
        ends = along.new_tensor(np.cumsum((0.0, *widths)))
        place = torch.bucketize(along.abs().contiguous(), ends[1:-1], right=True)
        begin, end = ends[place], ends[place + 1]
        distance = torch.minimum((along.abs() - begin).abs(), (end - along.abs()).abs())
        near = (1 - 2 * distance / (end - begin)).clamp(0, 1) ** 3  # 1 in a gap, 0 in the middle of a tooth
        tooth = ENAMEL * (1 - DARK * torch.exp(-((distance / GAP) ** 2))) * (1 - ROUND * near)
        gum = (height - crown + PAPILLA * near + 0.5).clamp(0, 1)[..., None]
        painted = torch.lerp(tooth[..., None].expand(*along.shape, 3), along.new_tensor(GUM).expand_as(colour), gum)
        colour = torch.where(own[..., None], painted, colour)
    return colour * torch.exp(-(((along.abs() - FRONT).clamp(min=0) / BACK) ** 2))[..., None]


def painted_teeth(model: FaceModel, wanted: Coefficients, rendering: Tensor, inside: Tensor) -> Tensor:
    """``rendering`` (B,3,R,R) of the faces ``wanted`` (B) with teeth where its mouth's ``inside`` (B,1,R,R) shows them."""
    rows, columns = (torch.nonzero(inside.amax((0, 1)).amax(axis) > 0)[:, 0] for axis in (1, 0))
    if not len(rows):
        return rendering
    top, left = (max(0, int(x[0]) - PART) for x in (rows, columns))
    side = max(int(x[-1]) - first for x, first in ((rows, top), (columns, left))) + PART
    triangles, values = arches(model)
    screen = to_screen(move(bared(model, wanted), wanted.pose), rendering.shape[-1])
    screen = screen - screen.new_tensor([left, top, 0])
    fragments = rasterize(screen, triangles, side)
    places = interpolate(fragments, triangles, values.expand(len(wanted), -1, -1)).unbind(-1)
    times = torch.where((fragments.face_id >= 0)[..., None], enamel(*places), 1.0).permute(0, 3, 1, 2)
    part = (..., slice(top, top + side), slice(left, left + side))
    out = rendering.clone()
    shown = inside[part]
    times = times[..., : shown.shape[-2], : shown.shape[-1]]
    out[part] = (rendering[part] * (1 + shown * (times - 1))).clamp(max=1)
    return out
