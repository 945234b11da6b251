"""A stranger who looks at a face and says what it feels: a net that has learnt that from photographs of people, and from nothing of ours.

"FaceExpressionNet" of face-api.js (Vincent Muehler, Vladimir Mandic; MIT), 326,000 weights, ported to torch: four dense blocks of depthwise
separable convolutions. It judges what is made of real photographs (07), and says what the photograph of an emotion shows
(:mod:`emolib.pictured`). Drawn people it takes for surprised. It knows no contempt.

Weights: ``data/pretrained/foundation/onlooker.safetensors``, converted by `make foundation`, which relies on one thing here: parameters
are declared in the order of its file.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "foundation" / "onlooker.safetensors"
NAMES = ("neutral", "happy", "sad", "angry", "fear", "disgusted", "surprised")  # in the order of its outputs
SIDE = 112  # px
MEAN = (122.782, 117.001, 104.298)  # of 255
WIDTHS = (32, 64, 128, 256)
# Half the side of what it is shown, in widths of the 68 landmarks, and how much higher than they it lies.
FRAME, LIFT = 0.63, 0.12


class _Separable(nn.Module):
    """A depthwise convolution, and one across channels; padded as TensorFlow's SAME pads an even picture."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
        self.each = nn.Conv2d(inputs, inputs, 3, stride, groups=inputs, bias=False)
        self.across = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.across(self.each(self.pad(x)))


class _Block(nn.Module):
    """Four convolutions, each of which sees the sum of all before it; the first halves the side."""

    def __init__(self, inputs: int, width: int, whole: bool):
        super().__init__()
        if whole:
            self.first: nn.Module = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(inputs, width, 3, 2))
        else:
            self.first = _Separable(inputs, width, 2)
        self.rest = nn.ModuleList(_Separable(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        total = F.relu(self.first(x))
        seen = total
        for layer in self.rest:
            total = total + layer(seen)
            seen = F.relu(total)
        return seen


class Onlooker(nn.Module):
    """Faces (N, 3, 112, 112) in [0, 1] -> logits (N, 7) of :data:`NAMES`."""

    def __init__(self):
        super().__init__()
        ends = zip((3, *WIDTHS), WIDTHS)
        self.blocks = nn.Sequential(*(_Block(a, b, whole=a == 3) for a, b in ends))
        self.last = nn.Linear(WIDTHS[-1], len(NAMES))

    def forward(self, faces: Tensor) -> Tensor:
        faces = faces - faces.new_tensor(MEAN)[:, None, None] / 255
        return self.last(self.blocks(faces).mean((2, 3)))

    @torch.no_grad()
    def named(self, frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """What it says of the face with ``landmarks`` (68, 2) in ``frames``, uint8 (T, H, W, 3): shares (T, 7) of :data:`NAMES`."""
        middle, half = (landmarks.min(0) + landmarks.max(0)) / 2, FRAME * np.ptp(landmarks[:, 0])
        middle = middle - [0, LIFT * half]
        height, width = frames.shape[1:3]
        (left, top), (right, bottom) = (
            np.clip(np.round(middle + sign * half), 0, (width, height)).astype(int) for sign in (-1, 1)
        )
        shown = torch.from_numpy(np.array(frames[:, top:bottom, left:right])).permute(0, 3, 1, 2) / 255.0
        small = F.interpolate(shown, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        return self(small).softmax(1).numpy()


@functools.cache
def load_onlooker(path: str | Path = WEIGHTS) -> Onlooker:
    """The shipped net, frozen. EmolibError for missing or damaged files."""
    state, config = load_weights(path)
    if config.get("kind") != "onlooker":
        raise EmolibError(f"{path} holds {config.get('kind', 'something else')}; expected the net of `make foundation`")
    return load_into(Onlooker(), state, path)
