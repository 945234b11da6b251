"""A face that fills its picture is found, where it is; nothing else is."""

import numpy as np
import pytest
import skimage.data

from emolib.errors import EmolibError
from emolib.face import framed
from emolib.face.framed import faces_of
from emolib.face.landmarks import detect
from emolib.request import check

ASTRONAUT = skimage.data.astronaut()


def blind(image, *, face=None):
    raise EmolibError("no face found in the picture")


def test_what_is_found_anyway_is_as_found():
    (known,), (found,) = detect(ASTRONAUT, face=1), faces_of(ASTRONAUT, face=1)
    np.testing.assert_array_equal(found.landmarks, known.landmarks)


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("shape", [(80, 172, 110, 110), (75, 178, 122, 96), (84, 160, 100, 140)])
def test_a_face_that_the_detector_misses_is_found_where_it_is(monkeypatch, scale, shape):
    top, left, height, width = shape
    tight = ASTRONAUT[top : top + height, left : left + width].repeat(scale, 0).repeat(scale, 1)
    (known,) = detect(ASTRONAUT[:300, 70:370], face=1)
    expected = (known.landmarks + [70 - left, -top]) * scale
    monkeypatch.setattr(framed, "detect", blind)
    (found,) = faces_of(tight)
    assert np.abs(found.landmarks - expected).mean() < 0.01 * np.ptp(expected[:, 0])
    assert found.box[0] < found.landmarks[:, 0].max() < found.box[2] + 0.05 * width * scale


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_what_is_no_face_is_none_in_a_frame_either(name):
    with pytest.raises(EmolibError, match="no face found in the"):
        faces_of(getattr(skimage.data, name)())


def test_another_face_than_the_first_is_not_looked_for_in_a_frame(monkeypatch):
    monkeypatch.setattr(framed, "_filling", lambda image: pytest.fail("was looked for"))
    with pytest.raises(EmolibError, match="face 2 was asked for but 1 found"):
        faces_of(ASTRONAUT[:300, 70:370], face=2)


def test_the_frame_has_the_mean_colour():
    square, corner = framed._framed(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    assert square.shape == (4, 4, 3) and corner.tolist() == [1, 1]
    assert (
        square[1, 1].tolist() == [0] * 3 and square[1, 2].tolist() == [255] * 3 and square[0, 0].tolist() == [128] * 3
    )


def test_a_user_is_told_that_the_picture_ends_within_the_face(tmp_path):
    voice = 0.1 * np.sin(np.arange(16000) / 20).astype(np.float32)
    cut, whole = (
        check(picture, voice, "sad", 2, tmp_path / "a.mp4")
        for picture in (ASTRONAUT[95:160, 180:274], ASTRONAUT[:300, 70:370])
    )
    assert any("the picture ends within the face" in note for note in cut.notes)
    assert not any("the picture ends within the face" in note for note in whole.notes)
