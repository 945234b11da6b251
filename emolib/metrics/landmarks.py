"""Landmark distance around the mouth (LMD, Chen et al. 2018) and over the face; landmarks are (T, 68, 2) pixels."""

import numpy as np
import torch

MOUTH = slice(48, 68)
EYES = slice(36, 48)
INNER_LIPS = (62, 66)  # middle of the upper and the lower inner lip
REFERENCE = 256.0  # pixels are counted on a crop of this side, whatever the size of the frames


def _checked(landmarks: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    landmarks, target = np.asarray(landmarks, np.float64), np.asarray(target, np.float64)
    if landmarks.shape != target.shape or landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"expected two arrays (T, 68, 2), got {landmarks.shape} and {target.shape}")
    return landmarks, target


def lmd(landmarks: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """Mouth landmark distance, (T,): mean distance of the 20 mouth points in pixels of a 256-pixel crop.

    Both mouths are first moved to their own centre (Chen et al. 2018: "aligned by their mean"), so the distance tells
    mouth shape and opening, not where the head is. ``size``: side of the crops that the landmarks were found in.
    """
    landmarks, target = _checked(landmarks, target)
    a, b = landmarks[:, MOUTH], target[:, MOUTH]
    difference = (a - a.mean(1, keepdims=True)) - (b - b.mean(1, keepdims=True))
    return np.linalg.norm(difference, axis=-1).mean(1) * REFERENCE / size


def face_lmd(landmarks: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """Face landmark distance (F-LD of Sinha et al.), (T,): all 68 points, not moved, in pixels of a 256-pixel crop."""
    landmarks, target = _checked(landmarks, target)
    return np.linalg.norm(landmarks - target, axis=-1).mean(1) * REFERENCE / size


def lmvd(landmarks: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """Mouth landmark velocity difference (M-LVD of Sinha et al.), (T - 1,): :func:`lmd` of the frame differences."""
    landmarks, target = _checked(landmarks, target)
    return lmd(np.diff(landmarks, axis=0), np.diff(target, axis=0), size)


def mouth_opening(landmarks: torch.Tensor) -> torch.Tensor:
    """(T,68,2) -> (T,): distance of the inner lips, in the landmarks' pixels."""
    return (landmarks[:, INNER_LIPS[0]] - landmarks[:, INNER_LIPS[1]]).norm(dim=1)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Pearson correlation of two series; nan where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = a.norm() * b.norm()
    return float(a @ b / scale) if scale > 1e-6 else float("nan")
