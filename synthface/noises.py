"""Sounds that are no voice: hiss and hum, music, breath. A mouth that is driven by sound must rest while they are heard."""

import numpy as np
from scipy.signal import butter, sosfilt

from emolib.media.audio import SAMPLE_RATE

KINDS = ("noise", "music", "breath")
_SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones
_LEVEL = 10 ** (-24 / 20)  # of a calm voice


def noise(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """float64 (n,) at 16 kHz at the level of a calm voice, give or take 10 dB. Raises KeyError for what is none of :data:`KINDS`."""
    sound = {"noise": _hiss, "music": _music, "breath": _breath}[kind](n, rng)
    return sound * _LEVEL * 10 ** (rng.uniform(-10, 10) / 20) / max(float(np.sqrt((sound**2).mean())), 1e-6)


def _hiss(n: int, rng: np.random.Generator) -> np.ndarray:
    """Air, traffic or a motor: noise below some frequency, and a hum with overtones."""
    low = sosfilt(butter(1, rng.uniform(80, 4000), fs=SAMPLE_RATE, output="sos"), rng.normal(size=n))
    seconds = np.arange(n) / SAMPLE_RATE
    base = 2 * np.pi * rng.choice((50, 60, 120))
    hum = sum(rng.uniform(0, 1 / k) * np.sin(k * base * seconds + rng.uniform(0, 6)) for k in (1, 2, 3, 5))
    return low / low.std() + rng.uniform(0, 0.7) * hum


def _music(n: int, rng: np.random.Generator) -> np.ndarray:
    """Chords of three tones that fade, a beat under some of them."""
    sound, base, length = np.zeros(n), rng.uniform(110, 330), int(rng.uniform(0.2, 0.6) * SAMPLE_RATE)
    for start in range(0, n, length):
        seconds = np.arange(min(2 * length, n - start)) / SAMPLE_RATE
        degree = int(rng.integers(7))
        for third in (0, 2, 4):
            octave, step = divmod(degree + third, 7)
            pitch = base * 2 ** (octave + _SCALE[step] / 12)
            tone = sum(np.sin(2 * np.pi * k * pitch * seconds) / k**1.5 for k in range(1, 6))
            sound[start : start + len(seconds)] += tone * np.exp(-3 * seconds) * np.minimum(1, 100 * seconds)
        if rng.random() < 0.5:
            sound[start : start + len(seconds)] += rng.normal(size=len(seconds)) * np.exp(-40 * seconds)
    return sound


def _breath(n: int, rng: np.random.Generator) -> np.ndarray:
    """In and out: bands of noise that swell, with still air between."""
    seconds, sound = np.arange(n) / SAMPLE_RATE, np.zeros(n)
    at = rng.uniform(0, 0.8)
    while at < seconds[-1]:
        length = rng.uniform(0.4, 1.1)
        band = butter(2, sorted(rng.uniform(300, 6000, 2) + (0, 400)), "band", fs=SAMPLE_RATE, output="sos")
        swell = np.clip(1 - ((seconds - at - length / 2) / (length / 2)) ** 2, 0, None)
        sound += swell * sosfilt(band, rng.normal(size=n))
        at += length + rng.uniform(0.1, 0.9)
    return sound + 0.003 * rng.normal(size=n)
