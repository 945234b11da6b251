"""Black-and-white and toned photographs: their colours follow from lightness, and so must those of what is drawn into them.

A picture is one of these if its red, green and blue are, within :data:`ALIKE`, one function of its lightness. Lips, tongue and eyes then
get the colour that the picture has at their lightness.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # BT.601
STEPS = 32  # of lightness, at which its colour is known
# Of 1, root mean square of what lightness does not explain: grey pictures 0, a sepia JPEG .009, 21 colour photographs of faces .019 to .10;
# dim film stills, all of one colour, .008 on, which are toned in this sense.
ALIKE = 0.012


def _light(pictures: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", pictures, pictures.new_tensor(LUMA))


class Tones(NamedTuple):
    """By how much red, green and blue differ from lightness: ``apart`` (STEPS + 1, 3) at 0, 1 / STEPS, ... 1."""

    apart: Tensor

    def explain(self, light: Tensor) -> Tensor:
        """The colours (N, 3, H, W) that the picture has at lightnesses (N, H, W) in [0, 1]."""
        place = light.clamp(0, 1) * STEPS
        low = place.floor().clamp(max=STEPS - 1)
        at, share = low.long(), (place - low)[..., None]
        apart = torch.lerp(self.apart[at], self.apart[at + 1], share)
        return light[:, None] + apart.permute(0, 3, 1, 2)

    def of(self, frames: Tensor) -> Tensor:
        """Frames (N, 3, H, W) in [0, 1] with the colours of the picture."""
        return self.explain(_light(frames))


def tones_of(picture: Tensor) -> Tones | None:
    """Those of a picture (1, 3, H, W) in [0, 1], or None if it is in colour."""
    light = _light(picture)
    colours = (picture - light[:, None]).permute(0, 2, 3, 1).reshape(-1, 3)
    # Means about each step, weighted by nearness; where nothing is so light, the nearest step that is known.
    place = light.flatten().clamp(0, 1) * STEPS
    low = place.floor().clamp(max=STEPS - 1).long()
    share = (place - low).unsqueeze(1)
    total = picture.new_zeros(STEPS + 1, 4)
    for at, weight in ((low, 1 - share), (low + 1, share)):
        total.index_add_(0, at, weight * torch.cat([colours, torch.ones_like(share)], 1))
    known = torch.nonzero(total[:, 3] > 0)[:, 0]
    steps = torch.arange(STEPS + 1, device=picture.device)
    nearest = known[(steps[:, None] - known).abs().argmin(1)]
    tones = Tones(total[nearest, :3] / total[nearest, 3:])
    return tones if float((tones.explain(light) - picture).square().mean().sqrt()) < ALIKE else None
