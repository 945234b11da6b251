"""Reading, finding, aligning and pasting faces: on a real portrait, by hand, and against round trips."""

import copy
import functools

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from emolib.errors import EmolibError
from emolib.face.alignment import Alignment, feather, five_points, nme, template, warp_affine
from emolib.face.geometry import invert, similarity, transform
from emolib.face.landmarker import load_face_net
from emolib.face.landmarks import GRID, NOISE, Question, ask, detect, features, filled, landmarks_question, track
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import render
from emolib.media.pictures import load_image, to_rgb8


@functools.cache
def portrait():
    image = skimage.data.astronaut()
    return image, detect(image)[0]


def turned(image, degrees):
    """The image turned about its centre, and the map of its points."""
    height, width = image.shape[:2]
    angle, centre = np.deg2rad(degrees), np.array([width, height]) / 2
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, centre - linear @ centre])
    return warp_affine(image, matrix, (width, height)), matrix


def test_portrait_has_one_face_with_its_points_where_they_are():
    image, face = portrait()
    assert len(detect(image)) == 1
    eyes_nose_mouth = five_points(face.landmarks)
    by_eye = np.array([[204, 101], [247, 103], [225.5, 128], [201, 140], [244, 141]])  # read off the picture by hand
    assert np.abs(eyes_nose_mouth - by_eye).max() < 4
    left, top, right, bottom = face.box
    assert left < eyes_nose_mouth[:, 0].min() and eyes_nose_mouth[:, 0].max() < right
    assert top < eyes_nose_mouth[:, 1].min() and eyes_nose_mouth[:, 1].max() < bottom


def test_answers_of_crops_are_those_of_double_precision_laid_on_the_grid():
    """Whatever float32 makes of a crop, on this processor or another, what is kept is the rounded answer of float64."""
    image, face = portrait()
    alignment = Alignment.from_landmarks(face.landmarks, 128)
    crop = alignment.crop(image).astype(int)
    frames = np.stack([(crop + k).clip(0, 255).astype(np.uint8) for k in range(0, 48, 2)])
    question = landmarks_question()
    with torch.no_grad():
        exact = question.answer(features(frames, copy.deepcopy(load_face_net()).double()))[0].numpy()
        single = question.answer(features(frames, load_face_net()))[0].double().numpy()
    assert 0 < np.abs(exact - single).max() < NOISE  # they do differ, by less than is allowed for
    found = ask(frames, question)[0][0]
    assert np.array_equal(found, np.round(exact * GRID) / GRID)
    assert np.array_equal(track(frames, bias=True), found * 128)
    everything = ask(frames, question, Question(question.answer, (0, 0), (0.0, 0.0)))
    assert np.array_equal(everything[0][0], found) and np.abs(everything[1][0] - exact).max() < NOISE


def test_no_frames_are_refused():
    with pytest.raises(EmolibError, match="no face found in any of 0 frames"):
        track(np.zeros((0, 128, 128, 3), np.uint8))


@pytest.mark.parametrize("degrees", [-28, 33])
def test_a_turned_face_has_turned_landmarks(degrees):
    image, face = portrait()
    picture, matrix = turned(image, degrees)
    assert nme(detect(picture)[0].landmarks, transform(matrix, face.landmarks)) < 1.5


def test_scale_and_kind_of_array_do_not_matter():
    image, face = portrait()
    small = np.asarray(Image.fromarray(image[20:220, 120:320]).resize((100, 100), Image.Resampling.LANCZOS))
    assert nme(detect(small)[0].landmarks * 2 + [120, 20], face.landmarks) < 3
    grey16 = image.astype(np.uint16).mean(-1).astype(np.uint16) * 257
    assert nme(detect(grey16)[0].landmarks, face.landmarks) < 2


def test_two_faces_largest_first_and_picked():
    image, face = portrait()
    crop = image[20:220, 120:320]
    picture = np.full((300, 520, 3), 200, np.uint8)
    picture[150:250, 20:120] = np.asarray(Image.fromarray(crop).resize((100, 100), Image.Resampling.LANCZOS))
    picture[50:250, 300:500] = crop
    faces = detect(picture)
    assert [round(five_points(f.landmarks)[:, 0].mean() / 100) for f in faces] == [4, 1]
    assert nme(detect(picture, face=2)[0].landmarks, faces[1].landmarks) == 0
    with pytest.raises(EmolibError, match="face 3 was asked for but 2 found"):
        detect(picture, face=3)


def test_no_face_is_refused():
    with pytest.raises(EmolibError, match="no face found in the 64 x 48 px image"):
        detect(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(EmolibError, match="no face found in any of 3 frames"):
        track(np.zeros((3, 64, 64, 3), np.uint8))


def test_similarity_finds_a_known_one():
    matrix = np.array([[0.6, -0.8, 5.0], [0.8, 0.6, -3.0]]) * [[1.5, 1.5, 1.0]]
    points = np.random.default_rng(0).normal(size=(5, 2))
    assert np.allclose(similarity(points, transform(matrix, points)), matrix)
    assert np.allclose(transform(invert(matrix), transform(matrix, points)), points)


def test_alignment_puts_the_five_points_on_the_template():
    image, face = portrait()
    alignment = Alignment.from_landmarks(face.landmarks, 128)
    assert (
        np.linalg.norm(five_points(alignment.points(face.landmarks)) - template() * 128, axis=1).mean() < 6
    )  # a smile
    assert np.allclose(alignment.inverse_points(alignment.points(face.landmarks)), face.landmarks)
    clip = face.landmarks + np.array([-9.0, 0.0, 1.0])[:, None, None]
    assert np.allclose(
        Alignment.from_landmarks(clip, 128).matrix, alignment.matrix
    )  # the median counts, not the outlier


@pytest.mark.parametrize("size", [96, 512])
def test_crop_shows_each_point_within_half_a_pixel_of_where_the_matrix_says(size):
    x, y = np.meshgrid(np.arange(300) + 0.5, np.arange(300) + 0.5)
    centre = np.array([161.3, 142.8])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 12.0**2))
    image = np.repeat(np.round(255 * blob).astype(np.uint8)[..., None], 3, 2)
    angle, scale = 0.35, size / 230
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    alignment = Alignment(np.column_stack([linear, size / 2 - linear @ [150, 150]]), size)
    crop = alignment.crop(image)[..., 0].astype(float)
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    found = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    assert np.abs(found - alignment.points(centre)).max() < 0.5 * scale
    back = alignment.paste(alignment.crop(image), image, np.ones((size, size)))
    assert np.abs(back.astype(int) - image).max() <= (6 if scale > 1 else 16)


def test_paste_is_the_inverse_of_crop_and_leaves_the_rest_alone():
    image, face = portrait()
    alignment = Alignment.from_landmarks(face.landmarks, 256)
    crop = alignment.crop(image)
    pasted = alignment.paste(crop, image)
    assert peak_signal_noise_ratio(image, pasted) > 45
    assert np.array_equal(pasted[300:], image[300:])
    dark = alignment.paste(crop // 2, image)
    column = dark[:, 225].astype(int) - image[:, 225]  # through the face: no step where the crop begins
    assert column.min() < -60
    assert np.abs(dark.astype(int) - image)[int(alignment.inverse_points(np.zeros(2))[1]) + 2].max() <= 1
    assert np.array_equal(pasted, alignment.paste(crop, image))


def test_feather_is_one_on_the_face_and_zero_on_the_border():
    mask = feather(128)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert mask[40:88, 40:88].min() == 1.0 and border.max() == 0.0
    assert np.abs(np.diff(mask, axis=1)).max() < 0.1


def test_track_follows_a_moving_face_and_fills_gaps():
    image, face = portrait()
    alignment = Alignment.from_landmarks(face.landmarks, 128)
    shifts = np.linspace(0, 6, 7)
    frames = np.stack([Alignment(alignment.matrix + [[0, 0, s], [0, 0, 0]], 128).crop(image) for s in shifts])
    frames[3] = 0
    truth = alignment.points(face.landmarks) + np.stack([shifts, 0 * shifts], 1)[:, None]
    assert nme(track(frames), truth).max() < 2.5
    gaps = np.full((4, 68, 2), np.nan)
    gaps[1], gaps[3] = 2.0, 4.0
    assert filled(gaps)[:, 0, 0].tolist() == [2, 2, 3, 4]


def test_nme_by_hand():
    truth = np.zeros((68, 2))
    truth[42:48, 0] = 10.0
    assert nme(truth + [3.0, 4.0], truth) == pytest.approx(50.0)


def test_load_image_turns_blends_and_scales(tmp_path):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:10] = [255, 0, 0]
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(upright[::-1, ::-1].copy()).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "turned.png"), upright)
    alpha = np.dstack([upright, np.full((40, 60), 51, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    assert load_image(tmp_path / "alpha.png")[30, 0].tolist() == [204, 204, 204]  # 80 % of the white below
    deep = np.full((40, 60), 32768, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert load_image(tmp_path / "deep.png")[0, 0].tolist() == [128, 128, 128]
    assert to_rgb8(np.full((40, 40), 0.5, np.float32)).max() == 128


def _saved(kind: str, folder):
    """(path, where its pixel (0, 0) lies in the portrait, portrait pixels a pixel) of the astronaut as ``kind`` of file."""
    image, path = Image.fromarray(portrait()[0]), folder / "portrait.png"
    corner, scale = (0, 0), 1.0
    if kind == "grey":
        image = image.convert("L")
    elif kind == "RGBA":
        image.putalpha(200)
    elif kind == "palette":
        image = image.convert("P")
    elif kind == "16 bit":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif kind == "64 px":
        corner, scale = (150, 10), 180 / 64
        image = image.crop((150, 10, 330, 190)).resize((64, 64), Image.Resampling.LANCZOS)
    elif kind == "4000 px":
        scale = image.width / 4000
        image = image.resize((4000, 4000))
    exif = Image.Exif()
    if kind == "EXIF-turned":
        path = folder / "portrait.jpg"
        exif[0x0112] = 6
        image = image.rotate(90, expand=True)
    image.save(path, exif=exif)
    return path, corner, scale


@pytest.mark.parametrize("kind", ["grey", "RGBA", "palette", "16 bit", "EXIF-turned", "64 px", "4000 px"])
def test_a_face_is_found_in_any_kind_of_picture(kind, tmp_path):
    path, corner, scale = _saved(kind, tmp_path)
    found = detect(load_image(path))[0].landmarks
    assert nme(found * scale + corner, portrait()[1].landmarks) < 2.5


def test_an_extreme_profile_is_refused():
    turned = Coefficients.zeros(1).replace(pose=torch.tensor([[0.0, 1.6, 0.0, 0.0, 0.0, 0.0]]))
    rendering = render(load_face_model(), turned, 256)
    image = (rendering.image[0] * 255).byte().permute(1, 2, 0).numpy()
    with pytest.raises(EmolibError, match="no face found"):
        detect(image)


def test_load_image_refuses(tmp_path):
    with pytest.raises(EmolibError, match="no image at"):
        load_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(EmolibError, match="is not an image"):
        load_image(tmp_path / "text.png")
    Image.new("RGB", (31, 200)).save(tmp_path / "small.png")
    with pytest.raises(EmolibError, match="is 31 x 200 px; expected at least 32"):
        load_image(tmp_path / "small.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:4000])
    with pytest.raises(EmolibError, match="cannot be read as an image"):
        load_image(tmp_path / "half.png")
