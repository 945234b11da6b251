"""Distances between what nets see: emotion (EFD), identity (CSIM), image statistics (Frechet distance).

All take feature arrays, not nets: which net made them is the caller's choice and belongs in the table.
"""

import numpy as np


def _pair(features, target) -> tuple[np.ndarray, np.ndarray]:
    features, target = np.asarray(features, np.float64), np.asarray(target, np.float64)
    if features.shape != target.shape or features.ndim != 2:
        raise ValueError(f"expected two feature arrays (N, D) of one shape, got {features.shape} and {target.shape}")
    return features, target


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)


def efd(features, target) -> np.ndarray:
    """Emotion feature distance, (N,), in [0, 2]: Euclidean distance of the two feature vectors, each scaled to length
    1.

    Xu et al. give neither norm nor scale; unit length makes the number independent of the net's own scale. The net is
    the emotion net that no loss has seen (Sec. 4.1: "different from the model in the loss calculation").
    """
    features, target = _pair(features, target)
    return np.linalg.norm(_unit(features) - _unit(target), axis=1)


def csim(descriptors, target) -> np.ndarray:
    """Cosine similarity of identity descriptors (..., D), in [-1, 1]; shapes broadcast: ``csim(x[:, None], x)`` is all pairs."""
    descriptors, target = np.asarray(descriptors, np.float64), np.asarray(target, np.float64)
    if descriptors.shape[-1:] != target.shape[-1:] or not descriptors.ndim:
        raise ValueError(f"expected feature arrays (..., D) of one D, got {descriptors.shape} and {target.shape}")
    return (_unit(descriptors) * _unit(target)).sum(-1)


def frechet_distance(features, target) -> float:
    """Frechet distance of two Gaussians fitted to (N, D) and (M, D) features: the formula of FID (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With C1 = a^T a and C2 = b^T b from the centred data, the trace of the
    root is the sum of the singular values of a b^T: no matrix root, exact at any rank (fewer samples than dimensions
    too). Biased upwards for few samples: compare only rows of equal N and M. Needs two samples a side.
    """
    features, target = np.asarray(features, np.float64), np.asarray(target, np.float64)
    if features.ndim != 2 or features.shape[1:] != target.shape[1:] or min(len(features), len(target)) < 2:
        raise ValueError(f"expected (N, D) and (M, D) with N, M >= 2, got {features.shape} and {target.shape}")
    a = (features - features.mean(0)) / np.sqrt(len(features) - 1)  # C1 = a^T a
    b = (target - target.mean(0)) / np.sqrt(len(target) - 1)
    shift = ((features.mean(0) - target.mean(0)) ** 2).sum()
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(shift + (a**2).sum() + (b**2).sum() - 2 * root, 0.0))
