"""Training of the HEF generator (Xu et al. 2023, Sec. 3.4 and 4.1, Eq. 11): pairs, discriminator, losses.

    L = lambda_rec |I_d - I_N|_1 + lambda_p LPIPS(I_d, I_N) + lambda_adv L_adv                    (11)

A step takes ``batch`` random frames of one clip as drives and one frame of the same identity in another emotion as the source.
Where the paper is silent, or a short run asks for it:

- *beta of Eq. 7.* The paper writes beta_hat_d, EAC's prediction, but compares with the real frame I_d, in which the mouth is not quite
  where the prediction has it. Rendering and motion field therefore take the fitted beta_d, so that the network learns to follow
  them to the pixel; z_sty gets beta_hat_d in a share ``predicted`` of the steps, so that it trusts either. sigma_hat is always EAC's.
- *Source.* The paper's source is of another emotion; at test time it is the first frame of the test clip itself (Sec. 4.2). A share
  ``same_clip`` of the steps takes the source from the drive's own clip.
- *Focus* (ours). L_rec weighs pixels about the mouth and the eyes 1 + ``focus`` times: they are 5 % of the image and all of the speech.
- *Colour* (ours). Source and drive get the same random exposure, contrast and white balance; renderings do not. It teaches that skin and
  light come from the source, which real photographs need.
- *Adversary.* The discriminator of StyleGAN2 (residual blocks, minibatch deviation), non-saturating loss, R1 every 16th step. Its weight
  rises linearly over the first ``ramp`` of the run: an untrained critic moves an already good image at random.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.ame import Ame
from emolib.corpus.clips import Corpus
from emolib.corpus.partners import Partners
from emolib.corpus.shelf import Fits
from emolib.critics.perceptual import FaceDistance, Perceptual
from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import FaceModel
from emolib.hef import Hef
from emolib.layers import Conv, activate
from emolib.media.pictures import resized, to_tensor
from emolib.sight import Drive, make_drive
from emolib.train.codes import Codes, emotion_codes
from emolib.train.loop import Loop, Training
from emolib.train.parallel import gather, share

# The rows of stage 05: how the flow is estimated (emolib.hef.VARIANTS), and with our two additions or Eqs. 7-10 to the letter. ``full`` is
# what is used; the others are for Table 3, at a size and a length of their own, the same for all.
ROWS = {
    "full": ("full", True),
    "short": ("full", True),
    "wo_res": ("wo_res", True),
    "wo_hie": ("wo_hie", True),
    "plain": ("full", False),
    "plain_wo_res": ("wo_res", False),
    "plain_wo_hie": ("wo_hie", False),
}
R1_EVERY = 16
FEW = 4000  # clips of which every fifth frame is looked at for the units of Eq. 7
FOCUS_POINTS = (*range(36, 48), *range(48, 68))  # eyes and mouth of the 68 landmarks


class Batch(NamedTuple):
    """B frames of one clip and their source."""

    source: Tensor  # (1,3,S,S)
    truth: Tensor  # (B,3,S,S) I_d
    drive: Drive
    focus: Tensor  # (B,1,S,S) in [0,1], 1 at mouth and eyes
    emotion: str
    identity: str
    taken: tuple[
        int, np.ndarray, int, int
    ]  # the drive's clip, by number, and its frames; the source's clip and its frame

    def share(self, device: torch.device) -> "Batch":
        """The frames that are this process's to work on, see :mod:`emolib.train.parallel`; the source is everybody's."""
        drive = Drive(*(share(x).to(device) for x in self.drive))
        truth, focus = (share(x).to(device) for x in (self.truth, self.focus))
        return self._replace(source=self.source.to(device), truth=truth, drive=drive, focus=focus)


class Pairs:
    """Source-drive pairs of a corpus. Frames are decoded when they are drawn; coefficients and codes lie on a shelf.

    codes: of :func:`emolib.train.codes.emotion_codes`. predicted: share of draws whose style code holds EAC's beta.
    same_clip: share whose source is of the drive's own clip. heard: drives show what EAC heard, beta_hat, and not the fitted expression;
    what comes out is then compared with a frame that is a little other. Raises :class:`EmolibError` if no identity has clips of two
    emotions.
    """

    def __init__(
        self, corpus, model: FaceModel, codes: Codes, size: int, *, predicted=0.0, same_clip=0.0, heard: bool = False
    ):
        self.heard = heard
        self.clips, self.model, self.codes, self.size = list(corpus), model, codes, size
        self.predicted, self.same_clip = predicted, same_clip
        self.theta = Fits(self.clips)
        self.partners = Partners(self.clips)
        self.usable = self.partners.usable()
        if not self.usable:
            raise EmolibError(
                f"the {len(self.clips)} clips hold no identity with two emotions, which HEF's pairs need; add clips to the split"
            )

    def styles(self) -> Tensor:
        """The inputs of Eq. 7 (n, 257+C) of every 5th frame, of large corpora fewer, for :meth:`Hef.standardise`."""
        rows = []
        for i, clip in enumerate(self.clips):
            theta, at = self.theta[i], slice(None, None, 5 * -(-len(self.clips) // FEW))
            part = theta[at]
            fields = [part.alpha, part.beta, part.delta, part.gamma, part.pose, self.codes[clip.clip_id][1][at]]
            rows.append(torch.cat(fields, 1))
        return torch.cat(rows)

    def draw(self, rng: np.random.Generator, batch: int, index: int | None = None) -> Batch:
        """A random clip (or number ``index``) as the drive, ``batch`` of its frames in order, and a source."""
        index = int(rng.choice(self.usable)) if index is None else index
        clip, theta = self.clips[index], self.theta[index]
        other = index if rng.random() < self.same_clip else int(rng.choice(self.partners[index]))
        at = np.sort(rng.choice(clip.n_frames, batch, replace=batch > clip.n_frames))
        first = int(rng.integers(self.clips[other].n_frames))
        predicted, sigma = self.codes[clip.clip_id]
        style = predicted[at] if rng.random() < self.predicted else None
        shown = theta[at].replace(beta=predicted[at]) if self.heard else theta[at]
        wanted = make_drive(self.model, self.theta[other][first], shown, sigma[at], self.size, style)
        points = self.model.landmarks(theta[at].alpha, theta[at].beta, theta[at].pose, self.size)
        return Batch(
            self._pictures(other, [first]),
            self._pictures(index, at),
            wanted,
            focus_map(points[:, FOCUS_POINTS], self.size),
            clip.emotion,
            clip.identity,
            (index, at, other, first),
        )

    def _pictures(self, clip: int, at) -> Tensor:
        """Frames ``at`` of clip number ``clip``, (n, 3, S, S) in [0, 1]."""
        return resized(to_tensor(self.clips[clip].frames(at)), self.size).clamp(0, 1)

    def fixed(self, count: int, frames: int, seed: int) -> Iterator[Batch]:
        """``count`` batches that are the same in every run, emotions and identities in turn: for scores and figures."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(self.usable)
        seen: dict[str, int] = {}
        rank = []
        for i in order:
            rank.append(seen.setdefault(self.clips[i].emotion, 0))
            seen[self.clips[i].emotion] += 1
        for i in order[np.argsort(rank, kind="stable")][:count]:
            yield self.draw(rng, frames, int(i))


def focus_map(points: Tensor, size: int) -> Tensor:
    """points (B, K, 2) in pixels -> (B, 1, S, S): a Gaussian bump of 4 % of the side about each, their maximum."""
    centre = torch.arange(size, device=points.device) + 0.5
    x = (centre - points[..., :1]) ** 2  # (B, K, S)
    y = (centre - points[..., 1:]) ** 2
    distance = (y[:, :, :, None] + x[:, :, None, :]).amin(1, keepdim=True)
    return torch.exp(-distance / (2 * (0.04 * size) ** 2))


def recolour(rng: np.random.Generator, *batches: Tensor) -> list[Tensor]:
    """The same random exposure, gamma, contrast and white balance for all ``batches`` (B, 3, S, S) in [0, 1]."""
    gamma = float(np.exp(rng.uniform(-0.3, 0.3)))
    balance = torch.from_numpy(np.exp(rng.uniform(-0.15, 0.15, 3))).float()[:, None, None]
    contrast, shift = float(rng.uniform(0.75, 1.15)), float(rng.uniform(-0.08, 0.08))
    return [((x**gamma * balance.to(x.device) - 0.5) * contrast + 0.5 + shift).clamp(0, 1) for x in batches]


class Discriminator(nn.Module):
    """StyleGAN2's: residual blocks down to 4 x 4, the deviation over the minibatch as one more map, a score (B,)."""

    def __init__(self, size: int, channels: int = 2048, channels_max: int = 64):
        super().__init__()
        sides = [size // 2**i for i in range(int(math.log2(size // 4)) + 1)]
        widths = [max(8, min(channels_max, channels // side)) for side in sides]
        self.first = Conv(3, widths[0])
        steps = list(zip(widths, widths[1:]))
        self.same = nn.ModuleList(Conv(a, a) for a, _ in steps)
        self.down = nn.ModuleList(Conv(a, b, stride=2) for a, b in steps)
        self.skip = nn.ModuleList(Conv(a, b, kernel=1) for a, b in steps)
        self.joined = Conv(widths[-1] + 1, widths[-1])
        self.score = Conv(widths[-1], 1, kernel=4)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S) in [0, 1] -> logits (B,), high for real."""
        x = activate(self.first(2 * image - 1))
        for same, down, skip in zip(self.same, self.down, self.skip):
            x = (activate(down(activate(same(x)))) + skip(F.avg_pool2d(x, 2))) / math.sqrt(2)
        deviation = gather(x.float()).var(0, unbiased=False).add(1e-8).sqrt().mean().to(x.dtype)
        x = activate(self.joined(torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)))
        x = F.conv2d(x, self.score.weight * self.score.scale, self.score.bias)  # 4 x 4 -> 1 x 1
        return x.flatten().float()


def reconstruction(image: Tensor, truth: Tensor, focus: Tensor, weight: float) -> Tensor:
    """L_rec: mean absolute error, mouth and eyes (focus (B,1,S,S) in [0,1]) weighing 1 + ``weight`` times."""
    emphasis = 1 + weight * focus
    wrong = ((image - truth).abs() * emphasis).mean((1, 2, 3))
    return gather(wrong).mean() / gather(emphasis.mean((1, 2, 3))).mean()


def adversary_weight(step: int, steps: int, ramp: float) -> float:
    """The share of lambda_adv at ``step``: rises linearly over the first ``ramp`` of the run."""
    return min(1.0, (step + 1) / max(1.0, ramp * steps))


def r1_penalty(critic: nn.Module, truth: Tensor) -> Tensor:
    """Mean squared length of the score's gradient at real images (Mescheder et al. 2018), in float32."""
    real = truth.detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(real).sum(), real, create_graph=True)[0]
    return gather(gradient.square().sum((1, 2, 3))).mean()


@dataclass(kw_only=True)
class HefTraining(Training):
    """The generator and its discriminator on the clips of ``corpus`` (with fits). Sizes and weights: :class:`emolib.params.Hef`.

    ame, eac, face_model: files of the text tower, of the fixed EAC behind the style codes, of the 3DMM. variant: a row of Table 3.
    size: side of the images.
    """

    corpus: Corpus
    ame: Path
    eac: Path
    face_model: Path
    variant: str
    size: int
    batch_size: int
    channels: int
    channels_max: int
    detail: bool
    mesh_motion: bool
    lr: float
    lambda_rec: float
    lambda_p: float
    lambda_adv: float
    lpips_net: str
    lambda_face: float
    adversary_ramp: float
    r1: float
    focus: float
    predicted: float
    same_clip: float
    recolour: bool

    def prepare(self) -> "HefTraining":
        eac = Eac.load(self.eac)
        codes = emotion_codes(eac, Ame.load(self.ame), self.corpus)
        shares: dict[str, Any] = {"predicted": self.predicted, "same_clip": self.same_clip}
        self.pairs = Pairs(self.corpus, load_face_model(self.face_model), codes, self.size, **shares)
        torch.manual_seed(self.seed)
        widths: dict[str, Any] = {"channels": self.channels, "channels_max": self.channels_max}
        additions = {"detail": self.detail, "mesh_motion": self.mesh_motion}
        self.hef = Hef(size=self.size, sigma_dim=eac.config["dim"], variant=self.variant, **widths, **additions)
        self.hef.standardise(self.pairs.styles())
        self.models = {
            "hef": self.hef,
            "discriminator": Discriminator(self.size, self.channels // 2, self.channels_max),
        }
        adam: dict[str, Any] = {"lr": self.lr, "betas": (0.0, 0.99)}
        self.optimizers = {name: torch.optim.Adam(m.parameters(), **adam) for name, m in self.models.items()}
        self.perceptual, self.faces = Perceptual(self.lpips_net, seed=self.seed), FaceDistance()
        return self

    def draw(self, rng: np.random.Generator) -> Batch:
        batch = self.pairs.draw(rng, self.batch_size)
        if self.recolour:
            source, truth = recolour(rng, batch.source, batch.truth)
            batch = batch._replace(source=source, truth=truth)
        return batch

    def step(self, loop: Loop, batch: Batch) -> dict[str, Tensor]:
        """One step of the generator on Eq. 11 and, if it has a weight, one of the discriminator."""
        batch = batch.share(loop.device)
        critic = loop.models["discriminator"]
        self.perceptual = self.perceptual.to(loop.device)
        critic.requires_grad_(False)
        with loop.autocast():
            made = loop.models["hef"](batch.source, batch.drive).image
            terms = {"rec": reconstruction(made, batch.truth, batch.focus, self.focus)}
            terms["perceptual"] = gather(self.perceptual(made, batch.truth).float()).mean()
            terms["faces"] = gather(self.faces(made, batch.truth)).mean() if self.lambda_face else made.new_zeros(())
            terms["adversarial"] = gather(F.softplus(-critic(made))).mean() if self.lambda_adv else made.new_zeros(())
        terms = {"loss": self.total(terms, loop.step)} | terms
        loop.minimize("hef", terms["loss"])
        if self.lambda_adv:
            critic.requires_grad_(True)
            terms["discriminator"] = self.judge(loop, critic, made.detach(), batch.truth)
        return terms

    def total(self, terms: dict[str, Tensor], step: int) -> Tensor:
        """Eq. 11, with the face net's own features beside LPIPS in L_p."""
        adversarial = adversary_weight(step, self.steps, self.adversary_ramp) * self.lambda_adv * terms["adversarial"]
        perceptual = terms["perceptual"] + self.lambda_face * terms["faces"]
        return self.lambda_rec * terms["rec"] + self.lambda_p * perceptual + adversarial

    def judge(self, loop: Loop, critic: nn.Module, made: Tensor, truth: Tensor) -> Tensor:
        """One step of the discriminator; its loss without R1."""
        with loop.autocast():
            verdict = gather(F.softplus(critic(made))).mean() + gather(F.softplus(-critic(truth))).mean()
        penalty = self.r1 / 2 * R1_EVERY * r1_penalty(critic, truth) if loop.step % R1_EVERY == 0 else 0.0
        loop.minimize("discriminator", verdict + penalty)
        return verdict

    def save(self, path: Path) -> None:
        self.hef.save(path)
