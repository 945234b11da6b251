"""Dense landmarks: which points, the augmentation that moves them, the net on disk, and the fit that listens to it."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.errors import EmolibError
from emolib.face.alignment import nme
from emolib.face.arkit import INDEX
from emolib.face.dense import AROUND, MEAN_SIGMA, STEP, DenseNet, dense_index, mirrored
from emolib.face.fitting import dense_net, look
from emolib.face.gauss_newton import SIGMA_DENSE, SIGMA_GAP, Evidence, fit_points, from_dense, from_landmarks
from emolib.face.landmarks import PLACE
from emolib.face.loaders import default_path, load_face_model
from emolib.face.model import FaceModel
from emolib.train.augment import other_camera, other_frame
from emolib.train.dense import DenseTraining, moved_points, score
from emolib.train.loop import Loop
from emolib.weights import save_weights
from synthface.build import MIRROR
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.portraits import HELD_OUT, SHOTS, portraits
from synthface.synth import Studio

SIZE = 128


@functools.cache
def model():
    return load_face_model()


@functools.cache
def held_out(person=HELD_OUT + 500):
    """(images, points in image sides) of somebody no net has seen."""
    images, points = portraits(Studio(7, SIZE, 1.0), person, dense_index(model()))
    return images, (points / SIZE).astype(np.float32)


def test_points_are_the_landmarks_first_and_in_mirrored_pairs():
    index = dense_index(model())
    assert len(set(index.tolist())) == len(index) >= 192
    assert index[:68].tolist() == model().landmark_index.tolist()
    other = mirrored(model(), index)
    assert np.array_equal(other[other], np.arange(len(index))) and np.array_equal(other[:68], MIRROR)
    mean = model().mean_shape.numpy()[index]
    assert np.allclose(mean[other] * [-1, 1, 1], mean, atol=1e-5)


def test_portraits_are_reproducible_and_their_points_on_the_face():
    images, points = held_out()
    again, _ = portraits(Studio(7, SIZE, 1.0), HELD_OUT + 500, dense_index(model()))
    assert images.shape == (SHOTS, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert np.array_equal(images, again)
    assert ((points > -0.1) & (points < 1.1)).all()
    frontal = points[::2]  # every second one is hardly turned
    assert (frontal[:, 8, 1] > frontal[:, 27, 1] + 0.1).all()  # the chin lies below the bridge of the nose


def test_augmented_points_stay_on_what_they_marked():
    """A bright spot is moved by the picture's map; its new place, measured on the pixels, must be where the point went."""
    spots = torch.tensor([[[0.3, 0.4], [0.7, 0.6]]]).repeat(8, 1, 1)
    line = (torch.arange(SIZE) + 0.5) / SIZE
    images = torch.zeros(8, 3, SIZE, SIZE)
    for b in range(8):  # a different blob for each point: red, green
        for c, (x, y) in enumerate(spots[b]):
            images[b, c] = torch.exp(-((line[None] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * 0.02**2))
    rng = np.random.default_rng(3)
    moved, maps = other_frame(images, rng)
    expected = moved_points(spots, maps, torch.tensor([1, 0]))
    flipped = torch.linalg.det(maps[:, :, :2]) < 0
    assert flipped.any() and not flipped.all()
    for b in range(8):
        for c in range(2):
            weight = moved[b, c] / moved[b, c].sum()
            seen = torch.stack([(weight * line[None]).sum(), (weight * line[:, None]).sum()])
            assert torch.allclose(expected[b, 1 - c if flipped[b] else c], seen, atol=0.004)


def test_another_camera_keeps_range_and_size():
    images, _ = held_out()
    batch = torch.from_numpy(images[:4]).permute(0, 3, 1, 2).float() / 255
    still = torch.eye(2, 3).repeat(4, 1, 1)
    seen = other_camera(batch, still, np.random.default_rng(0))
    assert seen.shape == batch.shape and seen.min() >= 0 and seen.max() <= 1 and not torch.equal(seen, batch)


def test_training_learns_and_the_net_survives_the_disk(tmp_path):
    images, points = held_out()
    training = DenseTraining(
        images=images, points=points, index=tuple(dense_index(model()).tolist()), face_model=default_path(),
        steps=80, seed=0, batch_size=16,
    )  # fmt: skip
    training.prepare()
    assert training.features.shape == (3 * len(images), 64, 32, 32) and len(training.places) == 3 * len(images)
    error = pd.DataFrame(Loop(training, checkpoints=tmp_path, log_every=1, device="cpu").run())["error_px"]
    assert error.iloc[-10:].mean() < 0.75 * error.iloc[0], error.tolist()
    training.save(tmp_path / "dense.safetensors")
    loaded = DenseNet.load(tmp_path / "dense.safetensors")
    assert loaded.knows(model())
    (mine, sigma), (theirs, doubt) = training.models["dense"].locate(images), loaded.locate(images)
    assert np.abs(mine - theirs).max() < 0.6  # half precision on disk: one step of the grid
    assert np.abs(np.log2(sigma / doubt)).max() < 0.26  # and of the deviations'
    save_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"kind": "loss"})
    with pytest.raises(EmolibError, match="something else than dense landmarks"):
        DenseNet.load(tmp_path / "other.safetensors")


def test_a_point_is_looked_for_once_more_where_the_first_answer_is():
    """A local detector that answers "how bright is it here" reads the map at the place of its point, by hand on a ramp."""
    net = DenseNet([0, 1])
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.fine.weight[0, 0] = 1.0  # channel 0 passes through
        net.smooth.weight[0, 0, 1, 1] = 1.0
        net.local[:, AROUND**2 // 2, 0] = 1.0  # the middle cell of channel 0 moves x
        net.mean.copy_(torch.tensor([PLACE[:2], [PLACE[0] + PLACE[2] / 4, PLACE[1]]]))
    ramp = torch.zeros(1, 64, 32, 32)
    ramp[0, 0] = (torch.arange(32) + 0.5) / 32
    fine, sigma, first = net(ramp)
    assert torch.allclose(first[0], net.mean) and torch.allclose(sigma, torch.tensor(MEAN_SIGMA))
    # the first point stands in the middle of what the net looks at, the second halfway to its right edge
    assert torch.allclose((fine - first)[0] / STEP, torch.tensor([[0.5, 0.0], [0.75, 0.0]]), atol=1e-5)


def test_the_shipped_net_sees_people_it_never_saw():
    images, points = held_out()
    found = score(dense_net(model()), images, points)
    assert found["dense_nme_pct"] < 4  # all angles; frontal ones alone are better
    assert 0.3 < found["dense_sigma_ratio"] < 3  # it knows how sure it is


def test_the_fit_with_the_net_is_nearer_to_the_truth_than_the_detector():
    images, points = held_out()
    frontal = images[::2]
    truth = points[::2, :68] * SIZE
    with_net, without = [], []
    for image, place in zip(frontal, truth):
        try:
            evidence, landmarks = look(model(), image[None], drawn=True)
        except EmolibError:
            continue  # the detector does not find everyone
        detected = from_landmarks(model(), landmarks, SIZE)
        for kept, seen in ((with_net, evidence), (without, detected)):
            c = fit_points(model(), seen)
            points_ = model().landmarks(c.alpha, c.beta, c.pose, SIZE).numpy()
            kept.append(nme(points_, place[None])[0])
    assert len(with_net) >= 5
    assert np.mean(with_net) < np.mean(without)


def test_renderings_are_told_by_the_dense_landmarks_and_photographs_by_the_face_net():
    images, points = held_out()
    moved = points[:1, :68] * SIZE + 3.0  # what a face net would say that is wrong by 3 px
    errors = {}
    for drawn in (True, False):
        evidence, _ = look(model(), images[:1], moved, drawn=drawn)
        c = fit_points(model(), evidence)
        fitted = model().landmarks(c.alpha, c.beta, c.pose, SIZE).numpy()
        errors[drawn] = nme(fitted, moved)[0], nme(fitted, points[:1, :68] * SIZE)[0]
    assert errors[True][1] < errors[True][0] and errors[False][0] < errors[False][1]


@pytest.mark.parametrize("degrees", [-45, -25, 25, 45])
def test_the_pose_of_a_turned_head_is_found(degrees):
    studio = Studio(7, SIZE, 1.0)
    body = studio.cast(HELD_OUT + 501)[0]
    rng = np.random.default_rng(0)
    pose = np.zeros((1, 6), np.float32)
    pose[0, 1] = np.deg2rad(degrees)
    still = np.zeros((1, len(INDEX)), np.float32)
    pose, _ = studio.framed(body, still, pose, rng)
    image = photograph(body, Scene.sample(rng, SIZE * SUPERSAMPLE), still, pose, SIZE, rng)
    net = dense_net(model())
    fitted = fit_points(model(), from_dense(net.config["index"], *net.locate(image), SIZE))
    assert np.rad2deg(np.abs(fitted.pose[0, :3].numpy() - pose[0, :3])).max() < 8


def test_evidence_by_hand():
    sigma = np.full((2, 68), 2.0)
    points = np.zeros((2, 68, 2))
    evidence = from_dense(np.arange(68), points, sigma, 100)
    spread = SIGMA_DENSE * 0.02
    assert evidence.precision[0, 0] == pytest.approx(spread**-2)  # the jaw's end: alone
    assert evidence.precision[2 * 62, 2 * 62] == pytest.approx(spread**-2 * (1 + SIGMA_GAP**-2))
    assert evidence.precision[2 * 62, 2 * 66] == pytest.approx(-(spread**-2) * SIGMA_GAP**-2)  # the lips' gap
    both = Evidence.join(evidence, evidence.weakened(2.0))
    assert both.points.shape == (2, 136, 2) and both.precision.shape == (272, 272)
    assert both.precision[136, 136] == pytest.approx(both.precision[0, 0] / 4)
    assert not both.precision[:136, 136:].any()


def test_a_net_of_another_model_keeps_silent():
    turned = FaceModel(**vars(model()) | {"landmark_index": model().landmark_index.flip(0)})
    assert dense_net(turned) is None
    images, _ = held_out()
    evidence, landmarks = look(turned, images[:1])
    assert len(evidence.index) == 68 == landmarks.shape[1]
