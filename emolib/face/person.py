"""Where the person is in a picture: head, hair, shoulders, and what they wear, apart from what is behind them.

The net is "selfie segmentation" (Google, Apache-2.0), ported to torch: a MobileNetV3 (Howard et al. 2019) of 106,000 weights whose
decoder weighs each level's channels by squeeze and excitation. It has seen photographs of all the world.

Weights: ``data/pretrained/foundation/person.safetensors``, converted by `make foundation`, which relies on one thing here: parameters are
declared in the order in which the net uses them.
"""

import functools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "foundation" / "person.safetensors"
SIDE = 256  # px: of the picture that the net takes
AROUND = (
    2.0  # times the side of a face crop: what the net is shown about a face, since it knows people by their shoulders
)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, each: bool = False) -> nn.Sequential:
    """Padded as TensorFlow's SAME pads an even picture: what is left over goes right and below. each: depthwise."""
    total = max(kernel - stride, 0)
    pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2)
    return nn.Sequential(pad, nn.Conv2d(inputs, outputs, kernel, stride, groups=inputs if each else 1))


class _Weigh(nn.Module):
    """How much each channel counts (N, C, 1, 1), by the means of all (Hu et al. 2018)."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()


class _Block(nn.Module):
    """Widened, depthwise, weighed (where ``inner``), narrowed; added to the input where nothing changes size."""

    def __init__(
        self, inputs: int, wide: int, outputs: int, kernel: int, stride: int, inner: int, act: type[nn.Module]
    ):
        super().__init__()
        self.expand, self.depth = _conv(inputs, wide), _conv(wide, wide, kernel, stride, each=True)
        self.weigh = _Weigh(wide, inner) if inner else None
        self.narrow, self.act = _conv(wide, outputs), act()
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.depth(self.act(self.expand(x))))
        y = self.narrow(y if self.weigh is None else y * self.weigh(y))
        return x + y if self.added else y


class _Join(nn.Module):
    """A coarse level, twice its side, joined with a finer one, which is weighed by both."""

    def __init__(self, coarse: int, fine: int):
        super().__init__()
        self.lateral, self.weigh, self.mix = _conv(coarse, fine), _Weigh(fine, fine), _conv(fine, fine)
        self.depth = _conv(fine, fine, 3, each=True)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        raised = self.lateral(F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False))
        x = F.relu(self.mix(fine * self.weigh(fine + raised) + raised))
        return x + F.relu(self.depth(x))


class PersonNet(nn.Module):
    """Pictures (N, 3, 256, 256) RGB in [0, 1] -> (N, 1, 256, 256) in [0, 1]: how surely a pixel is a person."""

    # wide, out, kernel, stride, inner channels of the weights, activation
    BLOCKS = (
        (16, 16, 3, 2, 8, nn.ReLU),
        (72, 24, 3, 2, 0, nn.ReLU),
        (88, 24, 3, 1, 0, nn.ReLU),
        (96, 32, 5, 2, 24, nn.Hardswish),
        (128, 32, 5, 1, 32, nn.Hardswish),
        (128, 32, 5, 1, 32, nn.Hardswish),
        (96, 32, 5, 1, 24, nn.Hardswish),
        (96, 32, 5, 1, 24, nn.Hardswish),
    )
    FINE = (0, 2)  # blocks after which the decoder takes the finer levels

    def __init__(self):
        super().__init__()
        self.stem = _conv(3, 16, 3, 2)
        blocks, width = [], 16
        for wide, outputs, kernel, stride, inner, act in self.BLOCKS:
            blocks.append(_Block(width, wide, outputs, kernel, stride, inner, act))
            width = outputs
        self.blocks = nn.ModuleList(blocks)
        self.context, self.gate = _conv(width, 128), _conv(width, 128)
        self.joins = nn.ModuleList([_Join(128, 24), _Join(24, 16), _Join(16, 16)])
        self.last = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = F.hardswish(self.stem(images))
        levels = [x]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.FINE:
                levels.append(x)
        x = F.relu(self.context(x)) * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        for join, fine in zip(self.joins, reversed(levels)):
            x = join(x, fine)
        return self.last(x).sigmoid()


def load_person_net(path: str | Path | None = None, device: str | torch.device = "cpu") -> PersonNet:
    """The shipped net, frozen, or that of ``path`` (what `make foundation` writes). EmolibError for missing or damaged files."""
    return _load(Path(path or WEIGHTS), str(device))


@functools.cache
def _load(path: Path, device: str) -> PersonNet:
    state, config = load_weights(path)
    if config.get("kind") != "person":
        raise EmolibError(f"{path} holds {config.get('kind', 'something else')}; expected the net of `make foundation`")
    return load_into(PersonNet(), state, path).to(device)


@torch.no_grad()
def person_about(pictures: Tensor) -> Tensor:
    """Where the person is in square pictures (n, 3, S, S) in [0, 1] of a head and some of its shoulders: (n, 1, S, S) in [0, 1]."""
    small = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    seen = load_person_net(device=pictures.device)(small)
    return F.interpolate(seen, pictures.shape[-2:], mode="bilinear", align_corners=False)
