"""Training of the EAC of :mod:`emolib.eac`: material and objective (Xu et al. 2023, Eqs. 2, 5, 6).

Units, which the paper leaves open and under which its weights (Sec. 4.1) make all terms but the "small" L_reg count alike.
A norm of the paper is taken per frame and then averaged:
- L_lm: pixels of a 224-pixel crop, norm over all 68 points (136 numbers) of a frame;
- L_rec: colours in [0, 1], mean square over the face area M (the usual reading of a pixel loss with weight 100);
- L_emo: norm of the difference of features, in lengths of those of I (``relative``; the paper: not);
- L_reg: norm over the 64 numbers of beta, which have unit scale;
- L_clip: 1 - cosine, the sum over the two pairs. Texts lie at .7 to each other, so a sound that says nothing scores well already: ours
  adds the cross-entropy of e_audio over the eight class texts, all less their common part (``clip_loss``; the paper's has none of it).

L_lm and L_reg look at all T frames of a sample, L_emo and L_rec at one of them (of few, decoded once a clip): rendering and
phi_emo cost a hundred times what the rest of a frame costs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from emolib.ame import Ame
from emolib.corpus.clips import Corpus
from emolib.corpus.shelf import Fits, Shelf
from emolib.critics.emotion import EmotionNet
from emolib.eac import VARIANTS, Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import composite
from emolib.hearing import FPS, Windows
from emolib.media.pictures import resized, to_frames, to_tensor
from emolib.prompts import prompts
from emolib.speech.ears import EARS
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share

LANDMARK_SIZE = 224
SHARPNESS = 0.1  # temperature of the anchored term
AT_ONCE = 96  # sequences of which all that their gradient needs is kept
ENOUGH = 500_000  # rows from which means and deviations are taken


@dataclass(frozen=True)
class Sample:
    """A random draw: B clips, T frames each. ``theta`` has B*T rows, clip by clip; ``frame`` (B,) is the one with an image."""

    windows: Tensor  # (B,T,W,C_A), or the stretch (B,F,C_A) that they are cut from
    heard: Tensor  # (B,F,C_A), the sound of the same T frames
    mu: Tensor  # (B,) intensity
    emotion: Tensor  # (B,) int64, index into EMOTIONS
    text: Tensor  # (B,D) e_text, or class codes for the one-hot variant
    image: Tensor  # (B,D) e_img
    told: Tensor  # (B,) int64, by which it is told if by one: text, audio, image
    theta: Coefficients
    frame: Tensor  # (B,) int64 in [0,T)
    picture: Tensor  # (B,3,S,S) I at that frame

    def to(self, device: torch.device) -> "Sample":
        return Sample(**{k: v.to(device) for k, v in vars(self).items()})

    def share(self) -> "Sample":
        """The clips that are this process's to work on, see :mod:`emolib.train.parallel`."""
        return Sample(**{k: share(v) for k, v in vars(self).items()})


class Material:
    """Every clip of ``corpus`` once through the ear, CLIP and the decoder, kept on shelves (:mod:`emolib.corpus.shelf`).

    keys: frames of a clip that are decoded (K). size: their side in the image losses, pixels. ear: a key of EARS. frames: T, cut
    to the shortest tenth of the clips; clips shorter than that are left out.
    """

    def __init__(self, corpus, ame, *, ear: str, frames: int, keys: int, size: int):
        if not len(corpus):
            raise EmolibError("the corpus has no clips to train on; run `dvc repro 01_data` or check the split")
        self.frames = min(frames, int(np.percentile(corpus.table["n_frames"], 10)))
        clips = [clip for clip in corpus if clip.n_frames >= self.frames]
        self.theta, self.heard, self.pictures = Fits(clips), Shelf(), Shelf()  # pictures: uint8 (K,S,S,3) a clip
        self.length, self.fps = [clip.n_frames for clip in clips], [float(clip.fps) for clip in clips]
        self.rate, self.even = EARS[ear].rate, ear != "mel" and set(self.fps) == {float(FPS)}
        self.emotion = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
        self.intensity = np.array([clip.intensity for clip in clips], np.float32)
        self.keys = [np.linspace(0, clip.n_frames - 1, keys).round().astype(int) for clip in clips]
        images = []
        for clip, index in zip(clips, self.keys):
            shown = to_tensor(clip.frames(index))
            images.append(ame.image(shown).float().cpu())
            self.pictures.put(to_frames(resized(shown, size)))
            self.heard.put(EARS[ear].hear(clip.audio()))
        self.image = torch.stack(images)  # (N,K,D)
        self.label = ame.text(EMOTIONS).float().cpu()  # (8,D), each the mean over its wordings: what tests use
        self.wordings = torch.stack([ame.text(prompts(e)).float().cpu() for e in EMOTIONS])  # (8,P,D)

    def __len__(self) -> int:
        return len(self.theta)

    def betas(self) -> Tensor:
        """Expressions (M,64), of large corpora not all."""
        return self.theta.every(ENOUGH).beta

    def sound(self) -> Tensor:
        """What is heard, features (F,C_A), of large corpora not all."""
        return torch.from_numpy(self.heard.every(ENOUGH))

    def windows(self, eac: Eac, clip: int) -> Windows:
        """The windows of sound of a clip for ``eac``."""
        return Windows(eac, self.heard[clip], self.length[clip], self.fps[clip])

    def embeddings(self) -> Tensor:
        """All text and image embeddings (M,D), with both modalities weighing the same."""
        text, image = self.wordings.flatten(0, 1), self.image.flatten(0, 1)
        return torch.cat([text.repeat(max(1, len(image) // len(text)), 1), image])

    def draw(self, rng: np.random.Generator, batch: int, eac: Eac) -> Sample:
        """A :class:`Sample` of ``batch`` clips for ``eac``, emotions equally often."""
        wanted = rng.permutation(np.resize(rng.permutation(np.unique(self.emotion)), batch))
        clips = [int(rng.choice(np.flatnonzero(self.emotion == e))) for e in wanted]
        keys = rng.integers(len(self.keys[0]), size=batch)
        at = np.array([self.keys[c][k] for c, k in zip(clips, keys)])
        room = np.array([self.length[c] for c in clips]) - self.frames
        starts = rng.integers(np.maximum(0, at - self.frames + 1), np.minimum(at, room) + 1)
        ends = starts + self.frames
        text = self.wordings[wanted, rng.integers(self.wordings.shape[1], size=batch)]
        text = torch.where(torch.from_numpy(rng.random((batch, 1)) < 0.5), self.label[wanted], text)
        return Sample(
            windows=torch.from_numpy(np.stack([self._cut(eac, c, a, b) for c, a, b in zip(clips, starts, ends)])),
            heard=torch.from_numpy(np.stack([self._sound(c, a) for c, a in zip(clips, starts)])),
            mu=torch.from_numpy(self.intensity[clips]),
            emotion=torch.from_numpy(wanted),
            text=torch.eye(len(EMOTIONS))[wanted] if eac.encoding == "onehot" else text,
            image=self.image[clips, rng.integers(self.image.shape[1], size=batch)],
            told=torch.from_numpy(rng.permutation(np.arange(batch) % 3)),
            theta=Coefficients.cat([self.theta[c][a:b] for c, a, b in zip(clips, starts, ends)]),
            frame=torch.from_numpy(at - starts),
            picture=to_tensor(np.concatenate([self.pictures.rows(c, k, k + 1) for c, k in zip(clips, keys)])),
        )

    def _cut(self, eac: Eac, clip: int, start: int, end: int) -> np.ndarray:
        windows, frames = self.windows(eac, clip), slice(start, end)
        return windows.stretch(frames) if self.even else windows[frames]

    def _sound(self, clip: int, start: int) -> np.ndarray:
        length = int(self.frames * self.rate / max(self.fps))
        heard = self.heard[clip]
        first = min(int(start * self.rate / self.fps[clip]), max(0, len(heard) - length))
        return np.resize(heard[first : first + length], (length, heard.shape[1]))


def conditions(
    eac: Eac, sample: Sample, anchors: Tensor | None = None, modalities: str = "all"
) -> tuple[Tensor, Tensor]:
    """Eq. 2: (z_emo (B*M,D), L_clip). The M modalities of a clip lie side by side and share one ground truth.

    anchors: the classes' texts (8,D) of the term that is ours, or None. M = 3, text, audio, image, for CLIP codes;
    M = 1 for the others, which have no second modality to align, and where ``modalities`` is "one" instead of "all": the one drawn.
    """
    if eac.encoding != "clip":
        return sample.text, sample.text.new_zeros(())
    audio = eac.embed_audio(sample.heard)
    apart = (1 - F.cosine_similarity(sample.image, audio)) + (1 - F.cosine_similarity(sample.text, audio))
    if anchors is not None:
        near = F.normalize(audio - eac.emotion_mean, dim=1) @ F.normalize(anchors - anchors.mean(0), dim=1).T
        apart = apart + F.cross_entropy(near / SHARPNESS, sample.emotion, reduction="none")
    z_emo = torch.stack([sample.text, audio, sample.image], 1)  # (B,M,D)
    if modalities == "one":
        z_emo = z_emo[torch.arange(len(z_emo), device=z_emo.device), sample.told][:, None]
    return z_emo.flatten(0, 1), gather(apart).mean()


def predicted(eac: Eac, windows: Tensor, z_emo: Tensor, mu: Tensor) -> Tensor:
    """beta_hat (B*M,T,64) of windows (B,T,W,C_A), for training. Of more than :data:`AT_ONCE` sequences the gradient's needs are not kept
    but made again part by part: a third more time, but ``paper``'s 384 sequences would take 9 GB."""
    if len(z_emo) <= AT_ONCE or not torch.is_grad_enabled():
        return eac(windows, z_emo, mu)[0]
    copies = len(z_emo) // len(windows)
    clips = max(1, AT_ONCE // copies)
    parts = zip(windows.split(clips), z_emo.split(clips * copies), mu.split(clips * copies), strict=True)
    return torch.cat([checkpoint(eac, *part, use_reentrant=False)[0] for part in parts])


def losses(
    eac: Eac,
    sample: Sample,
    model: FaceModel,
    phi_emo,
    *,
    renders: int,
    emotion_loss: bool = True,
    anchors: Tensor | None = None,
    modalities: str = "all",
    relative: bool = True,
) -> dict:
    """The five terms of Eq. 5 by name, unweighted, each a scalar Tensor.

    phi_emo: emotion net with ``features``. renders: how many of the B*M results are rendered, at random. emotion_loss:
    False leaves L_emo out (the row "w/o L_emo" of Table 3). anchors, modalities: of :func:`conditions`. relative: of :func:`image_terms`.
    ``sample`` is the whole batch; a process works on its own share of it.
    """
    own = sample.share()
    z_emo, apart = conditions(eac, own, anchors, modalities)
    copies, frames = len(z_emo) // len(own.mu), len(sample.theta) // len(sample.mu)
    beta = gather(predicted(eac, own.windows, z_emo, own.mu.repeat_interleave(copies)).float())  # (B*M,T,64)
    each = torch.arange(len(sample.theta), device=beta.device).view(-1, frames).repeat_interleave(copies, 0).flatten()
    truth = sample.theta[each]
    made = truth.replace(beta=beta.flatten(0, 1))
    points, wanted = (model.landmarks(x.alpha, x.beta, x.pose, LANDMARK_SIZE) for x in (made, truth))
    terms = {
        "clip": apart,
        "lm": (points - wanted).flatten(1).norm(dim=1).mean(),
        "reg": (made.beta - truth.beta).norm(dim=1).mean(),
    }
    chosen = share(torch.randperm(len(beta))[:renders].to(beta.device))
    clip = chosen // copies
    rendered = made[chosen * frames + sample.frame[clip]]
    return terms | image_terms(model, rendered, sample.picture[clip], phi_emo, emotion_loss, relative)


def image_terms(
    model: FaceModel, theta: Coefficients, pictures: Tensor, phi_emo, emotion_loss: bool = True, relative: bool = True
) -> dict:
    """L_rec and L_emo (Eq. 6) of results theta (n rows) rendered into pictures (n,3,S,S), I.

    relative (ours): L_emo in lengths of phi_emo(I). How long features are is an accident of the net, and lambda_emo must not hang on it.
    """
    merged, drawn = composite(model, theta, pictures)
    wrong = (drawn.mask * (drawn.image - pictures).square()).sum((1, 2, 3))
    area = 3 * drawn.mask.sum((1, 2, 3))
    terms = {"rec": gather(wrong).sum() / gather(area).sum().clamp(min=1)}
    if emotion_loss:
        wanted = phi_emo.features(pictures).float()
        terms["emo"] = gather((phi_emo.features(merged).float() - wanted).norm(dim=1)).mean()
        if relative:
            terms["emo"] = terms["emo"] / gather(wanted.norm(dim=1)).mean().clamp(min=1e-6)
    return terms


def total(terms: dict[str, Tensor], weights) -> Tensor:
    """Eq. 5: the weighted sum of ``terms``; ``weights`` has ``lambda_<term>``."""
    return sum(getattr(weights, f"lambda_{name}") * value for name, value in terms.items())


@dataclass(kw_only=True)
class EacTraining(Training):
    """EAC and AME's audio encoder on the clips of ``corpus`` (with fits). Sizes and weights: :class:`emolib.params.Eac`.

    ame, phi_emo, face_model: files of the fixed towers, of the emotion net of Eq. 6, of the 3DMM. variant: a row of Table 3.
    """

    corpus: Corpus
    ame: Path
    phi_emo: Path
    face_model: Path
    variant: str
    audio: str
    batch_size: int
    frames: int
    window: int
    dim: int
    depth: int
    keys: int
    renders: int
    render_size: int
    lr: float
    clip_loss: str
    modalities: str
    reading: bool
    pe_scale: float
    relative: bool
    lambda_clip: float
    lambda_emo: float
    lambda_rec: float
    lambda_lm: float
    lambda_reg: float

    def prepare(self) -> "EacTraining":
        towers = Ame.load(self.ame)
        self.face, self.judge = load_face_model(self.face_model), EmotionNet.load(self.phi_emo)
        sizes = {"frames": self.frames, "keys": self.keys, "size": self.render_size}
        self.material = Material(self.corpus, towers, ear=self.audio, **sizes)
        torch.manual_seed(self.seed)
        self.eac = Eac(
            variant=self.variant, audio=self.audio, embedding_dim=towers.dim, window=self.window, frames=self.material.frames, dim=self.dim,
            depth=self.depth, audio_depth=self.depth, reading=self.reading, pe_scale=self.pe_scale,
        ).standardise(self.material.betas(), self.material.embeddings(), self.material.sound())  # fmt: skip
        self.models = {"eac": self.eac.train()}
        self.optimizers = {"eac": torch.optim.Adam(self.eac.parameters(), lr=self.lr)}
        return self

    def draw(self, rng: np.random.Generator) -> Sample:
        return self.material.draw(rng, self.batch_size, self.eac)

    def step(self, loop: Loop, batch: Sample) -> dict[str, Tensor]:
        loop.cosine_rate("eac", self.lr)
        self.face, self.judge = self.face.to(loop.device), self.judge.to(loop.device)
        terms = self.terms(loop.models["eac"], batch.to(loop.device))
        loss = total(terms, self)
        loop.minimize("eac", loss, clip=1.0)
        return {"loss": loss} | terms

    def terms(self, eac: Eac, batch: Sample) -> dict[str, Tensor]:
        """The terms of Eq. 5 of one batch."""
        wanted, anchored = VARIANTS[self.variant].emotion_loss, self.clip_loss == "anchored"
        anchors = self.material.label.to(batch.text.device) if anchored else None
        how: dict = {"renders": self.renders, "emotion_loss": wanted, "anchors": anchors, "modalities": self.modalities}
        how["relative"] = self.relative
        return losses(eac, batch, self.face, self.judge, **how)

    def save(self, path: Path) -> None:
        self.eac.save(path)
