"""Training of the frozen judges on the crowd (:mod:`synthface.crowd`): people, voices and sentences that are in no corpus.

The two emotion nets share nobody: phi_emo and the image tower have the people of even numbers, the judge of EFD those of odd ones.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emolib.emotions import EMOTIONS
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import composite
from emolib.files import replacing
from emolib.fingerprint import fingerprint, joined
from emolib.media.pictures import to_tensor
from emolib.speech.features import speech_features
from emolib.speech.whisper import WEIGHTS
from emolib.train.ame import ClipTraining
from emolib.train.emotion import EmotionTraining, FrameBank, recast, shrink
from emolib.train.sync import MouthBank, SyncTraining

FITTED = {"alpha": 0.25, "beta": 0.12, "pose": 0.004}  # how far fits are from the truth, in units of the coefficients
SIZE = 96  # px of what is kept: the nets see the inner two thirds of it
SHRUNK = (0.6, 1.1)  # a fitted or predicted expression, of the true one


@dataclass(frozen=True)
class People:
    """``count`` files of the crowd (:func:`emolib.corpus.crowd.draw_crowd`), every ``step``-th from number ``first`` on."""

    folder: Path
    first: int
    count: int
    step: int = 2

    def digest(self) -> str:
        """What :mod:`emolib.fingerprint` takes of them."""
        return f"{self.first} {self.count} {self.step} {(self.folder / 'made.txt').read_text()}"

    @property
    def numbers(self) -> list[int]:
        return [self.first + self.step * k for k in range(self.count)]

    @property
    def files(self) -> list[Path]:
        return [self.folder / f"{number:06d}.npz" for number in self.numbers]


def as_fitted(theta: Coefficients, rng: np.random.Generator) -> Coefficients:
    """True coefficients as fits and converters have them: the expression flatter or not, everything a little off."""
    flat = torch.as_tensor(rng.uniform(*SHRUNK, (len(theta), 1)), dtype=torch.float32)

    def near(name: str) -> Tensor:
        value = getattr(theta, name)
        return value + FITTED[name] * torch.as_tensor(rng.normal(size=value.shape), dtype=torch.float32)

    return theta.replace(alpha=near("alpha"), beta=flat * near("beta"), pose=near("pose"))


@functools.lru_cache(maxsize=1)  # several nets learn from the same people
@torch.no_grad()
def crowd_bank(people: People, seed: int) -> FrameBank:
    """Every emotion and take of every person as a clip of few frames, with composites and recast ones."""
    face, rng = load_face_model(), np.random.default_rng(seed)
    images: list[Tensor] = []
    pasted: tuple[list[Tensor], list[Tensor]] = ([], [])
    levels: list[np.ndarray] = []
    betas: list[Tensor] = []
    for path in people.files:
        with np.load(path) as file:
            frames, theta = file["images"], torch.from_numpy(file["coefficients"])
            levels.append(file["levels"].reshape(-1))
        shown, shape = to_tensor(frames.reshape(-1, *frames.shape[3:])), (-1, frames.shape[2])
        images.append(shrink(shown, SIZE).unflatten(0, shape))
        betas.append(theta.flatten(0, 1)[..., 80:144])
        fitted = as_fitted(Coefficients.from_vector(theta.flatten(0, 2)), rng)
        for bank, coefficients in zip(pasted, (fitted, recast(fitted, rng))):
            bank.append(shrink(composite(face, coefficients, shown)[0], SIZE).unflatten(0, shape))
    takes = len(levels[0]) // len(EMOTIONS)
    return FrameBank(
        torch.cat(images),
        torch.arange(len(EMOTIONS)).repeat_interleave(takes).repeat(people.count),
        torch.from_numpy(np.concatenate(levels)).long(),
        tuple(path.stem for path in people.files for _ in levels[0]),
        composites=torch.cat(pasted[0]),
        recast=torch.cat(pasted[1]),
        beta=torch.cat(betas),
    )


def mouth_bank(people: People) -> MouthBank:
    """Mouths and speech features of all clips of ``people``; what is heard is kept beside the clips."""
    mouths, sounds = [], []
    mark = joined(fingerprint("emolib.speech.features", weights=WEIGHTS), (people.folder / "made.txt").read_text())
    for path in people.files:
        with np.load(path) as file:
            seen, audio = file["mouths"], file["audio"]
        kept = path.with_suffix(f".{mark[:12]}.npy")
        if not kept.is_file():
            heard = np.stack([speech_features(sound) for sound in audio]).astype(np.float16)
            with replacing(kept) as temporary, open(temporary, "wb") as file:
                np.save(file, heard)
        mouths += list(torch.from_numpy(seen))
        sounds += list(torch.from_numpy(np.load(kept)))
    return MouthBank(mouths, sounds)


@dataclass(kw_only=True)
class OnCrowd:
    """In place of a corpus with fits: ``people``."""

    people: People
    corpus: None = None
    face_model: None = None
    frames_per_clip: int = 0
    cache_mb: int = 0


@dataclass(kw_only=True)
class CrowdEmotion(OnCrowd, EmotionTraining):  # type: ignore[misc]
    """An emotion net on ``people``."""

    def load(self) -> FrameBank:
        return crowd_bank(self.people, self.seed)


@dataclass(kw_only=True)
class CrowdClip(OnCrowd, ClipTraining):  # type: ignore[misc]
    """The image tower on ``people``."""

    def load(self) -> FrameBank:
        return crowd_bank(self.people, self.seed)


@dataclass(kw_only=True)
class CrowdSync(OnCrowd, SyncTraining):  # type: ignore[misc]
    """SyncNet on ``people``, who speak."""

    def load(self) -> MouthBank:
        return mouth_bank(self.people)
