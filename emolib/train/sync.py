"""Training of the SyncNet of :mod:`emolib.critics.sync`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.corpus.clips import Corpus
from emolib.critics.sync import VIDEO, SyncNet, clip_windows, cut_windows, inside
from emolib.errors import EmolibError
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share
from emolib.weights import load_weights

MOMENTS = 8  # windows of one clip in a batch


@dataclass(frozen=True)
class MouthBank:
    """Mouths and speech features of whole clips, decoded once, within a budget of memory."""

    mouths: list[Tensor]  # (T, 48, 64) uint8 a clip
    sounds: list[Tensor]  # (N, WIDTH) float16 a clip

    def __len__(self) -> int:
        return len(self.mouths)

    @classmethod
    def load(cls, corpus, *, budget_mb: int, seed: int) -> "MouthBank":
        """Clips in random order (``seed``) until ``budget_mb`` is full; those too short for one batch are left out."""
        mouths, sounds, size = [], [], 0
        for i in np.random.default_rng(seed).permutation(len(corpus)):
            clip = corpus[int(i)]
            mouth, sound = clip_windows(clip.frames(), clip.audio(), float(clip.fps))
            size += mouth.nbytes + sound.nbytes
            if size > budget_mb * 2**20:
                break
            if len(mouth) >= VIDEO + MOMENTS:
                mouths.append(mouth)
                sounds.append(sound)
        if not mouths:
            raise EmolibError(
                f"no clip is long enough for SyncNet; expected {VIDEO + MOMENTS} frames at 25 fps (data.seconds 0.7 or more)"
            )
        return cls(mouths, sounds)

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """About ``n`` matching windows: :data:`MOMENTS` different moments of each of n / MOMENTS random clips."""
        parts = []
        for i in rng.integers(len(self), size=max(1, n // MOMENTS)):
            moments = torch.as_tensor(rng.choice(inside(self.mouths[i]).numpy(), MOMENTS, replace=False))
            parts.append(cut_windows(self.mouths[i], self.sounds[i], moments))
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def augment_mouths(mouths: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror, shift, contrast and noise for mouths (n, VIDEO, 48, 64). Timing is left alone."""
    n, device = len(mouths), mouths.device

    def uniform(low, high, *shape):
        return torch.as_tensor(rng.uniform(low, high, (n, *shape)), dtype=torch.float32, device=device)

    scale, zero = uniform(0.9, 1.1), uniform(0, 0)
    mirror = torch.sign(uniform(-1, 1))
    rows = torch.stack([scale * mirror, zero, uniform(-0.12, 0.12), zero, scale, uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(rows.view(n, 2, 3), list(mouths.shape), align_corners=False)
    mouths = F.grid_sample(mouths, grid, padding_mode="border", align_corners=False)
    mouths = 0.5 + (mouths - 0.5) * uniform(0.5, 1.5, 1, 1, 1)
    return mouths + torch.as_tensor(rng.normal(0, 0.02, mouths.shape), dtype=torch.float32, device=device)


@dataclass(kw_only=True)
class SyncTraining(Training):
    """SyncNet on the clips of ``corpus``: symmetric InfoNCE over batches of several moments of several clips.

    batch_size: windows a step, :data:`MOMENTS` of each clip. parent: weights to go on from. Sizes: :class:`emolib.params.Critics`.
    """

    corpus: Corpus
    batch_size: int
    lr: float
    cache_mb: int
    parent: Path | None = None
    ema: float = 0.98

    @property
    def name(self) -> str:
        return "sync"

    def load(self) -> MouthBank:
        """What it learns from."""
        return MouthBank.load(self.corpus, budget_mb=self.cache_mb, seed=self.seed)

    def prepare(self) -> "SyncTraining":
        self.bank = self.load()
        torch.manual_seed(self.seed)
        net = SyncNet().train()
        some = torch.cat([sound[::2].float() for sound in self.bank.sounds[:200]])
        net.mean, net.std = some.mean(0), some.std(0).clamp(min=1e-3)
        if self.parent:
            net.load_state_dict(load_weights(self.parent)[0])
        self.models = {"sync": net}
        self.optimizers = {"sync": torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, np.random.Generator]:
        """(mouths (n,VIDEO,48,64), sounds (n,TOKENS,WIDTH), the generator, for what is left to draw on the device)."""
        return *self.bank.sample(rng, self.batch_size), rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        mouths, sounds, rng = batch
        loop.cosine_rate("sync", self.lr)
        mouths, sounds = share(augment_mouths(mouths.to(loop.device), rng), sounds.to(loop.device))
        net = loop.models["sync"]
        with loop.autocast():
            video, audio = (gather(x) for x in net(mouths, sounds))
        logits = video @ audio.T * net.log_scale.clamp(max=np.log(50.0)).exp()
        truth = torch.arange(len(logits), device=loop.device)
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        loop.minimize("sync", loss, clip=1.0)
        return {"loss": loss, "accuracy": (logits.argmax(1) == truth).float().mean()}

    def save(self, path: Path) -> None:
        self.models["sync"].save(path)
