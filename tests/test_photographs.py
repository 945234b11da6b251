"""What an untrained generator, which shows its start, does to the two photographs that ship in packages."""

import numpy as np
import pytest
import torch

from emolib.face.loaders import load_face_model
from emolib.hef import Hef
from emolib.pipeline.photographs import ASKED, average_sigma, erode, high_band, kept, photographs, read, sharpness


@pytest.fixture(scope="module")
def astronaut():
    torch.manual_seed(0)
    hef, model = Hef(size=64, sigma_dim=8, channels=512, channels_max=16).eval(), load_face_model()
    return model, next(photographs(hef, model)), average_sigma(hef)


def test_sharpness_and_high_band_by_hand():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(16, 16).expand(1, 3, 32, 32)
    inside = erode(torch.ones(1, 1, 32, 32), 0) * torch.nn.functional.pad(torch.ones(1, 1, 28, 28), (2, 2, 2, 2))
    assert sharpness(board, inside) == pytest.approx(16, rel=0.01)  # the Laplacian of a checkerboard is 4 or -4
    assert high_band(torch.ones(1, 3, 64, 64)).abs().max() < 1e-6
    assert erode(torch.nn.functional.pad(torch.ones(1, 1, 3, 3), (2, 2, 2, 2)), 1).sum() == 1


def test_a_photograph_keeps_its_detail(astronaut):
    model, photograph, sigma = astronaut
    found = kept(model, photograph, sigma)
    assert found["still_psnr_db"] > 40 and found["still_sharpness"] == pytest.approx(1, abs=0.1)
    assert found["detail_correlation"] > 0.8 and found["moving_sharpness"] > 0.5


def test_the_face_net_reads_what_was_asked_for(astronaut):
    model, photograph, sigma = astronaut
    seen = read(model, photograph, sigma)
    assert set(seen) == set(ASKED)
    for name, values in seen.items():
        assert np.diff(values).min() > 0 and values[-1] - values[0] > 0.2, name
