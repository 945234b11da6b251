"""The net that learnt from photographs of people what faces say."""

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.critics.onlooker import NAMES, load_onlooker
from emolib.errors import EmolibError
from emolib.face.landmarker import WEIGHTS
from emolib.face.landmarks import detect
from emolib.pipeline.onlookers import telling

# What the original's layers, written down apart from ours in TensorFlow's padding and with its own 8-bit numbers, say of noise.
NOISE = [
    [0.253, 0.054, 0.472, 0.011, 0.136, 0.002, 0.072],
    [0.200, 0.055, 0.096, 0.038, 0.026, 0.004, 0.580],
    [0.270, 0.022, 0.530, 0.027, 0.020, 0.011, 0.120],
]


def test_it_answers_as_the_original_does():
    noise = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3)).astype(np.uint8)
    said = load_onlooker()(torch.from_numpy(noise).permute(0, 3, 1, 2) / 255.0).softmax(1)
    np.testing.assert_allclose(said.numpy(), NOISE, atol=0.003)


def test_it_knows_a_smile_when_it_sees_one_at_any_size():
    import skimage.data

    image = skimage.data.astronaut()
    landmarks = detect(image)[0].landmarks
    assert NAMES[load_onlooker().named(image[None], landmarks)[0].argmax()] == "happy"
    twice = image.repeat(2, 0).repeat(2, 1)
    assert load_onlooker().named(twice[None], 2 * landmarks)[0, NAMES.index("happy")] > 0.9


def test_a_face_at_the_edge_is_looked_at_as_far_as_it_goes():
    shares = load_onlooker().named(
        np.full((2, 60, 60, 3), 90, np.uint8), np.array([[10.0, 5.0]] * 34 + [[58.0, 50.0]] * 34)
    )
    assert shares.shape == (2, 7) and np.allclose(shares.sum(1), 1, atol=1e-5)


def test_other_weights_are_refused():
    with pytest.raises(EmolibError, match="expected the net of `make foundation`"):
        load_onlooker(WEIGHTS)


def test_the_keys_of_07_by_hand():
    def line(emotion: str, level: int, way: str, **shares: float) -> dict:
        given = dict.fromkeys(NAMES, 0.0) | shares
        return {
            "emotion": emotion,
            "level": level,
            "way": way,
            **given,
            "seen": max(given, key=lambda name: given[name]),
        }

    table = pd.DataFrame(
        [
            line("angry", 3, "shown", angry=0.6, sad=0.4), line("happy", 3, "shown", happy=0.2, sad=0.8),
            line("angry", 3, "acted", angry=0.1, sad=0.9), line("happy", 3, "acted", happy=0.3, sad=0.7),
            line("angry", 1, "shown", angry=0.1, sad=0.9), line("angry", 2, "shown", angry=0.2, sad=0.8),
            line("contempt", 3, "shown", happy=1.0),
        ]
    )  # fmt: skip
    found = telling(table)
    assert found["told_pct_photo"] == 50 and found["told_pct_photo_acted"] == 0
    assert found["told_share_photo_3"] == pytest.approx(0.4) and found["told_share_photo_1"] == pytest.approx(0.1)
    assert found["told_share_photo_acted"] == pytest.approx(0.2)
