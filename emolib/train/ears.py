"""AME's audio encoder (Sec. 3.2) on real voices whose emotion is known: what synthetic ones cannot teach.

RAVDESS's voices (CC BY-NC-SA) may teach it, where somebody has them and its licence suits: only the encoder learns, so that the converter
and all that it does with e_audio stay as they are, and its weights are a file of their own, which nothing loads unless asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.ame import Ame
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.hearing import encoder_of, fits
from emolib.train.eac import SHARPNESS
from emolib.train.loop import Loop, Training
from emolib.weights import save_weights

PARTS = 2  # stretches of a voice that are heard at once
STRENGTH = 0.15  # of the probe's logits in the embedding: about as far apart as texts are
SMOOTHING = 0.1  # of the emotions: an actor's is not always what is heard


@dataclass(frozen=True)
class Voices:
    """``heard`` (F, C_A) of voices, the number of the ``emotion`` and the ``person`` of each. name: what a fingerprint takes of them."""

    heard: Sequence[np.ndarray]
    emotion: np.ndarray
    person: np.ndarray
    name: str

    def digest(self) -> str:
        return f"{self.name} {len(self.heard)} {sorted(set(self.person.tolist()))}"

    def of(self, people: Sequence[int]) -> "Voices":
        """Those of some ``people``."""
        some = np.flatnonzero(np.isin(self.person, people))
        return Voices([self.heard[i] for i in some.tolist()], self.emotion[some], self.person[some], self.name)


@dataclass(kw_only=True)
class EarsTraining(Training):
    """The audio encoder of the converter ``eac`` on ``voices``, towards the texts of ``ame``: 1 - cosine, and the anchored term."""

    voices: Voices
    eac: Path
    ame: Path
    batch_size: int = 32
    lr: float = 2e-5
    ema: float = 0.98

    def prepare(self) -> "EarsTraining":
        converter = Eac.load(self.eac)
        if converter.audio is None or not len(self.voices.heard):
            raise EmolibError(
                f"{self.eac} hears no emotion, or there are no voices; expected a converter of variant full and voices"
            )
        self.converter, towers = converter, Ame.load(self.ame)
        self.label = towers.text(EMOTIONS).float().cpu()
        self.known = np.unique(self.voices.emotion)
        self.length = PARTS * converter.config["frames"] * converter.audio.length
        torch.manual_seed(self.seed)
        self.ears = encoder_of(converter.config, statistics=True)
        self.ears.load_state_dict(converter.audio.state_dict(), strict=False)
        self._start_as_probe()
        self.models = {"ears": self.ears.train()}
        self.optimizers = {"ears": torch.optim.AdamW(self.ears.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    @torch.no_grad()
    def _start_as_probe(self) -> None:
        """What the head reads of the statistics is at first a logistic regression's: its logits, along the directions of the texts. A few
        hundred voices teach a Transformer less than that; what it adds starts at nothing."""
        from sklearn.linear_model import LogisticRegression

        units = [self.converter.audio_mlp.standard(torch.from_numpy(x).float()) for x in self.voices.heard]
        rows = torch.stack([torch.cat([x.mean(0), x.std(0, correction=0)]) for x in units])
        middle, spread = rows.mean(0), rows.std(0).clamp(min=1e-4)
        model = LogisticRegression(C=0.01, max_iter=500, class_weight="balanced")
        model.fit(((rows - middle) / spread).numpy(), self.voices.emotion)
        slope, level = (torch.from_numpy(np.asarray(x)).float() for x in (model.coef_, model.intercept_))
        ways = torch.linalg.pinv(F.normalize(self.label - self.label.mean(0), dim=1)[self.known])  # (D, K)
        scale = STRENGTH / ((rows - middle) / spread @ slope.T).std()
        assert self.ears.statistics is not None
        self.ears.statistics.weight.copy_(scale * ways @ (slope / spread))
        self.ears.head.weight.zero_()
        self.ears.head.bias.copy_(self.converter.emotion_mean + scale * ways @ (level - slope / spread @ middle))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(heard (B,F,C_A), emotion (B,)): a stretch of a voice each, emotions equally often."""
        wanted = np.resize(rng.permutation(self.known), self.batch_size)
        stretches = []
        for emotion in wanted:
            heard = self.voices.heard[int(rng.choice(np.flatnonzero(self.voices.emotion == emotion)))]
            start = int(rng.integers(max(1, len(heard) - self.length + 1)))
            stretches.append(np.resize(heard[start : start + self.length], (self.length, heard.shape[1])))
        return torch.from_numpy(np.stack(stretches)).float(), torch.from_numpy(wanted)

    def step(self, loop: Loop, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        loop.cosine_rate("ears", self.lr)
        heard, emotion = (x.to(loop.device) for x in batch)
        self.converter, label = self.converter.to(loop.device), self.label.to(loop.device)
        parts = torch.cat(self.converter.audio_mlp.standard(heard).chunk(PARTS, 1))
        audio = F.normalize(loop.models["ears"](parts).unflatten(0, (PARTS, -1)).mean(0), dim=1)  # as Eac.embed_audio
        near = F.normalize(audio - self.converter.emotion_mean, dim=1) @ F.normalize(label - label.mean(0), dim=1).T
        terms = {
            "clip": (1 - F.cosine_similarity(label[emotion], audio)).mean(),
            "anchored": F.cross_entropy(near / SHARPNESS, emotion, label_smoothing=SMOOTHING),
        }
        loop.minimize("ears", terms["clip"] + terms["anchored"], clip=1.0)
        return terms

    def save(self, path: Path) -> None:
        save_weights(path, self.ears, {"ears of": fits(self.converter.config)})
