"""Teeth of a photograph's size."""

import numpy as np
import pytest
import torch

from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.sight import look, sight
from emolib.teeth import BACK, CROWNS, DARK, ENAMEL, FRONT, GUM, WIDTHS, arches, enamel, painted_teeth


def at(along: float, height: float = 3.0, upper: float = 1.0) -> torch.Tensor:
    return enamel(*(torch.tensor([value]) for value in (along, height, upper)))[0]


def test_a_tooth_is_bright_and_its_gaps_are_dark_by_hand():
    middle = WIDTHS[0][0] / 2
    torch.testing.assert_close(at(middle), torch.full((3,), ENAMEL))
    torch.testing.assert_close(at(-middle), at(middle))
    for gap in (0.0, WIDTHS[0][0]):
        assert float(at(gap)[0] / ENAMEL) == pytest.approx((1 - DARK) * 0.88, abs=0.01)  # it turns away by .12
    assert float(at(WIDTHS[1][0], upper=0)[0]) < 0.7 * float(
        at(WIDTHS[1][0] / 2, upper=0)[0]
    )  # lower ones are narrower
    assert float(at(WIDTHS[1][0])[0]) > 0.9 * ENAMEL


def test_beyond_its_crown_is_gum_which_reaches_further_between_teeth():
    middle = WIDTHS[0][0] / 2
    torch.testing.assert_close(at(middle, CROWNS[0] + 1), torch.tensor(GUM))
    torch.testing.assert_close(at(middle, CROWNS[0] - 1), torch.full((3,), ENAMEL))
    torch.testing.assert_close(at(0.0, CROWNS[0] - 1), torch.tensor(GUM))


def test_it_gets_dark_towards_the_back():
    assert float(at(FRONT + BACK, 11)[0] / at(FRONT, 11)[0]) == pytest.approx(np.exp(-1), rel=1e-3)


def test_arches_are_as_long_as_people_have_them():
    model = load_face_model()
    triangles, values = arches(model)
    teeth = model.regions["teeth"]
    assert teeth[triangles].all() and 0.3 < float(values[teeth, 2].mean()) < 0.7
    assert 45 < float(values[teeth, 0].max()) < 65  # mm from the middle to the last molar
    assert float(values[teeth, 1].min()) == 0 and float(values[teeth, 1].max()) < 20
    jaw = model.arkit_to_beta[model.arkit_names.index("jawOpen")] @ model.exp_basis.flatten(1)
    falls = jaw.unflatten(0, (-1, 3))[:, 1] < -0.05
    assert bool((falls[teeth] == (values[teeth, 2] == 0)).all())  # the lower arch goes with the jaw


def test_only_teeth_within_the_mouth_are_painted():
    model = load_face_model()
    weights = torch.zeros(3, 52)
    for name in ("mouthSmileLeft", "mouthSmileRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        weights[1, model.arkit_names.index(name)] = 1
    weights[2, model.arkit_names.index("jawOpen")] = 0.8
    wanted = Coefficients.zeros(3).replace(beta=weights @ model.arkit_to_beta)
    seen = sight(model, look(model, Coefficients.zeros(1), 256), wanted, 256)
    painted = painted_teeth(model, wanted, seen.rendering, seen.inside)
    changed = (painted - seen.rendering).abs().amax(1, keepdim=True) > 1e-4
    assert not (changed & (seen.inside == 0)).any()
    assert [bool(x.any()) for x in changed] == [bool((x > 0.5).any()) for x in seen.inside]
    teeth = changed[1] & (seen.inside[1] > 0.9)
    brightest = [x[1].mean(0)[teeth[0]].quantile(0.9) for x in (painted, seen.rendering)]
    assert brightest[0] > 1.3 * brightest[1]
    one = painted_teeth(model, wanted[1:2], seen.rendering[1:2], seen.inside[1:2])
    torch.testing.assert_close(one, painted[1:2])


def test_closed_lips_cost_nothing():
    rendering = torch.rand(1, 3, 32, 32)
    assert painted_teeth(load_face_model(), Coefficients.zeros(1), rendering, torch.zeros(1, 1, 32, 32)) is rendering
