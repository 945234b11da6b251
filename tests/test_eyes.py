"""What wide lids bare of an eye is as dark as the photograph's eye."""

import numpy as np
import pytest
import torch

from emolib.eyes import DARKEST, brightness, openings, shaded
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.face.model import Coefficients
from emolib.sight import look
from emolib.weights import PRETRAINED

SIDE = 256


@pytest.fixture(scope="module")
def model():
    return load_face_model(PRETRAINED / SHIPPED)


@pytest.fixture(scope="module")
def wide(model):
    actions = torch.zeros(2, 52)
    for name, row in (("eyeWideLeft", 0), ("eyeWideRight", 0), ("eyeBlinkLeft", 1), ("eyeBlinkRight", 1)):
        actions[row, model.arkit_names.index(name)] = 1
    return Coefficients.zeros(2).replace(beta=actions @ model.arkit_to_beta)


@pytest.fixture(scope="module")
def rendering(model, wide):
    light = torch.zeros(1, 27)
    light[:, [0, 9, 18]] = 0.2
    return look(model, Coefficients.zeros(1).replace(gamma=light), SIDE).image


def test_an_opening_lies_about_its_eye_and_closes_with_it(model, wide):
    shown = openings(model, wide, SIDE)
    assert shown.shape == (2, 2, SIDE, SIDE) and 0 <= float(shown.min()) and float(shown.max()) == 1
    points = model.landmarks(wide.alpha, wide.beta, wide.pose, SIDE)
    steps = torch.arange(SIDE) + 0.5
    for eye, first in enumerate((36, 42)):
        weight = shown[0, eye] / shown[0, eye].sum()
        middle = torch.stack([(weight.sum(0) * steps).sum(), (weight.sum(1) * steps).sum()])
        assert (middle - points[0, first : first + 6].mean(0)).norm() < 2
    areas = shown.sum((2, 3))
    assert (areas[1] < 0.5 * areas[0]).all()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.3])
def test_one_eye_in_the_shade_is_known_by_its_brightness(model, rendering, share):
    own = Coefficients.zeros(1)
    picture = rendering.clone()
    picture[..., : SIDE // 2] *= share  # the picture's left half has the person's right eye
    found = brightness(model, own, picture.clamp(max=1), rendering)
    np.testing.assert_allclose(found, [np.clip(share, DARKEST, 1), 1], atol=0.02)


def test_what_is_drawn_of_it_gets_as_dark_and_nothing_else(model, wide, rendering):
    rendering = rendering.expand(2, -1, -1, -1)
    made = shaded(model, wide, rendering, torch.tensor([0.5, 1.0]))
    where = openings(model, wide, SIDE)
    right = where[:, :1].expand_as(made)
    torch.testing.assert_close(made[right == 1], 0.5 * rendering[right == 1])
    torch.testing.assert_close(made[right == 0], rendering[right == 0])
    assert shaded(model, wide, rendering, torch.ones(2)) is rendering


def test_of_closed_eyes_nothing_is_known(model, wide, rendering):
    small = torch.nn.functional.avg_pool2d(rendering, 16)
    closed = wide[[1]]
    assert brightness(model, closed, 0.5 * small, small).tolist() == [1, 1]
