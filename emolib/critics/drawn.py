"""Is a face drawn, as those are that our nets learnt from, or of this world? What they say of the others is worth nothing.

A Gaussian over what the face net's first half makes of drawn people (its channels, mean over the crop): who lies far out of it, in its own
deviations, is no such person (Mahalanobis distance; Lee et al., NeurIPS 2018). No photograph is needed to know.

Weights: ``data/pretrained/judges/drawn.safetensors``, measured by `make judges` on the crowd.
"""

import functools
from pathlib import Path

import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.face.landmarker import load_face_net
from emolib.face.landmarks import features_of
from emolib.weights import PRETRAINED, load_weights, save_weights

WEIGHTS = PRETRAINED / "judges" / "drawn.safetensors"
# Deviations: of the corpus's frames 97.7 % lie within, of 559 faces of photographs, blurred and black-and-white ones among them, none. In a
# skin, a light and before a camera that nobody has (the second takes of the crowd), three of four drawn people do not.
REACH = 16.0
SHRINKAGE = 1e-4  # of the mean variance, added to each channel's


@torch.no_grad()
def looks(crops: Tensor) -> Tensor:
    """How aligned crops (n, 3, S, S) in [0, 1] look to the face net: (n, 64)."""
    return features_of(crops, load_face_net()).mean((2, 3))


class Drawn:
    """The Gaussian: ``middle`` (64,), and ``whiten`` (64, 64), which makes its deviations one."""

    def __init__(self, middle: Tensor, whiten: Tensor):
        self.middle, self.whiten = middle.double(), whiten.double()

    @classmethod
    def of(cls, seen: Tensor) -> "Drawn":
        """Of ``looks`` (n, 64) of drawn people; n is a few hundred or more."""
        seen = seen.double()
        spread = torch.cov(seen.T)
        spread = spread + SHRINKAGE * spread.diagonal().mean() * torch.eye(len(spread), dtype=spread.dtype)
        return cls(seen.mean(0), torch.linalg.cholesky(torch.linalg.inv(spread)))

    def distance(self, crops: Tensor) -> Tensor:
        """(n,): deviations by which aligned crops (n, 3, S, S) in [0, 1] lie out of the drawn people."""
        return ((looks(crops).double() - self.middle) @ self.whiten).norm(dim=1)

    def has(self, crops: Tensor) -> Tensor:
        """(n,) bool: whether they are drawn people."""
        return self.distance(crops) < REACH

    def save(self, path: str | Path) -> Path:
        return save_weights(path, {"middle": self.middle.float(), "whiten": self.whiten.float()}, {"kind": "drawn"})

    @classmethod
    @functools.cache
    def load(cls, path: str | Path = WEIGHTS) -> "Drawn":
        """Those that ship. EmolibError for missing or damaged files."""
        state, config = load_weights(path)
        if config.get("kind") != "drawn":
            raise EmolibError(
                f"{path} holds {config.get('kind', 'something else')}; expected how drawn people look (`make judges`)"
            )
        return cls(state["middle"], state["whiten"])
