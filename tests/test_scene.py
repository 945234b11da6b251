"""What lies before and behind a face does not move as skin does."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from emolib.baselines.ecg.background import Background
from emolib.face.alignment import template
from emolib.face.covers import load_cover_net
from emolib.face.loaders import load_face_model
from emolib.hef import Hef
from emolib.media.pictures import to_tensor
from emolib.pipeline.photographs import average_sigma, photographs, stays
from emolib.scene import NOBODY, Scene, about_the_eyes, bare_eyed, filled, somebody, under_cover, worn
from emolib.sight import Drive


def a_scene(side: int = 16) -> Scene:
    """A person in the right half before a ramp."""
    person = torch.zeros(1, 1, side, side)
    person[..., side // 2 :] = 1
    ramp = torch.linspace(0.2, 0.8, side).expand(1, 3, side, side)
    return Scene(torch.zeros(1, 1, side, side), person, ramp, None)


def test_at_rest_a_picture_stays_itself_to_the_bit():
    scene = a_scene()
    picture = torch.where(scene.person > 0, 0.5, scene.behind)
    still = torch.zeros(1, 2, 16, 16)
    assert torch.equal(scene.at_rest_behind(picture, still, torch.zeros(1, 1, 16, 16)), picture)


def test_only_the_person_moves():
    scene, by = a_scene(), 4  # pixels to the left, backward: each pixel shows what lay to its right
    picture = torch.where(scene.person > 0, 0.5, scene.behind)
    motion = torch.zeros(1, 2, 16, 16)
    motion[:, 0] = 2 * by / 16
    moved = torch.cat([picture[..., by:], picture[..., -1:].expand(-1, -1, -1, by)], 3)
    made = scene.at_rest_behind(moved, motion, torch.zeros(1, 1, 16, 16))
    assert torch.equal(made[..., : 8 - by], scene.behind[..., : 8 - by])  # where nobody came, the ramp as it was
    assert torch.allclose(made[..., 8 - by :], torch.tensor(0.5), atol=1e-6)  # the person, 4 pixels further left
    drawn_there = torch.ones(1, 1, 16, 16)
    assert torch.equal(scene.at_rest_behind(moved, motion, drawn_there), moved)  # what was drawn of the person stays


def test_a_background_is_filled_from_what_is_seen_of_it():
    known = torch.ones(1, 1, 64, 64)
    known[..., 20:44, 20:44] = 0
    flat = torch.where(known > 0, 0.3, 0.9).expand(1, 3, 64, 64)
    assert torch.allclose(filled(flat, known), torch.tensor(0.3), atol=1e-5)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(filled(picture, known)[known.expand_as(picture) > 0], picture[known.expand_as(picture) > 0])
    assert torch.isfinite(filled(picture, torch.zeros(1, 1, 64, 64))).all()  # a person who hides all


def test_what_covers_a_face_goes_with_the_skull_and_nothing_is_drawn_over_it():
    like = torch.ones(2, 1, 8, 8)
    drive = Drive(*[like.expand(-1, 3, -1, -1)] * 2, 0.5 * like.expand(-1, 2, -1, -1), like, like, like, like[:, 0, 0])
    cover = torch.zeros(1, 1, 16, 16)
    cover[..., 8:] = 1
    found = under_cover(drive, torch.zeros(2, 2, 16, 16), a_scene()._replace(cover=cover))
    for name, bare, over in (("motion", 0.5, 0), ("hidden", 1, 0), ("inside", 1, 0)):
        value = getattr(found, name)
        assert torch.allclose(value[..., :1], torch.tensor(float(bare))), name
        assert torch.allclose(value[..., 4:], torch.tensor(float(over)), atol=1e-6), name
    # Just before it skin that comes from 2 pixels to the right would show the cover again: it comes from 1 at most.
    assert float(found.motion[..., 3].max()) < 2 / 8 + 0.01


def test_a_head_is_somebody_and_a_picture_in_which_nobody_is_found_moves_as_a_whole():
    mesh, person = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    mesh[..., 2:6, 2:6] = 1
    person[..., 2:, 3:] = 1  # hair and shoulders too, but not all of the head
    assert torch.equal(somebody(person, mesh), torch.maximum(person, mesh))
    assert bool((somebody(torch.zeros_like(person), mesh) == 1).all())


def test_where_glasses_sit_by_hand():
    zone, eye = about_the_eyes(256), 256 * template()[0]
    distance = 256 * (template()[1, 0] - template()[0, 0])

    def at(across: float, down: float) -> float:
        return float(zone[int(eye[1] + down * distance), int(eye[0] + across * distance)])

    assert at(0, 0) == 0 and at(0.15, 0) < 0.05  # lids blink
    assert at(0, 0.3) == 1 and at(-0.4, 0) == 1 and at(0.5, 0.05) == 1  # rims, and the bridge between
    assert at(0, -0.4) == 0 and at(0, 0.6) == 0  # brows and cheeks move
    assert torch.equal(zone[:, 4:-4], zone.flip(1)[:, 4:-4])  # of both eyes


def test_an_eye_is_covered_wholly_or_not_at_all():
    """Dark makeup looks like a cover in part; hair over an eye, or a hand, covers most of it."""
    eye, other = ((256 * template()[i]).round().astype(int) for i in (0, 1))
    seen = torch.zeros(1, 1, 256, 256)
    seen[..., eye[1] - 3 : eye[1] + 4, eye[0] - 8 : eye[0] + 9] = 1  # a lid
    seen[..., other[1] - 40 : other[1] + 40, other[0] - 40 : other[0] + 40] = 1  # a hand
    seen[..., 200:220, 100:150] = 1
    free = bare_eyed(seen)
    assert free[..., eye[1] - 3 : eye[1] + 4, eye[0] - 8 : eye[0] + 9].max() == 0
    assert free[..., other[1], other[0]] == 1 and free[..., 200:220, 100:150].min() == 1


def test_glasses_are_seen_on_who_wears_them(shown):
    _, (astronaut, hopper) = shown
    for photograph, wears in ((astronaut, False), (hopper, True)):
        picture = F.interpolate(photograph.portrait.picture, (256, 256), mode="area")
        assert worn(load_cover_net().covered(picture)) is wears, photograph.name
        rim = photograph.portrait.scene.cover[..., about_the_eyes(photograph.portrait.side) > 0.5]
        assert (float(rim.mean()) > 0.8) is wears


@pytest.fixture(scope="module")
def shown():
    torch.manual_seed(0)
    hef, model = Hef(size=64, sigma_dim=8, channels=512, channels_max=16).eval(), load_face_model()
    return model, list(photographs(hef, model))


def test_the_wall_and_the_glasses_of_photographs_stay(shown):
    model, both = shown
    for photograph in both:
        found = stays(model, photograph, average_sigma(photograph.portrait.hef))
        assert found["background"] < 0.1 < 3 < found["background_bare"], found
        assert found["cover"] < 0.5 * found["cover_bare"], found


def test_ecg_gets_a_background_that_it_knows_and_the_picture_its_own_again():
    import skimage.data

    picture = F.interpolate(to_tensor(skimage.data.astronaut()[None, :256, 96:352]), (128, 128), mode="area")[0]
    wall = torch.tensor([0.1, 0.4, 0.2])[:, None, None].expand(3, 128, 128)
    background = Background(picture, wall)
    replaced = background.replaced()
    nobody, somebody = background.person[0, 0] < 0.01, background.person[0, 0] > 0.99
    assert torch.allclose(replaced[:, nobody], wall[:, nobody], atol=0.01)
    assert torch.allclose(replaced[:, somebody], picture[:, somebody], atol=0.01)
    back = background.returned(replaced[None])[0]
    assert float((back - picture).abs().mean()) < 0.01  # there and back again
    kept = Background(picture)
    assert torch.equal(kept.replaced(), picture)
    swaying = np.roll(picture.numpy(), 2, 2)
    held = kept.returned(torch.from_numpy(swaying)[None])[0]
    assert float((held - picture)[:, kept.person[0, 0] < NOBODY].abs().median()) < 1e-3
