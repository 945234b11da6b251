"""Training of the EAC of :mod:`emolib.eac`: material and objective (Xu et al. 2023, Eqs. 2, 5, 6).

Units, which the paper leaves open and under which its weights (Sec. 4.1) make all terms but the "small" L_reg count alike.
A norm of the paper is taken per frame and then averaged:
- L_lm: pixels of a 224-pixel crop, norm over all 68 points (136 numbers) of a frame;
- L_rec: colours in [0, 1], mean square over the face area M (the usual reading of a pixel loss with weight 100);
- L_emo: norm of the difference of features; L_reg: norm over the 64 numbers of beta, which have unit scale;
- L_clip: 1 - cosine, the sum over the two pairs.

L_lm and L_reg look at all T frames of a sample, L_emo and L_rec at one of them (of few, decoded once a clip): rendering and
phi_emo cost a hundred times what the rest of a frame costs.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import composite
from emolib.media.audio import MEL_RATE, mel, mel_windows
from emolib.media.pictures import resized, to_tensor
from emolib.params import EMOTIONS
from emolib.prompts import prompts

LANDMARK_SIZE = 224


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
        pictures = [to_tensor(clip.frames(index)) for clip, index in zip(clips, self.keys)]
        self.image = torch.stack([ame.image(p).float() for p in pictures]).cpu()  # (N,K,D)
        self.pictures = torch.stack([resized(p, size) for p in pictures])  # (N,K,3,S,S)
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


def conditions(eac: Eac, sample: Sample) -> tuple[Tensor, Tensor]:
    """Eq. 2: (z_emo (M*B,D), L_clip). The modalities lie one after another along the batch and share one ground truth.

    M = 3, text, audio, image, for CLIP codes; M = 1 for the others, which have no second modality to align.
    """
    if eac.encoding != "clip":
        return sample.text, sample.text.new_zeros(())
    audio = eac.embed_audio(sample.mel)
    apart = (1 - F.cosine_similarity(sample.image, audio)) + (1 - F.cosine_similarity(sample.text, audio))
    return torch.cat([sample.text, audio, sample.image]), apart.mean()


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
    merged, drawn = composite(model, repeated[chosen * frames + sample.frame[clip]], pictures)
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
