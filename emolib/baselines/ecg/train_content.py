"""Training of ECG's recogniser of characters."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emolib.baselines.ecg.content import Content, spelled
from emolib.corpus.readings import readings
from emolib.speech.features import speech_features
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


@dataclass(kw_only=True)
class ContentTraining(Training):
    """The recogniser of characters on ``count`` sentences that people of no corpus read: CTC (Graves et al. 2006)."""

    count: int = 400
    batch_size: int = 16
    lr: float = 3e-3

    def prepare(self) -> "ContentTraining":
        pairs = [(speech_features(audio), text) for audio, text in readings(self.count, self.seed)]
        self.heard = [torch.from_numpy(features) for features, _ in pairs]
        self.texts = [torch.tensor(spelled(text)) for _, text in pairs]
        torch.manual_seed(self.seed)
        net = Content().train()
        self.models = {"content": net}
        self.optimizers = {"content": torch.optim.Adam(net.parameters(), lr=self.lr)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Features (B, F, 768) and characters (B, L), padded; how many of each there are (B,), (B,)."""
        index = rng.integers(len(self.heard), size=self.batch_size)
        parts = [[rows[i] for i in index] for rows in (self.heard, self.texts)]
        heard, texts = (pad_sequence(rows, batch_first=True) for rows in parts)
        return heard, texts, *(torch.tensor([len(row) for row in rows]) for rows in parts)

    def step(self, loop: Loop, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        heard, texts, moments, letters = (x.to(loop.device) for x in share(*batch))
        with loop.autocast():
            scores = loop.models["content"](heard).float()
        lost = F.ctc_loss(scores.transpose(0, 1), texts, moments, letters, reduction="none", zero_infinity=True)
        loss = gather(lost / letters).mean()
        loop.minimize("content", loss, clip=5.0)
        return {"loss": loss}

    def save(self, path: Path) -> None:
        self.models["content"].save(path)
