"""High-fidelity Emotional Face generation: one source portrait and a drive -> frames (Xu et al. 2023, Sec. 3.4, Eqs. 7-10).

    z_sty   = Linear([alpha_s, beta_d, delta_s, gamma_s, p_d, sigma_hat])                      (7)
    F_i+1   = [T(phi_i, F^s_i), StyleConv(F_i, z_sty), F^rd_i]                                 (8)
    phi_i+1 = F_flow(F_i+1) + Up(phi_i)                                                        (9)
    I_i+1   = F_rgb(F_i+1) + Up(I_i)                                                           (10)

N blocks go from 4 x 4 to ``size`` (7 for the paper's 512). F_0 is a learned constant, phi_0 is the identity. Flows are
backward and in the units of ``grid_sample``: offset 2 is the whole image. StyleConv is the modulated convolution of
StyleGAN2 (Karras et al. 2020, Sec. 2): up, 3 x 3, weights modulated by z_sty and demodulated; without noise, so that a
frame depends on its inputs alone and video does not flicker.

Two additions are ours, not the paper's. The paper trains for 7 days on 8 GPUs; with them the *untrained* network
already shows the source moved by the 3DMM, so that minutes on a CPU are spent on what is left, and a real photograph keeps
the texture that no rendered corpus holds. Both are off in the profile ``paper``.

- ``detail``: F_rgb = gain * (W_i+1 - Up(W_i)) + colour, with the start W = (1 - h) T(phi, I^s) + h D: the warped source, and where the
  source does not show what is asked (h, :mod:`emolib.sight`) the rendering in its light, D. With gain 1 and colour 0, the
  start of training, Eq. 10 sums to W_N exactly: an image warped once, at full resolution. The gain fades the source out, band by band
  (multi-band blending), where it shows the wrong thing. It also makes the finest flow phi_N count, which Eqs. 8-10 compute and never
  use. Gain and colour act where something appears, is lit anew, or moves beyond the mesh: skin that only moves is the photograph's.
- ``mesh_motion``: E_rd also sees R(theta_s) moved onto the drive, the motion field of the mesh, its mask, and what is hidden; and the
  flows of Eq. 9 are refinements of that field: phi_i = M_i + rho_i with rho_i+1 = F_flow(F_i+1) + Up(rho_i), rho_0 = 0, which
  is Eq. 9 plus the band of M between the two scales. M is continued smoothly beyond the mesh, for hair, neck, background.

Flow, gain and colour are smooth, the photograph is not: :mod:`emolib.portrait` goes on with Eq. 10 at the photograph's own resolution.

The rows "w/o res." and "w/o hie." of Table 3 are :data:`VARIANTS`. Their inputs are the same. ``wo_res``: each scale predicts its
flow from nothing, phi_i+1 = F_flow(F_i+1), so neither Up(phi_i) nor M is added. ``wo_hie``: the flow is refined up to size / 8
(64 at 512; at least 8) and only upsampled from there on.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.face.model import SIZES
from emolib.layers import Conv, StyleConv, activate, up, warp
from emolib.sight import Drive, drawn, length, relight, unlike
from emolib.weights import load_into, load_weights, save_weights

VARIANTS = ("full", "wo_res", "wo_hie")
START = 4  # side of F_0
FLOW_UNIT = 0.1  # one unit of F_flow's last layer, as a part of half the image: keeps its steps within a pixel
# A rendering that differs by so much from the source's own, moved, says that light changes; and how soon fully.
LIT = 0.02, 8.0


class Source(NamedTuple):
    """A source portrait, encoded once for all frames, from coarse (8 x 8) to fine."""

    features: list[Tensor]  # F^s, (1|B, c, r, r)
    images: list[Tensor]  # I^s at the same sizes, (1|B, 3, r, r)


class HefOutput(NamedTuple):
    image: Tensor  # (B,3,S,S), I_N; may leave [0, 1] a little
    flows: list[Tensor]  # phi_1..phi_N, (B,2,r,r)
    images: list[Tensor]  # I_1..I_N
    gain: Tensor  # (B,1,S,S) how much of the start's finest band is kept; 1 without ``detail``
    start: Tensor  # (B,3,S,S) W_N, what the bands are taken from; 0 without ``detail``
    light: Tensor  # (B,3,r,r) of the start, see :func:`emolib.sight.relight`


class Scale(NamedTuple):
    """What a block is given at its side r."""

    features: Tensor  # (1|B,c,r,r) F^s
    picture: Tensor  # (1|B,3,r,r) I^s
    guide: Tensor  # (B,c,r,r) F^rd
    base: Tensor  # (B,2,r,r) M_i+1, or 0
    hidden: Tensor  # (B,1,r,r) share that the source does not show
    drawn: Tensor  # (B,3,r,r) the relit rendering there, times that share
    paint: Tensor  # (B,1,r,r) how far colour and gain may differ from the start's
    moves: Tensor  # (B,1,r,r) how far the flow may differ from M


class Encoder(nn.Module):
    """E_src, E_rd: features at every size from the image's down to 8 x 8, returned from coarse to fine."""

    def __init__(self, inside: int, widths: list[int]):
        super().__init__()
        self.first = Conv(inside, widths[-1])
        steps = list(zip(widths[::-1], widths[-2::-1]))
        self.down = nn.ModuleList(Conv(a, b, stride=2) for a, b in steps)
        self.same = nn.ModuleList(Conv(b, b) for _, b in steps)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [activate(self.first(x))]
        for down, same in zip(self.down, self.same):
            x = activate(down(features[-1]))
            features.append((x + activate(same(x))) / math.sqrt(2))
        return features[::-1]


class Head(nn.Module):
    """F_flow and F_rgb: features -> ``outside`` channels, 0 at the start."""

    def __init__(self, inside: int, hidden: int, outside: int):
        super().__init__()
        self.first, self.last = Conv(inside, hidden), Conv(hidden, outside, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(activate(self.first(x))).float()


class HefBlock(nn.Module):
    """Eqs. 8-10 at one scale. ``refine``: whether this scale predicts flow (all but the fine ones of ``wo_hie``)."""

    def __init__(self, before: int, width: int, style: int, *, refine: bool, residual: bool, detail: bool):
        super().__init__()
        self.residual, self.detail = residual, detail
        self.style_conv = StyleConv(before, width, style)
        self.flow = Head(3 * width, width, 2) if refine else None
        self.rgb = Head(3 * width + 3 * detail, width, 3 + detail)

    def forward(self, feature: Tensor, flow: Tensor, image: Tensor, start: Tensor, at: Scale, z: Tensor):
        """F_i, rho_i (phi_i of wo_res), I_i and W_i -> those of i + 1, phi_i+1 and the gain."""
        raised = up(flow)
        carried = warp(at.features, at.base + raised).to(at.guide.dtype)
        feature = torch.cat([carried, self.style_conv(feature, z), at.guide], 1)  # Eq. 8
        flow = raised
        if self.flow is not None:
            predicted = FLOW_UNIT * self.flow(feature) * at.moves
            flow = predicted + raised if self.residual else predicted  # Eq. 9
        phi = at.base + flow
        if not self.detail:
            return feature, flow, self.rgb(feature) + up(image), start, phi, torch.ones_like(phi[:, :1])  # Eq. 10
        now = warp(at.picture, phi) * (1 - at.hidden) + at.drawn
        out = self.rgb(torch.cat([feature, now.to(feature.dtype)], 1)) * at.paint
        gain, colour = 2 * torch.sigmoid(out[:, 3:]), out[:, :3]
        image = gain * (now - up(start)) + colour + up(image)  # Eq. 10 with the band of the start
        return feature, flow, image, now, phi, gain


class Hef(nn.Module):
    """The generator. All arguments are kept in ``config`` and stored with the weights.

    size: side of the images, a power of two from 32. sigma_dim: C of sigma_hat. variant: one of :data:`VARIANTS`.
    channels, channels_max: a map of side r has min(channels_max, channels / r) channels in each of its three parts (Eq. 8).
    style_dim: of z_sty. detail, mesh_motion: the two additions, see the top of the module.
    """

    style_mean: Tensor
    style_std: Tensor

    def __init__(
        self,
        *,
        size: int,
        sigma_dim: int,
        variant: str = "full",
        channels: int = 2048,
        channels_max: int = 64,
        style_dim: int = 128,
        detail: bool = True,
        mesh_motion: bool = True,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise EmolibError(f"unknown HEF variant {variant!r}; expected one of {', '.join(VARIANTS)}")
        if size < 32 or size & (size - 1):
            raise EmolibError(f"HEF's image size is {size}; expected a power of two from 32, set base.size to one")
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.size, self.variant, self.detail, self.mesh_motion = size, variant, detail, mesh_motion
        self.sides = [START * 2 ** (i + 1) for i in range(int(math.log2(size // START)))]  # of the N blocks' outputs
        self.finest_flow = max(size // 8, self.sides[0]) if variant == "wo_hie" else size
        widths = [max(8, min(channels_max, channels // side)) for side in self.sides]
        inputs = sum(SIZES.values()) + sigma_dim
        self.linear = nn.Linear(inputs, style_dim)  # Eq. 7
        self.constant = nn.Parameter(torch.randn(1, widths[0], START, START))  # F_0
        self.source_encoder = Encoder(3, widths)
        self.rd_encoder = Encoder(11 if mesh_motion else 3, widths)
        inside = [widths[0], *(3 * width for width in widths)]
        self.blocks = nn.ModuleList()
        for before, width, side in zip(inside, widths, self.sides):
            options = {"refine": side <= self.finest_flow, "residual": variant != "wo_res", "detail": detail}
            self.blocks.append(HefBlock(before, width, style_dim, **options))
        self.register_buffer("style_mean", torch.zeros(inputs))
        self.register_buffer("style_std", torch.ones(inputs))

    def standardise(self, styles: Tensor) -> "Hef":
        """Sets the units of Eq. 7's input from styles (n, 257+C) of the training set: pose is in radians, light is not."""
        self.style_mean.copy_(styles.mean(0))
        self.style_std.copy_(styles.std(0).clamp(min=1e-2))
        return self

    def encode_source(self, image: Tensor) -> Source:
        """image (1|B, 3, S, S) in [0, 1] -> its feature and image pyramids. Raises ValueError for another size."""
        if image.shape[1:] != (3, self.size, self.size):
            raise ValueError(f"the source is {tuple(image.shape)}; expected (B, 3, {self.size}, {self.size})")
        images = [image]
        while len(images) < len(self.sides):
            images.append(F.avg_pool2d(images[-1], 2))
        return Source(self.source_encoder(2 * image - 1), images[::-1])

    def _check(self, source: Source, drive: Drive) -> None:
        """Raises ValueError that names what of a source or a drive has a wrong shape."""
        batch, side = len(drive.style), self.size
        wanted = {"rendering": 3, "moved": 3, "motion": 2, "mask": 1, "hidden": 1, "inside": 1}
        for name, channels in wanted.items():
            if (found := tuple(getattr(drive, name).shape)) != (batch, channels, side, side):
                raise ValueError(f"the drive's {name} is {found}; expected {(batch, channels, side, side)}")
        if drive.style.shape[1:] != self.style_mean.shape:
            raise ValueError(f"the drive's style is {tuple(drive.style.shape)}; expected (B, {len(self.style_mean)})")
        if len(source.features) != len(self.sides) or len(source.images[0]) not in (1, batch):
            raise ValueError(
                f"the source has {len(source.images[0])} pictures; expected 1 or {batch}, as many as the drive"
            )

    def synthesise(self, source: Source, drive: Drive) -> HefOutput:
        """Eqs. 7-10 for a batch of frames of one source, or of as many."""
        self._check(source, drive)
        # Clamped: a fit that lies far outside the corpus (a real photograph) must not blow up the modulation.
        z = self.linear(((drive.style - self.style_mean) / self.style_std).clamp(-3, 3))
        inputs = [2 * drive.rendering - 1]
        if self.mesh_motion:
            inputs += [2 * drive.moved - 1, drive.motion / FLOW_UNIT, drive.mask, drive.hidden, drive.inside]
        guides = self.rd_encoder(torch.cat(inputs, 1))
        batch = len(z)
        feature = self.constant.expand(batch, -1, -1, -1)
        flow = torch.zeros(batch, 2, START, START, device=z.device)
        image = torch.full((batch, 3, START, START), 0.0 if self.detail else 0.5, device=z.device)
        start = torch.zeros_like(image)
        light = relight(source.images[-1], drive)
        painted = drawn(drive.rendering, drive.inside, light)
        hidden = unlike(warp(source.images[-1], drive.motion), painted, drive.motion, drive.inside, drive.hidden)
        shares = self._shares(drive, hidden, painted * hidden)
        flows, images = [], []
        for i, (block, base) in enumerate(zip(self.blocks, self._bases(drive.motion))):
            at = Scale(source.features[i], source.images[i], guides[i], base, *(share[i] for share in shares))
            feature, flow, image, start, phi, gain = block(feature, flow, image, start, at, z)
            flows.append(phi)
            images.append(image)
        return HefOutput(image, flows, images, gain, start, light)

    def _shares(self, drive: Drive, hidden: Tensor, painted: Tensor) -> list[list[Tensor]]:
        """``hidden``, ``drawn``, ``paint`` and ``moves`` of :class:`Scale` at every side.

        Where nothing is asked to change, the photograph stays what it is, to the bit: flow may be refined where the mesh moves, colour
        changed where the source does not show what is asked, its light differs, or something beyond the mesh moves.
        """
        moves = (length(drive.motion) * self.size).clamp(max=1)  # fully from half a pixel on
        if not self.mesh_motion:
            moves = torch.ones_like(moves)
        threshold, slope = LIT
        lit = slope * ((drive.rendering - drive.moved).abs().mean(1, keepdim=True) - threshold) * drive.mask
        near = F.max_pool2d(hidden, 3, 1, 1)
        paint = torch.maximum(near, lit.clamp(min=0)) + (1 - drive.mask) * moves
        found = []
        for share in (hidden, painted, paint.clamp(max=1), moves):
            scales = [share]
            while len(scales) < len(self.sides):
                scales.append(F.avg_pool2d(scales[-1], 2))
            found.append(scales[::-1])
        return found

    def _bases(self, field: Tensor) -> list[Tensor]:
        """What the predicted flow is added to at each scale: M_i, or zeros where the variant has none."""
        if not self.mesh_motion or self.variant == "wo_res":
            return [field.new_zeros(())] * len(self.sides)
        bases: list[Tensor] = []
        for side in self.sides:
            bases.append(F.avg_pool2d(field, self.size // side) if side <= self.finest_flow else up(bases[-1]))
        return bases

    def forward(self, source: Tensor, drive: Drive) -> HefOutput:
        """source (1|B, 3, S, S) in [0, 1] and B wanted frames -> :class:`HefOutput`."""
        return self.synthesise(self.encode_source(source), drive)

    @torch.no_grad()
    def generate(self, source: Source, drive: Drive) -> Tensor:
        """Frames (B, 3, S, S) in [0, 1] of a source that :meth:`encode_source` has encoded."""
        return self.synthesise(source, drive).image.clamp(0, 1)

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> Path:
        return save_weights(path, self, self.config, dtype)

    @classmethod
    def load(cls, path: str | Path) -> "Hef":
        state, config = load_weights(path)
        try:
            hef = cls(**config)
        except TypeError:
            raise EmolibError(f"the weights {path} are not a HEF's; expected a hef.safetensors") from None
        return load_into(hef, state, path)
