"""Two different emotion nets: phi_emo of the loss L_emo (Xu et al. 2023, Eq. 6) and the judge of the metric EFD (Sec. 4.1).

The paper measures EFD with FAN [26], "different from the model in the loss calculation". So there are two architectures
here, with nothing in common but their data: ``loss`` is a plain GroupNorm conv net, ``efd`` a depthwise residual net with
spatial attention and FAN's attention over the frames of a clip (Meng et al., ICIP 2019). Both see the same fixed
window of the aligned crop at 64 px.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.params import EMOTIONS
from emolib.training import Trainer
from emolib.weights import load_into, load_weights, save_weights

KINDS = ("loss", "efd")
SIZE = 64  # side of what the nets see, pixels
BANK_SIZE = 128  # side of the crops kept for training, at most; of 80 px ones the nets learnt visibly less
# Brows to chin with a margin, as fractions of the aligned crop: hair and background say nothing about emotion.
STRENGTH = 0.7  # of the augmentation at its strongest: beyond, the small nets learn less and not more
WINDOW = {"top": 0.23, "left": 0.17, "side": 0.66}


def face_window(images: Tensor, size: int = SIZE) -> Tensor:
    """(B,3,H,W) aligned crops -> (B,3,size,size): :data:`WINDOW` cut out and resized, differentiable."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (B, 3, H, W)")
    height, width = images.shape[2:]
    top, left = round(WINDOW["top"] * height), round(WINDOW["left"] * width)
    images = images[:, :, top : top + round(WINDOW["side"] * height), left : left + round(WINDOW["side"] * width)]
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def see(images: Tensor, size: int = SIZE) -> Tensor:
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
    """Inverted residual (MobileNetV2): widen, depthwise 5x5, narrow."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.SiLU(inplace=True),
            nn.Conv2d(2 * width, 2 * width, 5, 1, 2, groups=2 * width, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.SiLU(inplace=True),
            nn.Conv2d(2 * width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


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


def _depthwise(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 4, bias=False),
        nn.BatchNorm2d(32),
        _Residual(32),
        _Residual(32),
        nn.Conv2d(32, 72, 2, 2),
        _Residual(72),
        _Residual(72),
        nn.Conv2d(72, features, 1),
        nn.SiLU(inplace=True),
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
        self.backbone = _plain(features) if kind == "loss" else _depthwise(features)
        self.attention = nn.Linear(features, 1)  # FAN: how much a frame counts
        self.head = nn.Linear(features, len(EMOTIONS))

    def features(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> (B,F): the backbone before the last linear layer. Differentiable."""
        return self.backbone(see(images))

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


@dataclass(frozen=True)
class FrameBank:
    """A fixed number of frames of each clip, decoded once: memory stays within the budget however long the clips are.

    images: (N, K, 3, S, S) uint8. composites: the same frames with the rendered fit pasted in (I^3d of Eq. 6), or None.
    recast: the same with a random identity, complexion and light instead of the fitted ones (for training), or None.
    emotion, intensity: (N,) int64 (index into EMOTIONS; 1..3). identity: one name a clip.
    """

    images: Tensor
    emotion: Tensor
    intensity: Tensor
    identity: tuple[str, ...]
    composites: Tensor | None = None
    recast: Tensor | None = None

    def __len__(self) -> int:
        return len(self.emotion)

    @classmethod
    def load(
        cls, corpus, *, per_clip: int, budget_mb: int, seed: int, size: int = BANK_SIZE, face_model=None
    ) -> "FrameBank":
        """Decodes ``per_clip`` frames spread over the middle of each clip, at ``size`` px; of a corpus that would
        not fit into ``budget_mb``, a random part of the clips is taken.

        face_model: a :class:`emolib.face.model.FaceModel`; with it the clips' fitted coefficients are rendered too.
        """
        if not len(corpus):
            raise EmolibError(
                "the corpus has no clips to train a critic on; run `dvc repro 01_data` or check the split"
            )
        room = max(1, int(budget_mb * 2**20 / (per_clip * 3 * size * size * (3 if face_model else 1))))
        rng = np.random.default_rng(seed)
        clips = [corpus[int(i)] for i in np.sort(rng.permutation(len(corpus))[:room])]
        images, composites, recasts = [], [], []
        for clip in clips:
            # Emotions rise at the start of a clip and fade at its end; the middle is what the label speaks of.
            index = np.linspace(0.2 * clip.n_frames, 0.8 * clip.n_frames, per_clip).astype(int)
            frames = to_tensor(clip.frames(index))
            images.append(_shrink(frames, size))
            if face_model is not None:
                fitted = clip.coefficients()[index]
                composites.append(_shrink(composite(face_model, fitted, frames), size))
                recasts.append(_shrink(composite(face_model, recast(fitted, rng), frames), size))
        return cls(
            torch.stack(images),
            torch.tensor([EMOTIONS.index(c.emotion) for c in clips]),
            torch.tensor([int(c.intensity) for c in clips]),
            tuple(c.identity for c in clips),
            torch.stack(composites) if composites else None,
            torch.stack(recasts) if recasts else None,
        )

    def sample(self, rng: np.random.Generator, n: int, frames: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """``n`` clips, each emotion equally often, ``frames`` frames of each: images (n, frames, 3, S, S) float
        in [0,1], emotion (n,), intensity (n,). Where there are any, a fifth of the clips come as composites, a fifth recast."""
        present = self.emotion.unique().numpy()
        labels = rng.permutation(np.resize(rng.permutation(present), n))
        chosen = torch.as_tensor([rng.choice(np.flatnonzero(self.emotion.numpy() == k)) for k in labels])
        index = torch.as_tensor(rng.integers(self.images.shape[1], size=(n, frames)))
        images = self.images[chosen[:, None], index]
        if self.composites is not None:
            draw = torch.as_tensor(rng.random(n))
            for source, drawn in ((self.composites, draw < 0.2), (self.recast, draw > 0.8)):
                images[drawn] = source[chosen[drawn][:, None], index[drawn]]
        return images.float() / 255, self.emotion[chosen], self.intensity[chosen]


def to_tensor(frames: np.ndarray) -> Tensor:
    """uint8 (T,H,W,3) -> float (T,3,H,W) in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def _shrink(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] > size:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


@torch.no_grad()
def composite(face_model, coefficients, images: Tensor) -> Tensor:
    """I^3d = M * I^rd + (1 - M) * I (Sec. 3.3): the rendered 3DMM over the photograph, (T,3,S,S) in [0,1]."""
    from emolib.face.render import render

    drawn = render(face_model, coefficients, images.shape[-1])
    return drawn.mask * drawn.image + (1 - drawn.mask) * images


def recast(coefficients, rng: np.random.Generator):
    """The same expressions and poses on random people under random light, one a frame: an identity says nothing about emotion."""

    def normal(like):
        return torch.as_tensor(rng.normal(size=like.shape), dtype=like.dtype)

    light = coefficients.gamma * (1 + 0.3 * normal(coefficients.gamma))
    return coefficients.replace(alpha=normal(coefficients.alpha), delta=normal(coefficients.delta), gamma=light)


def augment(images: Tensor, rng: np.random.Generator, strength: float = 1.0) -> Tensor:
    """(B,3,S,S) in [0,1] -> the same faces under another camera: mirrored, turned and moved a little, other colours and light
    from a side, blurred, noisy, and half of them with a patch missing.

    strength: 0 (mirror only) to 1; training starts low, since a net that sees only the hardest pictures learns nothing at first.
    """
    return other_camera(*other_frame(images, rng, strength), rng, strength)


def _uniform(rng: np.random.Generator, images: Tensor, low: float, high: float, *shape: int) -> Tensor:
    """One draw a picture, (B, *shape)."""
    return torch.as_tensor(rng.uniform(low, high, (len(images), *shape)), dtype=torch.float32, device=images.device)


def other_frame(images: Tensor, rng: np.random.Generator, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """The geometric half of :func:`augment`: images, and the affine maps (B, 2, 3) from the new picture to the old, both in [-1, 1]."""

    def about(half):
        return _uniform(rng, images, -half * strength, half * strength)

    angle, scale, mirror = about(0.15), 1 + about(0.1), torch.sign(_uniform(rng, images, -1, 1))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([cos * mirror, -sin, about(0.08), sin * mirror, cos, about(0.08)], 1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False), maps


def other_camera(images: Tensor, maps: Tensor, rng: np.random.Generator, strength: float = 1.0) -> Tensor:
    """The other half: colours, light, sharpness, noise and patches."""
    size, device = images.shape[-1], images.device

    def uniform(low, high, *shape):
        return _uniform(rng, images, low, high, *shape)

    def about(half, *shape):
        return uniform(-half * strength, half * strength, *shape)

    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    ramp = (grid * about(0.25, 1, 1, 2)).sum(3)[:, None]
    images = images * (1 + about(0.2, 3, 1, 1)) * (1 + about(0.25, 1, 1, 1)) * (1 + ramp)
    grey, mean = images.mean(1, keepdim=True), images.mean((1, 2, 3), keepdim=True)
    images = torch.lerp(images, grey, uniform(0, strength, 1, 1, 1))
    images = torch.lerp(images, mean, about(0.25, 1, 1, 1))

    coarse = F.interpolate(images, scale_factor=1 - 0.5 * strength * rng.random(), mode="bilinear", antialias=True)
    images = torch.lerp(images, F.interpolate(coarse, (size, size), mode="bilinear"), uniform(0, 1, 1, 1, 1).round())
    images = images + torch.as_tensor(rng.normal(0, 0.03 * strength, images.shape), dtype=torch.float32, device=device)

    centre, half = uniform(-1, 1, 1, 1, 2), uniform(0.05, 0.25, 1, 1, 2)
    raster = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, size, device=device)] * 2, indexing="ij"), -1)
    patch = ((raster - centre).abs() < half).all(3)[:, None] & (uniform(0, 1, 1, 1, 1) < 0.5 * strength)
    return torch.where(patch, uniform(0, 1, 3, 1, 1), images).clamp(0, 1)


def cosine_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, lr: float) -> None:
    """Sets the learning rate of ``step``: up over the first twentieth, then down to a fiftieth along a cosine."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    for group in optimizer.param_groups:
        group["lr"] = lr * warm * (0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * step / steps)))


def train_emotion(net: EmotionNet, bank: FrameBank, *, steps: int, batch_size: int, lr: float, **trainer) -> Trainer:
    """Trains ``net`` in place on ``bank``: cross-entropy on single frames and, for ``efd``, on threes of frames too.

    trainer: what else :class:`emolib.training.Trainer` takes (seed, checkpoints, ...).
    """
    name = f"emotion_{net.config['kind']}"
    optimizer = torch.optim.AdamW(net.train().parameters(), lr=lr, weight_decay=0.05)
    run = Trainer({name: net}, {name: optimizer}, steps=steps, ema=0.98, name=name, **trainer)
    for step in run:
        cosine_rate(run.optimizers[name], step, steps, lr)
        frames = int(run.rng.choice((1, 3))) if net.config["kind"] == "efd" else 1
        images, emotion, _ = bank.sample(run.rng, max(2, batch_size // frames), frames)
        emotion = emotion.to(run.device)
        batch = images.shape[:2]
        images = augment(images.flatten(0, 1).to(run.device), run.rng, min(step / steps, STRENGTH)).unflatten(0, batch)
        with run.autocast():
            logits = run.models[name](images).float()
        loss = F.cross_entropy(logits, emotion, label_smoothing=0.1)
        run.minimize(name, loss, clip=1.0)
        run.log(loss=loss, accuracy=(logits.argmax(1) == emotion).float().mean())
    run.finish(name)
    return run


@torch.no_grad()
def confusion(score, bank: FrameBank, *, composites: bool = False, clips: bool = False) -> np.ndarray:
    """(8,8) counts, row = truth, column = answer.

    score: what gives (B,8) scores for images (B,3,S,S), or for (B,K,3,S,S) with ``clips``, such as an :class:`EmotionNet`.
    """
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    source = bank.composites if composites else bank.images
    for i in range(0, len(bank), 16):
        images = source[i : i + 16].float() / 255
        answer = score(images if clips else images.flatten(0, 1)).argmax(1).cpu()
        truth = bank.emotion[i : i + 16].repeat_interleave(1 if clips else images.shape[1])
        np.add.at(counts, (truth.numpy(), answer.numpy()), 1)
    return counts


def accuracy(counts: np.ndarray) -> float:
    """Share of right answers in a confusion matrix, every emotion that occurs weighing the same (neutral is rare)."""
    occurs = counts.sum(1) > 0
    return float((np.diag(counts)[occurs] / counts.sum(1)[occurs]).mean())
