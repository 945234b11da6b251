"""What a voice does not tell the converter: head motion and blinks, added to its coefficients."""

from fractions import Fraction

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from emolib.face.behaviour import about_neck
from emolib.face.model import FaceModel


def head_motion(log_mel: np.ndarray, n_frames: int, fps: Fraction, rng: np.random.Generator) -> np.ndarray:
    """Small smooth head motion (n, 6) to add to a pose: slow drift, and nods where the voice is strong; starts at zero.

    Head pitch follows loudness: Munhall et al., "Visual prosody and speech intelligibility", Psychol. Sci. 15(2), 2004.
    Amplitudes: about 1.5 degrees of drift, 2 of nods. The head turns about the neck.
    """
    times = (np.arange(n_frames) + 0.5) / float(fps)
    rate = float(fps)
    noise = gaussian_filter1d(rng.normal(size=(n_frames + 1, 3)), 0.45 * rate, axis=0, mode="reflect")
    drift = noise / (noise.std(axis=0) + 1e-9) * [0.012, 0.026, 0.010] if n_frames > 1 else noise * 0
    loudness = gaussian_filter1d(log_mel.mean(axis=1), 12)  # 0.12 s
    spread = loudness.std() + 1e-9
    stress = np.clip((np.interp(times, np.arange(len(loudness)) / 100, loudness) - loudness.mean()) / spread, -1.5, 1.5)
    angles = drift[:n_frames]
    angles[:, 0] += 0.018 * gaussian_filter1d(stress, 0.08 * rate)
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
