"""Where somebody speaks: Silero's voice activity detector (v6, MIT), in torch. It has heard thousands of hours in 6,000 languages.

Music, noise and breath are not speech, whatever their level. The shipped file holds the numbers of the package (`make foundation`).
"""

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.media.sound import SAMPLE_RATE
from emolib.weights import PRETRAINED, load_into, load_weights

WEIGHTS = PRETRAINED / "foundation" / "voiced.safetensors"
STEP, CONTEXT, AHEAD = (
    512,
    64,
    64,
)  # samples of an answer, of those before it that are heard with it, of the mirrored ones after
RATE = SAMPLE_RATE / STEP  # answers a second
SPEECH = 0.5  # answers above are speech


class VoiceNet(nn.Module):
    """Four convolutions on the spectrum of 36 ms, a recurrent cell, one number: the probability that somebody speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 258, 256, 128, bias=False)
        widths = [(129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1)]
        self.convs = nn.Sequential(
            *[part for a, b, stride in widths for part in (nn.Conv1d(a, b, 3, stride, 1), nn.ReLU())]
        )
        self.lstm, self.out = nn.LSTM(128, 128, batch_first=True), nn.Linear(128, 1)

    def forward(
        self, pieces: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(N, CONTEXT + STEP) samples, one piece after the other -> (N,) probabilities, and the state to go on from."""
        spectrum = self.stft(F.pad(pieces, (0, AHEAD), "reflect")[:, None])
        heard = self.convs(spectrum.unflatten(1, (2, 129)).square().sum(1).sqrt())[..., 0]
        hidden, state = self.lstm(heard[None], state)
        return self.out(hidden[0].relu())[:, 0].sigmoid(), state

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> "VoiceNet":
        """Frozen, in eval mode. Raises :class:`EmolibError` for a missing or damaged file."""
        return load_into(cls(), load_weights(path)[0], path)


_net = functools.cache(VoiceNet.load)


class VoiceDetector:
    """:func:`speech_probability` of a sound that comes in parts, to the same numbers."""

    def __init__(self) -> None:
        self._rest, self._state = np.zeros(CONTEXT, np.float32), None

    @torch.no_grad()
    def push(self, samples: np.ndarray) -> np.ndarray:
        """The next samples (n,) -> the probabilities (m,) that they complete."""
        self._rest = np.concatenate([self._rest, np.asarray(samples, np.float32)])
        count = (len(self._rest) - CONTEXT) // STEP
        if count < 1:
            return np.zeros(0, np.float32)
        pieces = np.lib.stride_tricks.sliding_window_view(self._rest, CONTEXT + STEP)[::STEP][:count].copy()
        said, self._state = _net()(torch.from_numpy(pieces), self._state)
        self._rest = self._rest[count * STEP :]
        return said.numpy()

    def finish(self) -> np.ndarray:
        """What is left, filled up with silence."""
        left = -(len(self._rest) - CONTEXT) % STEP
        return self.push(np.zeros(left, np.float32)) if left else np.zeros(0, np.float32)


def speech_probability(audio: np.ndarray) -> np.ndarray:
    """(n,) samples at 16 kHz -> (ceil(n / 512),): how sure it is that somebody speaks in each 32 ms, 0 to 1. Causal."""
    detector = VoiceDetector()
    return np.concatenate([detector.push(audio), detector.finish()])
