"""The net of persons: that it says what the original says, and what is made of it."""

import numpy as np
import pytest
import torch
from selfie import EVERY, STORED, pictures

from emolib.errors import EmolibError
from emolib.face.person import load_person_net
from emolib.media.pictures import to_tensor


def test_it_answers_as_the_original_does():
    with np.load(STORED) as kept:
        theirs = kept["seen"].astype(np.float32)
    with torch.no_grad():
        ours = load_person_net()(to_tensor(pictures()))[:, 0, ::EVERY, ::EVERY].numpy()
    assert np.abs(ours - theirs).max() < 2e-3  # of float16
    assert theirs[0].mean() > 0.3 and theirs[2].mean() < 0.05  # somebody, nobody


def test_other_weights_are_refused(tmp_path):
    from emolib.face.landmarker import WEIGHTS

    with pytest.raises(EmolibError, match="expected the net of `make foundation`"):
        load_person_net(WEIGHTS)
