"""Eyes of a photograph's own brightness: what wide lids bare of them is drawn, and the model knows no shadow of brows and lashes.

Its eyeballs are lit as the face is. In most photographs they lie in the shade, and a white that is drawn beside the photographed one
stares. So both eyes are compared where the photograph shows them, and what is drawn of each is made as dark as there.
"""

import torch
from torch import Tensor

from emolib.face.model import Coefficients, FaceModel

EYES = ((36, 42), (42, 48))  # of the 68 landmarks: the rims of the lids, in order
DARKEST = 0.45  # how dark an eye may be of what the model draws; brighter than that it does not get
ENOUGH = 12.0  # px: the area of an opening from which on its brightness is known
SOFT = 1.5  # px: edge of an opening
ROUND = 1.7  # times as large as six corners say: lids are round, and their rims are wet


def openings(model: FaceModel, faces: Coefficients, side: int) -> Tensor:
    """How much of each pixel lies between the lids of ``faces`` (B): (B, 2, side, side), right and left eye."""
    points = model.landmarks(faces.alpha, faces.beta, faces.pose, side)
    steps = torch.arange(side, device=points.device) + 0.5
    found = points.new_zeros(len(faces), 2, side, side)
    for eye, (first, last) in enumerate(EYES):
        rim = points[:, first:last]
        rim = torch.lerp(rim.mean(1, keepdim=True), rim, ROUND)
        low, high = (edge(rim.flatten(0, 1), 0).tolist() for edge in (torch.amin, torch.amax))
        x, y = (slice(max(0, int(a - SOFT)), min(side, int(b + SOFT) + 2)) for a, b in zip(low, high))
        place = torch.stack(torch.meshgrid(steps[x], steps[y], indexing="xy"), -1)[None, None]  # (1, 1, h, w, 2)
        ahead = rim.roll(-1, 1) - rim
        normal = torch.stack([-ahead[..., 1], ahead[..., 0]], -1) / ahead.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        inwards = ((place - rim[:, :, None, None]) * normal[:, :, None, None]).sum(-1)  # (B, 6, h, w) px
        found[:, eye, y, x] = (inwards.amin(1) / SOFT + 0.5).clamp(0, 1)
    return found


def brightness(model: FaceModel, own: Coefficients, picture: Tensor, rendering: Tensor) -> Tensor:
    """How bright each eye of the ``picture`` (1, 3, R, R) is, of what the ``rendering`` of its fit ``own`` (1 row) draws: (2,)."""
    where = openings(model, own, picture.shape[-1])[0]
    seen, drawn = ((where * x.mean(1)).sum((1, 2)) for x in (picture, rendering))
    ratio = (seen / drawn.clamp(min=1e-6)).clamp(DARKEST, 1)
    return torch.where(where.sum((1, 2)) < ENOUGH, torch.ones_like(ratio), ratio)


def shaded(model: FaceModel, wanted: Coefficients, rendering: Tensor, bright: Tensor) -> Tensor:
    """``rendering`` (B, 3, R, R) of the faces ``wanted`` (B) with eyes as :func:`brightness` says."""
    if bool((bright == 1).all()):
        return rendering
    darker = (openings(model, wanted, rendering.shape[-1]) * (1 - bright[:, None, None])).sum(1, keepdim=True)
    return rendering * (1 - darker)
