"""Sound: any file that PyAV decodes -> 16 kHz mono -> 80-band log-mel -> one window for each video frame.

The figures are those of the paper, Sec. 4.1 (as PC-AVS): 16 kHz, FFT window 1280, hop 160, 80 mel bands; so there are
100 mel frames a second, four for each frame of a 25 fps video.
"""

import functools
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy.fft

from emolib.errors import EmolibError
from emolib.files import replacing
from emolib.media.sound import SAMPLE_RATE, mono_blocks, resampled, samples_of

N_FFT, HOP, N_MELS = 1280, 160, 80
MEL_RATE = SAMPLE_RATE // HOP  # mel frames a second
BLOCK_FRAMES = 1000  # mel frames made at once: an hour of speech takes the memory of ten seconds
FMIN, FMAX = 55.0, 7600.0  # as Wav2Lip and PC-AVS
SILENT_DBFS = -75.0  # real recordings of quiet voices go down to -61
# Amplitudes of speech at full scale reach about +10 dB under this filterbank, a quiet room lies near -60.
DB_FLOOR, DB_CENTRE, DB_SCALE = -80.0, -30.0, 40.0


def decode_audio(
    path: str | Path, rate: int = SAMPLE_RATE, *, since: float | None = None, notes: list[str] | None = None
) -> np.ndarray:
    """The first audio stream of ``path`` as float32 (n_samples,) mono at ``rate`` Hz, in [-1, 1]. Silence is allowed.

    since: the moment on the file's clock, s, at which the array starts; none: where the sound begins. notes: takes a sentence for what a
    user would want to know. Raises :class:`EmolibError` if the file is missing, empty or has no sound that can be decoded.
    """
    blocks = list(mono_blocks(path, rate, since=since, notes=notes))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def check_audio(audio: np.ndarray, name: str = "the audio") -> np.ndarray:
    """``audio`` as float32 (n_samples,), or :class:`EmolibError` if it is empty, silent, not finite or not mono."""
    audio = samples_of(audio, name)
    check_level(level_of([audio]), audio.size, name)
    return audio


def level_of(blocks: Iterable[np.ndarray]) -> float:
    """dBFS: root mean square of all samples."""
    count, energy = 0, 0.0
    for block in blocks:
        count, energy = count + block.size, energy + float(np.square(block, dtype=np.float64).sum())
    return float(10 * np.log10(energy / max(count, 1) + 1e-20))


def check_level(level: float, n_samples: int, name: str) -> None:
    """:class:`EmolibError` for a sound of next to no samples, or one that is silent."""
    if n_samples < HOP:
        raise EmolibError(f"{name} is empty ({n_samples} samples); give a recording that holds speech")
    if level < SILENT_DBFS:
        raise EmolibError(
            f"{name} is silent ({level:.0f} dBFS, below {SILENT_DBFS:.0f}); give a recording that holds speech"
        )


def load_audio(path: str | Path, *, since: float | None = None, notes: list[str] | None = None) -> np.ndarray:
    """Speech of ``path`` as float32 (n_samples,) mono at 16 kHz in [-1, 1]; arguments as of :func:`decode_audio`.

    Raises :class:`EmolibError` if the file is missing, empty, silent (RMS below -75 dBFS) or not audio.
    """
    return check_audio(decode_audio(path, since=since, notes=notes), f"the audio {path}")


def resample(audio: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """float32 (n,) at ``rate_from`` Hz -> float32 (about n * rate_to / rate_from,)."""
    if rate_from == rate_to or not len(audio):
        return np.asarray(audio, np.float32)
    return np.concatenate([block[0] for block in resampled(audio, rate_from, rate_to)])


def save_wav(path: str | Path, audio: np.ndarray) -> Path:
    """Writes float (n_samples,) in [-1, 1] as 16-bit mono WAV at 16 kHz (whole or not at all)."""
    samples = np.round(np.clip(audio, -1.0, 1.0) * 32767).astype("<i2")
    with replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return Path(path)


@functools.cache
def filterbank() -> np.ndarray:
    """Slaney mel filters, (80, 641)."""
    import librosa  # slow to import, and only this line needs it

    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=FMIN, fmax=FMAX).astype(np.float32)


@functools.cache
def _hann() -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)  # periodic, as librosa's


class LogMel:
    """The log-mel of a sound that comes in parts; the same bytes as of the whole, see :func:`mel`."""

    def __init__(self) -> None:
        self.count = 0  # samples so far
        self._rest = np.zeros(N_FFT // 2, np.float32)  # what the next frame begins with
        self._done: list[np.ndarray] = []

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples (n,)."""
        self.count += len(samples)
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= (BLOCK_FRAMES - 1) * HOP + N_FFT:
            self._add(BLOCK_FRAMES)
            self._rest = self._rest[BLOCK_FRAMES * HOP :]

    def _add(self, n_frames: int) -> None:
        frames = np.lib.stride_tricks.sliding_window_view(self._rest, N_FFT)[::HOP][:n_frames]
        amplitude = np.abs(scipy.fft.rfft(frames * _hann(), axis=1)).astype(np.float32, copy=False) @ filterbank().T
        decibels = 20 * np.log10(np.maximum(amplitude, 10 ** (DB_FLOOR / 20)))
        self._done.append((decibels - DB_CENTRE) / DB_SCALE)

    def finish(self) -> np.ndarray:
        """(1 + n_samples // 160, 80)."""
        left = 1 + self.count // HOP - BLOCK_FRAMES * len(self._done)
        self._rest = np.concatenate([self._rest, np.zeros(N_FFT // 2 + HOP, np.float32)])
        while left > 0:
            self._add(min(left, BLOCK_FRAMES))
            self._rest, left = self._rest[BLOCK_FRAMES * HOP :], left - BLOCK_FRAMES
        whole = np.empty((1 + self.count // HOP, N_MELS), np.float32)
        for i in range(len(self._done)):  # block by block, or an hour would lie here twice
            whole[i * BLOCK_FRAMES : (i + 1) * BLOCK_FRAMES], self._done[i] = self._done[i], np.empty(0, np.float32)
        return whole


def mel(audio: np.ndarray) -> np.ndarray:
    """(n_samples,) at 16 kHz -> log-mel (1 + n_samples // 160, 80), speech about in [-1, 1].

    Frame i is centred on sample 160 i; beyond the ends lies silence. Value = (dB + 30) / 40, with dB = 20 log10 of the
    mel amplitude, floored at -80 (so silence is -1.25).
    """
    audio, log = np.asarray(audio, np.float32), LogMel()
    for start in range(0, len(audio), BLOCK_FRAMES * HOP):
        log.push(audio[start : start + BLOCK_FRAMES * HOP])
    return log.finish()


def frame_count(n_samples: int, fps: Fraction | float) -> int:
    """Video frames that cover ``n_samples`` of 16 kHz sound: at least 1, within half a frame."""
    return max(1, round(n_samples * Fraction(fps) / SAMPLE_RATE))


def mel_windows(
    mel: np.ndarray, n_frames: int, fps: Fraction | float, width: int, start: int = 0, rate: int = MEL_RATE
) -> np.ndarray:
    """(M, 80) -> (n_frames, width, 80): the mel frames around the middle of each video frame from ``start`` on.

    Frame i's middle is (i + 1/2) / fps seconds; beyond the ends the first and last mel frame are repeated. So of any features, ``rate`` a
    second, feature j at j / rate s.
    """
    middles = (np.arange(start, start + n_frames) + 0.5) * (rate / float(fps))
    first = np.round(middles - width / 2).astype(np.int64)
    index = np.clip(first[:, None] + np.arange(width), 0, len(mel) - 1)
    return mel[index]
