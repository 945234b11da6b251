"""Training of ECG's texture generator (Sinha et al. 2022, Eqs. 6 to 9)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.baselines.ecg.texture import FrameDiscriminator, TextureGenerator, TextureSet
from emolib.corpus.clips import Corpus
from emolib.critics.perceptual import FaceDistance, Perceptual
from emolib.face.loaders import load_face_model
from emolib.train.hef import recolour
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share


@dataclass(kw_only=True)
class TextureTraining(Training):
    """G_T and D on pairs of frames of the clips of ``corpus`` (with fits), Eqs. 6 to 9. Sizes and weights: :class:`emolib.params.Ecg`.

    net: backbone of the perceptual distance (Eq. 7); with ``face_distance`` the face net's own stands beside it, as in HEF. Source and
    target get the same random colours (Fig. 9 of Sinha et al.). felt: whether G_T is told the emotion.
    """

    corpus: Corpus
    face_model: Path
    width: int
    landmark_motion: bool
    frames_per_clip: int
    net: str
    batch_size: int
    lr: float
    lambda_rec: float
    lambda_per: float
    lambda_adv: float
    face_distance: bool = True
    felt: bool = True

    def prepare(self) -> "TextureTraining":
        self.data = TextureSet(self.corpus, load_face_model(self.face_model), per_clip=self.frames_per_clip)
        torch.manual_seed(self.seed)
        net = TextureGenerator(self.width, landmark_motion=self.landmark_motion, felt=self.felt)
        self.models = {"texture": net.train(), "judge": FrameDiscriminator(self.width).train()}
        adam: dict[str, Any] = {"lr": self.lr, "betas": (0.5, 0.999)}
        self.optimizers = {name: torch.optim.Adam(m.parameters(), **adam) for name, m in self.models.items()}
        self.perceptual = Perceptual(self.net)
        self.faces = FaceDistance() if self.face_distance else None
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        source, before, after, emotion, target = self.data.sample(rng, self.batch_size)
        source, target = recolour(rng, source, target)
        return source, before, after, emotion, target

    def step(self, loop: Loop, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        generator, discriminator = loop.models["texture"], loop.models["judge"]
        self.perceptual = self.perceptual.to(loop.device)
        source, before, after, emotion, target = (x.to(loop.device) for x in share(*batch))
        with loop.autocast():
            image = generator(source, before, after, emotion).image
            real, fake = discriminator(target).float(), discriminator(image.detach()).float()
        judge = gather(F.softplus(-real)).mean() + gather(F.softplus(fake)).mean()  # -log D(real) - log(1 - D(fake))
        loop.minimize("judge", judge)
        with loop.autocast():
            # Its non-saturating form: the generator maximises log D instead of minimising log(1 - D).
            terms = {"adv": gather(F.softplus(-discriminator(image).float())).mean()}  # Eq. 8
            seen = self.perceptual(image, target)
            if self.faces is not None:
                seen = seen + self.faces(image, target)
            terms["per"] = gather(seen.float()).mean()  # Eq. 7
        terms["rec"] = gather((image - target).abs().mean((1, 2, 3))).mean()  # Eq. 6
        loss = self.lambda_rec * terms["rec"] + self.lambda_per * terms["per"] + self.lambda_adv * terms["adv"]  # Eq. 9
        loop.minimize("texture", loss, clip=10.0)
        return terms | {"judge": judge}

    def save(self, path: Path) -> None:
        self.models["texture"].save(path)
