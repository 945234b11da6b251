"""The rows of the tables of 07: methods that turn a real test clip into generated frames, and sanity rows that catch silent mistakes.

A method is called with a :class:`emolib.metrics.protocol.Reference` and gives frames uint8 (T, S, S, 3), as many as the reference has.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emolib.ame import Ame
from emolib.baselines.ecg.content import Content
from emolib.baselines.ecg.landmarks import LandmarkGenerator
from emolib.baselines.ecg.texture import TextureGenerator, TextureSet, ecg_animate, one_shot
from emolib.eac import Eac
from emolib.face.model import Coefficients, FaceModel
from emolib.hef import Hef, HefOutput
from emolib.media.audio import SAMPLE_RATE
from emolib.media.pictures import resized, to_frames, to_tensor
from emolib.metrics.image import psnr, ssim
from emolib.metrics.protocol import Reference
from emolib.portrait import animate, native_side
from emolib.reenact import condition, generate
from emolib.sight import make_drive


@dataclass(frozen=True)
class Ours:
    """Sound and emotion -> beta_hat (``eac``), sigma_hat (``styles``: the EAC that ``hef`` was trained with); the own head pose; HEF.

    modality: what the emotion is taken from: text, audio or image (Ours-T, -A, -I; Sec. 4.2).
    """

    eac: Eac
    styles: Eac
    hef: Hef
    ame: Ame
    face: FaceModel
    modality: str = "text"

    def coefficients(self, clip) -> tuple[Coefficients, Tensor]:
        """(theta_hat (T rows), sigma_hat (T, C)) of a whole clip."""
        theta, sigma = generate(self.eac, clip, condition(self.eac, self.ame, clip, self.modality))
        if self.styles is not self.eac:
            sigma = generate(self.styles, clip, condition(self.styles, self.ame, clip, self.modality))[1]
        return theta, sigma

    def __call__(self, reference: Reference) -> np.ndarray:
        clip, (n, size) = reference.clip, reference.frames.shape[:2]
        theta, sigma = self.coefficients(clip)
        source = resized(to_tensor(reference.frames[:1]), native_side(self.hef, size))
        made = animate(self.hef, self.face, source, clip.coefficients()[:1], theta[:n], sigma[:n])
        return to_frames(resized(torch.cat(list(made)), size))

    @torch.no_grad()
    def moment(self, reference: Reference, at: int) -> HefOutput:
        """What HEF makes of frame ``at``, its flows at every scale among it (Fig. 11)."""
        theta, sigma = self.coefficients(reference.clip)
        wanted = make_drive(self.face, reference.clip.coefficients()[:1], theta[[at]], sigma[[at]], self.hef.size)
        return self.hef(resized(to_tensor(reference.frames[:1]), self.hef.size), wanted)


@dataclass(frozen=True)
class Ecg:
    """The baseline: it gets the emotion's label and the clip's own head pose. iterations: of one-shot tuning on the source."""

    generator: LandmarkGenerator
    content: Content
    texture: TextureGenerator
    face: FaceModel
    iterations: int

    @classmethod
    def load(cls, folder: Path, face: FaceModel, iterations: int) -> "Ecg":
        """Reads the weights that stage 06 left in ``folder``."""
        parts = LandmarkGenerator.load(folder / "landmarks.safetensors")
        return cls(*parts, TextureGenerator.load(folder / "texture.safetensors"), face, iterations)

    def __call__(self, reference: Reference) -> np.ndarray:
        clip, own = reference.clip, reference.clip.coefficients()
        return ecg_animate(
            self.generator, self.content, self.texture, self.face, reference.frames[0], own[:1], reference.audio,
            clip.emotion, clip.intensity, pose=own.pose[: len(reference.frames)], fps=float(clip.fps),
            iterations=self.iterations,
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
            painted = net(still, start, marks, words)
            made[name] = painted.image, float(1 - painted.occlusion.mean())
        for name, (image, new) in made.items():
            scores = {"psnr_db": float(psnr(image, images)[1:].mean()), "ssim": float(ssim(image, images)[1:].mean())}
            lines.append({"method": name} | scores | {"new": new})
    table = pd.DataFrame(lines).groupby("method", sort=False).mean().reset_index()
    table.insert(1, "n_clips", min(clips, len(held)))
    return table
