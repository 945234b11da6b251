"""The converter on performances without pictures (:mod:`emolib.corpus.acted`): the terms of Eq. 5 that need none, true coefficients.

What stage 04 has, the paper's premise, is a few minutes of clips with fitted coefficients. Here are hours with the actor's own, so the net
hears many voices and never learns a fit's shyness. All three modalities tell the emotion, one of them in a step: texts, the clip's own
sound, and embeddings of pictures of other people. How a person expresses is a code of their own, learnt beside the net (Bojanowski et al.,
"Optimizing the latent space of generative networks", 2018) and whitened at the end, so that a draw from a normal distribution is somebody.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.ame import OTHER_THINGS, Ame
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import FaceModel
from emolib.hearing import FPS, Windows
from emolib.prompts import prompts
from emolib.speech.ears import EARS
from emolib.train.eac import LANDMARK_SIZE, SHARPNESS
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share
from emolib.weights import load_weights

TOLD = (0.45, 0.3, 0.25)  # how often by text, by the sound, by a picture
ASIDE = 0.8  # how far a text is moved by what is no emotion: a word of the tower's lies about that far from its class
OTHER = 0.3  # share of the neutral whose text is no emotion at all


@dataclass(frozen=True)
class Acted:
    """Files of :func:`emolib.corpus.acted.act`."""

    folder: Path
    first: int
    count: int

    def digest(self) -> str:
        """What :mod:`emolib.fingerprint` takes of them."""
        return f"{self.first} {self.count} {(self.folder / 'made.txt').read_text()}"

    def clips(self) -> list[dict[str, np.ndarray]]:
        """Of each: alpha (80,), heard (2T,768) float16, loudness (2T,), beta (T,64), moments (T,), emotion, level, spoken, person."""
        found = []
        for number in range(self.first, self.first + self.count):
            with np.load(self.folder / f"{number:06d}.npz") as file:
                parts = {name: file[name] for name in file.files}
            ends = np.cumsum(parts["frames"])
            for k, (end, frames) in enumerate(zip(ends, parts["frames"])):
                shown, sounding = slice(end - frames, end), slice(2 * (end - frames), 2 * end)
                clip = {name: parts[name][k] for name in ("emotion", "level", "spoken")} | {
                    "alpha": parts["alpha"],
                    "person": number,
                }
                clip |= {name: parts[name][shown] for name in ("beta", "moments")}
                clip |= {name: parts[name][sounding] for name in ("heard", "loudness")}
                found.append(clip)
        return found


@dataclass(frozen=True)
class Heard:
    """A batch: windows (B,F,C_A), the stretch of them, heard (B,2T,C_A), mu (B,), emotion (B,), text and image (B,D), told (B,) by which it
    is told (0 text, 1 audio, 2 image), spoken (B,) whether there is a voice, person (B,), beta (B,T,64), alpha (B,80)."""

    windows: Tensor
    heard: Tensor
    mu: Tensor
    emotion: Tensor
    text: Tensor
    image: Tensor
    told: Tensor
    spoken: Tensor
    person: Tensor
    beta: Tensor
    alpha: Tensor

    def to(self, device: torch.device) -> "Heard":
        return Heard(**{name: share(value).to(device) for name, value in vars(self).items()})


class Cast(nn.Module):
    """A converter and the style codes of the ``people`` that it learns from."""

    def __init__(self, eac: Eac, people: int):
        super().__init__()
        self.eac = eac
        self.codes = nn.Embedding(people, eac.config["style"])

    @torch.no_grad()
    def whitened(self) -> Eac:
        """The converter, to which a style is a draw from a standard normal distribution: that of the people's codes."""
        eac, codes = self.eac, self.codes.weight
        centred = codes - codes.mean(0)
        _, spread, axes = torch.linalg.svd(centred / max(1, len(codes) - 1) ** 0.5, full_matrices=False)
        assert eac.style_mlp is not None
        eac.style_mlp.bias.add_(eac.style_mlp.weight @ codes.mean(0))
        eac.style_mlp.weight.copy_(eac.style_mlp.weight @ (axes.T * spread))
        return eac


@dataclass(kw_only=True)
class ActedTraining(Training):
    """``eac`` full, on ``acted``. ame: the fixed towers. pictures: e_img (8, N, D), .npy, of people whom the tower has not seen.
    parent: weights to go on from. Sizes as of :class:`emolib.params.Eac`.

    Loss: distance of the 68 points, in pixels of a 224-pixel crop, and of their velocity, L_reg, L_clip of the text alone with its
    anchored term, and the length of the style codes.
    """

    acted: Acted
    ame: Path
    pictures: Path
    face_model: Path
    batch_size: int = 32
    frames: int = 48
    window: int = 20
    dim: int = 128
    depth: int = 2
    lr: float = 2e-3
    lambda_clip: float = 1.0
    lambda_lm: float = 0.1
    lambda_speed: float = 0.3
    lambda_reg: float = 0.05
    lambda_style: float = 0.001
    style: int = 8
    parent: Path | None = None
    ema: float = 0.99

    @property
    def name(self) -> str:
        return "acted"

    def prepare(self) -> "ActedTraining":
        self.clips = [clip for clip in self.acted.clips() if len(clip["beta"]) >= self.frames]
        if not self.clips:
            raise EmolibError(f"no performance in {self.acted.folder} has {self.frames} frames; make more of them")
        emotions = np.array([clip["emotion"] for clip in self.clips])
        self.of = {int(k): np.flatnonzero(emotions == k) for k in np.unique(emotions)}
        towers, self.face = Ame.load(self.ame), load_face_model(self.face_model)
        self.label = towers.text(EMOTIONS).float().cpu()
        self.wordings = torch.stack([towers.text(prompts(emotion)).float().cpu() for emotion in EMOTIONS])
        self.things = towers.text(OTHER_THINGS).float().cpu()
        self.images = torch.from_numpy(np.load(self.pictures)).float()
        torch.manual_seed(self.seed)
        sizes: dict = {"window": self.window, "frames": self.frames, "dim": self.dim, "depth": self.depth}
        self.eac = Eac(audio="whisper", embedding_dim=towers.dim, audio_depth=self.depth, style=self.style, **sizes)
        some = self.clips[:: max(1, len(self.clips) // 200)]
        self.eac.standardise(
            torch.from_numpy(np.concatenate([clip["beta"] for clip in some])),
            torch.cat([self.wordings.flatten(0, 1), self.images.flatten(0, 1)]),
            torch.from_numpy(np.concatenate([clip["heard"] for clip in some])).float(),
        )
        if self.parent:
            self.eac.load_state_dict(load_weights(self.parent)[0])
        self.cast = Cast(self.eac, self.acted.count).train()
        self.models = {"acted": self.cast}
        self.optimizers = {"acted": torch.optim.AdamW(self.cast.parameters(), lr=self.lr, weight_decay=0.01)}
        return self

    def draw(self, rng: np.random.Generator) -> Heard:
        wanted = rng.permutation(np.resize(rng.permutation(list(self.of)), self.batch_size))
        clips = [self.clips[int(rng.choice(self.of[k]))] for k in wanted]
        starts = [int(rng.integers(len(clip["beta"]) - self.frames + 1)) for clip in clips]
        text = self.wordings[wanted, rng.integers(self.wordings.shape[1], size=len(wanted))]
        text = torch.where(torch.from_numpy(rng.random((len(wanted), 1)) < 0.5), self.label[wanted], text)
        text = self._aside(rng, text, wanted)
        # What is no emotion leaves the face alone (Figs. 8 and 10).
        other = torch.from_numpy((wanted == EMOTIONS.index("neutral")) & (rng.random(len(wanted)) < OTHER))[:, None]
        text = torch.where(other, self.things[rng.integers(len(self.things), size=len(wanted))], text)
        spoken = np.array([bool(clip["spoken"]) for clip in clips])
        part = [slice(start, start + self.frames) for start in starts]
        rate = EARS["whisper"].rate // FPS
        return Heard(
            windows=torch.from_numpy(
                np.stack([Windows(self.eac, c["heard"], len(c["beta"]), FPS).stretch(p) for c, p in zip(clips, part)])
            ).float(),
            heard=torch.from_numpy(
                np.stack([c["heard"][rate * p.start : rate * p.stop] for c, p in zip(clips, part)])
            ).float(),
            mu=torch.from_numpy(self._asked(rng, clips)),
            emotion=torch.from_numpy(wanted),
            text=text,
            image=self.images[wanted, rng.integers(self.images.shape[1], size=len(wanted))],
            told=torch.from_numpy(rng.choice(3, len(wanted), p=TOLD) * np.where(spoken, 1, 0)),
            spoken=torch.from_numpy(spoken),
            person=torch.tensor([int(clip["person"]) - self.acted.first for clip in clips]),
            beta=torch.from_numpy(np.stack([clip["beta"][p] for clip, p in zip(clips, part)])),
            alpha=torch.from_numpy(np.stack([clip["alpha"] for clip in clips])),
        )

    def _aside(self, rng: np.random.Generator, text: Tensor, wanted: np.ndarray) -> Tensor:
        """``text`` (B,D), each moved by the difference of two things that have nothing to do with emotion, but not so far that another
        class is nearer: what a word says beside the emotion must not move the face, or words that nobody taught it would."""
        one, other = (self.things[rng.integers(len(self.things), size=len(text))] for _ in range(2))
        anchors = F.normalize(self.label - self.label.mean(0), dim=1)
        far = torch.from_numpy(rng.uniform(0, ASIDE, (len(text), 1)).astype(np.float32))
        found, left = text.clone(), torch.ones(len(text), dtype=torch.bool)
        for step in (1.0, 0.5, 0.25):
            moved = F.normalize(text + step * far * (one - other), dim=1)
            still = ((moved - self.label.mean(0)) @ anchors.T).argmax(1) == torch.from_numpy(wanted)
            found[left & still] = moved[left & still]
            left &= ~still
        return found

    def _asked(self, rng: np.random.Generator, clips: list[dict]) -> np.ndarray:
        """The intensities that are asked for: a clip's level, and any of a neutral face, which no intensity makes less neutral."""
        neutral = np.array([clip["emotion"] == EMOTIONS.index("neutral") for clip in clips])
        level = np.array([float(clip["level"]) for clip in clips])
        return np.where(neutral, rng.uniform(1, 3, len(clips)), level).astype(np.float32)

    def step(self, loop: Loop, batch: Heard) -> dict[str, Tensor]:
        loop.cosine_rate("acted", self.lr)
        self.face = self.face.to(loop.device)
        batch = batch.to(loop.device)
        terms = acted_terms(loop.models["acted"], batch, self.face, self.label.to(loop.device))
        loss = sum(getattr(self, f"lambda_{name}") * value for name, value in terms.items())
        loop.minimize("acted", loss, clip=1.0)
        return {"loss": loss} | terms

    def save(self, path: Path) -> None:
        copy.deepcopy(self.cast).whitened().save(path)


def acted_terms(cast: Cast, batch: Heard, face: FaceModel, anchors: Tensor) -> dict[str, Tensor]:
    """lm, speed (px of a 224-pixel crop, norms over the 68 points), reg, clip, style of a batch, each a scalar."""
    eac, codes = cast.eac, cast.codes(batch.person)
    audio = eac.embed_audio(batch.heard)
    near = F.normalize(audio - eac.emotion_mean, dim=1) @ F.normalize(anchors - anchors.mean(0), dim=1).T
    apart = (1 - F.cosine_similarity(batch.text, audio)) + (1 - F.cosine_similarity(batch.image, audio))
    apart = apart + F.cross_entropy(near / SHARPNESS, batch.emotion, reduction="none")
    z_emo = torch.stack([batch.text, audio, batch.image], 1)[torch.arange(len(audio)), batch.told]
    beta = eac(batch.windows, z_emo, batch.mu, codes)[0].float()
    frames = beta.shape[1]
    alpha, pose = batch.alpha.repeat_interleave(frames, 0), beta.new_zeros(beta.shape[0] * frames, 6)
    made, truth = (
        face.landmarks(alpha, x.flatten(0, 1), pose, LANDMARK_SIZE).unflatten(0, (-1, frames))
        for x in (beta, batch.beta)
    )
    off = made - truth
    terms = {
        "lm": off.flatten(2).norm(dim=2).mean(1),
        "speed": off.diff(dim=1).flatten(2).norm(dim=2).mean(1),
        "reg": (beta - batch.beta).norm(dim=2).mean(1),
        "clip": apart * batch.spoken,
        "style": codes.square().sum(1),
    }
    return {name: gather(value).mean() for name, value in terms.items()}
