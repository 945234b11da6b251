"""Training material, objective (Xu et al. 2023, Eqs. 2, 5, 6) and scores of the EAC of :mod:`emolib.eac`.

Units, which the paper leaves open and under which its weights (Sec. 4.1) make all terms but the "small" L_reg count alike.
A norm of the paper is taken per frame and then averaged:
- L_lm: pixels of a 224-pixel crop, norm over all 68 points (136 numbers) of a frame;
- L_rec: colours in [0, 1], mean square over the face area M (the usual reading of a pixel loss with weight 100);
- L_emo: norm of the difference of features; L_reg: norm over the 64 numbers of beta, which have unit scale;
- L_clip: 1 - cosine, the sum over the two pairs.

L_lm and L_reg look at all T frames of a sample, L_emo and L_rec at one of them (of few, decoded once a clip): rendering and
phi_emo cost a hundred times what the rest of a frame costs.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.corpus.clips import Corpus
from emolib.corpus.prompts import prompts
from emolib.eac import Eac, code, predict
from emolib.errors import EmolibError
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import Rendering, render
from emolib.media.audio import MEL_RATE, mel, mel_windows
from emolib.params import EMOTIONS

LANDMARK_SIZE = 224
INNER_LIPS = (62, 66)  # middle of the upper and the lower inner lip, of the 68 points


@dataclass(frozen=True)
class Sample:
    """A random draw: B clips, T frames each. ``theta`` has B*T rows, clip by clip; ``frame`` (B,) is the one with an image."""

    windows: Tensor  # (B,T,W,80)
    mel: Tensor  # (B,F,80), the sound of the same T frames
    mu: Tensor  # (B,) intensity
    text: Tensor  # (B,D) e_text, or class codes for the one-hot variant
    image: Tensor  # (B,D) e_img
    theta: Coefficients
    frame: Tensor  # (B,) int64 in [0,T)
    picture: Tensor  # (B,3,S,S) I at that frame

    def to(self, device: torch.device) -> "Sample":
        return Sample(**{k: v.to(device) for k, v in vars(self).items()})


def fitted(corpus: Corpus) -> Corpus:
    """The clips that have fitted coefficients; stage 02 sets a clip aside when no face is found in it."""
    kept = []
    for clip in corpus:
        with contextlib.suppress(EmolibError):
            clip.coefficients()
            kept.append(clip.clip_id)
    return corpus.select(clip_id=kept)


class Material:
    """Every clip of ``corpus`` once through mel, CLIP and the decoder, kept in memory.

    keys: frames of a clip that are decoded (K). size: their side in the image losses, pixels. window: W. frames: T, cut
    to the shortest tenth of the clips; clips shorter than that are left out.
    """

    def __init__(self, corpus, ame, *, window: int, frames: int, keys: int, size: int):
        if not len(corpus):
            raise EmolibError("the corpus has no clips to train on; run `dvc repro 01_data` or check the split")
        self.frames = min(frames, int(np.percentile(corpus.table["n_frames"], 10)))
        clips = [clip for clip in corpus if clip.n_frames >= self.frames]
        self.theta = [clip.coefficients() for clip in clips]
        self.fps = [float(clip.fps) for clip in clips]
        self.mels = [mel(clip.audio()) for clip in clips]
        self.windows = [mel_windows(m, c.n_frames, c.fps, window) for m, c in zip(self.mels, clips)]
        self.emotion = np.array([EMOTIONS.index(clip.emotion) for clip in clips])
        self.intensity = np.array([clip.intensity for clip in clips], np.float32)
        self.keys = [np.linspace(0, clip.n_frames - 1, keys).round().astype(int) for clip in clips]
        pictures = [_images(clip.frames(index)) for clip, index in zip(clips, self.keys)]
        self.image = torch.stack([ame.image(p).float() for p in pictures]).cpu()  # (N,K,D)
        self.pictures = torch.stack([_shrink(p, size) for p in pictures])  # (N,K,3,S,S)
        self.label = ame.text(EMOTIONS).float().cpu()  # (8,D), each the mean over its wordings: what tests use
        self.wordings = torch.stack([ame.text(prompts(e)).float().cpu() for e in EMOTIONS])  # (8,P,D)

    def __len__(self) -> int:
        return len(self.theta)

    def betas(self) -> Tensor:
        return torch.cat([theta.beta for theta in self.theta])

    def sound(self) -> Tensor:
        """All mel frames (F,80)."""
        return torch.from_numpy(np.concatenate(self.mels))

    def embeddings(self) -> Tensor:
        """All text and image embeddings (M,D), with both modalities weighing the same."""
        text, image = self.wordings.flatten(0, 1), self.image.flatten(0, 1)
        return torch.cat([text.repeat(max(1, len(image) // len(text)), 1), image])

    def draw(self, rng: np.random.Generator, batch: int, onehot: bool = False) -> Sample:
        """A :class:`Sample` of ``batch`` clips, emotions equally often; ``onehot``: class codes in place of texts."""
        wanted = rng.permutation(np.resize(rng.permutation(np.unique(self.emotion)), batch))
        clips = [int(rng.choice(np.flatnonzero(self.emotion == e))) for e in wanted]
        keys = rng.integers(len(self.keys[0]), size=batch)
        at = np.array([self.keys[c][k] for c, k in zip(clips, keys)])
        room = np.array([len(self.theta[c]) for c in clips]) - self.frames
        starts = rng.integers(np.maximum(0, at - self.frames + 1), np.minimum(at, room) + 1)
        ends = starts + self.frames
        text = self.wordings[wanted, rng.integers(self.wordings.shape[1], size=batch)]
        text = torch.where(torch.from_numpy(rng.random((batch, 1)) < 0.5), self.label[wanted], text)
        return Sample(
            windows=torch.from_numpy(np.stack([self.windows[c][a:b] for c, a, b in zip(clips, starts, ends)])),
            mel=torch.from_numpy(np.stack([self._sound(c, a) for c, a in zip(clips, starts)])),
            mu=torch.from_numpy(self.intensity[clips]),
            text=torch.eye(len(EMOTIONS))[wanted] if onehot else text,
            image=self.image[clips, rng.integers(self.image.shape[1], size=batch)],
            theta=Coefficients.cat([self.theta[c][a:b] for c, a, b in zip(clips, starts, ends)]),
            frame=torch.from_numpy(at - starts),
            picture=self.pictures[clips, keys],
        )

    def _sound(self, clip: int, start: int) -> np.ndarray:
        per_frame = MEL_RATE / self.fps[clip]
        length = int(self.frames * MEL_RATE / max(self.fps))
        first = min(int(start * per_frame), max(0, len(self.mels[clip]) - length))
        return np.resize(self.mels[clip][first : first + length], (length, self.mels[clip].shape[1]))


def _images(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def _shrink(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def conditions(eac: Eac, sample: Sample) -> tuple[Tensor, Tensor]:
    """Eq. 2: (z_emo (M*B,D), L_clip). The modalities lie one after another along the batch and share one ground truth.

    M = 3, text, audio, image, for CLIP codes; M = 1 for the others, which have no second modality to align.
    """
    if eac.encoding != "clip":
        return sample.text, sample.text.new_zeros(())
    audio = eac.embed_audio(sample.mel)
    apart = (1 - F.cosine_similarity(sample.image, audio)) + (1 - F.cosine_similarity(sample.text, audio))
    return torch.cat([sample.text, audio, sample.image]), apart.mean()


def blend(model: FaceModel, theta: Coefficients, pictures: Tensor) -> tuple[Tensor, Rendering]:
    """(I^3d, R(theta)): I^3d = M * I^rd + (1 - M) * I (Sec. 3.3) for pictures (B,3,S,S) in [0,1]. Differentiable."""
    drawn = render(model, theta, pictures.shape[-1])
    return drawn.mask * drawn.image + (1 - drawn.mask) * pictures, drawn


def losses(eac: Eac, sample: Sample, model: FaceModel, phi_emo, *, renders: int, emotion_loss: bool = True) -> dict:
    """The five terms of Eq. 5 by name, unweighted, each a scalar Tensor.

    phi_emo: emotion net with ``features``. renders: how many of the M*B results are rendered, at random. emotion_loss:
    False leaves L_emo out (the row "w/o L_emo" of Table 3).
    """
    z_emo, apart = conditions(getattr(eac, "module", eac), sample)  # beneath DDP's wrapper
    copies, frames = len(z_emo) // len(sample.mu), sample.windows.shape[1]
    beta, _ = eac(sample.windows, z_emo, sample.mu.repeat(copies))
    beta = beta.float()
    theta = sample.theta
    repeated = Coefficients.cat([theta] * copies).replace(beta=beta.flatten(0, 1))
    truth = model.landmarks(theta.alpha, theta.beta, theta.pose, LANDMARK_SIZE).repeat(copies, 1, 1)
    points = model.landmarks(repeated.alpha, repeated.beta, repeated.pose, LANDMARK_SIZE)
    terms = {
        "clip": apart,
        "lm": (points - truth).flatten(1).norm(dim=1).mean(),
        "reg": (repeated.beta - theta.beta.repeat(copies, 1)).norm(dim=1).mean(),
    }
    chosen = torch.randperm(len(z_emo))[:renders].to(beta.device)
    clip = chosen % len(sample.mu)
    pictures = sample.picture[clip]
    merged, drawn = blend(model, repeated[chosen * frames + sample.frame[clip]], pictures)
    wrong = drawn.mask * (drawn.image - pictures).square()
    terms["rec"] = wrong.sum() / (3 * drawn.mask.sum()).clamp(min=1)
    if emotion_loss:
        wanted = phi_emo.features(pictures).float()
        difference = phi_emo.features(merged).float() - wanted
        # Eq. 6, in lengths of phi_emo(I): how long features are is an accident of the net, and lambda_emo must not hang on it.
        terms["emo"] = difference.norm(dim=1).mean() / wanted.norm(dim=1).mean().clamp(min=1e-6)
    return terms


def total(terms: dict[str, Tensor], params) -> Tensor:
    """Eq. 5: the weighted sum of ``terms``; ``params`` has ``lambda_<term>``."""
    return sum(getattr(params, f"lambda_{name}") * value for name, value in terms.items())


def mouth_opening(landmarks: Tensor) -> Tensor:
    """(T,68,2) -> (T,): distance of the inner lips, in the landmarks' pixels."""
    return (landmarks[:, INNER_LIPS[0]] - landmarks[:, INNER_LIPS[1]]).norm(dim=1)


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two series; nan where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = a.norm() * b.norm()
    return float(a @ b / scale) if scale > 1e-6 else float("nan")


@torch.no_grad()
def generate(eac: Eac, clip, z_emo: Tensor, mu: float | None = None) -> tuple[Coefficients, Tensor]:
    """(theta_hat, sigma (T,C)): the coefficients of ``clip`` with beta predicted from its sound."""
    windows = mel_windows(mel(clip.audio()), clip.n_frames, clip.fps, eac.config["window"])
    beta, sigma = predict(eac, windows, z_emo, clip.intensity if mu is None else mu)
    return clip.coefficients().replace(beta=beta.cpu()), sigma.cpu()


@torch.no_grad()
def condition(eac: Eac, ame, clip, modality: str = "text") -> Tensor:
    """Code (D,) of a clip's emotion as in Sec. 4.2: its label as text, its own audio, or its middle frame as image."""
    if modality == "audio":
        return eac.embed_audio(torch.from_numpy(mel(clip.audio()))[None])[0]
    if modality == "image":
        return ame.image(_images(clip.frames([clip.n_frames // 2])))[0].float()
    return code(eac, ame, clip.emotion)


@torch.no_grad()
def score(
    eac: Eac, clips: Iterable, ame, model: FaceModel, judge, *, modalities: Sequence[str] = ("text",), size: int = 96
) -> pd.DataFrame:
    """Scores on whole clips against their fitted coefficients: a table with one row a clip and condition.

    beta_rmse: per number of beta (unit scale). landmark_px, mouth_px: mean distance of all 68, of the 20 mouth points in
    pixels of a 224-pixel crop. mouth_correlation: of the mouth opening over time. emo_distance: norm between the features that
    ``judge``, an emotion net, sees in I^3d and in I, at one and two thirds of the clip. emo_hit: share of those I^3d that it
    names right. size: side of what is rendered, pixels.
    """
    rows = []
    for clip in clips:
        theta, index = clip.coefficients(), [clip.n_frames // 3, 2 * clip.n_frames // 3]
        pictures = _shrink(_images(clip.frames(index)), size)
        real, felt = _points(model, theta), judge.features(pictures)
        for modality in modalities:
            guess, _ = generate(eac, clip, condition(eac, ame, clip, modality))
            made, seen = _points(model, guess), judge.features(blend(model, guess[index], pictures)[0])
            distance = (real - made).norm(dim=2)
            row = {"clip_id": clip.clip_id, "emotion": clip.emotion, "condition": modality}
            row["beta_rmse"] = float((theta.beta - guess.beta).square().mean().sqrt())
            row |= {"landmark_px": float(distance.mean()), "mouth_px": float(distance[:, 48:].mean())}
            row["mouth_correlation"] = correlation(mouth_opening(real), mouth_opening(made))
            row["emo_distance"] = float((seen - felt).norm(dim=1).mean())
            row["emo_hit"] = float((judge.head(seen).argmax(1) == EMOTIONS.index(clip.emotion)).float().mean())
            rows.append(row)
    return pd.DataFrame(rows)


def _points(model: FaceModel, theta: Coefficients) -> Tensor:
    return model.landmarks(theta.alpha, theta.beta, theta.pose, LANDMARK_SIZE)
