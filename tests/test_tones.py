"""What is drawn into a black-and-white photograph is black and white, and a toned one keeps its tone."""

import numpy as np
import pytest
import skimage.data
import torch

from emolib.face.landmarks import detect
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.hef import Hef
from emolib.media.pictures import to_frames, to_tensor
from emolib.portrait import portrait_of
from emolib.tones import ALIKE, tones_of
from emolib.weights import PRETRAINED

FACE = skimage.data.astronaut()[:300, 70:370]
GREY = np.repeat(np.round(FACE @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None], 3, 2)


def sepia(noise: float = 0.0) -> np.ndarray:
    light = GREY[..., 0] / 255
    toned = np.stack([light**0.8, light, 0.8 * light**1.2], 2)
    return np.clip(toned + noise * np.random.default_rng(0).normal(size=toned.shape), 0, 1)


def test_a_colour_photograph_has_no_tones():
    assert tones_of(to_tensor(FACE[None])) is None


def test_grey_is_grey_whatever_is_drawn():
    tones = tones_of(to_tensor(GREY[None]))
    drawn = torch.tensor([0.8, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    expected = torch.full((1, 3, 4, 4), 0.299 * 0.8 + 0.587 * 0.2 + 0.114 * 0.1)
    torch.testing.assert_close(tones.of(drawn), expected)
    torch.testing.assert_close(tones.of(to_tensor(GREY[None])), to_tensor(GREY[None]))


@pytest.mark.parametrize("noise", [0.0, ALIKE / 2])
def test_sepia_is_a_function_of_its_lightness(noise):
    picture = torch.from_numpy(sepia(noise)).permute(2, 0, 1)[None].float()
    tones = tones_of(picture)
    assert (tones.of(picture) - picture).square().mean().sqrt() < ALIKE
    red = tones.of(torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1))[0, :, 0, 0]
    assert red[0] > red[1] > red[2]  # as light pixels of this picture are, and as this light
    assert float(red @ torch.tensor([0.299, 0.587, 0.114])) == pytest.approx(0.3394, abs=0.01)


def test_too_much_of_another_colour_is_no_tone():
    assert tones_of(torch.from_numpy(sepia(3 * ALIKE)).permute(2, 0, 1)[None].float()) is None


def test_the_mouth_of_a_grey_portrait_opens_grey():
    model = load_face_model(PRETRAINED / SHIPPED)
    hef = Hef.load(PRETRAINED / "hef.safetensors")
    portrait, alignment = portrait_of(hef, model, GREY, detect(GREY)[0].landmarks)
    actions = torch.zeros(2, 52)
    actions[1, model.arkit_names.index("jawOpen")] = 0.7
    beta = torch.stack([portrait.own.beta[0], (actions @ model.arkit_to_beta)[1]])
    made = portrait.frames(portrait.own.expand(2).replace(beta=beta), torch.zeros(1, hef.config["sigma_dim"]))
    frames = to_frames(made).astype(int)
    assert (frames.max(3) - frames.min(3)).max() <= 1
    assert np.abs(frames[1] - frames[0]).mean() > 1  # it does open
    still = np.asarray(alignment.paste(to_frames(made[:1])[0], GREY)).astype(int)
    assert np.abs(still - GREY).mean() < 0.5
