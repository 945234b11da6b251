"""Two different emotion nets: phi_emo of the loss L_emo (Xu et al. 2023, Eq. 6) and the judge of the metric EFD (Sec. 4.1).

The paper measures EFD with FAN [26], "different from the model in the loss calculation". So there are two architectures
here, which share nothing, not even people: ``loss`` is a plain GroupNorm conv net, ``efd`` a residual net with BatchNorm, as FAN's, with
spatial attention and FAN's attention over the frames of a clip (Meng et al., ICIP 2019). Both see the same fixed window of the
aligned crop.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.weights import load_into, load_weights, save_weights

KINDS = ("loss", "efd")
SIZE = 64  # side of what the nets see, pixels
# Brows to chin with a margin, as fractions of the aligned crop: hair and background say nothing about emotion.
WINDOW = {"top": 0.23, "left": 0.17, "side": 0.66}


def face_window(images: Tensor, size: int = SIZE) -> Tensor:
    """(B,3,H,W) aligned crops -> (B,3,size,size): :data:`WINDOW` cut out and resized, differentiable."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (B, 3, H, W)")
    height, width = images.shape[2:]
    top, left = round(WINDOW["top"] * height), round(WINDOW["left"] * width)
    images = images[:, :, top : top + round(WINDOW["side"] * height), left : left + round(WINDOW["side"] * width)]
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def standardised_face(images: Tensor, size: int = SIZE) -> Tensor:
    """(B,3,H,W) aligned crops in [0,1] -> (B,1,size,size): what the nets look at. Differentiable.

    The face window, grey, scaled to mean 0 and deviation 1 inside an ellipse, 0 outside. Light, complexion, hair and
    background differ from clip to clip, and a net that sees them learns the clips by heart instead of the expressions.
    """
    grey = face_window(images, size).mean(1, keepdim=True)
    line = torch.linspace(-1, 1, size, device=images.device)
    mask = (3 * (1 - (line[:, None] ** 2 + (line[None] / 0.85) ** 2))).clamp(0, 1)
    mean = (grey * mask).sum((2, 3), keepdim=True) / mask.sum()
    deviation = (((grey - mean) ** 2 * mask).sum((2, 3), keepdim=True) / mask.sum() + 1e-4).sqrt()
    return (grey - mean) / deviation * mask


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """Basic block of a residual net (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        short: list[nn.Module] = [nn.AvgPool2d(stride)] if stride > 1 else []
        short += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)] if inputs != outputs else []
        self.short = nn.Sequential(*short)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.short(x) + self.body(x))


class _AttentionPool(nn.Module):
    """Mean over positions weighted by one learned attention map."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, h, w) -> (B, C)
        weight = self.score(x).flatten(2).softmax(2)
        return (x.flatten(2) * weight).sum(2)


def _plain(features: int) -> nn.Sequential:
    widths = [(1, 16, 2), (16, 32, 1), (32, 48, 2), (48, 64, 1), (64, 96, 2), (96, 96, 1), (96, features, 2)]
    return nn.Sequential(
        *[_conv(*w) for w in widths], nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * features, features)
    )


def _residual(features: int) -> nn.Sequential:
    widths = [(24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, features, 2)]
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, 2, 1, bias=False),
        nn.BatchNorm2d(24),
        nn.SiLU(inplace=True),
        *[_Residual(*w) for w in widths],
        _AttentionPool(features),
    )


class EmotionNet(nn.Module):
    """Eight-way emotion recognition on aligned crops.

    kind: ``loss`` (phi_emo, Eq. 6) or ``efd`` (the judge of EFD). features: F, the length of a feature vector.
    """

    def __init__(self, kind: str = "loss", features: int = 128):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {KINDS}")
        self.config = {"kind": kind, "features": features}
        self.backbone = _plain(features) if kind == "loss" else _residual(features)
        self.attention = nn.Linear(features, 1)  # FAN: how much a frame counts
        self.head = nn.Linear(features, len(EMOTIONS))

    def features(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> (B,F): the backbone before the last linear layer. Differentiable."""
        return self.backbone(standardised_face(images))

    def clip_features(self, frames: Tensor) -> Tensor:
        """(B,T,3,H,W) in [0,1] -> (B,F): frames weighed by FAN's self-attention, a_t = sigmoid(w f_t), then averaged."""
        return self.pool(self.features(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]))

    def pool(self, features: Tensor) -> Tensor:
        """(B,T,F) -> (B,F), see :meth:`clip_features`."""
        weight = self.attention(features).sigmoid()
        return (features * weight).sum(1) / weight.sum(1)

    def forward(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1], or (B,T,3,H,W) of clips -> logits (B,8) in the order of :data:`EMOTIONS`."""
        return self.head(self.clip_features(images) if images.ndim == 5 else self.features(images))

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path) -> "EmotionNet":
        """Reads weights, frozen and in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"kind", "features"}:
            raise EmolibError(
                f"{path} holds something else than an emotion net ({config}); expected emotion_*.safetensors"
            )
        return load_into(cls(**config), state, path)
