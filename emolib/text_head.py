"""A small head on MiniLM's sentence embedding that has learnt where a larger encoder (all-mpnet-base-v2) puts English words for feelings.

    e' = (e + W2 gelu(W1 e + b1) + b2) / |...|

MiniLM alone puts 53 of 82 unseen emotion words nearest to the right class of eight; mpnet, twenty times its size, 71. The head has learnt
mpnet's distances between some 28,000 short texts (``scripts/train_words.py``); the larger encoder is needed for nothing else.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "words.safetensors"


class TextHead(nn.Module):
    """dim: length of an embedding. hidden: width in between. It starts as the identity."""

    def __init__(self, dim: int = 384, hidden: int = 1024):
        super().__init__()
        self.config = {"dim": dim, "hidden": hidden}
        self.widen, self.narrow = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, dim) L2-normalised -> the same."""
        return F.normalize(embeddings + self.narrow(F.gelu(self.widen(embeddings))), dim=-1)

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> "TextHead":
        """Frozen, in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"dim", "hidden"}:
            raise EmolibError(f"{path} holds something else than a text head ({config}); expected words.safetensors")
        return load_into(cls(**config), state, path)
