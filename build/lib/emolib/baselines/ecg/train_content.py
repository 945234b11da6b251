"""Training of ECG's recogniser of sound classes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.baselines.ecg.content import Content, content_set
from emolib.corpus.clips import Corpus
from emolib.errors import EmolibError
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


@dataclass(kw_only=True)
class ContentTraining(Training):
    """The recogniser of sound classes on the clips of ``corpus``, which knows its phoneme times: cross-entropy of every mel frame.

    Clips are cut to the shortest.
    """

    corpus: Corpus
    batch_size: int = 16
    lr: float = 2e-3

    def prepare(self) -> "ContentTraining":
        mels, labels, classes = content_set(self.corpus)
        if not classes:
            raise EmolibError("the corpus knows no phoneme times; ECG then listens to the mel itself, Content(())")
        length = min(map(len, labels))
        self.mels = torch.from_numpy(np.stack([m[:length] for m in mels]))
        self.labels = torch.from_numpy(np.stack([label[:length] for label in labels]))
        torch.manual_seed(self.seed)
        net = Content(classes).train()
        self.models = {"content": net}
        self.optimizers = {"content": torch.optim.Adam(net.parameters(), lr=self.lr)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = torch.from_numpy(rng.integers(len(self.mels), size=self.batch_size))
        return self.mels[index], self.labels[index]

    def step(self, loop: Loop, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        heard, truth = (x.to(loop.device) for x in share(*batch))
        with loop.autocast():
            scores = loop.models["content"](heard).float()
        loss = gather(F.nll_loss(scores.transpose(1, 2), truth, reduction="none").mean(1)).mean()
        loop.minimize("content", loss)
        return {"loss": loss, "accuracy": gather((scores.argmax(2) == truth).float().mean(1)).mean()}

    def save(self, path: Path) -> None:
        self.models["content"].save(path)
