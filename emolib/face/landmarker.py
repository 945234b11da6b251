"""The face net: boxes, 478 points and 52 ARKit shapes of a face, from nets that have seen photographs.

Three nets of the "face landmarker" v2 (Google, Apache-2.0), ported to torch: :class:`Detector` (BlazeFace, Bazarevsky et al. 2019)
finds faces, :class:`Points` (Kartynnik et al. 2019, the mesh of 468 points and two irises) places points on one, :class:`Shapes` (an
MLP-Mixer on 146 of them) says which actions it shows. They are differentiable, batched, and run where their weights are.
What finds faces in a picture of any size and angle with them: :mod:`emolib.face.finding`.

Weights: ``data/pretrained/foundation/landmarker.safetensors``, converted by `make foundation`, which relies on one thing here:
parameters are declared in the order in which the net uses them.

Conventions: pictures are float (N, 3, S, S) RGB in [0, 1]; points are (x, y[, z]) in pixels of that picture, pixel centres at + 0.5.
"""

import functools
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "foundation" / "landmarker.safetensors"
DETECTOR_SIZE, POINTS_SIZE = 128, 256  # px: sides of the pictures that the nets take
POINTS, IRISES = 478, 10
TRUNK = 14  # blocks of the points' net that others build on, see Points.features
# The Mixer's outputs, in its order: "_neutral" first, then ARKit's names, "tongueOut" is not among them.
SHAPE_NAMES = (
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight "
    "eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight "
    "eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight "
    "mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft "
    "mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower "
    "mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight "
    "noseSneerLeft noseSneerRight"
).split()
# The points that the shapes are read from.
SHAPE_POINTS = (
    "0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 103 105 107 109 127 "
    "132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 168 172 173 176 178 181 185 191 195 197 234 246 "
    "249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312 314 317 318 321 323 324 332 334 336 338 "
    "356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389 390 397 398 400 402 405 409 415 454 466 468 469 470 "
    "471 472 473 474 475 476 477"
)
SHAPE_INDEX = tuple(int(i) for i in SHAPE_POINTS.split())


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Padded as TensorFlow's SAME pads an even picture: what is left over goes right and below."""
    total = max(kernel - stride, 0)
    return F.pad(x, (total // 2, total - total // 2) * 2)


class _Blaze(nn.Module):
    """Depthwise 3 x 3, pointwise, added to the input (pooled if strided, zeros for new channels), ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.depth = nn.Conv2d(inputs, inputs, 3, stride, groups=inputs)
        self.point = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.point(self.depth(_same(x, 3, self.stride)))
        skip = F.max_pool2d(x, 2) if self.stride == 2 else x
        return F.relu(y + F.pad(skip, (0, 0, 0, 0, 0, y.shape[1] - skip.shape[1])))


class Detector(nn.Module):
    """Faces of a picture (N, 3, 128, 128): for each of 896 anchors a logit and a box with six points."""

    anchors: Tensor
    WIDTHS = ((24, 24, 28), (32, 36, 42), (48, 56, 64, 72, 80, 88), (96, 96, 96, 96, 96))  # a stage ends at its stride

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2)
        stages, width = [], 24
        for number, widths in enumerate(self.WIDTHS):
            blocks = []
            for place, outputs in enumerate(widths):
                blocks.append(_Blaze(width, outputs, 2 if number and not place else 1))
                width = outputs
            stages.append(nn.Sequential(*blocks[1:]) if not number else nn.Sequential(*blocks))
        # The first stage has one block of 24 channels and one that widens to 28.
        stages[0] = nn.Sequential(_Blaze(24, 24), _Blaze(24, 28))
        self.fine, self.coarse = nn.Sequential(*stages[:3]), stages[3]
        self.logit_fine, self.logit_coarse = nn.Conv2d(88, 2, 1), nn.Conv2d(96, 6, 1)
        self.box_fine, self.box_coarse = nn.Conv2d(88, 32, 1), nn.Conv2d(96, 96, 1)
        grids = ((16, 2), (8, 6))
        centres = [
            torch.cartesian_prod(*[(torch.arange(n) + 0.5) / n] * 2).flip(1).repeat_interleave(k, 0) for n, k in grids
        ]
        self.register_buffer("anchors", torch.cat(centres), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(logits (N, 896), boxes (N, 896, 8, 2)). A box holds centre, size, then right eye, left eye, nose tip, mouth, right and left
        tragion (of the person), all in parts of the picture."""
        x = F.relu(self.stem(_same(images * 2 - 1, 5, 2)))
        fine = self.fine(x)
        coarse = self.coarse(fine)
        rows = [_rows(h(y), k) for h, y, k in ((self.logit_fine, fine, 1), (self.logit_coarse, coarse, 1))]
        boxes = [_rows(h(y), k) for h, y, k in ((self.box_fine, fine, 16), (self.box_coarse, coarse, 16))]
        found = torch.cat(boxes, 1).unflatten(2, (8, 2)) / DETECTOR_SIZE
        place = torch.ones_like(found[..., :1])
        place[:, :, 1] = 0  # all but the size are measured from the anchor
        return torch.cat(rows, 1).squeeze(2), found + place * self.anchors[:, None]


def _rows(x: Tensor, values: int) -> Tensor:
    """(N, k * values, H, W) -> (N, H * W * k, values)."""
    return x.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, values))


class _Bottleneck(nn.Module):
    """1 x 1 (or 2 x 2 with stride 2) to half the channels, depthwise 3 x 3, 1 x 1, added to the input; PReLU."""

    def __init__(self, inputs: int, inner: int, outputs: int, down: bool = False):
        super().__init__()
        self.down = down
        self.squeeze = nn.Conv2d(inputs, inner, 2, 2) if down else nn.Conv2d(inputs, inner, 1)
        self.inner = nn.PReLU(inner)
        self.depth = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)
        self.expand = nn.Conv2d(inner, outputs, 1)
        self.outer = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.depth(self.inner(self.squeeze(x))))
        skip = F.max_pool2d(x, 2) if self.down else x
        return self.outer(y + F.pad(skip, (0, 0, 0, 0, 0, y.shape[1] - skip.shape[1])))


class Points(nn.Module):
    """478 points of the one face that a picture (N, 3, 256, 256) shows, upright, its box 2/3 of the side."""

    WIDTHS = (16, 32, 64, 128, 128, 128, 128)

    def __init__(self):
        super().__init__()
        self.stem, self.stem_slope = nn.Conv2d(3, 16, 3, 2), nn.PReLU(16)
        blocks, width = [], 16
        for number, outputs in enumerate(self.WIDTHS):
            inner = min(outputs // 2, 64)
            if number:
                blocks.append(_Bottleneck(width, inner, outputs, down=True))
            blocks += [_Bottleneck(outputs, inner, outputs) for _ in range(4)]
            width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.tongue, self.presence, self.points = (
            nn.Conv2d(128, 1, 2),
            nn.Conv2d(128, 1, 2),
            nn.Conv2d(128, 3 * POINTS, 2),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(points (N, 478, 3) in pixels, z about the depth in the same unit; presence logits (N,))."""
        return self.answer(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """(N, 64, 32, 32): what the first half of the net, nearly all of its work, makes of the picture."""
        return self.blocks[:TRUNK](self.stem_slope(self.stem(_same(images, 3, 2))))

    def answer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The other half: what :meth:`forward` returns, from :meth:`features`."""
        x = self.blocks[TRUNK:](features)
        return self.points(x).flatten(1).unflatten(1, (POINTS, 3)), self.presence(x).flatten()


class _Mixer(nn.Module):
    """Mixes tokens, then channels, each behind a LayerNorm without bias."""

    def __init__(self, tokens: int = 97, channels: int = 64):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(channels, 1e-6, bias=False)
        self.tokens = nn.Sequential(nn.Linear(tokens, 384), nn.ReLU(), nn.Linear(384, tokens))
        self.norm_channels = nn.LayerNorm(channels, 1e-6, bias=False)
        self.channels = nn.Sequential(nn.Linear(channels, 256), nn.ReLU(), nn.Linear(256, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Shapes(nn.Module):
    """Strength of 51 ARKit actions and "_neutral" from points; size, place and the depth of a face do not count."""

    def __init__(self):
        super().__init__()
        self.scale, self.token = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(64))
        self.points = nn.Linear(len(SHAPE_INDEX), 96)
        self.channels = nn.Linear(2, 64)
        self.mixers = nn.Sequential(*[_Mixer() for _ in range(4)])
        self.head = nn.Linear(64, 52)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 52) in [0, 1], by :data:`SHAPE_NAMES`, from points (N, 478, >= 2) of an upright face."""
        x = points[:, list(SHAPE_INDEX), :2]
        x = x - x.mean(1, keepdim=True)
        x = x / x.norm(dim=2, keepdim=True).mean(1, keepdim=True) * self.scale
        x = self.channels(self.points(x.transpose(1, 2)).transpose(1, 2))
        x = self.mixers(torch.cat([self.token.expand(len(x), 1, -1), x], 1))
        return self.head(x[:, 0]).sigmoid()


class FaceNet(nn.Module):
    """The three nets as one, as they ship, with the neutral face that their maker measures a head's pose by.

    canonical: (468, 3) cm, x to the right of the picture, y down, z away from the camera. rigid: (468,) how much each point counts for
    the pose; 0 for those that move with an expression.
    """

    canonical: Tensor
    rigid: Tensor

    def __init__(self):
        super().__init__()
        self.detector, self.points, self.shapes = Detector(), Points(), Shapes()
        self.register_buffer("canonical", torch.zeros(POINTS - IRISES, 3))
        self.register_buffer("rigid", torch.zeros(POINTS - IRISES))


def head_pose(points: Tensor, net: FaceNet) -> Tensor:
    """The turn of heads (N, 3, 3): x = R x_canonical, from points (N, 478, 3) by the weighted best rotation (Umeyama 1991).

    Angles in degrees: :func:`head_angles`. The points' depth is the net's guess.
    """
    weight = net.rigid[None, :, None]
    share = weight / weight.sum()
    seen = points[:, : len(net.canonical)]
    one, other = (x - (x * share).sum(1, keepdim=True) for x in (net.canonical[None], seen))
    u, _, vh = torch.linalg.svd(other.transpose(1, 2) @ (one * share))
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.det(u @ vh)
    return u * sign[:, None] @ vh


def head_angles(rotations: Tensor) -> Tensor:
    """(N, 3) degrees, R = Rz(roll) Ry(yaw) Rx(pitch). Positive: pitch looks down, yaw to the right of the picture, roll is clockwise."""
    yaw = torch.asin(rotations[:, 2, 0].clamp(-1, 1))
    pitch = torch.atan2(rotations[:, 2, 1], rotations[:, 2, 2])
    roll = torch.atan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return torch.rad2deg(torch.stack([pitch, yaw, roll], 1))


def load_face_net(path: str | Path | None = None, device: str | torch.device = "cpu") -> FaceNet:
    """The shipped nets, frozen, or those of ``path`` (what `make foundation` writes). EmolibError for missing or damaged files."""
    return _load(Path(path or WEIGHTS), str(device))


@functools.cache
def _load(path: Path, device: str) -> FaceNet:
    state, config = load_weights(path)
    if config.get("kind") != "landmarker":
        raise EmolibError(
            f"{path} holds {config.get('kind', 'something else')}; expected the nets of `make foundation`"
        )
    net = load_into(FaceNet(), state, path).to(device)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
