"""Lip synchronisation (Chung & Zisserman 2016): how sharply a SyncNet prefers the true offset of sound and mouth.

Takes the two embeddings of a SyncNet, one row a video frame; which net made them is the caller's choice. The published
"Sync" numbers come from the net ``syncnet_v2``: another net has another scale, so compare only within one table.
"""

import numpy as np


def offset_distances(video: np.ndarray, audio: np.ndarray, reach: int) -> np.ndarray:
    """Mean Euclidean distance of (T, D) video and (T, D) audio embeddings at offsets -reach..reach, (2 reach + 1,).

    Entry ``reach + k`` compares video frame t with audio frame t + k, over the frames that both have. Needs T > 2 *
    reach.
    """
    video, audio = np.asarray(video, np.float64), np.asarray(audio, np.float64)
    if video.shape != audio.shape or video.ndim != 2 or len(video) <= 2 * reach:
        raise ValueError(f"expected two (T, D) with T > {2 * reach}, got {video.shape} and {audio.shape}")
    distance = np.linalg.norm(video[:, None] - audio[None], axis=-1)  # (T, T)
    return np.array([distance.diagonal(k).mean() for k in range(-reach, reach + 1)])


def sync_at_zero(video: np.ndarray, audio: np.ndarray, reach: int = 10) -> dict[str, float]:
    """How well sound and mouth agree as they stand: ``sync_d``, the mean distance at offset 0 (less is better), and ``sync_c``, the median
    over the offsets less that, below 0 where another offset fits better; ``offset``, the best one, frames (positive: the sound is late).

    Unlike :func:`sync_confidence`, whose least distance lies below the median for noise too, a foreign sound gets 0 on average.
    """
    distances = offset_distances(video, audio, reach)
    return {
        "sync_d": float(distances[reach]),
        "sync_c": float(np.median(distances) - distances[reach]),
        "offset": int(distances.argmin()) - reach,
    }


def sync_confidence(video: np.ndarray, audio: np.ndarray, reach: int = 10) -> tuple[float, int]:
    """(confidence, offset in frames): median over the offsets minus the smallest distance, and where the smallest lies.

    As in SyncNet's released code (there with reach 15, for longer clips). Positive offset: the sound is late.
    """
    distances = offset_distances(video, audio, reach)
    best = int(distances.argmin())
    return float(np.median(distances) - distances[best]), best - reach
