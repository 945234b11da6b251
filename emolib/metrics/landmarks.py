"""Landmark distance around the mouth (LMD, Chen et al. 2018) and over the face; landmarks are (T, 68, 2) pixels."""

import numpy as np
import torch

MOUTH = slice(48, 68)
EYES = slice(36, 48)
INNER = slice(17, 68)  # all but the jaw line
BONE = [36, 39, 27, 28, 42, 45]  # eye corners and the bridge of the nose; the outer corners first and last
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


def on_bone(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (T, 68, 2) -> the same upright, with the eye corners and the bridge of the nose, which no expression moves, where they are
    in the mean frame, the span of the outer eye corners 1: head motion, and the face's size and place, are gone."""
    landmarks = np.asarray(landmarks, np.float64)
    still = landmarks[:, BONE]
    mean = still.mean(0)
    x, y = mean[-1] - mean[0]  # of the outer corners
    mean = (mean - mean.mean(0)) @ np.array([[x, -y], [y, x]]) / (x**2 + y**2)
    centre = still.mean(1, keepdims=True)
    a, b = np.moveaxis(still - centre, -1, 0)  # the similarity that fits best: [[p, -q], [q, p]]
    scale = (a**2 + b**2).sum(1)
    p = (a * mean[:, 0] + b * mean[:, 1]).sum(1) / scale
    q = (a * mean[:, 1] - b * mean[:, 0]).sum(1) / scale
    turn = np.stack([np.stack([p, q], -1), np.stack([-q, p], -1)], -2)
    return (landmarks - centre) @ turn


def static_lmd(landmarks: np.ndarray, target: np.ndarray, neutral: np.ndarray, target_neutral: np.ndarray) -> float:
    """Emotion: mean distance of the inner 51 points' mean movement from neutral, in per cent of the span of the outer eye corners.

    neutral, target_neutral (N, 68, 2): the same two faces at rest, so that nobody's own shape counts.
    """
    moved = on_bone(landmarks).mean(0) - on_bone(neutral).mean(0)
    wanted = on_bone(target).mean(0) - on_bone(target_neutral).mean(0)
    return 100 * float(np.linalg.norm((moved - wanted)[INNER], axis=-1).mean())


def dynamic_lmd(landmarks: np.ndarray, target: np.ndarray) -> float:
    """Speech: mean distance of the 20 mouth points' movement about their own mean over time, in the same unit."""
    landmarks, target = _checked(landmarks, target)
    a, b = (points - points.mean(0) for points in (on_bone(landmarks)[:, MOUTH], on_bone(target)[:, MOUTH]))
    return 100 * float(np.linalg.norm(a - b, axis=-1).mean())


def opening_error(landmarks: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute difference of the inner lips' gap, in the same unit."""
    landmarks, target = _checked(landmarks, target)
    upper, lower = INNER_LIPS
    gaps = [np.linalg.norm(p[:, lower] - p[:, upper], axis=-1) for p in (on_bone(landmarks), on_bone(target))]
    return 100 * float(np.abs(gaps[0] - gaps[1]).mean())


def mouth_opening(landmarks: torch.Tensor) -> torch.Tensor:
    """(T,68,2) -> (T,): distance of the inner lips, in the landmarks' pixels."""
    return (landmarks[:, INNER_LIPS[0]] - landmarks[:, INNER_LIPS[1]]).norm(dim=1)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Pearson correlation of two series; nan where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    scale = a.norm() * b.norm()
    return float(a @ b / scale) if scale > 1e-6 else float("nan")
