"""The encoder of Whisper tiny.en (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023), in torch.

It has heard 680,000 hours of real speech. It is used frozen, on windows much shorter than the 30 s that it was trained on, and what its
layers say is taken as it is. The shipped file holds the numbers of OpenAI's weights (`make foundation`).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "foundation" / "whisper.safetensors"
N_MELS = 80
POSITIONS = 300  # tokens of 20 ms that may stand in a window: of Whisper's 1,500 the first 6 s


class _Layer(nn.Module):
    """One layer of the encoder: attention and a feed-forward net, each behind its own LayerNorm."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.ffn_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C) -> (B, N, C)
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.attention_norm(x)).chunk(3, 2)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.widen(self.ffn_norm(x))))


class WhisperEncoder(nn.Module):
    """Whisper's stem and first layers. dim, heads, layers: tiny.en has 384, 6 and 4."""

    def __init__(self, dim: int = 384, heads: int = 6, layers: int = 4):
        super().__init__()
        self.config = {"dim": dim, "heads": heads, "layers": layers}
        self.conv1, self.conv2 = nn.Conv1d(N_MELS, dim, 3, 1, 1), nn.Conv1d(dim, dim, 3, 2, 1)
        self.positions = nn.Parameter(torch.zeros(POSITIONS, dim))
        self.layers = nn.ModuleList(_Layer(dim, heads) for _ in range(layers))

    def forward(self, mel: Tensor, layers: tuple[int, ...]) -> Tensor:
        """Whisper's log-mel (B, 2 N, 80), N up to POSITIONS -> what ``layers`` (from 0) say, one after the other, (B, N, C len(layers)).

        Token j speaks of mel frame 2 j: of the moment 20 j ms. Differentiable.
        """
        if mel.ndim != 3 or mel.shape[2] != N_MELS or mel.shape[1] % 2 or mel.shape[1] > 2 * POSITIONS:
            raise ValueError(f"the mel is {tuple(mel.shape)}; expected (B, even and at most {2 * POSITIONS}, {N_MELS})")
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel.transpose(1, 2))))).transpose(1, 2)
        x, said = x + self.positions[: x.shape[1]], []
        for number, layer in enumerate(self.layers[: max(layers) + 1]):
            x = layer(x)
            if number in layers:
                said.append(x)
        return torch.cat(said, 2)

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> "WhisperEncoder":
        """Frozen, in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"dim", "heads", "layers"}:
            raise EmolibError(
                f"{path} holds something else than Whisper's encoder ({config}); expected whisper.safetensors"
            )
        return load_into(cls(**config), state, path)
