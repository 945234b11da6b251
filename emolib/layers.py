"""Layers that more than one network is made of: StyleGAN2's convolutions (Karras et al. 2020), warping, resizing."""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """T(phi, x): image (1|B, c, H, W) sampled where backward flow (B, 2, h, w) says; always in float32."""
    batch, _, height, width = flow.shape
    y, x = ((torch.arange(n, device=flow.device) + 0.5) * (2 / n) - 1 for n in (height, width))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) + flow.float().permute(0, 2, 3, 1)
    image = image.float().expand(batch, -1, -1, -1)
    with torch.autocast(flow.device.type, enabled=False):
        return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Conv(nn.Module):
    """Convolution with the equalised learning rate of StyleGAN2: unit normal weights, scaled when used."""

    def __init__(self, inside: int, outside: int, kernel: int = 3, stride: int = 1, zero: bool = False):
        super().__init__()
        self.stride, self.scale = stride, 1 / math.sqrt(inside * kernel**2)
        shape = (outside, inside, kernel, kernel)
        self.weight = nn.Parameter(torch.zeros(shape) if zero else torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.weight.shape[-1] // 2)


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)  # keeps the variance


def _halved(weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Of a kernel's three taps along ``dim`` on a map where each value stands twice: the two taps on the map itself, for even places
    and for odd ones."""
    first, middle, last = weight.split(1, dim)
    return torch.cat([first, middle + last], dim), torch.cat([first + middle, last], dim)


def _raised_conv(x: Tensor, weight: Tensor) -> Tensor:
    """The 3 x 3 convolution of ``x`` (B, inside, r, r) raised to (2r, 2r), each value standing for four (nearest: a fifth of bilinear's
    time), in four ninths of the work: four 2 x 2 convolutions of ``x`` as it is, one for each place in a square of four."""
    side, kernels = x.shape[-1], [k for rows in _halved(weight, 2) for k in _halved(rows, 3)]
    found = F.conv2d(x, torch.cat(kernels), padding=1).unflatten(1, (4, -1))  # (B, 4, outside, r + 1, r + 1)
    parts = [found[:, 2 * a + b, :, a : a + side, b : b + side] for a in (0, 1) for b in (0, 1)]
    rows = [torch.stack(parts[2 * a : 2 * a + 2], -1).flatten(3) for a in (0, 1)]  # (B, outside, r, 2r)
    return torch.stack(rows, 3).flatten(2, 3)


class StyleConv(nn.Module):
    """Up + 3 x 3 convolution modulated by the style, demodulated (StyleGAN2, Eqs. 1, 3), by scaling inputs and outputs."""

    def __init__(self, inside: int, outside: int, style: int):
        super().__init__()
        self.modulate = nn.Linear(style, inside)
        nn.init.normal_(self.modulate.weight, std=1 / math.sqrt(style))
        nn.init.ones_(self.modulate.bias)
        self.weight = nn.Parameter(torch.randn(outside, inside, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:  # (B,inside,r,r), (B,style) -> (B,outside,2r,2r)
        scale = self.modulate(z).float()  # (B, inside)
        power = scale.square() @ self.weight.square().sum((2, 3)).T  # (B, outside)
        y = _raised_conv(x * scale[:, :, None, None].to(x.dtype), self.weight)
        y = y * torch.rsqrt(power + 1e-8)[:, :, None, None].to(y.dtype)
        return activate(y + self.bias[:, None, None].to(y.dtype))


class Dropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch; each process that trains takes its own rows, so it is the same however many do."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        several = dist.is_available() and dist.is_initialized()
        shares, own = (dist.get_world_size(), dist.get_rank()) if several else (1, 0)
        keep = torch.rand(len(x) * shares, *x.shape[1:], device=x.device) >= self.p
        return x * keep[own * len(x) : (own + 1) * len(x)] / (1 - self.p)
