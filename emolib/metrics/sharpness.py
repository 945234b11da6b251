"""CPBD: sharpness without a reference (Narvekar and Karam, IEEE Trans. Image Processing 20(9), 2011), as Sinha et al. report it."""

import numpy as np

BLOCK, EDGES = 64, 0.002  # side of the blocks, pixels; the share of edge pixels from which one counts
SHAPE, SEEN = 3.6, 0.63  # of the psychometric function; the probability at which blur is just noticed


def cpbd(frames: np.ndarray) -> np.ndarray:
    """uint8 (T, H, W, 3) -> (T,), in [0, 1], higher is sharper: the share of vertical edges at which no blur is seen; nan without edges.

    The width of an edge (Marziliano et al. 2002): the pixels of its row over which the brightness goes on rising, or falling. Blur is
    seen at an edge of width w with probability 1 - exp(-(w / w_0)^3.6), w_0 = 5 pixels where the block's contrast is at most 50 of 255,
    else 3.
    """
    grey = np.asarray(frames, np.float64) @ [0.299, 0.587, 0.114]
    return np.array([_of_one(picture) for picture in grey])


def _of_one(grey: np.ndarray) -> float:
    edge, width = _edges(grey), _widths(grey)
    found = total = 0
    for top in range(0, grey.shape[0], BLOCK):
        for left in range(0, grey.shape[1], BLOCK):
            part = np.s_[top : top + BLOCK, left : left + BLOCK]
            here = edge[part]
            if here.mean() <= EDGES:
                continue
            just = 5 if np.ptp(grey[part]) <= 50 else 3
            blurred = 1 - np.exp(-((width[part][here] / just) ** SHAPE))
            found, total = found + int((blurred <= SEEN).sum()), total + int(here.sum())
    return found / total if total else float("nan")


def _edges(grey: np.ndarray) -> np.ndarray:
    """Vertical edges: Sobel's derivative along a row, twice its root mean square or more, and the largest of its neighbours'."""
    padded = np.pad(grey, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    slope = np.abs(rows[:, 2:] - rows[:, :-2])
    beside = np.pad(slope, ((0, 0), (1, 1)))
    threshold = 2 * np.sqrt((slope**2).mean())
    return (slope > max(threshold, 1e-9)) & (slope >= beside[:, :-2]) & (slope > beside[:, 2:])


def _widths(grey: np.ndarray) -> np.ndarray:
    """At every pixel, over how many steps of its row the brightness goes on in one direction, the steepest one's at that pixel."""
    step = np.sign(np.diff(grey, axis=1))  # (H, W - 1)
    count = step.shape[1]
    before, after = np.ones_like(step), np.ones_like(step)
    for x in range(1, count):
        before[:, x] += before[:, x - 1] * (step[:, x] == step[:, x - 1])
        after[:, count - 1 - x] += after[:, count - x] * (step[:, count - 1 - x] == step[:, count - x])
    run = np.where(step != 0, before + after - 1, 0)
    left, right = (np.pad(run, ((0, 0), side)) for side in ((1, 0), (0, 1)))
    return np.maximum(left, right)
