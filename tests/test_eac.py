"""EAC: Eqs. 2-4, windowed prediction, the objective's units, what each variant is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from emolib.eac import VARIANTS, Eac, emotion_code, mix, predict, predict_chunks
from emolib.errors import EmolibError
from emolib.hearing import Windows, sinusoids
from emolib.media.audio import mel_windows
from emolib.metrics.landmarks import correlation, mouth_opening
from emolib.speech.ears import Passing
from emolib.speech.features import speech_features
from emolib.train import eac as training
from emolib.train.eac import conditions, predicted

SMALL = {"embedding_dim": 12, "window": 8, "frames": 8, "dim": 16, "depth": 2, "heads": 2, "audio_depth": 1}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small(variant="full"):
    return Eac(variant=variant, **SMALL).eval()


def inputs(eac, batch=2, frames=8):
    return torch.randn(batch, frames, 8, 80), torch.randn(batch, eac.config["embedding_dim"]), torch.tensor([1.0, 3.0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_hears_sound_emotion_and_intensity(variant):
    eac = small(variant)
    windows, z_emo, mu = inputs(eac)
    beta, sigma = eac(windows, z_emo, mu)
    assert beta.shape == (2, 8, 64) and sigma.shape == (2, 16)
    for changed in ((windows + 1, z_emo, mu), (windows, z_emo.flip(0), mu), (windows, z_emo, mu.flip(0))):
        assert (eac(*changed)[0] - beta).abs().max() > 1e-4


@pytest.mark.parametrize(("reading", "scale"), [(True, 0.2), (False, 1.0)], ids=["ours", "the paper's"])
def test_transformer_is_equations_3_and_4(reading, scale):
    eac = Eac(**SMALL, reading=reading, pe_scale=scale).eval()
    windows, z_emo, mu = inputs(eac)
    sigma = mu[:, None, None] * eac.intensity
    tokens = torch.cat([sigma, eac.audio_mlp(windows)], 1) + scale * sinusoids(9, 16) + eac.emotion_mlp(z_emo)[:, None]
    for layer in eac.phi.layers:
        tokens = layer(tokens)
    tokens = eac.phi.norm(tokens)
    beta, updated = eac(windows, z_emo, mu)
    head = eac.beta_mlp(
        tokens[:, 1:] + (eac.read(tokens[:, :1]) if reading else 0)
    )  # ours: the head reads sigma_hat too
    torch.testing.assert_close(beta, head, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(updated, tokens[:, 0], atol=1e-5, rtol=1e-4)


def test_the_untrained_output_has_the_units_of_the_corpus():
    eac = small()
    betas = torch.randn(500, 64) * 0.1 + 5
    eac.standardise(betas, torch.randn(20, 12), torch.randn(30, 80) * 2 - 1)
    beta, _ = eac(*inputs(eac))
    assert (beta - 5).abs().max() < 0.5


def test_shared_windows_are_repeated():
    eac = small()
    windows, z_emo, mu = inputs(eac)
    once = eac(windows[:1], z_emo, mu)[0]
    torch.testing.assert_close(once, eac(windows[:1].repeat(2, 1, 1, 1), z_emo, mu)[0])


def test_a_batch_too_large_to_keep_is_the_same_batch(monkeypatch):
    """Part by part: the same faces, and the same gradients."""
    eac = small()
    windows, z_emo, mu = torch.randn(5, 8, 8, 80), torch.randn(15, eac.config["embedding_dim"]), torch.rand(15) + 1
    found = []
    for limit in (100, 6):
        monkeypatch.setattr(training, "AT_ONCE", limit)
        eac.zero_grad()
        beta = predicted(eac, windows, z_emo, mu)
        beta.square().sum().backward()
        found.append([beta.detach(), *(p.grad.clone() for p in eac.parameters() if p.grad is not None)])
    assert len(found[0]) > 10 and len(found[0]) == len(found[1])
    for whole, parts in zip(*found):
        torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-4)


def test_sinusoids_by_hand():
    rows = sinusoids(2, 4)
    torch.testing.assert_close(rows[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    torch.testing.assert_close(rows[1], torch.tensor([np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)]).float())


@pytest.mark.parametrize("variant", ["full", "mlp", "gru"])
def test_save_and_load(tmp_path, variant):
    eac = small(variant)
    eac.beta_mean.fill_(3.0)
    again = Eac.load(eac.save(tmp_path / "eac.safetensors"))
    args = inputs(eac)
    torch.testing.assert_close(again(*args)[0], eac(*args)[0])
    assert again.config == eac.config


def test_audio_embedding_is_a_unit_vector_at_any_length():
    eac = small()
    for length in (4, 33, 32, 500):
        torch.testing.assert_close(eac.embed_audio(torch.randn(2, length, 80)).norm(dim=1), torch.ones(2))
    with pytest.raises(EmolibError, match=r"0\.03 s of sound"):
        eac.embed_audio(torch.randn(1, 3, 80))
    with pytest.raises(EmolibError, match="takes no audio"):
        small("lm").embed_audio(torch.randn(1, 40, 80))


def test_short_speech_is_one_pass():
    eac = small()
    windows, z_emo, mu = inputs(eac)
    beta, sigma = predict(eac, windows[0], z_emo[0], 1.0)
    expected, token = eac(windows[:1], z_emo[:1], mu[:1])
    torch.testing.assert_close(beta, expected[0])
    torch.testing.assert_close(sigma, token.expand(8, -1))


class Echo:
    """Stands for an EAC whose result is its input, so that every frame of a prediction is known."""

    config, heard = SMALL, (8, 80)
    beta_mean = torch.zeros(64)

    def __call__(self, windows, z_emo, mu, style=None):
        return windows[:, :, 0, :64] + mu[:, None, None], mu[:, None].expand(-1, 16)


@pytest.mark.parametrize("count", (1, 7, 8, 9, 13, 50))
def test_long_speech_comes_in_order_and_whole(count):
    windows = torch.randn(count, 8, 80)
    chunks = list(predict_chunks(Echo(), windows, torch.randn(12), 2.0, overlap=3))
    assert max(len(beta) for beta, _ in chunks) <= 8
    torch.testing.assert_close(torch.cat([beta for beta, _ in chunks]), windows[:, 0, :64] + 2)
    torch.testing.assert_close(torch.cat([sigma for _, sigma in chunks]), torch.full((count, 16), 2.0))


def test_passes_are_blended():
    eac = small()
    windows, z_emo = torch.randn(14, 8, 80), torch.randn(12)
    beta, _ = predict(eac, windows, z_emo, 2.0, overlap=2)
    first, second = (predict(eac, windows[i : i + 8], z_emo, 2.0)[0] for i in (0, 6))
    torch.testing.assert_close(beta[:6], first[:6])
    torch.testing.assert_close(beta[6], (2 * first[6] + second[0]) / 3)
    torch.testing.assert_close(beta[7], (first[7] + 2 * second[1]) / 3)
    torch.testing.assert_close(beta[8:], second[2:])


def test_windows_cut_from_a_mel_equal_the_whole_array():
    mel, eac = np.random.default_rng(0).normal(size=(200, 80)).astype(np.float32), small()
    lazy = Windows(eac, mel, 50, 25)
    whole = mel_windows(mel, 50, 25, 8)
    np.testing.assert_array_equal(lazy[17:33], whole[17:33])
    z_emo = torch.randn(12)
    torch.testing.assert_close(predict(eac, lazy, z_emo, 2.0), predict(eac, whole, z_emo, 2.0))


def test_whisper_is_heard_in_a_window_of_the_same_time(tmp_path):
    """Feature j speaks of j / 50 s: 0.2 s about the middle of frame t are features 2 t - 4 to 2 t + 5."""
    eac = Eac(audio="whisper", dim=16, depth=1, heads=2, frames=8, window=20, audio_depth=1).eval()
    assert eac.heard == (10, 768) and Eac().heard == (20, 80)
    counted = np.arange(100, dtype=np.float32)[:, None].repeat(768, 1)
    assert Windows(eac, counted, 40, 25)[10:11][0, :, 0].tolist() == list(range(16, 26))
    heard = torch.randn(2, 16, 768)
    assert torch.allclose(eac.embed_audio(heard).norm(dim=1), torch.ones(2))
    with pytest.raises(EmolibError, match=r"0\.02 s of sound"):
        eac.embed_audio(heard[:, :1])
    again = Eac.load(eac.save(tmp_path / "eac.safetensors"))
    windows = torch.randn(1, 8, 10, 768)
    beta, sigma = eac(windows, torch.randn(1, 384), torch.ones(1))
    assert beta.shape == (1, 8, 64) and sigma.shape == (1, 16) and again.config["audio"] == "whisper"
    with pytest.raises(EmolibError, match="unknown ear 'nose'"):
        Eac(audio="nose")


def test_a_long_sound_passes_and_is_not_kept():
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.normal(size=16000 * 8)).astype(np.float32)
    begun = []

    def blocks():
        begun.append(1)
        yield from np.split(sound, 16)

    passing, whole = Passing(blocks, len(sound)), speech_features(sound)
    assert len(passing) == len(whole) == 400
    windows = mel_windows(passing, 100, 25, 10, 90, 50)
    np.testing.assert_allclose(windows, mel_windows(whole, 100, 25, 10, 90, 50), atol=2e-3)  # sums in another order
    assert len(passing._kept) < 250, "what lies before is forgotten"
    np.testing.assert_allclose(passing[np.arange(20)], whole[:20], atol=2e-3)
    assert len(begun) == 2, "and read anew when asked for"


def test_a_timeline_gives_each_frame_its_own_style():
    eac = small()
    windows, z_emo, _ = inputs(eac)
    timeline = torch.cat([z_emo[:1].expand(5, -1), z_emo[1:].expand(3, -1)])
    mu = torch.tensor([1.0] * 5 + [3.0] * 3)
    beta, _ = predict(eac, windows[0], timeline, mu)
    torch.testing.assert_close(beta[:5], predict(eac, windows[0], z_emo[0], 1.0)[0][:5])
    torch.testing.assert_close(beta[5:], predict(eac, windows[0], z_emo[1], 3.0)[0][5:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mu": 3.5}, "intensity 3.5"),
        ({"windows": torch.zeros(4, 9, 80)}, r"\(9, 80\)"),
        ({"windows": torch.zeros(0, 8, 80)}, "none"),
    ],
)
def test_wrong_input_is_refused(change, words):
    args = {"windows": torch.zeros(4, 8, 80), "z_emo": torch.zeros(12), "mu": 1.0} | change
    with pytest.raises(EmolibError, match=words):
        predict(small(), **args)


def test_unknown_variant_is_refused():
    with pytest.raises(EmolibError, match="expected one of full"):
        Eac(variant="lstm")


def test_onehot_codes_say_only_what_classes_say():
    eac = small("onehot")
    rows = [emotion_code(eac, None, words) for words in ("sad", "sadly surprised", "hatred")]
    assert rows[0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    assert rows[1].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 0.5]
    assert not rows[2].any()


def test_mixture_by_hand():
    torch.testing.assert_close(mix(torch.eye(2)), torch.full((2,), 0.5**0.5))
    torch.testing.assert_close(mix(torch.eye(2), [1, 0]), torch.tensor([1.0, 0.0]))


def test_mouth_opening_and_correlation_by_hand():
    landmarks = torch.zeros(3, 68, 2)
    landmarks[:, 66, 1] = torch.tensor([0.0, 3.0, 6.0])
    opening = mouth_opening(landmarks)
    assert opening.tolist() == [0, 3, 6]
    assert correlation(opening, 2 * opening + 1) == pytest.approx(1)
    assert correlation(opening, -opening) == pytest.approx(-1)
    assert np.isnan(correlation(opening, torch.ones(3)))


def test_conditions_stack_three_modalities_and_measure_their_angles():
    eac = small()
    sample = SimpleNamespace(text=F.normalize(torch.randn(2, 12), dim=1), heard=torch.randn(2, 32, 80), image=None)
    audio = eac.embed_audio(sample.heard)
    sample.image = -audio  # 1 - cos = 2
    z_emo, apart = conditions(eac, sample)
    torch.testing.assert_close(z_emo, torch.stack([sample.text, audio, -audio], 1).flatten(0, 1))
    torch.testing.assert_close(apart, 3 - (sample.text * audio).sum(1).mean())
    sample.told = torch.tensor([2, 0])
    one, same = conditions(eac, sample, modalities="one")
    torch.testing.assert_close(one, torch.stack([-audio[0], sample.text[1]]))
    assert same == apart, "L_clip is of all, however a clip is told"
    z_emo, apart = conditions(small("lm"), sample)
    assert z_emo is sample.text and apart == 0


@pytest.mark.parametrize("hundredths", [4, 10, 20, 22])
@pytest.mark.parametrize("frames", [slice(0, 9), slice(5, 12), slice(11, 20)])
def test_a_stretch_is_its_windows(hundredths, frames):
    """The net says the same of windows and of the sound that they are cut from, at both ends of a clip and within."""
    torch.manual_seed(0)
    eac = Eac(audio="whisper", window=hundredths, dim=16, depth=1).eval()
    heard = np.random.default_rng(0).normal(size=(40, 768)).astype(np.float32)
    windows, told = Windows(eac, heard, 20, 25), (torch.zeros(1, 384), torch.ones(1))
    cut, whole = (torch.from_numpy(x)[None] for x in (windows[frames], windows.stretch(frames)))
    torch.testing.assert_close(eac(whole, *told)[0], eac(cut, *told)[0])
    with pytest.raises(ValueError, match="windows"):
        Eac(audio="mel", dim=16, depth=1)(torch.zeros(1, 40, 80), *told)
