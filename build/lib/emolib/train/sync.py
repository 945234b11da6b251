"""Training of the SyncNet of :mod:`emolib.critics.sync`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.corpus.clips import Corpus
from emolib.critics.sync import VIDEO, SyncNet, clip_windows, cut_windows
from emolib.errors import EmolibError
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share

MOMENTS = 8  # windows of one clip in a batch


@dataclass(frozen=True)
class MouthBank:
    """Mouths and mel windows of whole clips, decoded once, within a budget of memory."""

    mouths: list[Tensor]  # (T, 48, 64) uint8 a clip
    mels: list[Tensor]  # (T, 20, 80) float16 a clip

    def __len__(self) -> int:
        return len(self.mouths)

    @classmethod
    def load(cls, corpus, *, budget_mb: int, seed: int) -> "MouthBank":
        """Clips in random order (``seed``) until ``budget_mb`` is full; those too short for one batch are left out."""
        mouths, mels, size = [], [], 0
        for i in np.random.default_rng(seed).permutation(len(corpus)):
            clip = corpus[int(i)]
            mouth, sound = clip_windows(clip.frames(), clip.audio(), float(clip.fps))
            size += mouth.nbytes + sound.nbytes
            if size > budget_mb * 2**20:
                break
            if len(mouth) >= VIDEO + MOMENTS:
                mouths.append(mouth)
                mels.append(sound)
        if not mouths:
            raise EmolibError(
                f"no clip is long enough for SyncNet; expected {VIDEO + MOMENTS} frames at 25 fps (data.seconds 0.6 or more)"
            )
        return cls(mouths, mels)

    def sample(self, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """About ``n`` matching windows: :data:`MOMENTS` different moments of each of n / MOMENTS random clips."""
        parts = []
        for i in rng.integers(len(self), size=max(1, n // MOMENTS)):
            last = len(self.mouths[i]) - VIDEO // 2
            moments = torch.as_tensor(rng.choice(np.arange(VIDEO // 2, last), MOMENTS, replace=False))
            parts.append(cut_windows(self.mouths[i], self.mels[i], moments))
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def augment_windows(mouths: Tensor, mels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror, shift, contrast and noise for mouths; loudness, a missing band and noise for mels. Timing is left alone."""
    n, device = len(mouths), mouths.device

    def uniform(low, high, *shape):
        return torch.as_tensor(rng.uniform(low, high, (n, *shape)), dtype=torch.float32, device=device)

    scale, zero = uniform(0.9, 1.1), uniform(0, 0)
    mirror = torch.sign(uniform(-1, 1))
    rows = torch.stack([scale * mirror, zero, uniform(-0.12, 0.12), zero, scale, uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(rows.view(n, 2, 3), list(mouths.shape), align_corners=False)
    mouths = F.grid_sample(mouths, grid, padding_mode="border", align_corners=False)
    mouths = 0.5 + (mouths - 0.5) * uniform(0.5, 1.5, 1, 1, 1)
    mouths = mouths + torch.as_tensor(rng.normal(0, 0.02, mouths.shape), dtype=torch.float32, device=device)
    low = uniform(0, 80, 1, 1)
    band = torch.arange(80, device=device)
    mels = mels + uniform(-0.15, 0.15, 1, 1) + torch.as_tensor(rng.normal(0, 0.03, mels.shape), device=device).float()
    return mouths, torch.where((band >= low) & (band < low + uniform(0, 12, 1, 1)), mels.mean(), mels)


@dataclass(kw_only=True)
class SyncTraining(Training):
    """SyncNet on the clips of ``corpus``: symmetric InfoNCE over batches of several moments of several clips.

    batch_size: windows a step, :data:`MOMENTS` of each clip. Sizes: :class:`emolib.params.Critics`.
    """

    corpus: Corpus
    batch_size: int
    lr: float
    cache_mb: int
    ema: float = 0.98

    def prepare(self) -> "SyncTraining":
        self.bank = MouthBank.load(self.corpus, budget_mb=self.cache_mb, seed=self.seed)
        torch.manual_seed(self.seed)
        net = SyncNet().train()
        self.models = {"sync": net}
        self.optimizers = {"sync": torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, np.random.Generator]:
        """(mouths (n,5,48,64), mels (n,20,80), the generator, for what is left to draw on the device)."""
        return *self.bank.sample(rng, self.batch_size), rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        mouths, mels, rng = batch
        loop.cosine_rate("sync", self.lr)
        mouths, mels = share(*augment_windows(mouths.to(loop.device), mels.to(loop.device), rng))
        net = loop.models["sync"]
        with loop.autocast():
            video, audio = (gather(x) for x in net(mouths, mels))
        logits = video @ audio.T * net.log_scale.clamp(max=np.log(50.0)).exp()
        truth = torch.arange(len(logits), device=loop.device)
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        loop.minimize("sync", loss, clip=1.0)
        return {"loss": loss, "accuracy": (logits.argmax(1) == truth).float().mean()}

    def save(self, path: Path) -> None:
        self.models["sync"].save(path)
