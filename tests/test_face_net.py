"""The face net: equal to the original, and finding what it should in pictures of any size and angle."""

import os
from pathlib import Path

import litert
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from emolib.errors import EmolibError
from emolib.face import finding
from emolib.face.alignment import interocular
from emolib.face.arkit import ARKIT
from emolib.face.dlib_landmarks import detect
from emolib.face.finding import crop, find, read, rois_of
from emolib.face.landmarker import POINTS, SHAPE_NAMES, WEIGHTS, head_angles, head_pose, load_face_net
from emolib.weights import save_weights, verify

ASTRONAUT = skimage.data.astronaut()
SHAPE = {name: place for place, name in enumerate(SHAPE_NAMES)}


@pytest.fixture(scope="module")
def stored():
    with np.load(litert.STORED) as file:
        return dict(file)


@pytest.fixture(scope="module")
def eight():
    return torch.from_numpy(litert.pictures()).permute(0, 3, 1, 2).float() / 255


def test_points_and_shapes_are_those_of_the_original(stored, eight):
    net = load_face_net()
    with torch.no_grad():
        points, presence = net.points(eight)
        shapes = net.shapes(points)
    assert np.abs(points.numpy() - stored["points"]).max() < 2e-3  # px; 6e-4 on the machine that stored them
    assert np.abs(presence.numpy() - stored["presence"]).max() < 1e-3
    assert np.abs(shapes.numpy() - stored["shapes"]).max() < 2e-4
    assert np.ptp(stored["points"][:, :, 0].mean(1)) > 10  # the pictures do differ


def test_detector_is_that_of_the_original(stored, eight):
    net = load_face_net()
    with torch.no_grad():
        logits, boxes = net.detector(torch.nn.functional.avg_pool2d(eight, 2))
    assert np.abs(logits.numpy() - stored["logits"]).max() < 1e-3
    raw = boxes.numpy()[:, :64] * 128
    raw[:, :, [0, *range(2, 8)]] -= net.detector.anchors[:64, None].numpy() * 128
    assert np.abs(raw - stored["boxes"]).max() < 5e-3


@pytest.mark.skipif("EMOLIB_LANDMARKER" not in os.environ, reason="EMOLIB_LANDMARKER names no .task file")
def test_the_stored_answers_are_litert_s(stored):
    pytest.importorskip("ai_edge_litert")
    fresh = litert.answers(Path(os.environ["EMOLIB_LANDMARKER"]))
    assert {name: float(np.abs(fresh[name] - stored[name]).max()) for name in stored} == pytest.approx(
        dict.fromkeys(stored, 0), abs=2e-3
    )


def test_names_are_arkit_s():
    assert set(SHAPE_NAMES) - {"_neutral"} == set(ARKIT) - {"tongueOut"}


def test_gradients_reach_the_pixels(eight):
    frames = eight[:2].clone().requires_grad_()
    rois = torch.tensor([[128.0, 128, 230, 0.1]]).repeat(2, 1)
    reading = read(frames, rois)
    load_face_net().shapes(finding.upright(reading))[:, SHAPE["jawOpen"]].sum().backward()
    assert (frames.grad[:, :, 64:192, 64:192].abs().sum((1, 2, 3)) > 0).all()


def test_crop_follows_a_line_of_the_picture():
    ramp = torch.arange(100.0)[None, None, None].expand(1, 3, 80, 100) / 100  # value (x - .5) / 100
    upright, turned = (crop(ramp, torch.tensor([[50.0, 40, 20, turn]]), 40)[0, 0] for turn in (0.0, np.pi / 2))
    # 40 samples of 20 px about x = 50: the first lies at 50 - 10 + .25
    assert upright[20].tolist() == pytest.approx([(40.25 + 0.5 * i - 0.5) / 100 for i in range(40)], abs=1e-4)
    assert turned[:, 20].tolist() == pytest.approx(upright.flip(1)[20].tolist(), abs=1e-4)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 135, 180, 230, 315])
def test_a_face_is_found_at_any_angle(degrees):
    picture = Image.fromarray(ASTRONAUT[:300, 70:370]).rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    (face,) = find(np.asarray(picture), face=1)
    off = (face.turn - 2.9 - degrees + 180) % 360 - 180  # she holds her head a little aside
    assert abs(off) < 4
    assert face.shapes[[SHAPE["mouthSmileLeft"], SHAPE["mouthSmileRight"]]].min() > 0.7
    assert face.size == pytest.approx(108, rel=0.04)


@pytest.mark.parametrize("side", [24, 40, 108, 300])
def test_a_face_is_found_at_any_size(side):
    scale = side / 108
    picture = Image.fromarray(ASTRONAUT[:300, 70:370]).resize((round(300 * scale),) * 2, Image.Resampling.LANCZOS)
    (face,) = find(np.asarray(picture), face=1)
    (known,) = find(ASTRONAUT[:300, 70:370], face=1)
    assert face.size == pytest.approx(side, rel=0.06)
    assert np.abs(face.landmarks / scale - known.landmarks).mean() < 0.03 * 108


def test_faces_are_told_apart_and_the_largest_is_first():
    small = np.asarray(Image.fromarray(ASTRONAUT).resize((256, 256)))
    picture = np.full((512, 800, 3), 128, np.uint8)
    picture[:, :512], picture[100:356, 530:786] = ASTRONAUT, small
    first, second = find(picture)
    assert first.size == pytest.approx(2 * second.size, rel=0.05)
    assert find(picture, face=2)[0].box == second.box
    with pytest.raises(EmolibError, match="face 3 was asked for but 2 found"):
        find(picture, face=3)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "brick"])
def test_what_is_no_face_is_none(name):
    picture = getattr(skimage.data, name)()
    picture = np.ascontiguousarray(np.broadcast_to(picture.reshape(*picture.shape[:2], -1), (*picture.shape[:2], 3)))
    with pytest.raises(EmolibError, match="no face found in the"):
        find(picture)


def test_a_blurred_face_is_found_where_it_is(monkeypatch):
    picture = np.zeros((512, 400, 3), np.uint8)
    picture[:, 200:] = 100
    small, scale = finding._sharpened(picture)
    assert small.shape == (256, 200, 3) and scale == 0.5
    assert (
        small[128, 97:103].max() > 150 and small[128, :80].max() == 0
    )  # the edge is steeper, flat parts are as they were
    (seen,) = finding._search(ASTRONAUT, load_face_net())
    asked = []

    def blind(image, net):  # as the detector is to a blurred picture
        asked.append(image.shape[:2])
        return [] if len(asked) == 1 else [seen]

    monkeypatch.setattr(finding, "_search", blind)
    assert find(ASTRONAUT)[0].points == pytest.approx(2 * seen.points) and asked == [(512, 512), (256, 256)]


def test_what_is_proposed_outside_the_picture_is_passed_over():
    away = torch.tensor([[-300.0, 40.0, 60.0, 0.0], [700.0, 900.0, 60.0, 0.0]])
    assert finding._confirmed(ASTRONAUT, away, load_face_net()) == []


def test_rois_frame_the_points():
    points = torch.zeros(1, POINTS, 3)
    angle = torch.linspace(0, 2 * torch.pi, POINTS)
    points[0, :, 0], points[0, :, 1] = 50 + 20 * angle.cos(), 60 + 10 * angle.sin()
    for eye, x in zip((finding.RIGHT_EYE, finding.LEFT_EYE), (45.0, 55.0)):
        points[0, list(eye), :2] = torch.tensor([x, 60.0])
    assert rois_of(points)[0].tolist() == pytest.approx([50, 60, 60, 0], abs=0.05)


def test_other_weights_are_refused(tmp_path):
    path = save_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)}, {"kind": "eac"})
    with pytest.raises(EmolibError, match="holds eac; expected the nets of `make foundation`"):
        load_face_net(path)


def test_foundation_is_whole_and_says_where_it_is_from():
    manifest = verify(WEIGHTS.parent)
    assert set(manifest["files"]) == {
        path.name for path in WEIGHTS.parent.iterdir() if path.suffix in (".safetensors", ".npz")
    }
    for name in manifest["files"]:
        assert manifest["origins"][name]["licence"] and name in (WEIGHTS.parent / "NOTICE").read_text()
    assert all((WEIGHTS.parent / f"LICENSE-{name}").is_file() for name in ("Apache-2.0", "MIT"))


def test_the_68_points_lie_where_dlib_sees_them():
    assert len(finding.IBUG68) == len(set(finding.IBUG68)) == 68
    (seen,) = detect(ASTRONAUT)
    (face,) = find(ASTRONAUT)
    off = np.linalg.norm(face.landmarks - seen.landmarks, axis=1) / interocular(seen.landmarks)
    assert off[17:].mean() < 0.05 and off[17:].max() < 0.1
    assert off[:17].mean() < 0.06


@pytest.mark.parametrize("angles", [(0, 0, 0), (12, 0, 0), (0, 25, 0), (0, 0, -40), (10, -30, 20)])
def test_a_turned_head_is_measured(angles):
    """The canonical head itself, turned: down, to the right of the picture, clockwise are positive."""
    net = load_face_net()
    pitch, yaw, roll = np.deg2rad(angles)
    about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    about_y = [[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    turn = torch.tensor(np.array(about_z) @ about_y @ about_x, dtype=torch.float32)
    points = torch.zeros(1, POINTS, 3)
    points[0, :468] = 9 * net.canonical @ turn.T + torch.tensor([100.0, 80, 5])
    found = head_pose(points, net)
    assert torch.allclose(found[0], turn, atol=1e-3)
    assert head_angles(found)[0].tolist() == pytest.approx(angles, abs=0.05)
    nose = points[0, 1] - points[0, [234, 454]].mean(0)  # the tip of the nose, from between the ears
    assert np.sign(angles[1]) == np.sign(round(float(nose[0]), 1)) or angles[2]


def test_a_mirrored_head_looks_the_other_way():
    net = load_face_net()
    faces = [find(picture)[0] for picture in (ASTRONAUT[:300, 70:370], ASTRONAUT[:300, 370:69:-1])]
    pitch, yaw, roll = head_angles(head_pose(torch.from_numpy(np.stack([f.points for f in faces])), net)).T
    assert pitch.tolist() == pytest.approx([float(pitch[0])] * 2, abs=3) and float(yaw.sum()) == pytest.approx(0, abs=3)
    assert float(roll.sum()) == pytest.approx(0, abs=1.5) and float(roll[0]) == pytest.approx(faces[0].turn, abs=1.5)
