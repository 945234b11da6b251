"""What a voice does not tell the converter: head motion and blinks, added to its coefficients."""

from fractions import Fraction

import numpy as np
import torch
from scipy.ndimage import correlate1d, gaussian_filter1d
from torch import Tensor

from emolib.face.behaviour import about_neck
from emolib.face.model import FaceModel
from emolib.media.audio import MEL_RATE

DRIFT = np.array([0.012, 0.026, 0.010])  # rad: standard deviation of the slow drift of pitch, yaw, roll
DRIFT_TIME = 0.45  # s: how slow it is
NOD = 0.018  # rad of pitch where the voice is louder than around it by STRESS
STRESS = 0.2  # of a mel frame's mean: standard deviation of a voice's loudness about its own trend (8 dB)
SYLLABLE, TREND = 12, 100  # mel frames (0.12 s, 1 s): over what loudness and its trend are taken


def _drift(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (n, 3) of deviation :data:`DRIFT` at every instant; of two lengths the shorter is the beginning of the longer.

    The deviation follows from the kernel: measured within a clip, a short one would be blown up to the swing of a long one.
    """
    sigma = DRIFT_TIME * rate
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    noise = rng.normal(size=(n + 2 * reach, 3))
    smooth = correlate1d(noise, kernel / np.sqrt((kernel**2).sum()), axis=0)
    return smooth[reach : reach + n] * DRIFT


def _stress(log_mel: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How much louder the voice is than around it at ``times`` (n,) in seconds, in units of :data:`STRESS`, within 1.5."""
    loudness = log_mel.mean(axis=1)
    above = gaussian_filter1d(loudness, SYLLABLE) - gaussian_filter1d(loudness, TREND)
    return np.clip(np.interp(times, np.arange(len(above)) / MEL_RATE, above) / STRESS, -1.5, 1.5)


def head_motion(log_mel: np.ndarray, n_frames: int, fps: Fraction, rng: np.random.Generator) -> np.ndarray:
    """Small smooth head motion (n, 6) to add to a pose: slow drift, and nods where the voice is strong; starts at zero.

    log_mel: (M, 80), see :func:`emolib.media.audio.mel`. The columns are pitch, yaw, roll in rad and the shift in model units that turning
    about the neck brings. Head pitch follows loudness: Munhall et al., "Visual prosody and speech intelligibility", Psychol. Sci. 15(2),
    2004. Amplitudes, whatever the length: about 1.5 degrees of drift, 2 of nods. Both look no further than 4 s ahead.
    """
    times = (np.arange(n_frames) + 0.5) / float(fps)
    angles = _drift(n_frames, float(fps), rng)
    angles[:, 0] += NOD * gaussian_filter1d(_stress(log_mel, times), 0.08 * float(fps))
    angles = angles - angles[0] * np.exp(-times / 0.4)[:, None]  # leaves the portrait's own pose without a jump
    return about_neck(angles).astype(np.float32)


def add_blinks(model: FaceModel, beta: Tensor, closure: np.ndarray) -> Tensor:
    """beta (T, 64) with lids closed by ``closure`` (T,) in [0, 1], on top of how far the expression closes them already."""
    actions = (beta @ model.beta_to_arkit).clamp(0, 1)  # (T, 52)
    closing = torch.from_numpy(closure).to(beta)
    change = torch.zeros_like(actions)
    for side in ("Left", "Right"):
        lid, wide = (model.arkit_names.index(name + side) for name in ("eyeBlink", "eyeWide"))
        change[:, lid] = closing * (1 - actions[:, lid])
        change[:, wide] = -closing * actions[:, wide]
    return beta + change @ model.arkit_to_beta
