"""Training of AME's image tower against its locked text tower (LiT: Zhai et al., CVPR 2022)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.ame import Ame
from emolib.emotions import EMOTIONS, INTENSITIES
from emolib.prompts import sample_prompt
from emolib.train.augment import augment
from emolib.train.emotion import FramesTraining
from emolib.train.loop import Loop
from emolib.train.parallel import gather, share

WORDINGS = 16  # prompts drawn for each emotion and intensity to train towards


def label_bank(ame: Ame, seed: int = 0) -> Tensor:
    """(8, 3, K, D): K random wordings of each emotion at each intensity, the targets of :class:`ClipTraining`."""
    rng = np.random.default_rng(seed)
    labels = [(e, i) for e in EMOTIONS for i in INTENSITIES for _ in range(WORDINGS)]
    rows = ame.encode([sample_prompt(rng, e, i, ame.config["templates"]) for e, i in labels])
    return rows.reshape(len(EMOTIONS), len(INTENSITIES), WORDINGS, -1)


@dataclass(kw_only=True)
class ClipTraining(FramesTraining):
    """AME's image tower against its locked text tower.

    Loss: cross-entropy over the eight class embeddings (temperature 0.03), which tells emotions apart, plus the cosine distance to
    one random wording of the clip's own emotion and intensity, which puts images where the texts are.

    templates: wordings of a prompt.
    """

    templates: tuple[str, ...]

    def prepare(self) -> "ClipTraining":
        self.bank = self.load()
        self.ame = Ame.load(self.parent) if self.parent else Ame.create(templates=self.templates, seed=self.seed)
        visual = self.ame.model.visual.requires_grad_(True).train()
        self.anchors, self.wordings = self.ame.text(EMOTIONS), label_bank(self.ame, self.seed)  # (8, D), (8, 3, K, D)
        self.models = {"clip": visual}
        self.optimizers = {"clip": torch.optim.AdamW(visual.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, np.random.Generator]:
        """(images (n,3,S,S), emotion (n,), intensity (n,), the generator, for what is left to draw on the device)."""
        images, emotion, intensity, _ = self.bank.sample(rng, self.batch_size)
        return images[:, 0], emotion, intensity, rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        images, emotion, intensity, rng = batch
        loop.cosine_rate("clip", self.lr)
        images = augment(images.to(loop.device), rng, loop.done)
        wording = torch.as_tensor(rng.integers(self.wordings.shape[2], size=self.batch_size))
        images, emotion, intensity, wording = share(images, emotion, intensity, wording)
        with loop.autocast():
            output = loop.models["clip"](self.ame.preprocess(images))
        embedding, emotion = F.normalize(output.float(), dim=1), emotion.to(loop.device)
        anchors, said = (
            self.anchors.to(loop.device),
            self.wordings[emotion.cpu(), intensity - 1, wording].to(loop.device),
        )
        contrast = F.cross_entropy(embedding @ anchors.T / 0.03, emotion, label_smoothing=0.1, reduction="none")
        contrast, distance = gather(contrast).mean(), gather(1 - (embedding * said).sum(1)).mean()
        loop.minimize("clip", contrast + distance, clip=1.0)
        return {"loss": contrast + distance, "contrast": contrast, "distance": distance}

    def save(self, path: Path) -> None:
        self.ame.to("cpu").save(path)
