"""Training of the frozen judges on the crowd (:mod:`synthface.crowd`): people, voices and sentences that are in no corpus.

The two emotion nets share nobody: phi_emo, the image tower and SyncNet have the people of even numbers, the judge of EFD those of odd ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emolib.emotions import EMOTIONS
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import composite
from emolib.media.pictures import to_tensor
from emolib.train.emotion import EmotionTraining, FrameBank, _shrink, recast

SIZE = 96  # px of what is kept: the nets see the inner two thirds of it
FITTED = {
    "alpha": 0.25,
    "beta": 0.12,
    "pose": 0.004,
}  # by how much fits differ from the truth, in units of the coefficients
SHRUNK = (0.75, 1.1)  # a fitted or predicted expression, of the true one


@dataclass(frozen=True)
class People:
    """Files of the crowd, ``<number>.npz`` of :func:`emolib.corpus.crowd.draw_crowd`; every second one from ``first``."""

    folder: Path
    first: int
    count: int

    def digest(self) -> str:
        return f"crowd {self.first} {self.count} {(self.folder / 'made.txt').read_text()}"

    @property
    def files(self) -> list[Path]:
        return [self.folder / f"{self.first + 2 * k:06d}.npz" for k in range(self.count)]


def as_fitted(theta: Coefficients, rng: np.random.Generator) -> Coefficients:
    """True coefficients as fits and converters have them: the expression flatter or not, everything a little off."""
    flat = torch.as_tensor(rng.uniform(*SHRUNK, (len(theta), 1)), dtype=torch.float32)

    def near(name: str) -> torch.Tensor:
        value = getattr(theta, name)
        return value + FITTED[name] * torch.as_tensor(rng.normal(size=value.shape), dtype=torch.float32)

    return theta.replace(alpha=near("alpha"), beta=flat * near("beta"), pose=near("pose"))


@torch.no_grad()
def crowd_bank(people: People, seed: int) -> FrameBank:
    """Every emotion and take of every person as a clip of few frames, with composites and recast ones."""
    face, rng = load_face_model(), np.random.default_rng(seed)
    images: list[torch.Tensor] = []
    composites: list[torch.Tensor] = []
    recasts: list[torch.Tensor] = []
    levels: list[np.ndarray] = []
    for path in people.files:
        with np.load(path) as file:
            frames, theta = file["images"], file["coefficients"]
            levels.append(file["levels"].reshape(-1))
        per_take = frames.shape[2]
        shown = _shrink(to_tensor(frames.reshape(-1, *frames.shape[3:])), SIZE)
        fitted = as_fitted(Coefficients.from_vector(torch.from_numpy(theta.reshape(-1, theta.shape[-1]))), rng)
        pictures = shown.float() / 255
        for bank, coefficients in ((composites, fitted), (recasts, recast(fitted, rng))):
            bank.append(_shrink(composite(face, coefficients, pictures)[0], SIZE).unflatten(0, (-1, per_take)))
        images.append(shown.unflatten(0, (-1, per_take)))
    takes = len(levels[0]) // len(EMOTIONS)
    return FrameBank(
        torch.cat(images),
        torch.arange(len(EMOTIONS)).repeat_interleave(takes).repeat(people.count),
        torch.from_numpy(np.concatenate(levels)).long(),
        tuple(f"{path.stem}" for path in people.files for _ in levels[0]),
        torch.cat(composites),
        torch.cat(recasts),
    )


@dataclass(kw_only=True)
class CrowdEmotion(EmotionTraining):
    """An emotion net on ``people`` of the crowd."""

    people: People
    corpus: None = None  # type: ignore[assignment]
    face_model: None = None  # type: ignore[assignment]
    frames_per_clip: int = 0
    cache_mb: int = 0

    def prepare(self) -> "CrowdEmotion":
        self.bank = crowd_bank(self.people, self.seed)
        self._make()
        return self

    def _make(self) -> None:
        from emolib.critics.emotion import EmotionNet

        torch.manual_seed(self.seed)
        net = EmotionNet(self.kind).train()
        self.models = {self.name: net}
        self.optimizers = {self.name: torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
