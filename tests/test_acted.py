"""The converter on performances without pictures: what is kept, one step, the terms by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from emolib.ame import OTHER_THINGS, Ame
from emolib.corpus import people as kept
from emolib.corpus.acted import act, loudness
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import default_path, load_face_model
from emolib.train.acted import Acted, ActedTraining, Cast, Heard, acted_terms
from emolib.train.acted_scores import acted_scores, by_net, growth, lips, rivals, style_variance, voices_told
from emolib.train.loop import Loop
from emolib.weights import PRETRAINED
from synthface.acting import moments
from synthface.noises import KINDS, noise
from synthface.speech import Speech


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
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).normal(size=(8, 3, 384)).astype(np.float32))
    how = {"ame": tmp_path / "clip.safetensors", "face_model": default_path(), "acted": Acted(folder, 0, 2), "seed": 0}
    how |= {"pictures": tmp_path / "pictures.npy", "style": 2, "batch_size": 8, "frames": 20, "dim": 16, "depth": 1}
    training = ActedTraining(steps=80, **how).prepare()
    history = Loop(training, checkpoints=tmp_path, log_every=1, device="cpu").run()
    assert list(history[0])[1:] == ["loss", "lm", "speed", "reg", "clip", "style"]
    for term in ("loss", "lm", "speed"):
        assert np.mean([row[term] for row in history[-20:]]) < 0.9 * np.mean([row[term] for row in history[:20]])
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
        emotion_mean, codes = torch.zeros(2), torch.nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0]]))
        eac = property(lambda self: self)

        def embed_audio(self, heard):
            return audio

        def __call__(self, windows, z_emo, mu, style):
            assert torch.equal(z_emo, audio), "told by the sound"
            assert torch.equal(style, torch.tensor([[3.0, 4.0]])), "in the person's style"
            return beta, None

    batch = SimpleNamespace(
        heard=None, windows=None, mu=torch.ones(1), emotion=torch.tensor([0]), text=torch.tensor([[0.0, 1.0]]),
        image=torch.tensor([[0.0, 1.0]]), spoken=torch.tensor([True]), person=torch.tensor([0]),
        told=torch.tensor([1]), beta=torch.zeros(1, 3, 64), alpha=torch.zeros(1, 80),
    )  # fmt: skip
    terms = acted_terms(Told(), batch, face, torch.eye(2))
    zero = torch.zeros(1, 80), torch.zeros(1, 64), torch.zeros(1, 6)
    one = (face.landmarks(zero[0], beta[0, 1:2], zero[2], 224) - face.landmarks(*zero, 224)).norm()
    assert terms["reg"] == pytest.approx(1) and terms["lm"] == pytest.approx(float(one), rel=0.02)
    assert terms["speed"] == pytest.approx(float(one), rel=0.02)
    assert terms["style"] == pytest.approx(25)
    assert terms["clip"] == pytest.approx(2 + float(torch.log1p(torch.exp(torch.tensor(-20.0)))), abs=1e-4)


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
            clip |= {"spoken": True, "moments": np.zeros(60, np.uint8)}
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
    rows = {field.name: torch.zeros(2, 1) for field in dataclasses.fields(Heard)}
    assert Heard(**rows).to(torch.device("cpu")).mu.shape == (2, 1)


def test_styles_are_draws_of_a_normal_distribution():
    """Whitened, a draw s gives what the code mean + axes s gave before: of many draws the inputs to Phi have the people's mean and
    spread."""
    torch.manual_seed(0)
    eac = Eac(style=2, embedding_dim=8, dim=16, depth=1)
    cast = Cast(eac, 500)
    with torch.no_grad():
        cast.codes.weight.copy_(
            torch.randn(500, 2) @ torch.tensor([[3.0, 1.0], [0.0, 0.2]]) + torch.tensor([5.0, -2.0])
        )
        before = eac.style_mlp(cast.codes.weight)
        after = cast.whitened().style_mlp(torch.randn(4000, 2))
    torch.testing.assert_close(after.mean(0), before.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(after.T.cov(), before.T.cov(), atol=0.25, rtol=0.1)
    torch.testing.assert_close(eac.style_mlp(torch.zeros(2)), before.mean(0))


def test_lips_where_they_are_looked_at():
    """Eyes are 100 px apart, lips at rest 2: lips 7 px apart touch, 13 px are an open vowel; in silence the mouth is 3 px wider than
    the truth's."""
    truth, made = torch.zeros(6, 68, 2), torch.zeros(6, 68, 2)
    truth[:, 42:48, 0] = 100
    made[:, 66, 1] = torch.tensor([7.0, 9.0, 13.0, 11.0, 3.0, 3.0])
    found = lips(made, truth, np.array([1, 1, 2, 2, 3, 3], np.uint8), rest=2.0)
    assert found["closure_pct"] == found["apart_pct"] == 50 and found["silence_opening_pct"] == pytest.approx(3)
    assert np.isnan(lips(made, truth, np.zeros(6, np.uint8))["closure_pct"])


def test_moments_by_hand():
    """Lips lead by 100 ms: p in the middle of .2 s is seen at .1 s, frame 2; an open vowel at .6 s in frame 12; rest is 200 ms from all."""
    said = Speech(np.zeros(32000, np.float32), [("p", 0.16, 0.24), ("aa", 0.24, 0.9)], "pa")
    assert [name for name, *_ in said.visemes] == ["PP", "aa"]
    found = moments(said, 50)
    assert found[2] == 1 and found[11] == 2 and (found[:2] == 0).all()
    assert (found[25:] == 3).all() and (found[12:24] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sounds_that_are_no_voice(kind):
    sounds = [noise(kind, 16000, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(sounds[0], sounds[1]) and not np.array_equal(sounds[0], sounds[2])
    level = 20 * np.log10(np.sqrt((sounds[0] ** 2).mean()))
    assert -34.1 < level < -13.9 and np.isfinite(sounds[0]).all()


def test_a_converter_is_measured(folder):
    """The rows of the shipped table, by a net of the right shapes that has learnt nothing."""
    ame, face = Ame.create(), load_face_model(default_path())
    clips = Acted(folder, 0, 2).clips()
    clips[0]["emotion"], clips[0]["level"] = 0, 1
    eac = Eac(audio="whisper", style=3, embedding_dim=ame.dim, dim=16, depth=1).eval()
    for says in (by_net(eac, ame), by_net(eac, ame, "audio", styles=1)):
        scores, movement = acted_scores(says, clips[:8], face)
        assert len(scores) == 8 and set(movement["people"]) <= {1}
    one, other = (by_net(eac, ame, styles=seed)(clips[0]) for seed in (1, 2))
    assert not torch.equal(one, other) and torch.equal(one, by_net(eac, ame, styles=1)(clips[0]))
    grown = growth(eac, ame, clips[:1])
    assert grown["emotion"].tolist() == list(EMOTIONS) and (grown["gain"][1:] > 0).all() and grown["mu_1"][0] == 0
    told = voices_told(eac, ame, clips, clips)
    assert told["audio_probe_acc"] > 0.9 and 0 <= told["audio_class_hit"] <= 1 and told["audio_spread_of_text"] >= 0


def test_variance_of_styles():
    """The truth's people differ by one unit of a coefficient; a net without style codes makes all of them the same."""
    face = load_face_model(default_path())
    clips = []
    for person, value in enumerate((-1.0, 0.0, 1.0)):
        beta = np.zeros((20, 64), np.float32)
        beta[:, 0] = value
        heard = np.zeros((40, 768), np.float16)
        clips.append(
            {
                "alpha": np.zeros(80, np.float32),
                "beta": beta,
                "heard": heard,
                "person": person,
                "emotion": 5,
                "level": 3,
            }
        )
    ame = Ame.create()
    assert (
        style_variance(Eac(audio="whisper", embedding_dim=ame.dim, dim=16, depth=1).eval(), ame, clips, face, 0) < 1e-6
    )


def test_texts_are_moved_aside_but_stay_nearest_to_their_class():
    """Along what is no emotion: every text has moved or, where that would take it to another class, not."""
    ame, rng = Ame.create(), np.random.default_rng(0)
    training = SimpleNamespace(things=ame.text(OTHER_THINGS).float(), label=ame.text(EMOTIONS).float())
    wanted = np.arange(64) % 8
    moved = ActedTraining._aside(training, rng, training.label[wanted], wanted)
    centred = training.label - training.label.mean(0)
    near = ((moved - training.label.mean(0)) @ torch.nn.functional.normalize(centred, dim=1).T).argmax(1)
    assert near.tolist() == wanted.tolist()
    away = (moved - training.label[wanted]).norm(dim=1)
    assert (away > 0).float().mean() > 0.9 and away.max() > 0.3
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(64))
