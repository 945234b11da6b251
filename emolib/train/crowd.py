"""Training of the frozen judges on the crowd (:mod:`synthface.crowd`): people, voices and sentences that are in no corpus.

The two emotion nets share nobody: phi_emo and SyncNet have the people of even numbers, the judge of EFD those of odd ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.critics.emotion import EmotionNet
from emolib.critics.lipsync import VIDEO, LipSync, cut_frames, sound_windows
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import composite
from emolib.files import replacing
from emolib.fingerprint import fingerprint, joined
from emolib.media.pictures import to_tensor
from emolib.speech.features import speech_features
from emolib.speech.whisper import WEIGHTS
from emolib.train.emotion import EmotionTraining, FrameBank, _shrink, recast
from emolib.train.loop import Loop, Training
from emolib.train.sync import MOMENTS, augment_windows
from emolib.weights import load_weights

SIZE = 96  # px of what is kept: the nets see the inner two thirds of it
FITTED = {"alpha": 0.25, "beta": 0.12, "pose": 0.004}  # how far fits are from the truth, in units of the coefficients
SHRUNK = (0.75, 1.1)  # a fitted or predicted expression, of the true one


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


@torch.no_grad()
def crowd_bank(people: People, seed: int, *, rendered: bool = True) -> FrameBank:
    """Every emotion and take of every person as a clip of few frames; ``rendered``: with composites and recast ones."""
    face, rng = load_face_model(), np.random.default_rng(seed)
    images: list[Tensor] = []
    pasted: tuple[list[Tensor], list[Tensor]] = ([], [])
    levels: list[np.ndarray] = []
    for path in people.files:
        with np.load(path) as file:
            frames, theta = file["images"], torch.from_numpy(file["coefficients"])
            levels.append(file["levels"].reshape(-1))
        shown, shape = _shrink(to_tensor(frames.reshape(-1, *frames.shape[3:])), SIZE), (-1, frames.shape[2])
        images.append(shown.unflatten(0, shape))
        if rendered:
            fitted = as_fitted(Coefficients.from_vector(theta.flatten(0, 2)), rng)
            for bank, coefficients in zip(pasted, (fitted, recast(fitted, rng))):
                bank.append(_shrink(composite(face, coefficients, shown.float() / 255)[0], SIZE).unflatten(0, shape))
    takes = len(levels[0]) // len(EMOTIONS)
    return FrameBank(
        torch.cat(images),
        torch.arange(len(EMOTIONS)).repeat_interleave(takes).repeat(people.count),
        torch.from_numpy(np.concatenate(levels)).long(),
        tuple(path.stem for path in people.files for _ in levels[0]),
        *(torch.cat(bank) for bank in pasted if bank),
    )


@dataclass(kw_only=True)
class CrowdEmotion(EmotionTraining):
    """An emotion net on ``people``. parent: weights to go on from; none: from the beginning."""

    people: People
    parent: Path | None = None
    corpus: None = None  # type: ignore[assignment]
    face_model: None = None  # type: ignore[assignment]
    frames_per_clip: int = 0
    cache_mb: int = 0

    def prepare(self) -> "CrowdEmotion":
        self.bank = crowd_bank(self.people, self.seed)
        torch.manual_seed(self.seed)
        net = EmotionNet(self.kind).train()
        if self.parent:
            net.load_state_dict(load_weights(self.parent)[0])
        self.models = {self.name: net}
        self.optimizers = {self.name: torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
        return self


def sound_bank(people: People) -> tuple[Tensor, Tensor]:
    """Mouths (N, T, 48, 64) uint8 and sounds (N, T, TOKENS, WIDTH) float16 of all clips; what is heard is kept beside the clips."""
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
        mouths.append(torch.from_numpy(seen))
        sounds += [sound_windows(features, seen.shape[1]) for features in np.load(kept)]
    return torch.cat(mouths), torch.stack(sounds)


@dataclass(kw_only=True)
class CrowdSync(Training):
    """:class:`LipSync` on the clips of ``people``: symmetric InfoNCE over batches of several moments of several clips."""

    people: People
    batch_size: int
    lr: float
    parent: Path | None = None
    ema: float = 0.98

    @property
    def name(self) -> str:
        return "sync"

    def prepare(self) -> "CrowdSync":
        self.mouths, self.sounds = sound_bank(self.people)
        if self.mouths.shape[1] < VIDEO + MOMENTS:
            raise EmolibError(f"the clips have {self.mouths.shape[1]} frames; expected at least {VIDEO + MOMENTS}")
        torch.manual_seed(self.seed)
        net = LipSync().train()
        some = self.sounds[:: max(1, len(self.sounds) // 100)].float().flatten(0, 2)
        net.mean, net.std = some.mean(0), some.std(0)
        if self.parent:
            net.load_state_dict(load_weights(self.parent)[0])
        self.models = {self.name: net}
        self.optimizers = {self.name: torch.optim.AdamW(net.parameters(), lr=self.lr, weight_decay=0.05)}
        return self

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, np.random.Generator]:
        """(mouths (n,VIDEO,48,64), sounds (n,TOKENS,WIDTH), the generator, for what is left to draw)."""
        seen, heard = [], []
        for clip in rng.integers(len(self.mouths), size=self.batch_size // MOMENTS):
            inside = np.arange(VIDEO // 2, self.mouths.shape[1] - VIDEO // 2)
            moments = torch.as_tensor(rng.choice(inside, MOMENTS, replace=False))
            seen.append(cut_frames(self.mouths[clip], moments))
            heard.append(self.sounds[clip][moments].float())
        return torch.cat(seen), torch.cat(heard), rng

    def step(self, loop: Loop, batch) -> dict[str, Tensor]:
        seen, heard, rng = batch
        loop.cosine_rate(self.name, self.lr)
        seen, _ = augment_windows(seen.to(loop.device), torch.zeros(len(seen), 1, 80, device=loop.device), rng)
        net = loop.models[self.name]
        with loop.autocast():
            video, audio = net(seen, heard.to(loop.device))
        logits = video @ audio.T * net.log_scale.clamp(max=np.log(50.0)).exp()
        truth = torch.arange(len(logits), device=loop.device)
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        loop.minimize(self.name, loss, clip=1.0)
        return {"loss": loss, "accuracy": (logits.argmax(1) == truth).float().mean()}

    def save(self, path: Path) -> None:
        self.models[self.name].save(path)
