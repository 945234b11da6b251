"""The emotion of a face in a picture: drawn people and photographs are told apart, and each asked of who knows them."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageFilter

from emolib.ame import Ame
from emolib.critics.drawn import WEIGHTS, Drawn, looks
from emolib.critics.onlooker import NAMES, load_onlooker
from emolib.critics.onlooker import WEIGHTS as ONLOOKER
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.landmarks import detect, track
from emolib.media.pictures import to_tensor
from emolib.pictured import SIDE, pictured
from emolib.weights import PRETRAINED
from synthface.synth import Studio, plan

ASTRONAUT = skimage.data.astronaut()


@pytest.fixture(scope="module")
def ame():
    return Ame.load(PRETRAINED / "clip.safetensors")


@pytest.fixture(scope="module")
def drawn_people():
    """(emotion, frame) of people of the corpus, 128 px."""
    studio = Studio(0, 128, 1.0)
    specs = plan(1, 1, 0, clips_per_identity=4, unseen_emotions=0)
    return [(spec.emotion, studio.clip(spec)[1][12]) for spec in specs]


def crop_of(picture):
    return np.array(Alignment.from_landmarks(detect(picture)[0].landmarks, SIDE).crop(picture))


def test_the_distance_is_that_of_mahalanobis():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + 3
    drawn = Drawn.of(torch.from_numpy(seen))
    apart = seen[:7] - seen.mean(0)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", apart, np.linalg.inv(np.cov(seen.T)), apart))
    got = ((torch.from_numpy(seen[:7]) - drawn.middle) @ drawn.whiten).norm(dim=1)
    np.testing.assert_allclose(got, expected, rtol=1e-2)


def test_drawn_people_are_known_and_photographs_are_not(drawn_people):
    assert Drawn.load().has(to_tensor(np.stack([frame for _, frame in drawn_people]))).all()
    small = np.asarray(Image.fromarray(ASTRONAUT).resize((128, 128)))
    blurred = np.asarray(Image.fromarray(ASTRONAUT).filter(ImageFilter.GaussianBlur(2)))
    grey = np.repeat(ASTRONAUT.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    crops = np.stack([crop_of(picture) for picture in (ASTRONAUT, small, blurred, grey, ASTRONAUT[:, ::-1].copy())])
    assert not Drawn.load().has(to_tensor(crops)).any()


def test_the_shipped_ones_are_what_was_saved(tmp_path, drawn_people):
    crops = to_tensor(np.stack([frame for _, frame in drawn_people]))
    drawn = Drawn.of(torch.cat([looks(crops), looks(crops.flip(3))] + [looks(crops.roll(k, 3)) for k in range(1, 12)]))
    again = Drawn.load(drawn.save(tmp_path / "drawn.safetensors"))
    torch.testing.assert_close(again.distance(crops), drawn.distance(crops), rtol=1e-3, atol=1e-3)
    with pytest.raises(EmolibError, match="holds onlooker; expected how drawn people look"):
        Drawn.load(ONLOOKER)
    assert WEIGHTS.is_file()


def test_a_photograph_is_embedded_as_a_stranger_sees_it(ame):
    landmarks = detect(ASTRONAUT)[0].landmarks
    shares = load_onlooker().named(ASTRONAUT[None], landmarks)[0]
    expected = torch.nn.functional.normalize(torch.from_numpy(shares) @ ame.text(NAMES), dim=0)
    code = pictured(ame, ASTRONAUT, landmarks)
    torch.testing.assert_close(code, expected)
    assert EMOTIONS[int((ame.text(list(EMOTIONS)) @ code).argmax())] == "happy"  # she smiles


def test_a_drawn_person_is_embedded_by_the_tower_and_a_true_clip_sees_all(ame, drawn_people, monkeypatch):
    _, frame = drawn_people[0]
    landmarks = track(frame[None])[0]
    crop = to_tensor(np.array(Alignment.from_landmarks(landmarks, SIDE).crop(frame))[None])
    torch.testing.assert_close(pictured(ame, frame, landmarks), ame.image(crop)[0])
    monkeypatch.setitem(ame.config, "model", "ViT-B-32")
    monkeypatch.setattr(ame, "image", lambda images: images.new_full((1, 4), 7.0))
    assert pictured(ame, ASTRONAUT, detect(ASTRONAUT)[0].landmarks).tolist() == [7] * 4
