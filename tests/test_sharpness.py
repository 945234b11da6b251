"""CPBD: edges of known width by hand, and blur that must tell."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut

from emolib.metrics.sharpness import _edges, _widths, cpbd


def ramp(width: int, low: float = 40, high: float = 200) -> np.ndarray:
    """A picture (64, 64) that rises from ``low`` to ``high`` over ``width`` steps of each row."""
    row = np.interp(np.arange(64), [30, 30 + width], [low, high])
    return np.repeat(row[None], 64, 0)


@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_the_width_of_an_edge_by_hand(width):
    picture = ramp(width)
    assert _edges(picture).any()
    assert set(_widths(picture)[_edges(picture)]) == {width}


def frames(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[None, :, :, None], 3, -1).round().astype(np.uint8)


def test_blur_is_seen_where_the_paper_says():
    # Contrast above 50: just noticeable at 3 pixels, where P = 1 - exp(-1) = .632 > .63; below 50 at 5.
    assert cpbd(frames(ramp(2)))[0] == 1 and cpbd(frames(ramp(4)))[0] == 0
    assert cpbd(frames(ramp(4, 100, 140)))[0] == 1 and cpbd(frames(ramp(8, 100, 140)))[0] == 0
    assert np.isnan(cpbd(frames(np.full((64, 64), 90.0)))[0])


def test_a_blurred_picture_is_less_sharp_and_brightness_does_not_matter():
    photograph = astronaut()[:256, 100:356].mean(2) * 0.7
    values = [cpbd(frames(gaussian_filter(photograph, sigma)))[0] for sigma in (0, 0.5, 1)]
    assert values[0] > values[1] > values[2]
    assert cpbd(frames(photograph + 40))[0] == pytest.approx(values[0], abs=0.01)
