from dataclasses import replace

import numpy as np
import pytest
import torch

from emolib.face.arkit import INDEX
from synthface import features, hair, paint
from synthface.heads import HeadSampler
from synthface.paint import KINDS, _atlas
from synthface.people import Person
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.skin import sample_skin

SIZE = 96


@pytest.fixture(scope="module")
def head():
    torch.set_num_threads(1)
    return HeadSampler(3).sample(np.random.default_rng(3))


@pytest.fixture(scope="module")
def person(head):
    return Person.create(head, np.random.default_rng(1))


@pytest.fixture(scope="module")
def scene():
    drawn = Scene.sample(np.random.default_rng(2), SIZE * SUPERSAMPLE)
    return replace(drawn, noise=0.0, quality=0, softness=0.0, aperture=0.0)


def luminance(colour):
    return colour[..., :3] @ np.array([0.2126, 0.7152, 0.0722])


def shot(person, scene, **activations):
    arkit = np.zeros((1, 52), np.float32)
    for name, value in activations.items():
        arkit[0, INDEX[name]] = value
    return photograph(person, scene, arkit, np.zeros((1, 6), np.float32), SIZE, np.random.default_rng(0))[0]


def test_same_generator_same_person(head, person):
    again, other = (Person.create(head, np.random.default_rng(seed)) for seed in (1, 2))
    for name in ("texture", "vertices", "strands", "cloth_colour", "fabric", "hair_colour", "occlusion"):
        assert np.array_equal(getattr(person, name), getattr(again, name)), name
    assert person.style == again.style and not np.array_equal(person.texture, other.texture)


def test_person_is_finite_and_in_range(person):
    assert person.texture.shape == (512, 512, 4) and person.texture.dtype == np.float32
    assert person.texture[..., :3].min() >= 0 and person.texture[..., :3].max() <= 1
    assert 0 <= person.texture[..., 3].min() and person.texture[..., 3].max() <= 1.2
    assert np.isfinite(person.vertices).all() and np.isfinite(person.fabric).all()
    assert person.triangles.max() < len(person.vertices) == len(person.follow) == len(person.occlusion)
    assert person.uv_triangles.max() < len(person.uv) and len(person.triangles) == len(person.kind)


def test_hair_suits_sex_and_age():
    rng, styles, grey = np.random.default_rng(0), {0: set(), 1: set()}, {25: [], 72: []}
    for i in range(400):
        sex, age = i % 2, (25, 72)[i // 2 % 2]
        skin = sample_skin(rng, sex, age, (0.1, 0.1, 0.8))
        drawn = hair.Hair.sample(rng, skin, sex, age, (0.1, 0.1, 0.8))
        styles[sex].add(drawn.style)
        grey[age].append(drawn.colour.min() / drawn.colour.max() if drawn.colour.max() > 0.1 else 0.0)
    assert styles[0] | styles[1] == set(hair.STYLES)
    assert "bald" not in styles[1] and "long" not in styles[0]
    assert max(grey[25]) < 0.6 and np.mean(np.array(grey[72]) > 0.8) > 0.2  # white hair is of one value in all channels


def test_brows_are_darker_than_the_skin_around_and_softly_level(person):
    atlas = _atlas()
    for side in (0, 1):
        rng = np.random.default_rng(side)
        skin = sample_skin(rng, side, 30, (0.1, 0.2, 0.7))
        drawn = hair.Hair.sample(rng, skin, side, 30, (0.1, 0.2, 0.7))
        looks = features.Looks.sample(rng, skin, np.array([0.5, 0.32, 0.25]), side, drawn.brow)
        colour = np.tile([0.5, 0.32, 0.25], (len(atlas.points), 1))
        features.brows(colour, atlas.points, atlas.anatomy, looks, rng)
        for curve in features.brow_curves(atlas.anatomy, looks):
            on = np.linalg.norm(atlas.points - curve[25], axis=1) < 0.012
            assert on.sum() > 3 and luminance(colour[on]).mean() < 0.75 * luminance(np.array([0.5, 0.32, 0.25]))
            # brows that come down to the nose look angry: the inner end is well above the lids, and not far below the arch
            assert curve[3, 1] > atlas.anatomy.landmarks[[37, 38, 43, 44], 1].max() + 0.07
            assert curve[3, 1] > curve[:, 1].max() - 0.06
    face = np.abs(atlas.points[:, 0]) < 0.3
    untouched = face & (np.abs(atlas.points[:, 1] - 0.5) < 0.05) & (atlas.kind == 0)
    assert untouched.any() and np.ptp(colour[untouched], axis=0).max() == 0  # and nothing but the brows is painted


def test_teeth_are_separate():
    atlas, rng = _atlas(), np.random.default_rng(0)
    chosen = atlas.kind == KINDS.index("teeth")
    points, upper = atlas.points[chosen], atlas.upper[chosen]
    colour = features.teeth(points, upper, atlas.anatomy, 30, rng)
    bite = points[upper & (points[:, 2] > 0.5), 1].min()
    front = upper & (np.abs(points[:, 1] - bite - 0.055) < 0.035) & (np.abs(points[:, 0]) < 0.15)
    bins = np.round(points[front, 0] / 0.006).astype(int)
    along = np.array([luminance(colour[front][bins == b]).mean() for b in np.unique(bins)])
    around = np.array([np.max(along[max(i - 4, 0) : i + 5]) for i in range(len(along))])
    dark = along < 0.87 * around
    assert 4 <= (dark[1:] & ~dark[:-1]).sum() <= 10  # gaps between the six to eight teeth in front


def test_closed_mouth_shows_no_teeth(person, scene):
    marked = person.texture.copy()
    atlas = _atlas()
    chosen = atlas.kind == KINDS.index("teeth")
    marked[atlas.where[0][chosen], atlas.where[1][chosen], :3] = [0, 1, 0]
    painted = replace(person, texture=marked)
    assert np.array_equal(shot(person, scene), shot(painted, scene))
    smile = {"mouthUpperUpLeft": 0.7, "mouthUpperUpRight": 0.7, "jawOpen": 0.25}
    assert (shot(person, scene, **smile) != shot(painted, scene, **smile)).any(-1).sum() > 10


def test_brows_move_with_their_actions(person, scene):
    rest, raised = shot(person, scene).astype(int), shot(person, scene, browInnerUp=1.0).astype(int)
    upper, lower = np.abs(rest - raised)[: SIZE // 2], np.abs(rest - raised)[int(0.7 * SIZE) :]
    assert upper.mean() > 5 * lower.mean()


def test_scenes_differ_in_lens_and_compression():
    scenes = [Scene.sample(np.random.default_rng(i), 16) for i in range(60)]
    quality = np.array([s.quality for s in scenes])
    assert 0 < (quality == 0).mean() < 0.8 and quality[quality > 0].min() >= 55 and quality.max() <= 95
    assert np.ptp([s.softness for s in scenes]) > 0.1 and np.ptp([s.aperture for s in scenes]) > 0.5


def test_lens_and_compression_act_on_the_picture(person, scene):
    sharp = shot(person, scene).astype(float)
    soft = shot(person, replace(scene, softness=0.8)).astype(float)
    edges = [np.abs(np.diff(picture, axis=1)).mean() for picture in (sharp, soft)]
    assert edges[1] < 0.9 * edges[0]
    pressed = shot(person, replace(scene, quality=55)).astype(float)
    assert 0.5 < np.abs(pressed - sharp).mean() < 12
    deep = shot(person, replace(scene, aperture=1.5)).astype(float)
    middle = np.abs(deep - sharp)[SIZE // 3 : -SIZE // 3, SIZE // 2 - 8 : SIZE // 2 + 8].mean()
    assert np.abs(deep - sharp).mean() > 0 and middle < 1.5  # the face stays in focus


def test_paint_is_deterministic_for_a_seed(head):
    def once():
        rng = np.random.default_rng(5)
        skin = sample_skin(rng, head.sex, head.age, head.ethnicity)
        drawn = hair.Hair.sample(rng, skin, head.sex, head.age, head.ethnicity)
        return paint.paint(skin, head.sex, head.age, drawn, 0.5, rng)

    for a, b in zip(once(), once()):
        assert np.array_equal(a, b)
