"""Do these lips say this sound? A SyncNet (Chung & Zisserman, ACCV-W 2016) that hears by Whisper: the metric Sync of Xu et al.

Two small nets map 9 video frames (0.36 s at 25 fps, mouth window of the aligned crop, grey) and what Whisper says of the 0.2 s about
their middle to unit vectors, close if they belong together. Trained with InfoNCE on people, voices and sentences of no corpus
(:mod:`synthface.crowd_speech`), where most negatives are other moments of the *same* clip: only timing tells them apart.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.critics.sync import FPS, REACH, _at_25_fps, _tower, mouth_window
from emolib.errors import EmolibError
from emolib.metrics.sync import sync_confidence
from emolib.speech.features import LAYERS, RATE, speech_features
from emolib.weights import load_into, load_weights, save_weights

VIDEO, TOKENS = 9, 10  # of a window: video frames, speech features (20 ms each)
WIDTH = 384 * len(LAYERS)  # of a feature


def sound_windows(features: np.ndarray, n_frames: int) -> Tensor:
    """Speech features (N, WIDTH) -> those about the middle of each video frame at 25 fps, (n_frames, TOKENS, WIDTH)."""
    middle = np.round((np.arange(n_frames) + 0.5) * RATE / FPS).astype(int)
    index = np.clip(middle[:, None] + np.arange(TOKENS) - TOKENS // 2, 0, len(features) - 1)
    return torch.from_numpy(features[index])


def cut_frames(mouths: Tensor, moments: Tensor) -> Tensor:
    """Windows of mouths (T, 48, 64) uint8 centred on ``moments`` (B,): (B, VIDEO, 48, 64) in [0, 1]."""
    return mouths[moments[:, None] + torch.arange(VIDEO) - VIDEO // 2].float() / 255


class LipSync(nn.Module):
    """Two towers to one space. dim: length of an embedding."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int = 128):
        super().__init__()
        self.config = {"dim": dim, "ear": "whisper"}
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("std", torch.ones(WIDTH))
        self.video_tower = _tower(VIDEO, [2, 2, 2, 2], 3 * 4, dim)
        self.audio_tower = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(WIDTH, 96), nn.GELU(), nn.Flatten(),
            nn.Linear(96 * TOKENS, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * dim, dim),
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
        index = _at_25_fps(len(frames), float(fps))
        if len(index) < VIDEO + 2:
            raise EmolibError(f"the clip has {len(index)} frames at 25 fps; SyncNet needs at least {VIDEO + 2}")
        moments = torch.arange(VIDEO // 2, len(index) - VIDEO // 2)
        mouths = cut_frames(mouth_window(frames[index]), moments)
        sounds = sound_windows(speech_features(audio), len(index))[moments]
        device = self.log_scale.device
        video, sound = self(mouths.to(device), sounds.to(device))
        return video.cpu().numpy(), sound.cpu().numpy()

    def confidence(self, frames: np.ndarray, audio: np.ndarray, fps: float = FPS) -> tuple[float, int]:
        """(Sync, offset in frames): median minus least mean distance over the offsets (SyncNet's released code).

        Offsets go to +-15 frames, less in a short clip: at least a third of its windows always overlap. Positive: the sound is late. The
        scale is this net's own (distances of unit vectors, at most 2), not ``syncnet_v2``'s.
        """
        video, sound = self.embed(frames, audio, fps)
        return sync_confidence(video, sound, max(1, min(REACH, len(video) // 3)))

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)

    @classmethod
    def load(cls, path: str | Path) -> "LipSync":
        """Reads weights, frozen and in eval mode. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if config.pop("ear", "") != "whisper":
            raise EmolibError(f"{path} holds something else than a SyncNet that hears by Whisper ({config})")
        return load_into(cls(**config), state, path)


def window_auc(distances: Iterable[np.ndarray], *, seed: int, least: int = 5) -> float:
    """Area under the ROC curve of telling windows in sync from windows of the same clip ``least`` frames away or more.

    distances: a clip's (T, T) each, of video windows to sound windows. One shifted window for each one in sync; 0.5 is chance.
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    near, far = [], []
    for distance in distances:
        t = np.arange(len(distance))
        for i in t:
            others = t[np.abs(t - i) >= least]
            if len(others):
                near.append(distance[i, i])
                far.append(distance[i, rng.choice(others)])
    return float(roc_auc_score([1] * len(near) + [0] * len(far), [-d for d in near + far]))
