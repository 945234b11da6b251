"""The converter on performances without pictures: what is kept, one step, the terms by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from emolib.ame import Ame
from emolib.corpus import acted as kept
from emolib.corpus.acted import act, loudness
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import default_path, load_face_model
from emolib.train.acted import Acted, ActedTraining, Heard, acted_terms
from emolib.train.acted_scores import acted_scores, lips, rivals
from emolib.train.loop import Loop
from emolib.weights import PRETRAINED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acted")
    act(folder, range(2), 8, voices="espeak", workers=1)
    return folder


def test_files_hold_clips_in_time(folder):
    clips = Acted(folder, 0, 2).clips()
    assert len(clips) == 16 and {clip["person"] for clip in clips} == {0, 1}
    for clip in clips:
        assert clip["heard"].shape == (2 * len(clip["beta"]), 768) and clip["alpha"].shape == (80,)
    with np.load(folder / "000001.npz") as file:
        assert file["frames"].sum() == len(file["beta"]) and len(file["frames"]) == 8


def test_what_is_there_stays_until_the_code_changes(folder, monkeypatch):
    monkeypatch.setattr(kept, "each", lambda _, jobs, **__: pytest.fail("made again") if jobs else iter(()))
    act(folder, range(2), 8, voices="espeak")
    with pytest.raises(pytest.fail.Exception, match="made again"):
        act(folder, range(3), 8, voices="espeak")
    assert len(list(folder.glob("*.npz"))) == 2


def test_some_steps_and_a_round_trip(folder, tmp_path):
    Ame.create().save(tmp_path / "clip.safetensors")
    how = {"ame": tmp_path / "clip.safetensors", "face_model": default_path(), "acted": Acted(folder, 0, 2), "seed": 0}
    how |= {"batch_size": 8, "frames": 20, "dim": 16, "depth": 1}
    training = ActedTraining(steps=12, **how).prepare()
    history = Loop(training, checkpoints=tmp_path, log_every=1, device="cpu").run()
    assert list(history[0])[1:] == ["loss", "lm", "speed", "reg", "clip"]
    assert np.mean([row["lm"] for row in history[-3:]]) < np.mean([row["lm"] for row in history[:3]])
    with pytest.raises(EmolibError, match="has 999 frames"):
        ActedTraining(steps=1, **how | {"frames": 999}).prepare()
    training.save(tmp_path / "eac.safetensors")
    again = ActedTraining(steps=1, parent=tmp_path / "eac.safetensors", **how).prepare()
    saved = Eac.load(tmp_path / "eac.safetensors").state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in again.eac.state_dict().items())


def test_the_terms_by_hand():
    """The truth stands still at 0 and beta_hat rises by one of the first expression a frame: twice as far off at its second step, and a
    velocity that is one step's distance."""
    face = load_face_model(PRETRAINED / "face_model.npz")
    beta = torch.zeros(1, 3, 64)
    beta[0, :, 0] = torch.arange(3.0)
    audio = torch.tensor([[1.0, 0.0]])

    class Told:
        emotion_mean = torch.zeros(2)

        def embed_audio(self, heard):
            return audio

        def __call__(self, windows, z_emo, mu):
            assert torch.equal(z_emo, audio), "told by the sound"
            return beta, None

    batch = SimpleNamespace(
        heard=None, windows=None, mu=torch.ones(1), emotion=torch.tensor([0]), text=torch.tensor([[0.0, 1.0]]),
        told=torch.tensor([1]), beta=torch.zeros(1, 3, 64), alpha=torch.zeros(1, 80),
    )  # fmt: skip
    terms = acted_terms(Told(), batch, face, torch.eye(2))
    zero = torch.zeros(1, 80), torch.zeros(1, 64), torch.zeros(1, 6)
    one = (face.landmarks(zero[0], beta[0, 1:2], zero[2], 224) - face.landmarks(*zero, 224)).norm()
    assert terms["reg"] == pytest.approx(1) and terms["lm"] == pytest.approx(float(one), rel=0.02)
    assert terms["speed"] == pytest.approx(float(one), rel=0.02)
    assert terms["clip"] == pytest.approx(1 + float(torch.log1p(torch.exp(torch.tensor(-20.0)))), abs=1e-4)


def test_lips_that_are_late_and_small():
    """Half as large and two frames late: lag 80 ms, amplitude 1/2, and the correlation of a sine a quarter of a turn off."""
    time = torch.arange(80.0)
    truth, made = torch.zeros(80, 68, 2), torch.zeros(80, 68, 2)
    truth[:, 66, 1], made[:, 66, 1] = 5 + torch.sin(time * torch.pi / 4), 5 + 0.5 * torch.sin((time - 2) * torch.pi / 4)
    found = lips(made, truth)
    assert found["lag_ms"] == 80 and found["mouth_amplitude"] == pytest.approx(0.5, abs=1e-3)
    assert abs(found["mouth_correlation"]) < 1e-6


def _clips():
    """Two people, neutral and happy at 3, whose first coefficient is the emotion and whose second follows the loudness."""
    rng, found = np.random.default_rng(0), []
    for person in (0, 1):
        for emotion, level, felt in ((0, 1, 0.0), (5, 3, 4.0)):
            loud = rng.normal(size=60).astype(np.float32).repeat(2)
            beta = np.zeros((60, 64), np.float32)
            beta[:, 0], beta[:, 1] = felt, loud[::2]
            clip = {"alpha": np.zeros(80, np.float32), "beta": beta, "loudness": loud, "person": person}
            found.append(clip | {"heard": np.zeros((120, 768), np.float16), "emotion": emotion, "level": level})
    return found


def test_what_a_net_must_beat():
    clips, face = _clips(), load_face_model(PRETRAINED / "face_model.npz")
    rows = rivals(clips)
    assert list(rows) == ["constant", "loudness", "ridge"]
    happy = clips[1]
    assert torch.equal(rows["constant"](happy)[:, 0], torch.full((60,), 4.0))
    torch.testing.assert_close(rows["loudness"](happy)[:, 1], torch.from_numpy(happy["beta"][:, 1]), atol=0.1, rtol=0)
    assert rows["ridge"](happy)[:, 1].std() < 0.05, "silence says nothing"
    scores, movement = acted_scores(lambda clip: torch.from_numpy(0.5 * clip["beta"]), clips, face)
    assert len(scores) == 4 and movement["emotion"].tolist() == [EMOTIONS[5]]
    row = movement.iloc[0]
    assert row["slope"] == pytest.approx(0.5, abs=0.02) and row["r"] > 0.99 and row["people"] == 2
    exact, _ = acted_scores(lambda clip: torch.from_numpy(clip["beta"]), clips, face)
    assert exact["landmark_px"].max() == 0 and exact["mouth_amplitude"].tolist() == pytest.approx([1] * 4)


def test_loudness_by_hand():
    """A feature speaks of the 10 ms before it and the 10 ms after."""
    sound = np.zeros(1600, np.float32)
    sound[640:800] = 0.1
    found = loudness(sound)
    assert found.shape == (5,) and found[2] == pytest.approx(10 * np.log10(0.01 / 2), abs=0.01)
    assert (found[[0, 1, 3, 4]] == -80).all()


def test_a_batch_is_whole_for_one_process():
    rows = {name: torch.zeros(2, 1) for name in ("windows", "heard", "mu", "emotion", "text", "told", "beta", "alpha")}
    assert Heard(**rows).to(torch.device("cpu")).mu.shape == (2, 1)
