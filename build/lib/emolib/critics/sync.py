"""SyncNet: does this mouth say this sound? (Chung & Zisserman, ACCV-W 2016; the metric Sync of Xu et al. 2023, Sec. 4.1).

Two small conv nets map 5 video frames (0.2 s at 25 fps, mouth window of the aligned crop, grey) and the 20 mel frames of the same
0.2 s to unit vectors, close if they belong together. Trained with InfoNCE, where most negatives are other moments of the *same*
clip: same face, same voice, same emotion, so only timing tells them apart.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.media.audio import mel, mel_windows
from emolib.metrics.sync import sync_confidence
from emolib.weights import load_into, load_weights, save_weights

FPS = 25
VIDEO, AUDIO = 5, 20  # frames of a window: video, mel
MOUTH = (48, 64)  # height, width of what the net sees
# Under the nose to the chin, fixed, as fractions of the aligned crop: (top, bottom, left, right).
WINDOW = (0.57, 0.93, 0.26, 0.74)
REACH = 15  # largest offset tried, frames


def mouth_window(frames: np.ndarray) -> Tensor:
    """uint8 (T,S,S,3) aligned crops of one clip -> uint8 (T,48,64): grey, :data:`WINDOW` cut out, resized, less the clip's mean.

    128 is the mean: what is left is movement, and whose mouth it is, and in which mood and light, matters less.
    """
    size = frames.shape[1]
    top, bottom, left, right = (round(v * size) for v in WINDOW)
    grey = torch.from_numpy(np.ascontiguousarray(frames[:, top:bottom, left:right])).float().mean(3)
    grey = F.interpolate(grey[:, None], MOUTH, mode="bilinear", antialias=True)[:, 0]
    return (128 + grey - grey.mean(0)).round().clamp(0, 255).to(torch.uint8)


def _at_25_fps(n_frames: int, fps: float) -> np.ndarray:
    """Indices of the frames shown at the middles of 25 frames a second."""
    count = max(1, int(n_frames * FPS / fps + 1e-6))
    return np.minimum(((np.arange(count) + 0.5) * fps / FPS).astype(int), n_frames - 1)


def clip_windows(frames: np.ndarray, audio: np.ndarray, fps: float) -> tuple[Tensor, Tensor]:
    """What SyncNet sees of a clip: mouths (T,48,64) uint8 and, for each frame, its mel window (T,20,80) float16, at 25 fps."""
    index = _at_25_fps(len(frames), float(fps))
    windows = mel_windows(mel(audio), len(index), FPS, AUDIO)
    return mouth_window(frames[index]), torch.from_numpy(windows).half()


def _tower(inputs: int, strides: list, flat: int, dim: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in zip((32, 48, 96, 128), strides):
        layers += [nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        inputs = width
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(128 * flat, 2 * dim), nn.ReLU(inplace=True), nn.Linear(2 * dim, dim)
    )


class SyncNet(nn.Module):
    """Two towers to one space. dim: length of an embedding."""

    def __init__(self, dim: int = 128):
        super().__init__()
        self.config = {"dim": dim}
        self.video_tower = _tower(VIDEO, [2, 2, 2, 2], 3 * 4, dim)
        self.audio_tower = _tower(1, [(1, 2), 2, 2, 2], 3 * 5, dim)
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    def forward(self, mouths: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
        """(B,5,48,64) in [0,1] and (B,20,80) -> two (B,dim), L2-normalised."""
        video = self.video_tower(4 * (mouths - 0.5))
        audio = self.audio_tower(mels[:, None])
        return F.normalize(video.float(), dim=1), F.normalize(audio.float(), dim=1)

    @torch.no_grad()
    def embed(self, frames: np.ndarray, audio: np.ndarray, fps: float = FPS) -> tuple[np.ndarray, np.ndarray]:
        """Video and audio embeddings, two (T - 4, dim), of a clip: aligned crops uint8 (T,S,S,3), audio (n,) at 16 kHz.

        T counts frames at 25 fps. Raises :class:`EmolibError` for a clip of fewer than 7 of them (nothing to compare with).
        """
        mouths, mels = clip_windows(frames, audio, fps)
        if len(mouths) < VIDEO + 2:
            raise EmolibError(f"the clip has {len(mouths)} frames at 25 fps; SyncNet needs at least {VIDEO + 2}")
        device = self.log_scale.device
        moments = torch.arange(VIDEO // 2, len(mouths) - VIDEO // 2)
        video, sound = self(*(x.to(device) for x in cut_windows(mouths, mels, moments)))
        return video.cpu().numpy(), sound.cpu().numpy()

    def confidence(self, frames: np.ndarray, audio: np.ndarray, fps: float = FPS) -> tuple[float, int]:
        """(Sync, offset in frames): median minus least mean distance over the offsets (SyncNet's released code).

        Offsets go to +-15 frames, less in a clip shorter than 46 frames: at least a third of its windows always overlap.
        Positive offset: the sound is late. The scale is this net's own (distances of unit vectors, at most 2), not ``syncnet_v2``'s.
        """
        video, sound = self.embed(frames, audio, fps)
        return sync_confidence(video, sound, max(1, min(REACH, len(video) // 3)))

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path) -> "SyncNet":
        """Reads weights, frozen and in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"dim"}:
            raise EmolibError(f"{path} holds something else than a SyncNet ({config}); expected sync.safetensors")
        return load_into(cls(**config), state, path)


def cut_windows(mouths: Tensor, mels: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
    """Windows centred on ``moments``: (B,5,48,64) in [0,1] and (B,20,80) float."""
    around = moments[:, None] + torch.arange(VIDEO) - VIDEO // 2
    return mouths[around].float() / 255, mels[moments].float()


def sync_curves(net: SyncNet, corpus, reach: int = REACH) -> np.ndarray:
    """(clips, 2 reach + 1) mean distances of video frame t to sound t + k, k = -reach..reach; nan where none overlap."""
    curves = np.full((len(corpus), 2 * reach + 1), np.nan)
    for row, clip in zip(curves, corpus):
        video, audio = net.embed(clip.frames(), clip.audio(), float(clip.fps))
        distance = np.linalg.norm(video[:, None] - audio[None], axis=-1)
        for k in range(-reach, reach + 1):
            if abs(k) < len(video):
                row[k + reach] = distance.diagonal(k).mean()
    return curves


def sync_auc(net: SyncNet, corpus, *, seed: int, least: int = 5) -> float:
    """Area under the ROC curve of telling windows in sync from windows of the same clip shifted by ``least`` frames or more.

    0.5 is chance. One shifted window for each one in sync.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    near, far = [], []
    for clip in corpus:
        video, audio = net.embed(clip.frames(), clip.audio(), float(clip.fps))
        distance = np.linalg.norm(video[:, None] - audio[None], axis=-1)
        t = np.arange(len(video))
        for i in t:
            others = t[np.abs(t - i) >= least]
            if len(others):
                near.append(distance[i, i])
                far.append(distance[i, rng.choice(others)])
    return float(roc_auc_score([1] * len(near) + [0] * len(far), [-d for d in near + far]))
