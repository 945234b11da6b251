"""The recording of a voice: a room that echoes and hums, a microphone that overloads, and a recorder with automatic gain.

Without it the level of a clip would tell the emotion: anger is 14 dB louder than sadness, one number that a network learns in place of the
voice. Real corpora are recorded with a gain of somebody's choice.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from emolib.media.audio import SAMPLE_RATE


@dataclass(frozen=True)
class Room:
    """Where a person is recorded. noise: dB under a calm voice, white above ``rumble`` Hz and 6 dB an octave more below it.

    echo: dB under the voice. decay: s until the echo has lost 60 dB. drive: how far a loud voice overloads the microphone.
    seed: draws the echo.
    """

    noise: float
    rumble: float
    echo: float
    decay: float
    drive: float
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Room":
        """A quiet room: 28 to 45 dB between voice and noise."""
        ranges = {"noise": (-45, -28), "rumble": (150, 600), "echo": (-26, -12), "decay": (0.1, 0.35), "drive": (1, 3)}
        values = {name: float(rng.uniform(*limits)) for name, limits in ranges.items()}
        return cls(**values, seed=int(rng.integers(2**31)))

    def response(self) -> np.ndarray:
        """float64 (n,): the direct sound at once (so no phoneme moves), then noise that decays."""
        n = round(0.8 * self.decay * SAMPLE_RATE)
        tail = np.random.default_rng(self.seed).normal(size=n) * 10 ** (-3 * np.arange(n) / SAMPLE_RATE / self.decay)
        tail[:80] = 0  # the nearest wall is 5 ms away
        return np.r_[1.0, 10 ** (self.echo / 20) * tail / np.linalg.norm(tail)]


def voiced_level(audio: np.ndarray) -> float:
    """Level of the voiced parts of ``audio`` (n,), dB re full scale: the 80th percentile of 20 ms windows."""
    windows = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    return float(20 * np.log10(np.percentile(np.sqrt((windows**2).mean(1)), 80) + 1e-6))


def recorded(audio: np.ndarray, room: Room, rng: np.random.Generator) -> np.ndarray:
    """``audio`` (n,), a calm voice at -24 dB, as a recorder in ``room`` keeps it: float32 (n,) in (-1, 1).

    Echo, overload and noise come before an automatic gain that sets the voiced parts to -24 dB, give or take 3 (``rng``). So the level of a
    take says nothing; how loudly somebody spoke is in the timbre, the overload and the noise that the gain brings up.
    """
    sound = fftconvolve(audio, room.response())[: len(audio)]
    sound = np.tanh(room.drive * sound) / room.drive
    white = rng.normal(size=len(audio))
    low = sosfilt(butter(1, room.rumble, fs=SAMPLE_RATE, output="sos"), white)
    sound += 10 ** ((-24 + room.noise) / 20) * (white + low * SAMPLE_RATE / 4 / room.rumble) / 2
    target = -24 + float(np.clip(rng.normal(0, 3), -6, 6))
    return np.clip(sound * 10 ** ((target - voiced_level(sound)) / 20), -0.999, 0.999).astype(np.float32)
