"""The rows of the tables of 07: methods that turn a real test clip into generated frames, and sanity rows that catch silent mistakes.

A method is called with a :class:`emolib.metrics.protocol.Reference` and gives frames uint8 (T, S, S, 3), as many as the reference has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emolib.ame import Ame
from emolib.baselines.ecg.content import Content
from emolib.baselines.ecg.landmarks import LandmarkGenerator
from emolib.baselines.ecg.texture import TextureGenerator, TextureSet, at_once, ecg_animate, one_shot
from emolib.eac import Eac
from emolib.face.model import FaceModel
from emolib.hef import Hef, HefOutput
from emolib.media.audio import SAMPLE_RATE
from emolib.media.pictures import resized, to_frames, to_tensor
from emolib.metrics.image import psnr, ssim
from emolib.metrics.protocol import Reference
from emolib.pipeline.sources import Source
from emolib.portrait import animate, native_side
from emolib.reenact import condition, generate
from emolib.sight import make_drive


@dataclass(frozen=True)
class Ours:
    """Sound and emotion -> beta_hat (``eac``), sigma_hat (``styles``: the EAC that ``hef`` was trained with); the own head pose; HEF.

    source: what it is given of the person, see :mod:`emolib.pipeline.sources`. modality: what the emotion is taken from: text, audio or
    image (Ours-T, -A, -I; Sec. 4.2).
    """

    eac: Eac
    styles: Eac
    hef: Hef
    ame: Ame
    face: FaceModel
    source: Callable[[Reference], Source]
    modality: str = "text"

    def told(self, clip) -> tuple[Tensor, Tensor]:
        """(beta_hat (T, 64), sigma_hat (T, C)) of a whole clip."""
        theta, sigma = generate(self.eac, clip, condition(self.eac, self.ame, clip, self.modality))
        if self.styles is not self.eac:
            sigma = generate(self.styles, clip, condition(self.styles, self.ame, clip, self.modality))[1]
        return theta.beta, sigma

    def __call__(self, reference: Reference) -> np.ndarray:
        n, size = reference.frames.shape[:2]
        (beta, sigma), source = self.told(reference.clip), self.source(reference)
        picture = resized(to_tensor(source.picture[None]), native_side(self.hef, size))
        wanted = source.wanted(reference.clip, beta[:n])
        made = animate(self.hef, self.face, picture, source.own, wanted, sigma[:n])
        return to_frames(resized(torch.cat(list(made)), size))

    @torch.no_grad()
    def moment(self, reference: Reference, at: int) -> HefOutput:
        """What HEF makes of frame ``at``, its flows at every scale among it (Fig. 11)."""
        (beta, sigma), source = self.told(reference.clip), self.source(reference)
        theta = source.wanted(reference.clip, beta)[[at]]
        wanted = make_drive(self.face, source.own, theta, sigma[[at]], self.hef.size)
        return self.hef(resized(to_tensor(source.picture[None]), self.hef.size), wanted)


@dataclass(frozen=True)
class Ecg:
    """The baseline: it gets the emotion's label and the clip's own head pose.

    source: what it is given of the person, see :mod:`emolib.pipeline.sources`. iterations: of one-shot tuning on that. lips: the emotion
    that G_L is told in place of the label (neutral: "w/o emotional landmark" of Table 4), or None.
    """

    generator: LandmarkGenerator
    content: Content
    texture: TextureGenerator
    face: FaceModel
    source: Callable[[Reference], Source]
    iterations: int
    lips: str | None = None

    @classmethod
    def load(cls, folder: Path, face: FaceModel, source, iterations: int, texture: str = "texture") -> "Ecg":
        """Reads the weights that stage 06 left in ``folder``, of G_T those named ``texture``."""
        parts = LandmarkGenerator.load(folder / "landmarks.safetensors")
        return cls(*parts, TextureGenerator.load(folder / f"{texture}.safetensors"), face, source, iterations)

    def __call__(self, reference: Reference) -> np.ndarray:
        clip, source = reference.clip, self.source(reference)
        return ecg_animate(
            self.generator, self.content, self.texture, self.face, source.picture, source.own, reference.audio,
            clip.emotion, clip.intensity, pose=source.pose(clip, len(reference.frames)), fps=float(clip.fps),
            iterations=self.iterations, lips=self.lips,
        )  # fmt: skip


def real_video(reference: Reference) -> np.ndarray:
    """The real clip itself: every metric must be perfect."""
    return reference.frames


def still_source(reference: Reference) -> np.ndarray:
    """The source, never moving: how good "do nothing" looks to a metric."""
    return np.repeat(reference.frames[:1], len(reference.frames), axis=0)


@dataclass(frozen=True)
class OtherSound:
    """The sound of the next clip: Sync must fall."""

    references: list[Reference]

    def __call__(self, i: int) -> np.ndarray:
        return self.references[(i + 1) % len(self.references)].audio


@dataclass(frozen=True)
class LateSound:
    """A clip's own sound, ``seconds`` late: Sync must fall."""

    references: list[Reference]
    seconds: float

    def __call__(self, i: int) -> np.ndarray:
        audio = self.references[i].audio
        return np.pad(audio, (round(self.seconds * SAMPLE_RATE), 0))[: len(audio)]


@torch.no_grad()
def texture_scores(texture: TextureGenerator, held: TextureSet, clips: int, iterations: int) -> pd.DataFrame:
    """PSNR (dB) and SSIM over frames of unseen people with true landmarks: the still source, G_T, and G_T tuned on the source.

    ``new``: share of the picture that D_T paints."""
    lines = []
    for number in range(min(clips, len(held))):
        images, marks, vector = held.shown(number)
        source, n = images[:1], len(images)
        start, words = marks[:1].expand(n, -1, -1), vector[None].expand(n, -1)
        tuned = one_shot(texture, source, marks[:1], iterations)
        still = source.expand(n, -1, -1, -1)
        made = {"still source": (still, 0.0)}
        for name, net in (("G_T", texture), ("G_T, one-shot", tuned)):
            together = at_once(images.shape[-1])
            parts = [net(*part) for part in zip(*(x.split(together) for x in (still, start, marks, words)))]
            image, kept = (torch.cat([getattr(part, x) for part in parts]) for x in ("image", "occlusion"))
            made[name] = image, float(1 - kept.mean())
        for name, (image, new) in made.items():
            scores = {"psnr_db": float(psnr(image, images)[1:].mean()), "ssim": float(ssim(image, images)[1:].mean())}
            lines.append({"method": name} | scores | {"new": new})
    table = pd.DataFrame(lines).groupby("method", sort=False).mean().reset_index()
    table.insert(1, "n_clips", min(clips, len(held)))
    return table
