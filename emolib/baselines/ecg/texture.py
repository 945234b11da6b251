"""The baseline ECG (Sinha et al., IJCAI 2022), second half: image + landmarks + emotion -> frames (Sec. 3.2, Eqs. 5-9, App. A.1).

    f_t = E_T(I_n)     f_h = heatmaps(X') - heatmaps(X)     (f_t, f_h, f_e) -> optical flow OF, occlusion OM
    I_E = D_T(OF + OM, f_t), with skips from E_T and its statistics at the bottleneck (AdaIN, Huang and Belongie 2017)

The paper learns OF from nothing in seven days on a GPU. Here the network refines a first flow: the landmarks' own displacements, spread
between them (:func:`spread_motion`); ``landmark_motion=False`` leaves it out. The paper also leaves open how D_T uses the maps. Here the
features of E_T at every scale, and the image itself, are warped by OF and masked by OM (features not warped would draw the source's edges
into the result); what OM hides D_T paints anew. Flow is in normalised offsets: where to look in the source, minus the own place, in
[-1, 1] coordinates (x, y). Widths are those of the paper at ``width`` 64: 64, 128, 256, and 1024 at a sixteenth of the side.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.baselines.ecg.landmarks import (
    EmotionEncoder,
    blinking,
    emotion_vector,
    fitted_clips,
    posed,
    predict_landmarks,
)  # fmt: skip
from emolib.corpus.partners import Partners
from emolib.corpus.shelf import Fits
from emolib.errors import EmolibError
from emolib.layers import up, warp
from emolib.media.pictures import to_frames, to_tensor
from emolib.weights import load_into, load_weights, save_weights

GRID = 4  # heatmaps and flow live at the image's side / GRID
SIGMA = 1.0  # of a landmark's Gaussian, in cells of that grid
# How far a landmark's motion is spread, of the crop's side, and its weight: near the face the next landmark decides,
# hair and neck follow the head. FADE: the weight of no motion at all.
TRUST = 2.0  # logit of "shown" over "new" at the start: .88
REACH, FADE = ((0.06, 1.0), (0.2, 0.02)), 0.05


def heatmaps(landmarks: Tensor, size: int) -> Tensor:
    """Landmarks (B, 68, 2) in pixels of an image of side ``size`` -> (B, 69, size/GRID, size/GRID), peak 1; last, the background."""
    centres = torch.arange(size // GRID, device=landmarks.device, dtype=landmarks.dtype) + 0.5
    squared = (centres - landmarks[..., None] / GRID).square() / (2 * SIGMA**2)  # (B, 68, 2, n)
    x, y = torch.exp(-squared).unbind(2)
    maps = y[..., :, None] * x[..., None, :]
    return torch.cat([maps, 1 - maps.amax(1, keepdim=True)], 1)


def spread_motion(before: Tensor, after: Tensor, size: int) -> Tensor:
    """Backward flow (B, 2, size/GRID, size/GRID) that carries landmarks ``before`` to ``after``, (B, 68, 2) pixels.

    A mean of the 68 displacements, weighted by Gaussians about ``after``; it fades to no motion away from the head.
    """
    n = size // GRID
    centres = torch.arange(n, device=after.device, dtype=after.dtype) + 0.5
    squared = (centres - after[..., None] / GRID).square() / (2 * n**2)  # (B, 68, 2, n)
    axes = [torch.exp(-squared / reach**2).unbind(2) for reach, _ in REACH]
    parts = [gain * y[..., :, None] * x[..., None, :] for (x, y), (_, gain) in zip(axes, REACH)]
    weight = torch.stack(parts).sum(0)  # (B, 68, n, n)
    moved = torch.einsum("bkhw,bkc->bchw", weight, (before - after) * 2 / size)
    return moved / (weight.sum(1, keepdim=True) + FADE)


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    """``image`` (B, C, H, W) looked up at own place + ``flow`` (B, 2, h, w), which is resized to the image first."""
    flow = F.interpolate(flow, image.shape[-2:], mode="bilinear", align_corners=False)
    return warp(image, flow).to(image.dtype)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2))


def _same(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2))


class ImageEncoder(nn.Module):
    """E_T: image (B, 3, S, S) in [0, 1] -> features at S, S/2 and S/4, of 1, 2 and 4 times ``width`` channels."""

    def __init__(self, width: int):
        super().__init__()
        self.levels = nn.ModuleList([_same(3, width), _down(width, 2 * width), _down(2 * width, 4 * width)])

    def forward(self, image: Tensor) -> list[Tensor]:
        features, x = [], image * 2 - 1
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class MotionNet(nn.Module):
    """(f_t, f_h, f_e) and a first flow (B, 2, S/4, S/4) -> flow (B, 2, S/4, S/4) and occlusion map (B, 1, S/4, S/4), 1
    where the warped source is right: by tanh, and by softmax over "shown" and "new".
    """

    def __init__(self, width: int, d: int):
        super().__init__()
        self.down = nn.Sequential(
            _same(4 * width + 69 + 2, 4 * width), _down(4 * width, 8 * width), _down(8 * width, 16 * width)
        )
        self.up = nn.ModuleList(
            [_same(16 * width + d, 16 * width), _same(16 * width, 8 * width), _same(8 * width, 4 * width)]
        )
        self.maps = nn.Conv2d(4 * width, 4, 3, 1, 1)
        nn.init.zeros_(self.maps.weight)  # starts as the first flow ...
        nn.init.constant_(self.maps.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, f_t: Tensor, f_h: Tensor, f_e: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        f_m = self.down(torch.cat([f_t, f_h, first.to(f_t.dtype) * 10], 1))
        x = self.up[0](torch.cat([f_m, f_e[:, :, None, None].expand(-1, -1, *f_m.shape[2:])], 1))
        for level in self.up[1:]:
            x = level(up(x))
        maps = 0.1 * self.maps(x).float()  # a step of Adam must not move the flow by many pixels
        seen = (3 * maps[:, 2:] + maps.new_tensor([TRUST, 0.0])[:, None, None]).softmax(1)  # ... that trusts the source
        return first + 0.2 * maps[:, :2].tanh(), seen[:, :1]


def adain(x: Tensor, style: Tensor) -> Tensor:
    """x (B, C, h, w) with mean and deviation of each channel as ``style`` (B, C, H, W) has them (Huang and Belongie 2017, Eq. 8)."""

    def moments(of: Tensor) -> tuple[Tensor, Tensor]:
        return of.mean((2, 3), keepdim=True), (of.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()

    (mean, deviation), (wanted_mean, wanted) = moments(x.float()), moments(style.float())
    return ((x.float() - mean) / deviation * wanted + wanted_mean).to(x.dtype)


class ImageDecoder(nn.Module):
    """D_T: warped and masked features of E_T, and the maps -> what the network paints, (B, 3, S, S).

    It paints over a blurred copy of the warped source: the normalised features do not carry a stranger's colours.
    """

    def __init__(self, width: int):
        super().__init__()
        self.middle = nn.Conv2d(4 * width + 3, 4 * width, 3, 1, 1)
        self.levels = nn.ModuleList([_same(6 * width, 2 * width), _same(3 * width, width)])
        self.image = nn.Conv2d(width, 3, 3, 1, 1)
        nn.init.zeros_(self.image.weight)
        nn.init.constant_(self.image.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor], f_t: Tensor, maps: Tensor, warped: Tensor) -> Tensor:
        """features: of E_T, warped, masked; f_t (B, 4w, S/4, S/4): the coarsest as it was; maps: OF and OM (B, 3, S/4, S/4)."""
        x = self.middle(torch.cat([features[2], maps.to(features[2].dtype)], 1))
        x = F.leaky_relu(adain(x, f_t), 0.2)
        for level, skip in zip(self.levels, (features[1], features[0])):
            x = level(torch.cat([up(x), skip], 1))
        return up(up(F.avg_pool2d(warped, GRID))) + self.image(x).float()


@dataclass(frozen=True)
class Painted:
    """image (B, 3, S, S), may leave [0, 1] a little; flow (B, 2, S/4, S/4) normalised offsets; occlusion (B, 1, S/4,
    S/4) in [0, 1].
    """

    image: Tensor
    flow: Tensor
    occlusion: Tensor


class TextureGenerator(nn.Module):
    """G_T, Eq. 5. width: channels at full resolution (the cost grows with its square). d: length of f_e.

    landmark_motion: whether OF starts from :func:`spread_motion`; else from no motion, as in the paper. felt: whether it is told the
    emotion (f_e; Table 4 without).
    """

    def __init__(self, width: int = 16, d: int = 128, landmark_motion: bool = True, felt: bool = True):
        super().__init__()
        self.config = {"width": width, "d": d, "landmark_motion": landmark_motion, "felt": felt}
        self.emotion = EmotionEncoder(d)
        self.image_encoder, self.motion, self.image_decoder = (
            ImageEncoder(width),
            MotionNet(width, d),
            ImageDecoder(width),
        )

    def forward(self, source: Tensor, source_landmarks: Tensor, landmarks: Tensor, emotion: Tensor) -> Painted:
        """source (B, 3, S, S) in [0, 1] with its landmarks (B, 68, 2); wanted landmarks (B, 68, 2), pixels; emotion
        (B, 9). S must be a multiple of 16."""
        size = source.shape[-1]
        features = self.image_encoder(source)
        f_h = heatmaps(landmarks, size) - heatmaps(source_landmarks, size)
        first = spread_motion(source_landmarks, landmarks, size) * self.config["landmark_motion"]
        f_e = self.emotion(emotion) * self.config["felt"]
        flow, occlusion = self.motion(features[2], f_h.to(features[2].dtype), f_e, first)
        masks = [F.interpolate(occlusion, f.shape[-2:], mode="bilinear", align_corners=False) for f in features]
        moved = [_warped(f, flow) * m.to(f.dtype) for f, m in zip(features, masks)]
        warped = _warped(source, flow)
        new = self.image_decoder(moved, features[2], torch.cat([flow, occlusion], 1), warped)
        image = masks[0] * warped + (1 - masks[0]) * new
        return Painted(image, flow, occlusion)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path) -> "TextureGenerator":
        """Reads weights, frozen. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"width", "d", "landmark_motion", "felt"}:
            raise EmolibError(f"{path} holds no ECG texture generator; expected data/06_ecg/texture.safetensors")
        return load_into(cls(**config), state, path)


class FrameDiscriminator(nn.Sequential):
    """D of Eq. 8: image (B, 3, S, S) -> realness logits of patches (B, 1, S/16, S/16)."""

    def __init__(self, width: int = 16):
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            _down(width, 2 * width),
            _down(2 * width, 4 * width),
            _down(4 * width, 4 * width),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )


class TextureSet:
    """What G_T learns from: ``per_clip`` frames (K) spread over each clip, the first one among them, decoded when they are drawn, with the
    landmarks of the fitted 3DMM ``model``."""

    def __init__(self, corpus, model, *, per_clip: int):
        self.model, self.clips = model, list(fitted_clips(corpus))
        self.fits, self.partners = Fits(self.clips), Partners(self.clips)
        self.index = [np.linspace(0, clip.n_frames - 1, per_clip).astype(int) for clip in self.clips]

    def __len__(self) -> int:
        return len(self.clips)

    def shown(self, i: int, which=slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """Of clip number ``i``: images (K, 3, S, S) in [0, 1], landmarks (K, 68, 2) pixels, emotion (9,); of its frames ``which``."""
        clip, index = self.clips[i], self.index[i][which]
        images, fitted = to_tensor(clip.frames(index)), self.fits[i][index]
        points = self.model.landmarks(fitted.alpha, fitted.beta, fitted.pose, images.shape[3])
        return images, points, emotion_vector(clip.emotion, clip.intensity)

    def sample(self, rng: np.random.Generator, n: int, same_clip: float = 0.25) -> tuple[Tensor, ...]:
        """(source image, its landmarks, wanted landmarks, emotion, true image) of ``n`` pairs, as HEF's are drawn (:class:`Pairs` of
        :mod:`emolib.train.hef`): the source is of the same person in another emotion, or with ``same_clip`` of the drive's own clip."""
        to = rng.integers(len(self), size=n)
        own = rng.random(n) < same_clip
        others = [self.partners[c] for c in to]
        of = [c if same or not len(more) else rng.choice(more) for c, same, more in zip(to, own, others)]
        first, second = (rng.integers(len(self.index[0]), size=n) for _ in range(2))
        sources = [self.shown(int(c), [k]) for c, k in zip(of, first)]
        drives = [self.shown(int(c), [k]) for c, k in zip(to, second)]
        source, before = (torch.cat([x[part] for x in sources]) for part in (0, 1))
        target, after = (torch.cat([x[part] for x in drives]) for part in (0, 1))
        return source, before, after, torch.stack([x[2] for x in drives]), target


def at_once(size: int) -> int:
    """How many frames of that side are painted together: 16 of 128 px, one of 512, whose maps take a gigabyte."""
    return max(1, 16 * 128**2 // size**2)


def one_shot(net: TextureGenerator, image: Tensor, landmarks: Tensor, iterations: int = 5, lr: float = 2e-4):
    """A copy of G_T whose E_T and D_T are tuned to one neutral image (1, 3, S, S) with landmarks (1, 68, 2) (Sec. 4.1).

    The motion net stays as it is. As there is no motion within one image, what D_T paints is pulled to it everywhere,
    hidden by OM or not.
    """
    net = copy.deepcopy(net)
    tuned = [*net.image_encoder.parameters(), *net.image_decoder.parameters()]
    for parameter in tuned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(tuned, lr=lr)
    neutral = emotion_vector("neutral", 1).to(image.device)[None]
    with torch.enable_grad():
        for _ in range(iterations):
            with torch.no_grad():
                rest = net(image, landmarks, landmarks, neutral)
            maps, features = torch.cat([rest.flow, rest.occlusion], 1), net.image_encoder(image)
            painted = net.image_decoder(features, features[2], maps, image)
            loss = (painted - image).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def ecg_frames(
    generator, content, texture, model, source, coefficients, audio, emotion, intensity, *, pose, fps, iterations=5, closure=None,
    lips=None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The whole of ECG: one face and speech -> frames uint8 (t, S, S, 3), :func:`at_once` of them at a time.

    generator, content: :meth:`LandmarkGenerator.load`. texture: G_T. model: the 3DMM. source: uint8 (S, S, 3) with its fitted coefficients
    (1 row). audio (n_samples,) at 16 kHz. emotion, intensity: see :func:`emolib.baselines.ecg.landmarks.emotion_vector`. pose (T, 6): head
    pose of each frame. fps: frames a second. iterations: of one-shot tuning, 0 for none. closure (T,): of the lids, blinks; None: none.
    lips: the emotion that G_L is told where it is another than G_T's.
    """
    device, size, n = next(texture.parameters()).device, source.shape[0], len(pose)
    coefficients, pose = coefficients.to(device), pose.to(device)
    alpha = coefficients.alpha
    marks = predict_landmarks(generator, content, model, audio, alpha, lips or emotion, intensity, n, fps)
    if closure is not None:
        marks = blinking(marks, closure)
    marks = posed(model, alpha.expand(n, -1), marks, pose, size)
    before = model.landmarks(alpha, coefficients.beta, coefficients.pose, size)
    image = to_tensor(source[None]).to(device)
    net = one_shot(texture, image, before, iterations) if iterations else texture
    vector = emotion_vector(emotion, intensity).to(device)
    for after in marks.split(at_once(size)):
        b = len(after)
        painted = net(image.expand(b, -1, -1, -1), before.expand(b, -1, -1), after, vector.expand(b, -1)).image
        yield to_frames(painted)


def ecg_animate(*parts, **options) -> np.ndarray:
    """All of :func:`ecg_frames`, (T, S, S, 3)."""
    return np.concatenate(list(ecg_frames(*parts, **options)))
