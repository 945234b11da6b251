"""Figures: what they draw, and that they stay light."""

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.pipeline import figures
from emolib.pipeline.stage import Stage, project_root

ROOT = project_root(__file__.rsplit("/", 1)[0])


def stage(folder) -> Stage:
    return Stage("01_data", "", folder, None)


def photographs(n=6, side=256):
    """Pictures that compress badly: noise over a gradient."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, side)[:, None, None]
    return [(ramp + rng.uniform(0, 55, (side, side, 3))).astype(np.uint8) for _ in range(n)]


def test_a_noisy_sheet_stays_small_and_is_the_same_twice(tmp_path):
    sheet = figures.image_grid([photographs() for _ in range(6)], cell=3.0)
    path = stage(tmp_path).save_figure("sheet", sheet)
    first = path.read_bytes()
    assert path.suffix == ".jpg" and first[:2] == b"\xff\xd8" and len(first) <= figures.MOST_KB * 1000
    again = figures.image_grid([photographs() for _ in range(6)], cell=3.0)
    assert stage(tmp_path).save_figure("sheet", again).read_bytes() == first


def test_curves_are_png_and_sharp(tmp_path):
    table = pd.DataFrame({"step": range(10), "loss": np.linspace(1, 0, 10)})
    figure = figures.curves(table, title="training")
    assert len(figure.axes) == 1 and figure.axes[0].get_title() == "loss"
    path = stage(tmp_path).save_figure("curves", figure)
    assert path.suffix == ".png" and path.stat().st_size < 40_000


def test_a_grid_takes_tensors_arrays_and_gaps():
    grey, colour = torch.full((1, 4, 4), 0.5), np.full((4, 4, 3), 255, np.uint8)
    figure = figures.image_grid([[grey, None], [colour, torch.zeros(3, 4, 4)]], ["a", "b"], ["x", "y"], title="t")
    shown = [axis.images for axis in figure.axes]
    assert [len(s) for s in shown] == [1, 0, 1, 1]
    np.testing.assert_allclose(shown[0][0].get_array(), 0.5)
    np.testing.assert_allclose(shown[2][0].get_array(), 1.0)
    assert figure.axes[0].get_ylabel() == "a" and figure.axes[1].get_title() == "y"


@pytest.mark.parametrize(("x", "y", "hue"), [(1, 0, 0.0), (0, -1, 0.25), (-1, 0, 0.5), (0, 1, 0.75)])
def test_the_hue_of_a_flow_is_its_direction(x, y, hue):
    """Right is red, up a quarter round, left half round, down three quarters."""
    from matplotlib.colors import rgb_to_hsv

    colour = figures.flow_to_rgb(torch.tensor([x, y]).float()[:, None, None].expand(2, 1, 1), 1.0)
    assert rgb_to_hsv(colour[:, 0, 0].numpy())[0] % 1 == pytest.approx(hue, abs=1e-6)
    rest = figures.flow_to_rgb(torch.zeros(2, 1, 1), 1.0)
    assert (rest == 1).all(), "rest is white"


def test_results_in_git_are_light():
    pictures = list((ROOT / "reports").rglob("figures/*"))
    heavy = {str(p.relative_to(ROOT)): p.stat().st_size for p in pictures if p.stat().st_size > 150_000}
    assert not heavy
    assert sum(p.stat().st_size for p in (ROOT / "reports").rglob("*") if p.is_file() and p.suffix != ".ipynb") < 8e6
