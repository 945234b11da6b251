"""The baseline ECG (Sinha et al., IJCAI 2022), second half: image + landmarks + emotion -> frames (Sec. 3.2, Eqs. 5-9).

    f_t = E_T(I_n)     f_h = heatmaps(X') - heatmaps(X)     (f_t, f_h, f_e) -> optical flow OF, occlusion OM
    I_E = D_T(OF + OM, f_t), with skips from E_T

The paper learns OF from nothing in seven days on a GPU. Here the network refines a first flow: the landmarks' own
displacements, spread between them (:func:`spread_motion`); ``landmark_motion=False`` leaves it out. The paper also
leaves open how D_T uses the maps. Here the features of E_T at every scale, and the image itself, are warped by OF and
masked by OM (features not warped would draw the source's edges into the result); what OM hides D_T paints anew. Flow
is in normalised offsets: where to look in the source, minus the own place, in [-1, 1] coordinates (x, y).
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.baselines.ecg.landmarks import EmotionEncoder, emotion_vector, fitted_clips, posed, predict_landmarks
from emolib.errors import EmolibError
from emolib.layers import up, warp
from emolib.media.pictures import to_frames, to_tensor
from emolib.weights import load_into, load_weights, save_weights

GRID = 4  # heatmaps and flow live at the image's side / GRID
SIGMA = 1.0  # of a landmark's Gaussian, in cells of that grid
# How far a landmark's motion is spread, of the crop's side, and its weight: near the face the next landmark decides,
# hair and neck follow the head. FADE: the weight of no motion at all.
REACH, FADE = ((0.06, 1.0), (0.2, 0.02)), 0.05


def heatmaps(landmarks: Tensor, size: int) -> Tensor:
    """Landmarks (B, 68, 2) in pixels of an image of side ``size`` -> (B, 68, size/GRID, size/GRID), peak 1."""
    centres = torch.arange(size // GRID, device=landmarks.device, dtype=landmarks.dtype) + 0.5
    squared = (centres - landmarks[..., None] / GRID).square() / (2 * SIGMA**2)  # (B, 68, 2, n)
    x, y = torch.exp(-squared).unbind(2)
    return y[..., :, None] * x[..., None, :]


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
    where the warped source is right.
    """

    def __init__(self, width: int, d: int):
        super().__init__()
        self.entry = _same(4 * width + 68 + 2, 4 * width)
        self.down = nn.ModuleList([_down(4 * width, 6 * width), _down(6 * width, 8 * width)])
        self.up = nn.ModuleList([_same(8 * width + d, 6 * width), _same(12 * width, 4 * width)])
        self.maps = nn.Conv2d(8 * width, 3, 3, 1, 1)
        nn.init.zeros_(self.maps.weight)  # starts as the first flow ...
        nn.init.constant_(self.maps.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, f_t: Tensor, f_h: Tensor, f_e: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        skips = [self.entry(torch.cat([f_t, f_h, first.to(f_t.dtype) * 10], 1))]
        for level in self.down:
            skips.append(level(skips[-1]))
        x = skips.pop()
        x = torch.cat([x, f_e[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        for level in self.up:
            x = torch.cat([up(level(x)), skips.pop()], 1)
        maps = 0.1 * self.maps(x).float()  # a step of Adam must not move the flow by many pixels
        return first + 0.2 * maps[:, :2], (3 + 3 * maps[:, 2:]).sigmoid()  # ... that trusts the source


class ImageDecoder(nn.Module):
    """D_T: warped and masked features of E_T -> what the network paints, (B, 3, S, S).

    It paints over a blurred copy of the warped source: the normalised features do not carry a stranger's colours.
    """

    def __init__(self, width: int):
        super().__init__()
        self.middle = _same(4 * width + 1, 4 * width)
        self.levels = nn.ModuleList([_same(6 * width, 2 * width), _same(3 * width, width)])
        self.image = nn.Conv2d(width, 3, 3, 1, 1)
        nn.init.zeros_(self.image.weight)
        nn.init.constant_(self.image.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor], occlusion: Tensor, warped: Tensor) -> Tensor:
        x = self.middle(torch.cat([features[2], occlusion.to(features[2].dtype)], 1))
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

    landmark_motion: whether OF starts from :func:`spread_motion`; else from no motion, as in the paper.
    """

    def __init__(self, width: int = 16, d: int = 128, landmark_motion: bool = True):
        super().__init__()
        self.config = {"width": width, "d": d, "landmark_motion": landmark_motion}
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
        flow, occlusion = self.motion(features[2], f_h.to(features[2].dtype), self.emotion(emotion), first)
        masks = [F.interpolate(occlusion, f.shape[-2:], mode="bilinear", align_corners=False) for f in features]
        moved = [_warped(f, flow) * m.to(f.dtype) for f, m in zip(features, masks)]
        warped = _warped(source, flow)
        image = masks[0] * warped + (1 - masks[0]) * self.image_decoder(moved, occlusion, warped)
        return Painted(image, flow, occlusion)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path) -> "TextureGenerator":
        """Reads weights, frozen. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"width", "d", "landmark_motion"}:
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


@dataclass(frozen=True)
class TextureSet:
    """N clips, K frames each: images (N, K, S, S, 3) uint8, landmarks (N, K, 68, 2) pixels, emotion (N, 9)."""

    images: Tensor
    landmarks: Tensor
    emotion: Tensor

    @classmethod
    def load(cls, corpus, model, *, per_clip: int) -> "TextureSet":
        """``per_clip`` frames spread over each clip, the first one among them, with the landmarks of the fitted
        3DMM.
        """
        parts: list[list[Tensor]] = [[], [], []]
        for clip in fitted_clips(corpus):
            fitted = clip.coefficients()
            index = np.linspace(0, clip.n_frames - 1, per_clip).astype(int)
            frames, fitted = torch.from_numpy(clip.frames(index)), fitted[index]
            parts[0].append(frames)
            parts[1].append(model.landmarks(fitted.alpha, fitted.beta, fitted.pose, frames.shape[2]))
            parts[2].append(emotion_vector(clip.emotion, clip.intensity))
        return cls(*[torch.stack(p) for p in parts])

    def sample(self, rng: np.random.Generator, n: int, device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(source image, its landmarks, wanted landmarks, emotion, true image) of ``n`` pairs of frames of one clip.

        Pairs are of one clip, half of them from its first frame as in evaluation: other clips differ in light and
        background.
        """
        clip = torch.from_numpy(rng.integers(len(self.images), size=n))
        a = torch.from_numpy(rng.integers(self.images.shape[1], size=n) * (rng.random(n) < 0.5))
        b = torch.from_numpy(rng.integers(self.images.shape[1], size=n))
        source, target = (to_tensor(self.images[clip, k].to(device)) for k in (a, b))
        before, after = (self.landmarks[clip, k].to(device) for k in (a, b))
        return source, before, after, self.emotion[clip].to(device), target


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
            features = net.image_encoder(image)
            occlusion = net(image, landmarks, landmarks, neutral).occlusion.detach()
            painted = net.image_decoder(features, occlusion, image)
            loss = (painted - image).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def ecg_animate(
    generator,
    content,
    texture,
    model,
    source,
    coefficients,
    audio,
    emotion,
    intensity,
    *,
    pose,
    fps,
    iterations=5,
    chunk=16,
) -> np.ndarray:
    """The whole of ECG: one face and speech -> frames uint8 (T, S, S, 3).

    generator, content: :meth:`LandmarkGenerator.load`. texture: G_T. model: the 3DMM. source: uint8 (S, S, 3) with its
    fitted coefficients (1 row). audio (n_samples,) at 16 kHz. emotion, intensity: see
    :func:`emolib.baselines.ecg.landmarks.emotion_vector`. pose (T, 6): head pose of each frame. fps: frames a second. iterations: of
    one-shot tuning, 0 for none.
    """
    device, size, n = next(texture.parameters()).device, source.shape[0], len(pose)
    coefficients, pose = coefficients.to(device), pose.to(device)
    alpha = coefficients.alpha
    marks = predict_landmarks(generator, content, model, audio, alpha, emotion, intensity, n, fps)
    marks = posed(model, alpha.expand(n, -1), marks, pose, size)
    before = model.landmarks(alpha, coefficients.beta, coefficients.pose, size)
    image = to_tensor(source[None]).to(device)
    net = one_shot(texture, image, before, iterations) if iterations else texture
    vector, frames = emotion_vector(emotion, intensity).to(device), []
    for after in marks.split(chunk):
        b = len(after)
        painted = net(image.expand(b, -1, -1, -1), before.expand(b, -1, -1), after, vector.expand(b, -1)).image
        frames.append(to_frames(painted))
    return np.concatenate(frames)
