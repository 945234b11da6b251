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
from emolib.hearing import fits
from emolib.train.eac import SHARPNESS
from emolib.train.loop import Loop, Training
from emolib.weights import save_weights


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
    lr: float = 5e-4
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
        self.length = converter.config["frames"] * converter.audio.length
        self.models = {"ears": converter.audio.train().requires_grad_(True)}
        self.optimizers = {"ears": torch.optim.AdamW(converter.audio.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

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
        audio = loop.models["ears"](self.converter.audio_mlp.standard(heard))
        near = F.normalize(audio - self.converter.emotion_mean, dim=1) @ F.normalize(label - label.mean(0), dim=1).T
        terms = {
            "clip": (1 - F.cosine_similarity(label[emotion], audio)).mean(),
            "anchored": F.cross_entropy(near / SHARPNESS, emotion),
        }
        loop.minimize("ears", terms["clip"] + terms["anchored"], clip=1.0)
        return terms

    def save(self, path: Path) -> None:
        assert self.converter.audio is not None
        save_weights(path, self.converter.audio, {"ears of": fits(self.converter.config)})
