"""Training of the two emotion nets of :mod:`emolib.critics.emotion`: frames, rendered composites, the steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.corpus.clips import Corpus
from emolib.critics.emotion import EmotionNet
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.render import composite
from emolib.fingerprint import file_digest, joined
from emolib.media.pictures import to_tensor
from emolib.train.augment import augment
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share
from emolib.weights import load_weights

BANK_SIZE = 128  # side of the crops kept for training, at most; of 80 px ones the nets learnt visibly less
BETA = 1.0  # weight of what the face does beside what it is called
STRENGTH = 0.7  # of the augmentation at its strongest: beyond, the small nets learn less and not more


@dataclass(frozen=True)
class FrameBank:
    """A fixed number of frames of each clip, decoded once: memory stays within the budget however long the clips are.

    images: (N, K, 3, S, S) uint8. composites: the same frames with the rendered fit pasted in (I^3d of Eq. 6), or None.
    recast: the same with a random identity, complexion and light instead of the fitted ones (for training), or None.
    beta: (N, K, 64) expression coefficients of the frames, or None.
    emotion, intensity: (N,) int64 (index into EMOTIONS; 1..3). identity: one name a clip.
    """

    images: Tensor
    emotion: Tensor
    intensity: Tensor
    identity: tuple[str, ...]
    composites: Tensor | None = None
    recast: Tensor | None = None
    beta: Tensor | None = None

    def __len__(self) -> int:
        return len(self.emotion)

    @classmethod
    @torch.no_grad()
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
        # Filled in place: kept among the large passing arrays, small new ones would leave holes that nothing fits into, 13 MB a clip.
        views: list[Tensor] = []
        betas = []
        for number, clip in enumerate(clips):
            # Emotions rise at the start of a clip and fade at its end; the middle is what the label speaks of.
            index = np.linspace(0.2 * clip.n_frames, 0.8 * clip.n_frames, per_clip).astype(int)
            frames = to_tensor(clip.frames(index))
            seen = [frames]
            if face_model is not None:
                fitted = clip.coefficients()[index]
                betas.append(fitted.beta)
                seen += [composite(face_model, theta, frames)[0] for theta in (fitted, recast(fitted, rng))]
            for kind, pictures in enumerate(seen):
                small = shrink(pictures, size)
                if kind == len(views):
                    views.append(torch.empty(len(clips), *small.shape, dtype=torch.uint8))
                views[kind][number] = small
        return cls(
            views[0],
            torch.tensor([EMOTIONS.index(c.emotion) for c in clips]),
            torch.tensor([int(c.intensity) for c in clips]),
            tuple(c.identity for c in clips),
            views[1] if betas else None,
            views[2] if betas else None,
            torch.stack(betas) if betas else None,
        )

    def sample(self, rng: np.random.Generator, n: int, frames: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``n`` clips, each emotion equally often, ``frames`` frames of each: images (n, frames, 3, S, S) float
        in [0,1], emotion (n,), intensity (n,), beta (n, frames, 64; or 0 where none is known). Where there are any, a fifth of the clips
        come as composites, a fifth recast."""
        present = self.emotion.unique().numpy()
        labels = rng.permutation(np.resize(rng.permutation(present), n))
        chosen = torch.as_tensor([rng.choice(np.flatnonzero(self.emotion.numpy() == k)) for k in labels])
        index = torch.as_tensor(rng.integers(self.images.shape[1], size=(n, frames)))
        images = self.images[chosen[:, None], index]
        if self.composites is not None and self.recast is not None:
            draw = torch.as_tensor(rng.random(n))
            for source, drawn in ((self.composites, draw < 0.2), (self.recast, draw > 0.8)):
                images[drawn] = source[chosen[drawn][:, None], index[drawn]]
        beta = torch.zeros(n, frames, 0) if self.beta is None else self.beta[chosen[:, None], index]
        return images.float() / 255, self.emotion[chosen], self.intensity[chosen], beta


def shrink(images: Tensor, size: int) -> Tensor:
    """Pictures in [0, 1] at ``size`` px at most, as uint8."""
    if images.shape[-1] > size:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def recast(coefficients, rng: np.random.Generator):
    """The same expressions and poses on random people under random light, one a frame: an identity says nothing about emotion."""

    def normal(like):
        return torch.as_tensor(rng.normal(size=like.shape), dtype=like.dtype)

    light = coefficients.gamma * (1 + 0.3 * normal(coefficients.gamma))
    return coefficients.replace(alpha=normal(coefficients.alpha), delta=normal(coefficients.delta), gamma=light)


_kept: dict[str, FrameBank] = {}


def frame_bank(corpus: Corpus, face_model: Path, *, per_clip: int, budget_mb: int, seed: int) -> FrameBank:
    """:meth:`FrameBank.load` with rendered fits; the last one is kept, since several nets learn from the same frames."""
    key = joined(corpus.digest(), file_digest(face_model), f"{per_clip} {budget_mb} {seed}")
    if key not in _kept:
        _kept.clear()
        face = load_face_model(face_model)
        _kept[key] = FrameBank.load(corpus, per_clip=per_clip, budget_mb=budget_mb, seed=seed, face_model=face)
    return _kept[key]


@dataclass(kw_only=True)
class FramesTraining(Training):
    """What learns from frames of ``corpus`` (with fits). parent: weights to go on from. Sizes: :class:`emolib.params.Critics`."""

    corpus: Corpus
    face_model: Path
    batch_size: int
    lr: float
    frames_per_clip: int
    cache_mb: int
    parent: Path | None = None
    ema: float = 0.98

    def load(self) -> FrameBank:
        """What it learns from."""
        sizes = {"per_clip": self.frames_per_clip, "budget_mb": self.cache_mb, "seed": self.seed}
        return frame_bank(self.corpus, self.face_model, **sizes)


@dataclass(kw_only=True)
class EmotionTraining(FramesTraining):
    """An emotion net: cross-entropy on single frames and, for ``efd``, on threes of frames too.

    Beside the class it learns what the face does, beta by a linear layer that is thrown away: of a picture, eight labels say little.

    kind: of :class:`emolib.critics.emotion.EmotionNet`.
    """

    kind: str

    @property
    def name(self) -> str:
        return f"emotion_{self.kind}"

    def prepare(self) -> "EmotionTraining":
        self.bank = self.load()
        torch.manual_seed(self.seed)
        assert self.bank.beta is not None  # load gives it
        net, beta = EmotionNet(self.kind), self.bank.beta.flatten(0, 1)
        if self.parent:
            net.load_state_dict(load_weights(self.parent)[0])
        self.mean, self.std = beta.mean(0), beta.std(0).clamp(min=1e-6)
        both = nn.ModuleDict({"net": net, "beta": nn.Linear(net.head.in_features, beta.shape[1])}).train()
        self.models = {self.name: both}
        self.optimizers = {self.name: torch.optim.AdamW(both.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, np.random.Generator]:
        """(images (n, frames, 3, S, S), emotion (n,), beta (n, frames, 64), the generator, for what is left to draw on the device)."""
        frames = int(rng.choice((1, 3))) if self.kind == "efd" else 1
        images, emotion, _, beta = self.bank.sample(rng, max(2, self.batch_size // frames), frames)
        return images, emotion, (beta - self.mean) / self.std, rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        images, emotion, beta, rng = batch
        loop.cosine_rate(self.name, self.lr)
        shape = images.shape[:2]
        images = augment(images.flatten(0, 1).to(loop.device), rng, min(loop.done, STRENGTH)).unflatten(0, shape)
        images, own, beta = share(images, emotion.to(loop.device), beta.to(loop.device))
        net, to_beta = loop.models[self.name]["net"], loop.models[self.name]["beta"]
        with loop.autocast():
            features = net.features(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            logits, told = net.head(net.pool(features)).float(), to_beta(features).float()
        named = gather(F.cross_entropy(logits, own, label_smoothing=0.1, reduction="none")).mean()
        moved = gather(F.smooth_l1_loss(told, beta, reduction="none").mean((1, 2))).mean()
        loop.minimize(self.name, named + BETA * moved, clip=1.0)
        return {"loss": named, "beta": moved, "accuracy": gather((logits.argmax(1) == own).float()).mean()}

    def save(self, path: Path) -> None:
        self.models[self.name]["net"].save(path)
