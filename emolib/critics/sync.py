"""SyncNet: does this mouth say this sound? (Chung & Zisserman, ACCV-W 2016; the metric Sync of Xu et al. 2023, Sec. 4.1).

Two small nets map 9 video frames (0.36 s at 25 fps, mouth window of the aligned crop, grey) and what Whisper says of the 0.2 s about
their middle to unit vectors, close if they belong together. Trained with InfoNCE, where most negatives are other moments of the *same*
clip: same face, same voice, same emotion, so only timing tells them apart.
"""

import functools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.layers import Dropout
from emolib.metrics.sync import sync_confidence
from emolib.speech.features import RATE, WIDTH, speech_features
from emolib.weights import load_into, load_weights, save_weights

FPS = 25
VIDEO, TOKENS = 9, 10  # of a window: video frames, speech features (20 ms each)
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


@functools.lru_cache(maxsize=64)
def _features(samples: bytes) -> np.ndarray:
    """Whisper's features of float32 samples: one sound is judged with many videos."""
    return speech_features(np.frombuffer(samples, np.float32))


def clip_windows(frames: np.ndarray, audio: np.ndarray, fps: float) -> tuple[Tensor, Tensor]:
    """What SyncNet sees and hears of a clip: mouths (T, 48, 64) uint8 at 25 fps, speech features (N, WIDTH) float16."""
    index = _at_25_fps(len(frames), float(fps))
    heard = _features(np.ascontiguousarray(audio, np.float32).tobytes())
    return mouth_window(frames[index]), torch.from_numpy(heard).half()


def cut_windows(mouths: Tensor, sounds: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
    """Windows centred on the video frames ``moments`` (B,): (B, VIDEO, 48, 64) in [0, 1] and (B, TOKENS, WIDTH) float."""
    around = moments[:, None] + torch.arange(VIDEO) - VIDEO // 2
    middle = ((moments.double() + 0.5) * RATE / FPS).round().long()
    index = (middle[:, None] + torch.arange(TOKENS) - TOKENS // 2).clamp(0, len(sounds) - 1)
    return mouths[around].float() / 255, sounds[index].float()


def inside(mouths: Tensor) -> Tensor:
    """The frames of a clip that have a whole window about them."""
    return torch.arange(VIDEO // 2, len(mouths) - VIDEO // 2)


class SyncNet(nn.Module):
    """Two towers to one space. dim: length of an embedding."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int = 128):
        super().__init__()
        self.config = {"dim": dim, "ear": "whisper"}
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        layers: list[nn.Module] = []
        for inputs, width in ((VIDEO, 32), (32, 48), (48, 96), (96, 128)):
            layers += [nn.Conv2d(inputs, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.video_tower = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(128 * 3 * 4, 2 * dim), nn.ReLU(inplace=True), nn.Linear(2 * dim, dim)
        )
        self.audio_tower = nn.Sequential(
            Dropout(0.2), nn.Linear(WIDTH, 96), nn.GELU(), nn.Flatten(),
            nn.Linear(96 * TOKENS, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), Dropout(0.1), nn.Linear(2 * dim, dim),
        )  # fmt: skip
        self.log_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    def forward(self, mouths: Tensor, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """(B, VIDEO, 48, 64) in [0,1] and (B, TOKENS, WIDTH) -> two (B, dim), L2-normalised."""
        video = self.video_tower(4 * (mouths - 0.5))
        audio = self.audio_tower((sounds - self.mean) / self.std)
        return F.normalize(video.float(), dim=1), F.normalize(audio.float(), dim=1)

    @torch.no_grad()
    def embed(self, frames: np.ndarray, audio: np.ndarray, fps: float = FPS) -> tuple[np.ndarray, np.ndarray]:
        """Video and audio embeddings, two (T - 8, dim), of a clip: aligned crops uint8 (T,S,S,3), audio (n,) at 16 kHz.

        T counts frames at 25 fps. Raises :class:`EmolibError` for a clip of fewer than 11 of them (nothing to compare with).
        """
        mouths, sounds = clip_windows(frames, audio, fps)
        if len(mouths) < VIDEO + 2:
            raise EmolibError(f"the clip has {len(mouths)} frames at 25 fps; SyncNet needs at least {VIDEO + 2}")
        windows = cut_windows(mouths, sounds, inside(mouths))
        video, sound = self(*(x.to(self.log_scale.device) for x in windows))
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
        if set(config) != {"dim", "ear"}:
            raise EmolibError(f"{path} holds something else than a SyncNet ({config}); expected sync.safetensors")
        return load_into(cls(config["dim"]), state, path)


def distances(net: SyncNet, corpus) -> Iterable[np.ndarray]:
    """(T, T) of each clip: how far video window t is from sound window u."""
    for clip in corpus:
        video, audio = net.embed(clip.frames(), clip.audio(), float(clip.fps))
        yield np.linalg.norm(video[:, None] - audio[None], axis=-1)


def sync_curves(apart: Iterable[np.ndarray], reach: int = REACH) -> np.ndarray:
    """(clips, 2 reach + 1) mean :func:`distances` of video frame t to sound t + k, k = -reach..reach; nan where none overlap."""
    return np.stack(
        [
            [d.diagonal(k).mean() if abs(k) < len(d) else np.nan for k in range(-reach, reach + 1)]
            for d in apart
        ]
    )  # fmt: skip


def sync_auc(apart: Iterable[np.ndarray], *, seed: int, least: int = 5) -> float:
    """Area under the ROC curve of telling windows in sync from windows of the same clip ``least`` frames away or more.

    apart: :func:`distances`. One shifted window for each one in sync; 0.5 is chance.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    near, far = [], []
    for distance in apart:
        t = np.arange(len(distance))
        for i in t:
            others = t[np.abs(t - i) >= least]
            if len(others):
                near.append(distance[i, i])
                far.append(distance[i, rng.choice(others)])
    return float(roc_auc_score([1] * len(near) + [0] * len(far), [-d for d in near + far]))
