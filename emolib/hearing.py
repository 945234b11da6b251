"""What of the converter hears: windows of sound, MLP(A) of Eq. 3, and AME's learned audio encoder (Xu et al. 2023, Sec. 3.2, 3.3)."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.layers import Dropout
from emolib.media.audio import mel_windows
from emolib.speech.ears import EARS
from emolib.weights import load_weights

FPS = 25  # frames a second for which a stretch is cut into windows


def sinusoids(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Positional encoding (length, dim) of Vaswani et al. 2017, Sec. 3.5; any length: T may change after training."""
    position = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, device=device) * (-np.log(10000.0) / dim))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], -1).flatten(1)[:, :dim]


def transformer(dim: int, depth: int, heads: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, F.gelu, batch_first=True, norm_first=True)
    for name in ("dropout", "dropout1", "dropout2"):
        setattr(layer, name, Dropout(dropout))
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(dim), enable_nested_tensor=False)


def heard_size(audio: str, hundredths: int) -> tuple[int, int]:
    """(W, C_A) of the windows that ``audio`` (a key of EARS) has of ``hundredths`` of a second."""
    ear = EARS[audio]
    return max(1, hundredths * ear.rate // 100), ear.width


class SoundMlp(nn.Module):
    """MLP(A): one token for a window. Its first layers share their weights over time; Whisper has looked about itself already.

    Without that, without normalised bands and without the last normalisation (sound must not drown in PE), training takes
    three times as long to move the lips.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, audio: str, hundredths: int, dim: int, dropout: float):
        super().__init__()
        window, width = heard_size(audio, hundredths)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        if audio == "mel":
            self.shared = nn.Sequential(
                nn.Conv1d(width, dim, 5, 2, 2), nn.GELU(), nn.Conv1d(dim, dim, 3, 2, 1), nn.GELU(), nn.Flatten()
            )
            window = -(-window // 4)
        else:
            self.shared = nn.Sequential(Dropout(dropout), nn.Conv1d(width, dim, 1), nn.GELU(), nn.Flatten())
        self.window, self.step = heard_size(audio, hundredths)[0], EARS[audio].rate // FPS
        self.joined = nn.Sequential(nn.Linear(dim * window, dim), nn.LayerNorm(dim))

    def standard(self, heard: Tensor) -> Tensor:
        """Features in units of training."""
        return (heard - self.mean) / self.std

    def forward(self, heard: Tensor) -> Tensor:
        """Windows (B,T,W,C_A) -> (B,T,C). Or the stretch (B,F,C_A) from which windows of :data:`FPS` frames a second are cut, every
        feature of which is looked at once: a fifth of the work. Not for "mel", whose first layers reach over a window's edge."""
        if heard.ndim == 4:
            x = self.standard(heard).flatten(0, 1).transpose(1, 2)
            return self.joined(self.shared(x)).unflatten(0, heard.shape[:2])
        x = self.shared[:-1](self.standard(heard).transpose(1, 2)).unfold(2, self.window, self.step)  # (B,C,T,W)
        return self.joined(x.transpose(1, 2).flatten(2))


class AudioEncoder(nn.Module):
    """AME's learned CLIP audio encoder (Sec. 3.2): a plain Transformer over what is heard, pooled by a cls token. statistics: whether
    the head also reads mean and deviation over time, in which a linear probe hears most of what Whisper knows of an emotion."""

    TOKENS = 25  # a second: 40 ms each

    def __init__(
        self, audio: str, embedding_dim: int, dim: int, depth: int, heads: int, dropout: float, statistics: bool = False
    ):
        super().__init__()
        ear = EARS[audio]
        self.length = ear.rate // self.TOKENS  # features in a token
        self.blur = Dropout(
            0.0 if audio == "mel" else 0.3
        )  # of 1,500 numbers a token a few clips are soon known by heart
        self.patch = nn.Linear(self.length * ear.width, dim)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.encoder = transformer(dim, depth, heads, dropout)
        self.head = nn.Linear(dim, embedding_dim)
        self.statistics = nn.Linear(2 * ear.width, embedding_dim, bias=False) if statistics else None
        if self.statistics is not None:
            nn.init.zeros_(self.statistics.weight)

    def forward(self, heard: Tensor) -> Tensor:
        """Features (B,F,C_A) -> e_audio (B,D), L2-normalised. F is at least one token's (40 ms)."""
        count = heard.shape[1] // self.length
        patches = self.blur(heard[:, : count * self.length].reshape(len(heard), count, -1))
        tokens = torch.cat([self.cls.expand(len(heard), -1, -1), self.patch(patches)], 1)
        tokens = self.encoder(tokens + sinusoids(count + 1, tokens.shape[-1], heard.device))
        said = self.head(tokens[:, 0])
        if self.statistics is not None:
            over_time = torch.cat([heard.mean(1), heard.std(1, correction=0)], 1)
            said = said + self.statistics(self.blur(over_time))
        return F.normalize(said, dim=-1)


def fits(config: dict) -> dict:
    """What an audio encoder shares with the converter of this ``config`` that it can be put into."""
    return {name: config[name] for name in ("audio", "embedding_dim", "dim", "audio_depth", "heads")}


def encoder_of(config: dict, statistics: bool) -> AudioEncoder:
    """An untrained audio encoder for the converter of this ``config``."""
    sizes = (
        config["audio"],
        config["embedding_dim"],
        config["dim"],
        config["audio_depth"],
        config["heads"],
        config["dropout"],
    )
    return AudioEncoder(*sizes, statistics=statistics)


def hear_with(eac, ears: str | Path) -> None:
    """Puts the audio encoder of the file ``ears`` (:mod:`emolib.train.ears`), which learnt from other voices, into a converter. Raises
    :class:`EmolibError` for one that does not fit it."""
    state, config = load_weights(ears)
    if eac.audio is None or config.get("ears of") != fits(eac.config):
        raise EmolibError(
            f"{ears} is no audio encoder of this converter; expected what scripts/train_ears.py made for it"
        )
    device = eac.beta_mean.device
    eac.audio = encoder_of(eac.config, statistics=True).to(device).eval().requires_grad_(False)
    eac.audio.load_state_dict(state)


class Windows:
    """Windows of sound (n_frames, W, C_A) for ``eac``, made slice by slice from what it ``heard`` (F,C_A), so that long speech needs no
    more memory.

    heard: an array, or a :class:`emolib.speech.ears.Passing`.
    """

    def __init__(self, eac, heard, n_frames: int, fps: Fraction | float):
        self.heard, self.n_frames, self.fps = heard, n_frames, fps
        self.width, self.rate = eac.heard[0], EARS[eac.config["audio"]].rate

    @classmethod
    def of(cls, eac, audio: np.ndarray, n_frames: int, fps: Fraction | float) -> "Windows":
        """Of a sound (n,) at 16 kHz."""
        return cls(eac, EARS[eac.config["audio"]].hear(audio), n_frames, fps)

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, stop, _ = frames.indices(self.n_frames)
        return mel_windows(self.heard, stop - start, self.fps, self.width, start, self.rate)

    def stretch(self, frames: slice) -> np.ndarray:
        """What is heard (F,C_A) from the first feature of these windows to the last, beyond the ends repeated as there; at 25 frames a
        second they overlap so evenly that the net needs no more (:meth:`emolib.hearing.SoundMlp.forward`)."""
        start, stop, _ = frames.indices(self.n_frames)
        length = self.width + (stop - start - 1) * self.rate // FPS
        first = round((start + 0.5) * self.rate / FPS - self.width / 2)
        return self.heard[np.clip(first + np.arange(length), 0, len(self.heard) - 1)]
