"""Training of ECG's landmark generator (Sinha et al. 2022, Eqs. 2 to 4)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emolib.baselines.ecg.content import Content
from emolib.baselines.ecg.landmarks import (
    GraphDiscriminator,
    LandmarkGenerator,
    LandmarkSet,
    delaunay_adjacency,
    frontal,
)
from emolib.corpus.clips import Corpus
from emolib.face.loaders import load_face_model
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


@dataclass(kw_only=True)
class LandmarksTraining(Training):
    """G_L and D_L on the clips of ``corpus`` (with fits), Eqs. 2 to 4. content: file of the content net.

    adjacency is that of the mean face of ``face_model``. batch_size: video frames a step. variant: of G_L, a row of Table 3; without
    L_gan there is no D_L. standardise, movement: :class:`emolib.params.Ecg`.
    """

    corpus: Corpus
    face_model: Path
    content: Path
    batch_size: int
    lr: float
    lambda_ver: float
    lambda_gan: float
    variant: str = "full"
    standardise: bool = True
    movement: float = 8.0

    def prepare(self) -> "LandmarksTraining":
        face = load_face_model(self.face_model)
        self.listener = Content.load(self.content)
        self.data = LandmarkSet(self.corpus, face, self.listener)
        torch.manual_seed(self.seed)
        self.canonical = frontal(face, torch.zeros(1, 80), torch.zeros(1, 64))
        adjacency = delaunay_adjacency(self.canonical[0].numpy())
        net = LandmarkGenerator(adjacency, variant=self.variant, standardise=self.standardise)
        judge = GraphDiscriminator(adjacency)
        self.models = {"landmarks": net.train(), "judge": judge.train()}
        self.optimizers = {name: torch.optim.Adam(m.parameters(), lr=self.lr) for name, m in self.models.items()}
        return self

    def judged(self, landmarks: Tensor, neutral: Tensor) -> Tensor:
        """What D_L sees of landmarks (B, 68, 2): their movement on the mean face (App. A.1: "retargeted to a neutral frontal canonical
        landmark"), ``movement`` times as large (ours). People differ by more than they move: of landmarks as they are, D_L never tells true
        from made."""
        return self.canonical.to(landmarks) + self.movement * (landmarks - neutral)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(len(self.data), size=self.batch_size)

    def step(self, loop: Loop, batch: np.ndarray) -> dict[str, Tensor]:
        generator, discriminator = loop.models["landmarks"], loop.models["judge"]
        content, emotion, neutral, spoken = self.data.take(share(batch), loop.device)
        if self.variant == "wo_gan":
            generated = generator(content, emotion, neutral).float()
            vertex = gather((spoken - generated).square().sum((1, 2))).mean()
            loop.minimize("landmarks", self.lambda_ver * vertex, clip=10.0)
            return {"vertex": vertex}
        with loop.autocast():
            generated = generator(content, emotion, neutral).float()
            shown = (self.judged(x, neutral) for x in (generated.detach(), spoken))
            fake, real = (discriminator(x, emotion).float() for x in shown)
        judge = gather((real - 1).square() + fake.square()).mean() / 2
        loop.minimize("judge", judge)
        with loop.autocast():
            believed = discriminator(self.judged(generated, neutral), emotion).float()
        terms = {"vertex": gather((spoken - generated).square().sum((1, 2))).mean()}  # Eq. 2
        terms["gan"] = gather((believed - 1).square()).mean() / 2  # Eq. 3
        loop.minimize(
            "landmarks", self.lambda_ver * terms["vertex"] + self.lambda_gan * terms["gan"], clip=10.0
        )  # Eq. 4
        return terms | {"judge": judge}

    def save(self, path: Path) -> None:
        self.models["landmarks"].save(path, self.listener)
