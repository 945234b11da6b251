"""The judge's own people: nobody of a corpus, the same every time, kept while they are true, and enough to learn from."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.corpus import sitters as kept
from emolib.corpus.sitters import draw_sitters
from emolib.emotions import EMOTIONS
from emolib.train.judge import JudgeTraining, sitters_bank
from emolib.train.loop import Loop
from synthface.portraits import FIRST_PERSON, HELD_OUT
from synthface.sitters import FIRST_SITTER, FRAMES, sit
from synthface.synth import Studio

SIZE = 64


@functools.cache
def one():
    return sit(Studio(7, SIZE, 1.0), 0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_sitters(tmp_path_factory.mktemp("sitters") / "sitters.npz", 2, size=SIZE, seed=7, workers=2)


def test_a_sitter_shows_every_emotion_and_is_nobody_of_a_corpus():
    images, levels = one()
    assert images.shape == (len(EMOTIONS), FRAMES, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert levels[0] == 1 and set(levels) <= {1, 2, 3}
    assert FIRST_SITTER > FIRST_PERSON + HELD_OUT + 10_000
    assert len({image.tobytes() for image in images.reshape(-1, *images.shape[2:])}) == len(EMOTIONS) * FRAMES


def test_sitters_are_the_same_in_other_processes_and_kept(drawn, monkeypatch):
    with np.load(drawn) as file:
        assert np.array_equal(file["images"][0], one()[0]) and np.array_equal(file["levels"][0], one()[1])
        assert not np.array_equal(file["images"][1], file["images"][0])
    before = drawn.read_bytes()
    monkeypatch.setattr(kept, "each", lambda *_, **__: pytest.fail("drawn again"))
    assert draw_sitters(drawn, 2, size=SIZE, seed=7) == drawn and drawn.read_bytes() == before
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        draw_sitters(drawn, 3, size=SIZE, seed=7)


def test_the_bank_has_each_person_and_emotion_as_a_clip_and_the_judge_learns_it(drawn, tmp_path):
    draw_sitters(drawn, 2, size=SIZE, seed=7, workers=1)
    bank = sitters_bank(drawn)
    assert bank.images.shape == (16, FRAMES, 3, SIZE, SIZE) and bank.emotion.tolist() == [*range(8)] * 2
    assert bank.identity[:9] == ("sitter 0",) * 8 + ("sitter 1",) and bank.composites is None
    assert torch.equal(bank.images[3, 1].permute(1, 2, 0), torch.from_numpy(one()[0][3, 1]))
    training = JudgeTraining(sitters=drawn, steps=40, batch_size=16, lr=3e-3, seed=0).prepare()
    assert training.name == "emotion_efd" and training.fingerprint() == training.fingerprint()
    loss = pd.DataFrame(Loop(training, checkpoints=tmp_path, log_every=5, device="cpu").run())["loss"]
    assert loss.iloc[-1] < loss.iloc[0]
