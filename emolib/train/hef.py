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

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.critics.perceptual import Perceptual
from emolib.errors import EmolibError
from emolib.face.model import FaceModel
from emolib.hef import Drive, make_drive
from emolib.layers import Conv, activate
from emolib.media.pictures import resized, to_tensor
from emolib.train.loop import Trainer

R1_EVERY = 16
FOCUS_POINTS = (*range(36, 48), *range(48, 68))  # eyes and mouth of the 68 landmarks


class Batch(NamedTuple):
    """B frames of one clip and their source."""

    source: Tensor  # (1,3,S,S)
    truth: Tensor  # (B,3,S,S) I_d
    drive: Drive
    focus: Tensor  # (B,1,S,S) in [0,1], 1 at mouth and eyes
    emotion: str
    identity: str


class Pairs:
    """Source-drive pairs of a corpus. Frames are decoded when they are drawn; coefficients and codes are in memory.

    codes: of :func:`emolib.reenact.emotion_codes`. predicted: share of draws whose style code holds EAC's beta.
    same_clip: share whose source is of the drive's own clip. Raises :class:`EmolibError` if no identity has clips of two emotions.
    """

    def __init__(
        self, corpus, model: FaceModel, codes: dict, size: int, *, predicted: float = 0.0, same_clip: float = 0.0
    ):
        self.clips, self.model, self.codes, self.size = list(corpus), model, codes, size
        self.predicted, self.same_clip = predicted, same_clip
        self.theta = [clip.coefficients() for clip in self.clips]
        self.partners = [
            [j for j, b in enumerate(self.clips) if a.identity == b.identity and a.emotion != b.emotion]
            for a in self.clips
        ]
        self.usable = [i for i, others in enumerate(self.partners) if others]
        if not self.usable:
            raise EmolibError(
                f"the {len(self.clips)} clips hold no identity with two emotions, which HEF's pairs need; add clips to the split"
            )

    def styles(self) -> Tensor:
        """The inputs of Eq. 7 (n, 257+C) of every 5th frame, for :meth:`Hef.standardise`."""
        rows = []
        for clip, theta in zip(self.clips, self.theta):
            at = slice(None, None, 5)
            part = theta[at]
            fields = [part.alpha, part.beta, part.delta, part.gamma, part.pose, self.codes[clip.clip_id][1][at]]
            rows.append(torch.cat(fields, 1))
        return torch.cat(rows)

    def digest(self, *files: Path) -> str:
        """Identifies what the pairs and ``files`` (the EAC behind the codes) hold, so that a checkpoint of others is not resumed."""
        total = hashlib.sha256()
        for part in [theta.to_vector().numpy().tobytes() for theta in self.theta] + [f.read_bytes() for f in files]:
            total.update(part)
        return total.hexdigest()[:16]

    def draw(self, rng: np.random.Generator, batch: int, index: int | None = None) -> Batch:
        """A random clip (or number ``index``) as the drive, ``batch`` of its frames in order, and a source."""
        index = int(rng.choice(self.usable)) if index is None else index
        clip, theta = self.clips[index], self.theta[index]
        other = index if rng.random() < self.same_clip else int(rng.choice(self.partners[index]))
        at = np.sort(rng.choice(clip.n_frames, batch, replace=batch > clip.n_frames))
        first = int(rng.integers(self.clips[other].n_frames))
        predicted, sigma = self.codes[clip.clip_id]
        style = predicted[at] if rng.random() < self.predicted else None
        wanted = make_drive(self.model, self.theta[other][first], theta[at], sigma[at], self.size, style)
        points = self.model.landmarks(theta[at].alpha, theta[at].beta, theta[at].pose, self.size)
        return Batch(
            self._pictures(other, [first]),
            self._pictures(index, at),
            wanted,
            focus_map(points[:, FOCUS_POINTS], self.size),
            clip.emotion,
            clip.identity,
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
        deviation = x.float().var(0, unbiased=False).add(1e-8).sqrt().mean().to(x.dtype)
        x = activate(self.joined(torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)))
        x = F.conv2d(x, self.score.weight * self.score.scale, self.score.bias)  # 4 x 4 -> 1 x 1
        return x.flatten().float()


def reconstruction(image: Tensor, truth: Tensor, focus: Tensor, weight: float) -> Tensor:
    """L_rec: mean absolute error, mouth and eyes weighing 1 + ``weight`` times."""
    emphasis = 1 + weight * focus
    return ((image - truth).abs() * emphasis).mean() / emphasis.mean()


def hef_step(trainer: Trainer, perceptual: Perceptual, batch: Batch, params, rng: np.random.Generator) -> None:
    """One step of the generator on Eq. 11 and, if it has a weight, one of the discriminator; logs every term.

    trainer: with the models ``hef`` and ``discriminator``. params: :class:`emolib.params.Hef`.
    """
    source, truth = (x.to(trainer.device) for x in (batch.source, batch.truth))
    if params.recolour:
        source, truth = recolour(rng, source, truth)
    wanted, focus = Drive(*(x.to(trainer.device) for x in batch.drive)), batch.focus.to(trainer.device)
    critic = trainer.models["discriminator"]
    ramp = min(1.0, (trainer.step + 1) / max(1.0, params.adversary_ramp * trainer.steps))
    critic.requires_grad_(False)
    with trainer.autocast():
        made = trainer.models["hef"](source, wanted).image
        rec = reconstruction(made, truth, focus, params.focus)
        distance = perceptual(made, truth).float().mean()
        adversary = F.softplus(-critic(made)).mean() if params.lambda_adv else made.new_zeros(())
    loss = params.lambda_rec * rec + params.lambda_p * distance + ramp * params.lambda_adv * adversary
    trainer.minimize("hef", loss)
    trainer.log(loss=loss, rec=rec, perceptual=distance, adversarial=adversary)
    if params.lambda_adv:
        critic.requires_grad_(True)
        with trainer.autocast():
            verdict = F.softplus(critic(made.detach())).mean() + F.softplus(-critic(truth)).mean()
        trainer.log(discriminator=verdict)
        if trainer.step % R1_EVERY == 0:
            verdict = verdict + params.r1 / 2 * R1_EVERY * r1_penalty(critic, truth)
        trainer.minimize("discriminator", verdict)


def r1_penalty(critic: nn.Module, truth: Tensor) -> Tensor:
    """Mean squared length of the score's gradient at real images (Mescheder et al. 2018), in float32."""
    real = truth.detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(real).sum(), real, create_graph=True)[0]
    return gradient.square().sum((1, 2, 3)).mean()
