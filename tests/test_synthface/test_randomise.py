from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from emolib.face.arkit import INDEX
from emolib.face.camera import project
from synthface import randomise
from synthface.paint import KINDS, _atlas
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.randomise import COVERED, PICTURES, crop_jitter, degrade, occlude, randomised, randomised_scene
from synthface.synth import Studio

SIDE = 96
REPAINTED = {"texture", "hair_colour", "cloth_colour"}
RELIT = {"lights", "sky", "ground", "background", "exposure", "noise"}


@pytest.fixture(scope="module")
def studio():
    torch.set_num_threads(1)
    return Studio(7, SIDE, 0.4)


@pytest.fixture(scope="module")
def person(studio):
    return studio.cast(0)[0]


@pytest.fixture(scope="module")
def scene():
    return Scene.sample(np.random.default_rng(0), SIDE * SUPERSAMPLE)


def _rng(seed=0):
    return np.random.default_rng(seed)


def _landmarks(frames=5):
    """A face of 50 x 60 pixels, with eyes where eyes are, that moves to the right."""
    points = _rng(1).uniform([23, 30], [73, 90], (68, 2))
    points[:4] = [[23, 30], [73, 30], [23, 90], [73, 90]]
    points[36:42], points[42:48] = [37, 42], [59, 42]
    return points + np.arange(frames)[:, None, None] * [2.0, 0]


def test_pictures_exist_and_show_no_person():
    assert not [path for path in PICTURES for face in ("astronaut", "camera", "coins", "lfw", "hopper") if face in path]
    for path in PICTURES:
        assert randomise.picture(path).mode == "RGB" and min(randomise.picture(path).size) > 50


def test_no_other_file_is_opened(person, scene, monkeypatch):
    opened, real = [], randomise.Image.open
    monkeypatch.setattr(randomise.Image, "open", lambda path: opened.append(Path(path)) or real(path))
    randomise.picture.cache_clear()
    for seed in range(40):
        randomise._patch(_rng(seed), 16)
    assert {path.name for path in opened} <= {Path(path).name for path in PICTURES}
    assert len(opened) > 8  # the cache opens each once


@pytest.mark.parametrize("seed", range(12))
def test_a_person_keeps_all_but_the_paint(person, seed):
    before = person.texture.copy()
    got = randomised(person, _rng(seed))
    for field in fields(person):
        if field.name not in REPAINTED:
            assert getattr(got, field.name) is getattr(person, field.name), field.name
    np.testing.assert_array_equal(person.texture, before)
    assert got.texture.shape == before.shape and got.texture.dtype == np.float32
    assert np.isfinite(got.texture).all() and got.texture.min() >= 0
    assert got.texture[..., :3].max() <= 0.95 and got.texture[..., 3].max() <= 1.2
    for colour in (got.hair_colour, got.cloth_colour):
        assert colour.shape == (3,) and colour.dtype == np.float32 and colour.min() >= 0 and colour.max() <= 0.9
    atlas, grey = _atlas(), np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(got.texture - before)[atlas.where][atlas.kind == KINDS.index("skin")].mean() > 0.01
    for kind in ("eye", "teeth"):
        texels = atlas.kind == KINDS.index(kind)
        pair = [texture[atlas.where][texels][:, :3] @ grey for texture in (before, got.texture)]
        assert np.corrcoef(pair)[0, 1] > 0.85, kind
        assert pair[1].mean() > 0.3 * pair[0].mean(), kind


def test_draws_are_the_generators_and_differ(person, scene):
    for make in (lambda rng: randomised(person, rng).texture, lambda rng: randomised_scene(scene, rng).background):
        np.testing.assert_array_equal(make(_rng(3)), make(_rng(3)))
        assert np.abs(make(_rng(3)) - make(_rng(4))).mean() > 0.005
    frames = _rng().integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    for make in (occlude, degrade):
        np.testing.assert_array_equal(make(frames, _landmarks(), _rng(3)), make(frames, _landmarks(), _rng(3)))


@pytest.mark.parametrize("seed", range(30))
def test_scenes_are_valid_and_a_face_in_them_is_lit(scene, seed):
    got = randomised_scene(scene, _rng(seed))
    assert {f.name for f in fields(Scene) if getattr(got, f.name) is not getattr(scene, f.name)} <= RELIT
    assert got.lights.shape == scene.lights.shape and got.background.shape == scene.background.shape
    assert all(
        x.dtype == np.float32 and np.isfinite(x).all() for x in (got.lights, got.sky, got.ground, got.background)
    )
    np.testing.assert_allclose(np.linalg.norm(got.lights[:, :3], axis=1), 1, atol=1e-5)
    assert got.background.min() >= 0 and got.background.max() <= 1
    assert 0 <= got.noise <= 0.03 and got.lights[:, 3:].max() <= 5
    sides = np.array([[0, 0, 1], [0.7, 0, 0.7], [-0.7, 0, 0.7], [0, 0.6, 0.8], [0, -0.6, 0.8]])
    received = 0.5 * np.clip(sides @ got.lights[:, :3].T, 0, None) @ got.lights[:, 3:] + 0.5 * (got.sky + got.ground)
    assert 0.35 < (received @ [0.2126, 0.7152, 0.0722]).mean() < 1.6


def test_photographs_of_random_people_show_a_face(person, scene):
    arkit, pose = np.zeros((1, len(INDEX)), np.float32), np.zeros((1, 6), np.float32)
    plain = photograph(person, scene, arkit, pose, SIDE, _rng())[0].astype(int)
    for seed in range(3):
        rng = _rng(seed)
        frame = photograph(randomised(person, rng), randomised_scene(scene, rng), arkit, pose, SIDE, rng)
        assert frame.shape == (1, SIDE, SIDE, 3) and frame.dtype == np.uint8
        face = frame[0, 30:70, 30:66].astype(int)
        assert face.std() > 6 and 15 < face.mean() < 245
        assert np.abs(face - plain[30:70, 30:66]).mean() > 8


def test_crop_jitter_moves_the_whole_clip_by_one_similarity(studio, person):
    pose = _rng().normal(0, [0.1, 0.1, 0.05, 0.03, 0.03, 0.1], (6, 6)).astype(np.float32)
    got = crop_jitter(pose, _rng(5))
    assert got.shape == pose.shape and got.dtype == np.float32
    np.testing.assert_array_equal(got, crop_jitter(pose, _rng(5)))
    np.testing.assert_allclose(got[:, :2], pose[:, :2], atol=1e-6)  # pitch and yaw stay
    np.testing.assert_allclose(np.ptp(got[:, [2, 5]] - pose[:, [2, 5]], axis=0), 0, atol=1e-5)
    points = torch.from_numpy(person.head.vertices[studio.model.landmark_index.numpy()]).expand(6, -1, -1)
    before, after = (project(points, torch.from_numpy(p), SIDE)[..., :2].numpy() for p in (pose, got))
    assert 0.2 < np.abs(after - before).mean() < 0.12 * SIDE


def test_crop_jitter_by_hand():
    pose = np.array([[0, 0, 0, 0.1, 0.0, 0.0]], np.float32)
    origin = torch.zeros(1, 1, 3)
    plain = project(origin, torch.from_numpy(pose), 100)[0, 0].numpy()
    shifted = crop_jitter(pose, _rng(2), shift=0.05, scale=0, roll=0)
    dx, dy = np.clip(_rng(2).normal(size=4), -2, 2)[:2] * 5  # pixels of 100
    got = project(origin, torch.from_numpy(shifted), 100)[0, 0].numpy()
    np.testing.assert_allclose(got[:2] - plain[:2], [dx, -dy], atol=1e-3)
    larger = crop_jitter(pose, _rng(2), shift=0, scale=0.1, roll=0)
    grow = 1 + 0.1 * np.clip(_rng(2).normal(size=4), -2, 2)[2]
    got = project(origin, torch.from_numpy(larger), 100)[0, 0].numpy()
    assert got[0] - 50 == pytest.approx(grow * (plain[0] - 50), abs=1e-3)


@pytest.mark.parametrize("covered", [COVERED, 0.04])
def test_an_occluder_hides_no_more_than_its_share(covered, monkeypatch):
    monkeypatch.setattr(randomise, "COVERED", covered)
    landmarks, grey, shares = _landmarks(), np.full((5, SIDE, SIDE, 3), 127, np.uint8), []
    for seed in range(40):
        got = occlude(grey, landmarks, _rng(seed))
        assert (grey == 127).all() and got.dtype == np.uint8 and got.shape == grey.shape
        hidden = (np.abs(got.astype(int) - 127) > 2).any(-1)
        for frame, points in zip(hidden, landmarks.astype(int)):
            (left, top), (right, bottom) = points.min(0), points.max(0)
            shares.append(frame[top:bottom, left:right].sum() / (50 * 60))
    assert 0.7 * covered < max(shares) <= covered + 0.002


def test_an_occluder_is_the_same_thing_in_all_frames():
    side, drifted = 240, 0
    grey, landmarks = np.full((5, side, side, 3), 127, np.uint8), _landmarks() + 70
    for seed in range(40):
        got = occlude(grey, landmarks, _rng(seed))
        hidden = (got != 127).any(-1)
        whole = [
            t for t in range(5) if hidden[t].any() and not hidden[t][[0, -1]].any() and not hidden[t][:, [0, -1]].any()
        ]
        corners = [np.argwhere(hidden[t]).min(0) for t in whole]
        drifted += len(whole) > 1 and not np.array_equal(corners[0], corners[-1])
        things = [got[t][hidden[t]] for t in whole]  # in reading order: the same pixels elsewhere
        for first, second in zip(things, things[1:]):
            np.testing.assert_array_equal(first, second)
    assert drifted > 5


def test_some_occluders_hide_something_and_glasses_follow():
    grey, landmarks = np.full((5, SIDE, SIDE, 3), 127, np.uint8), _landmarks()
    hidden = [(occlude(grey, landmarks, _rng(seed)) != 127).any(-1) for seed in range(30)]
    assert np.mean([mask.any() for mask in hidden]) > 0.6
    moved = [np.array_equal(mask[0][:, :-8], mask[4][:, 8:]) and mask[0].any() for mask in hidden]
    assert 4 < np.sum(moved) < 25  # the face goes 8 pixels to the right, and so do glasses


def test_degrade_is_one_camera_for_the_clip():
    frames = np.repeat(np.repeat(np.arange(SIDE, dtype=np.uint8)[None, None, :, None] * 2, SIDE, 1), 3, -1)
    frames = np.repeat(frames, 4, 0)
    landmarks, changed, occluded = _landmarks(4), 0, 0
    for seed in range(40):
        got = degrade(frames, landmarks, _rng(seed))
        assert got.shape == frames.shape and got.dtype == np.uint8
        if (got == got[:1, :1]).all():  # nothing before it: one curve, the same in all frames
            assert (np.diff(got[0, 0].astype(int), axis=0) >= 0).all()
            changed += not np.array_equal(got, frames)
        else:
            occluded += 1
    assert changed > 10 and 4 <= occluded <= 20
