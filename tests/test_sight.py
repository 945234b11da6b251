"""What a source shows of a drive: motion, what is hidden, its light; and the photograph at its own resolution."""

import numpy as np
import pytest
import torch

from emolib import sight as looking
from emolib.face.kernels import sight as kernel
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import motion, rasterize
from emolib.hef import Hef
from emolib.layers import warp
from emolib.portrait import Portrait, native_side
from emolib.sight import (
    BARED,
    BEFORE_TEETH,
    FROM_WALLS,
    bared,
    drawn,
    extend,
    lashes,
    light_within,
    look,
    make_drive,
    relight,
    sight,
    unlike,
)  # fmt: skip

SIZE, SIGMA = 64, 8


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def acting(model: FaceModel, **actions: float) -> Coefficients:
    weights = torch.zeros(1, 52)
    for name, value in actions.items():
        for i, known in enumerate(model.arkit_names):
            if known == name or known in (f"{name}Left", f"{name}Right"):
                weights[0, i] = value
    return Coefficients.zeros(1).replace(beta=weights @ model.arkit_to_beta)


def test_extend_keeps_the_inside_and_fades_outside():
    flow = torch.zeros(1, 2, 32, 32)
    mask = torch.zeros(1, 1, 32, 32)
    flow[..., :8, :8], mask[..., :8, :8] = 1.0, 1.0
    filled = extend(flow, mask)
    torch.testing.assert_close(filled[..., :8, :8], flow[..., :8, :8])
    row = filled[0, 0, 4]
    assert row[8] > 0.9 and row[20] < 0.1 and (row.diff() <= 1e-6).all()
    assert extend(flow, torch.zeros_like(mask)).abs().max() == 0


def test_the_compiled_look_is_that_of_torch(model, monkeypatch):
    source, target = acting(model, mouthSmile=0.8, jawOpen=0.2), acting(model, jawOpen=0.7, eyeBlink=0.6)
    target = target.replace(pose=torch.tensor([[0.1, -0.3, 0.05, 0.1, 0.0, 0.2]]))
    view = look(model, source, SIZE)
    compiled = sight(model, view, target, SIZE)

    def slow(size, triangles, kind, screen, face_id, *rest):
        return looking.layers_torch(size, triangles, kind, rasterize(screen, triangles, face_id.shape[-1]), *rest)

    monkeypatch.setattr(kernel, "layers", slow)
    for name, a, b in zip(compiled._fields, compiled, sight(model, view, target, SIZE)):
        assert (a != 0).any(), name
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0, msg=name)


def test_a_source_shows_all_of_itself(model):
    open_mouth = acting(model, mouthSmile=0.5, jawOpen=0.4)
    found = sight(model, look(model, open_mouth, SIZE), open_mouth, SIZE)
    assert found.hidden.max() == 0 and found.inside.sum() > 5
    assert found.motion().abs().max() < 1e-3


def test_motion_is_that_of_the_mesh_where_the_source_shows_it(model):
    source, target = (
        Coefficients.zeros(1),
        Coefficients.zeros(1).replace(pose=torch.tensor([[0.05, 0.1, 0, 0.1, 0, 0]])),
    )
    found = sight(model, look(model, source, SIZE), target, SIZE)
    flow, _ = motion(model, source, target, SIZE)
    sure = (found.seen > 0.99).expand_as(flow)
    assert (found.motion() - flow)[sure].abs().mean() < 0.1 * 2 / SIZE  # a tenth of a pixel


@pytest.mark.parametrize("action, rows", [("jawOpen", slice(40, 64)), ("eyeBlink", slice(20, 36))])
def test_what_opens_or_closes_is_hidden(model, action, rows):
    """An open mouth of lips that were closed, and lids that were open: there, and nowhere else in the face's middle."""
    found = sight(model, look(model, Coefficients.zeros(1), SIZE), acting(model, **{action: 0.8}), SIZE)
    middle = found.hidden[..., 12:52, 18:46]
    assert middle.sum() > 10
    assert found.hidden[..., rows, 18:46].sum() > 0.9 * middle.sum()


def test_a_turned_head_hides_its_far_side(model):
    turned = Coefficients.zeros(1).replace(pose=torch.tensor([[0, 0.6, 0, 0, 0, 0]]))
    found = sight(model, look(model, turned, SIZE), Coefficients.zeros(1), SIZE)
    left, right = found.hidden[..., : SIZE // 2].sum(), found.hidden[..., SIZE // 2 :].sum()
    assert max(left, right) > 5 * min(left, right)


def test_the_light_within_is_what_the_opening_lets_in(model):
    """On the axis of a rectangle of half sides a, b at distance d: 4 atan(a b / (d sqrt(a^2 + b^2 + d^2))) of 2 pi."""
    shape = model.mean_shape[None].clone()
    lips = model.landmark_index[60:68]
    a, b, d = 0.3, 0.2, 0.5
    across = torch.tensor([-a, -a / 2, 0, a / 2, a, a / 2, 0, -a / 2])
    shape[0, lips] = torch.stack([across, torch.tensor([0.0, b, b, b, 0.0, -b, -b, -b]), torch.zeros(8)], 1)
    deep = int(model.regions["mouth"].nonzero()[0])
    shape[0, deep] = torch.tensor([0.0, 0.0, BEFORE_TEETH - d])
    share = 4 * np.arctan(a * b / (d * np.sqrt(a**2 + b**2 + d**2))) / (2 * np.pi)
    expected = (share + FROM_WALLS * (1 - share)) ** (1 / 2.2)
    assert light_within(model, shape)[0, deep, 0] == pytest.approx(expected, abs=1e-4)


def test_a_mouth_that_opens_lets_light_in(model):
    wide, narrow = (acting(model, jawOpen=opened) for opened in (0.9, 0.2))
    inside = model.regions["mouth"]
    light = [light_within(model, model.shape(c.alpha, c.beta))[0, inside, 0].mean() for c in (wide, narrow)]
    assert 0.3 < light[1] < light[0] < 1


def test_teeth_hang_and_lids_have_lashes(model):
    rest = Coefficients.zeros(1)
    lower = (bared(model, rest) - model.shape(rest.alpha, rest.beta))[0]
    assert set(lower.any(1).nonzero().flatten().tolist()) < set(model.regions["teeth"].nonzero().flatten().tolist())
    assert lower[:, 1].min() == pytest.approx(-BARED, abs=1e-6) and not lower[:, [0, 2]].any()
    marked = lashes(model)
    eyes = model.mean_shape[model.landmark_index[36:48]]
    edge = model.mean_shape[marked > 0.9]
    assert len(edge) > 20 and torch.cdist(edge[:, :2], eyes[:, :2]).amin(1).max() < 0.06
    closed = sight(model, look(model, rest, 4 * SIZE), acting(model, eyeBlink=1.0), 4 * SIZE).rendering[0].mean(0)
    upper, lower = (closed[y0:y1, 80:110].amin() for y0, y1 in ((100, 112), (112, 135)))
    assert lower < upper  # a dark line below the lid


def test_relight_finds_the_light_and_drawn_gives_it_back(model):
    face = Coefficients.zeros(1)
    asked = make_drive(model, face, face, torch.zeros(1, SIGMA), SIZE)
    tint = torch.tensor([0.8, 0.7, 0.6])[None, :, None, None]
    light = relight(asked.rendering * tint, asked)
    middle = light[..., 12:20, 12:20].mean((0, 2, 3)).exp()
    torch.testing.assert_close(middle, tint.flatten(), atol=0.05, rtol=0)
    lit = drawn(asked.rendering, torch.zeros_like(asked.inside), light)
    sure = (asked.mask == 1).expand_as(lit)
    assert (lit - asked.rendering * tint)[sure].abs().mean() < 0.02


def test_unlike_by_hand():
    bright, dark = torch.full((1, 3, 2, 2), 0.8), torch.full((1, 3, 2, 2), 0.1)
    moved, still, mouth, shown = (
        torch.ones(1, 2, 2, 2),
        torch.zeros(1, 2, 2, 2),
        torch.ones(1, 1, 2, 2),
        torch.zeros(1, 1, 2, 2),
    )
    assert unlike(bright, dark, moved, mouth, shown).min() == 1  # teeth where a cavity is drawn
    assert unlike(bright, bright * 0.9, moved, mouth, shown).max() == 0
    assert unlike(bright, dark, still, mouth, shown).max() == 0  # nothing is asked to change
    assert unlike(bright, dark, moved, 0 * mouth, shown).max() == 0  # skin may look like anything


def portrait(model, side=4 * SIZE, **options):
    torch.manual_seed(0)
    hef = Hef(size=SIZE, sigma_dim=SIGMA, channels=512, channels_max=16, style_dim=16, **options)
    for block in hef.blocks:
        torch.nn.init.normal_(block.rgb.last.weight, std=0.3)
    photograph = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    return hef, photograph, Portrait(hef, model, photograph, Coefficients.zeros(1))


def test_a_portrait_at_rest_is_the_photograph(model):
    _, photograph, still = portrait(model)
    made = still.frames(Coefficients.zeros(1), torch.zeros(1, SIGMA))
    assert made.shape == photograph.shape
    assert -10 * (made - photograph).square().mean().log10() > 40  # dB


def test_a_photograph_of_hard_edges_has_a_colour_everywhere(model):
    """A chequerboard, where bicubic interpolation overshoots: every pixel of a moved one is a colour."""
    hef, _, _ = portrait(model)
    side = 4 * SIZE
    place = torch.arange(side) // 8
    board = ((place[:, None] + place) % 2).float().expand(1, 3, -1, -1)
    turned = acting(model, jawOpen=0.8, browInnerUp=1.0).replace(pose=torch.tensor([[0.05, 0.1, 0.02, 0, 0, 0]]))
    made = Portrait(hef, model, board, Coefficients.zeros(1)).frames(turned, torch.zeros(1, SIGMA))
    assert made.isfinite().all() and made.min() >= 0 and made.max() <= 1


def test_a_portrait_that_moves_keeps_its_detail(model):
    hef, photograph, still = portrait(model)
    target = Coefficients.zeros(1).replace(pose=torch.tensor([[0.0, 0.0, 0.0, 0.1, 0.0, 0.0]]))
    made = still.frames(target, torch.zeros(1, SIGMA))
    small = torch.nn.functional.interpolate(made, (SIZE, SIZE), mode="area")
    reference = Portrait(hef, model, torch.nn.functional.avg_pool2d(photograph, 4), Coefficients.zeros(1))
    assert (small - reference.frames(target, torch.zeros(1, SIGMA))).abs().mean() < 0.03  # the same frame, finer
    flow, mask = motion(model, Coefficients.zeros(1), target, 4 * SIZE)
    face = (mask > 0)[0, 0, 90:170, 90:170]
    a, b = (x[0, 1, 90:170, 90:170][face] for x in (made, warp(photograph, flow)))
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_sides_and_wrong_input(model):
    hef, photograph, _ = portrait(model)
    assert [native_side(hef, s) for s in (20, 64, 65, 300, 5000)] == [64, 64, 128, 512, 1024]
    plain = Hef(size=SIZE, sigma_dim=SIGMA, channels=512, channels_max=16, detail=False)
    assert native_side(plain, 300) == SIZE  # without bands there is nothing to go on with
    with pytest.raises(ValueError, match=r"the portrait is \(1, 3, 96, 96\)"):
        Portrait(hef, model, photograph[..., :96, :96], Coefficients.zeros(1))
    with pytest.raises(ValueError, match="expected one"):
        look(model, Coefficients.zeros(2), SIZE)
