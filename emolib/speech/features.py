"""What Whisper's layers say of a sound, 50 times a second, however loud it is and wherever in time it lies.

Whisper hears 30 s at once and measures loudness from the loudest moment of them. Here it hears windows of WINDOW s, each STRIDE later than
the last; what it says of the middle STRIDE s of a window is kept. So features do not depend on where in a recording a sound lies (to
multiples of STRIDE exactly), a stream gives those of the whole, and nothing is padded to 30 s. Loudness is measured from the loudest moment
heard so far, of which FADE dB are forgotten each second, so a gain changes nothing and a quiet end is heard as a quiet end.
"""

import functools

import numpy as np
import scipy.fft
import torch

from emolib.media.sound import SAMPLE_RATE
from emolib.speech.whisper import N_MELS, WhisperEncoder

RATE = 50  # features a second: feature j speaks of the moment j / RATE s
LAYERS = (1, 3)  # of Whisper that are heard; lips follow them best
WIDTH = 384 * len(LAYERS)  # numbers of a feature
N_FFT, HOP = 400, 160  # samples of a spectrum, and from one to the next
WINDOW, STRIDE = 3, 1  # s
TOKENS, KEPT = WINDOW * RATE, STRIDE * RATE
MARGIN = (TOKENS - KEPT) // 2  # tokens of a window on either side of those that are kept
RANGE = 5.0  # powers of ten below the loudest moment that are heard; Whisper's own 8 reach into rounding and hiss
LOUDEST = 1.5  # log10 power that the loudest moment is set to: that of Whisper's own speech at usual levels
FADE = 1.0  # dB a second
QUIETEST = 1e-30  # power that stands for digital silence: far below anything, at any level of the rest
_AHEAD = N_FFT // 2  # samples before the first, and behind the last, that its spectrum takes in


@functools.cache
def _filters() -> np.ndarray:
    """Whisper's mel filters (Slaney's), (201, 80)."""
    import librosa  # slow to import, and only this line needs it

    return np.ascontiguousarray(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS).T.astype(np.float32))


def _log_mel(samples: np.ndarray) -> np.ndarray:
    """log10 of the mel power (M, 80) of samples (N_FFT + (M - 1) HOP,)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
    power = np.abs(scipy.fft.rfft(frames * window, axis=1)).astype(np.float32, copy=False) ** 2
    return np.log10(np.maximum(power @ _filters(), QUIETEST))


@functools.cache
def whisper() -> WhisperEncoder:
    """The shipped encoder, loaded once."""
    return WhisperEncoder.load()


class SpeechStream:
    """:func:`speech_features` of a sound that comes in parts, to the same numbers. Memory does not grow with what was pushed."""

    def __init__(self, layers: tuple[int, ...] = LAYERS):
        self.layers, self.count = layers, 0  # samples so far
        self._samples = np.zeros(_AHEAD, np.float32)  # those that the next frame of the mel begins with
        self._mel = np.full(
            (2 * MARGIN, N_MELS), -np.inf, np.float32
        )  # of the next window; before the sound lies silence
        self._loudest = -np.inf
        self._sent = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The next samples (n,) -> the features (m, C) that they complete; a sound's last ones come with :meth:`finish`."""
        self.count += len(samples)
        self._samples = np.concatenate([self._samples, np.asarray(samples, np.float32)])
        whole = (len(self._samples) - N_FFT) // HOP + 1
        if whole > 0:
            self._mel = np.concatenate([self._mel, _log_mel(self._samples[: N_FFT + (whole - 1) * HOP])])
            self._samples = self._samples[whole * HOP :]
        return self._heard()

    def finish(self) -> np.ndarray:
        """The features that are left, so that there are ceil(n / 320) in all, one for each 20 ms that has begun."""
        total = -(-self.count // (SAMPLE_RATE // RATE))
        mel = np.concatenate([self._mel, self._last()])
        missing = max(0, (-(-(total - self._sent) // KEPT) - 1) * 2 * KEPT + 2 * TOKENS - len(mel))
        self._mel = np.concatenate([mel, np.full((missing, N_MELS), -np.inf, np.float32)])
        left = total - self._sent
        return self._heard()[:left]

    def _last(self) -> np.ndarray:
        """The mel frames whose spectra reach beyond the end."""
        rest = max(0, -(-(len(self._samples) - _AHEAD) // HOP))
        return _log_mel(np.pad(self._samples, (0, N_FFT))[: N_FFT + (rest - 1) * HOP]) if rest else self._mel[:0]

    def _heard(self) -> np.ndarray:
        """The features of all windows that are whole."""
        count = (len(self._mel) // 2 - TOKENS) // KEPT + 1
        if count < 1:
            return np.zeros((0, whisper().config["dim"] * len(self.layers)), np.float32)
        windows = np.stack([self._level(self._mel[2 * k * KEPT :][: 2 * TOKENS]) for k in range(count)])
        self._mel = self._mel[2 * count * KEPT :]
        out = []
        for window in torch.from_numpy(windows):  # one by one: what is heard must not depend on how many come at once
            with torch.no_grad():
                out.append(whisper()(window[None], self.layers)[0, MARGIN : MARGIN + KEPT])
        self._sent += count * KEPT
        return torch.cat(out).numpy()

    def _level(self, mel: np.ndarray) -> np.ndarray:
        """A window as Whisper takes it, about -1 to 1.4."""
        self._loudest = max(self._loudest - FADE / 10 * STRIDE, float(mel.max()))
        top = self._loudest if np.isfinite(self._loudest) else 0.0
        return (np.maximum(mel - top, -RANGE) + LOUDEST + 4) / 4


def speech_features(audio: np.ndarray, layers: tuple[int, ...] = LAYERS) -> np.ndarray:
    """(n,) samples at 16 kHz -> float32 (ceil(n / 320), 384 len(layers)): what ``layers`` of Whisper say of each 20 ms.

    Sounds of any length, a minute or an hour; of nothing, nothing.
    """
    stream = SpeechStream(layers)
    parts = [stream.push(audio[i : i + SAMPLE_RATE * 30]) for i in range(0, len(audio), SAMPLE_RATE * 30)]
    return np.concatenate([*parts, stream.finish()])
