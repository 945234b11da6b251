"""Background replacement (Sinha et al. 2022, App., Fig. 12), for pictures whose background the texture generator has never seen.

Before: the background of the source gives way to one that G_T knows. After: in what it made, the source's own comes back.
"""

import torch
from torch import Tensor

from emolib.face.person import person_about
from emolib.scene import NOBODY, filled


class Background:
    """Of one picture (3, S, S) in [0, 1]: its own, filled where the person hides it, and the one (3, S, S) that is ``known``; its own
    again, if none is: then it only keeps still."""

    def __init__(self, picture: Tensor, known: Tensor | None = None):
        self.picture, self.person = picture[None], person_about(picture[None])
        self.own = filled(self.picture, (self.person < NOBODY).float())
        self.known = self.own if known is None else known[None]

    def replaced(self) -> Tensor:
        """The picture (3, S, S) before the known background."""
        return (self.picture + (1 - self.person) * (self.known - self.own))[0].clamp(0, 1)

    def returned(self, frames: Tensor) -> Tensor:
        """Frames (T, 3, S, S), made from :meth:`replaced`, before the picture's own background."""
        share = person_about(frames)
        mixed = frames + (1 - share) * (self.own - self.known)
        return torch.lerp(self.own, mixed, (share / NOBODY).clamp(max=1)).clamp(0, 1)
