"""Training of the judge of EFD on people of its own (:mod:`synthface.sitters`): nobody it judges, and nothing but pixels.

Where there are none, for a real corpus, :class:`emolib.train.emotion.EmotionTraining` trains it on the corpus's train people.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emolib.critics.emotion import EmotionNet
from emolib.emotions import EMOTIONS
from emolib.train.emotion import EmotionTraining, FrameBank


@dataclass(kw_only=True)
class JudgeTraining(EmotionTraining):
    """The net ``efd`` on ``sitters``, a file of :func:`emolib.corpus.sitters.draw_sitters`, instead of a corpus with fits."""

    sitters: Path
    corpus: None = None  # type: ignore[assignment]  # all that it learns from is in ``sitters``
    face_model: None = None  # type: ignore[assignment]
    kind: str = "efd"
    frames_per_clip: int = 0
    cache_mb: int = 0

    def prepare(self) -> "JudgeTraining":
        self.bank = sitters_bank(self.sitters)
        torch.manual_seed(self.seed)
        net = EmotionNet(self.kind).train()
        self.models = {self.name: net}
        self.optimizers = {self.name: torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
        return self


def sitters_bank(path: str | Path) -> FrameBank:
    """Each person and emotion of a file of sitters as a clip."""
    with np.load(path) as file:
        images, levels = file["images"], file["levels"]
    people, emotions = levels.shape
    return FrameBank(
        torch.from_numpy(images.reshape(-1, *images.shape[2:])).permute(0, 1, 4, 2, 3).contiguous(),
        torch.arange(len(EMOTIONS)).repeat(people),
        torch.from_numpy(levels.reshape(-1)).long(),
        tuple(f"sitter {k}" for k in range(people) for _ in range(emotions)),
    )
