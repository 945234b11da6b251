"""Sound: any file that PyAV decodes -> 16 kHz mono -> 80-band log-mel -> one window for each video frame.

The figures are those of the paper, Sec. 4.1 (as PC-AVS): 16 kHz, FFT window 1280, hop 160, 80 mel bands; so there are
100 mel frames a second, four for each frame of a 25 fps video.
"""

import functools
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import scipy.fft

from emolib.errors import EmolibError
from emolib.files import check_input, replacing

SAMPLE_RATE = 16000
N_FFT, HOP, N_MELS = 1280, 160, 80
MEL_RATE = SAMPLE_RATE // HOP  # mel frames a second
FMIN, FMAX = 55.0, 7600.0  # as Wav2Lip and PC-AVS
SILENT_DBFS = -60.0
# Amplitudes of speech at full scale reach about +10 dB under this filterbank, a quiet room lies near -60.
DB_FLOOR, DB_CENTRE, DB_SCALE = -80.0, -30.0, 40.0


def decode_audio(path: str | Path, rate: int = SAMPLE_RATE) -> np.ndarray:
    """The first audio stream of ``path`` as float32 (n_samples,) mono at ``rate`` Hz, in [-1, 1]. Silence is allowed.

    Raises :class:`EmolibError` if the file is missing, empty or has no sound that can be decoded.
    """
    path = check_input(path, "audio file", "give a sound or video file that holds speech")
    resampler = av.AudioResampler(format="fltp", rate=rate)  # its own mixing would make two equal channels 3 dB louder
    blocks = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise EmolibError(f"{path} holds no sound; expected an audio file or a video with sound")
            for frame in container.decode(container.streams.audio[0]):
                blocks += [f.to_ndarray().mean(0) for f in resampler.resample(frame)]
            if blocks:
                blocks += [f.to_ndarray().mean(0) for f in resampler.resample(None)]
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmolibError(f"{path} is not audio that can be decoded ({reason}); give a wav, mp3 or ogg file") from None
    audio = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return np.clip(audio, -1.0, 1.0).astype(np.float32, copy=False)


def check_audio(audio: np.ndarray, name: str = "the audio") -> np.ndarray:
    """``audio`` as float32 (n_samples,), or :class:`EmolibError` if it is empty, silent, not finite or not mono."""
    audio = np.asarray(audio, dtype=np.float32)
    if audio.ndim != 1:
        raise EmolibError(f"{name} has shape {audio.shape}; expected one channel, (samples,), at {SAMPLE_RATE} Hz")
    if audio.size < HOP:
        raise EmolibError(f"{name} is empty ({audio.size} samples); give a recording that holds speech")
    if not np.isfinite(audio).all():
        raise EmolibError(f"{name} holds values that are not finite; expected samples in [-1, 1]")
    level = 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20)
    if level < SILENT_DBFS:
        raise EmolibError(
            f"{name} is silent ({level:.0f} dBFS, below {SILENT_DBFS:.0f}); give a recording that holds speech"
        )
    return audio


def load_audio(path: str | Path) -> np.ndarray:
    """Speech of ``path`` as float32 (n_samples,) mono at 16 kHz in [-1, 1].

    Raises :class:`EmolibError` if the file is missing, empty, silent (RMS below -60 dBFS) or not audio.
    """
    return check_audio(decode_audio(path), f"the audio {path}")


def resample(audio: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """float32 (n,) at ``rate_from`` Hz -> float32 (about n * rate_to / rate_from,)."""
    if rate_from == rate_to or not len(audio):
        return np.asarray(audio, np.float32)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_to)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio, np.float32)[None], format="flt", layout="mono")
    frame.sample_rate = rate_from
    blocks = [f.to_ndarray()[0] for f in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(blocks)


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


def mel(audio: np.ndarray) -> np.ndarray:
    """(n_samples,) at 16 kHz -> log-mel (1 + n_samples // 160, 80), speech about in [-1, 1].

    Frame i is centred on sample 160 i; beyond the ends lies silence. Value = (dB + 30) / 40, with dB = 20 log10 of the
    mel amplitude, floored at -80 (so silence is -1.25).
    """
    audio = np.asarray(audio, np.float32)
    n_frames = 1 + len(audio) // HOP
    padded = np.pad(audio, (N_FFT // 2, N_FFT // 2 + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:n_frames]
    out = np.empty((n_frames, N_MELS), np.float32)
    for start in range(0, n_frames, 1000):  # blocks keep the memory of an hour of speech at that of ten seconds
        spectrum = np.abs(scipy.fft.rfft(frames[start : start + 1000] * _hann(), axis=1))
        out[start : start + 1000] = spectrum @ filterbank().T
    decibels = 20 * np.log10(np.maximum(out, 10 ** (DB_FLOOR / 20)))
    return (decibels - DB_CENTRE) / DB_SCALE


def frame_count(n_samples: int, fps: Fraction | float) -> int:
    """Video frames that cover ``n_samples`` of 16 kHz sound: at least 1, within half a frame."""
    return max(1, round(n_samples * Fraction(fps) / SAMPLE_RATE))


def mel_windows(mel: np.ndarray, n_frames: int, fps: Fraction | float, width: int, start: int = 0) -> np.ndarray:
    """(M, 80) -> (n_frames, width, 80): the mel frames around the middle of each video frame from ``start`` on.

    Frame i's middle is (i + 1/2) / fps seconds; beyond the ends the first and last mel frame are repeated.
    """
    middles = (np.arange(start, start + n_frames) + 0.5) * (MEL_RATE / float(fps))
    first = np.round(middles - width / 2).astype(np.int64)
    index = np.clip(first[:, None] + np.arange(width), 0, len(mel) - 1)
    return mel[index]
