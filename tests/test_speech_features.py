"""Whisper's encoder against Hugging Face's; the features' times, levels, places and streams; the voice detector against its ONNX file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.compat import fix_torchvision
from emolib.errors import EmolibError
from emolib.speech.features import LAYERS, RATE, SpeechStream, speech_features
from emolib.speech.voiced import SPEECH, STEP, VoiceDetector, speech_probability
from emolib.speech.whisper import WhisperEncoder
from emolib.weights import save_weights
from synthface.speech import speak

SECOND = 16000


@pytest.fixture(scope="module")
def voice():
    return speak("Put the full bush by the pool. Move the smooth spoon.").audio


@pytest.fixture(scope="module")
def heard(voice):
    return speech_features(voice)


def away(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b - b.mean(0))


def test_the_encoder_is_whispers(seed=0):
    """Hugging Face's implementation, with the same (random) weights."""
    fix_torchvision()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    torch.manual_seed(seed)
    ours = WhisperEncoder(48, 4, 3).eval()
    torch.nn.init.normal_(ours.positions)
    sizes = {"d_model": 48, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 192}
    theirs = Reference(WhisperConfig(**sizes, max_source_positions=300)).eval()
    state = {
        "embed_positions.weight": ours.positions,
        "layer_norm.weight": torch.ones(48),
        "layer_norm.bias": torch.zeros(48),
    }
    for name, value in ours.state_dict().items():
        if name.startswith("conv"):
            state[name] = value
        if ".qkv." in name:
            if name.endswith("bias"):
                value[48:96] = 0  # Whisper's keys have none
            for part, letter in zip(value.chunk(3), "qkv"):
                if letter != "k" or name.endswith("weight"):
                    state[name.replace("qkv", f"self_attn.{letter}_proj")] = part
    renamed = {
        "attention_norm": "self_attn_layer_norm",
        "out": "self_attn.out_proj",
        "ffn_norm": "final_layer_norm",
        "widen": "fc1",
        "narrow": "fc2",
    }
    for name, value in ours.state_dict().items():
        for mine, hers in renamed.items():
            if f".{mine}." in name:
                state[name.replace(mine, hers)] = value
    theirs.load_state_dict(state)
    mel = torch.randn(2, 600, 80)
    with torch.no_grad():
        states = theirs(mel.transpose(1, 2), output_hidden_states=True).hidden_states
        said = ours(mel, (0, 1))
    assert torch.allclose(said, torch.cat(states[1:3], 2), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 99, 80), (1, 100, 79), (1, 602, 80), (100, 80)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="the mel is"):
        WhisperEncoder(48, 4, 1)(torch.zeros(shape), (0,))


def test_other_weights_are_refused(tmp_path):
    path = save_weights(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"kind": "eac"})
    with pytest.raises(EmolibError, match="something else than Whisper's encoder"):
        WhisperEncoder.load(path)


def test_there_is_one_row_for_each_20_ms(voice, heard):
    assert heard.shape == (-(-len(voice) // 320), 384 * len(LAYERS)) and np.isfinite(heard).all()
    for count in (0, 1, 319, 320, 321, SECOND):
        assert len(speech_features(np.full(count, 0.1, np.float32))) == -(-count // 320)
    assert speech_features(voice[:SECOND], (2,)).shape == (50, 384)


@pytest.mark.parametrize("seconds", [1, 2, 4])
def test_a_sound_is_heard_the_same_wherever_it_lies(voice, heard, seconds):
    later = speech_features(np.concatenate([np.zeros(seconds * SECOND, np.float32), voice]))
    assert np.abs(later[seconds * RATE :] - heard).max() < 1e-3


def test_a_sound_between_two_places_is_nearly_the_same(voice, heard):
    later = speech_features(np.concatenate([np.zeros(SECOND // 2, np.float32), voice]))[RATE // 2 :]
    loud = np.array([np.abs(voice[i * 320 : (i + 1) * 320]).max() > 0.02 for i in range(len(heard))])
    a, b = later[loud], heard[loud]
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.mean() > 0.92  # windows lie on a grid of 1 s


@settings(max_examples=8, deadline=None)
@given(decibels=st.floats(-40, 20))
def test_a_gain_changes_nothing(voice, heard, decibels):
    assert away(speech_features((voice * 10 ** (decibels / 20)).astype(np.float32)), heard) < 0.02


def test_rounding_to_16_bits_changes_little(voice, heard):
    """What lies 50 dB below the loudest moment is not heard, so the steps of a recording 20 dB down are not."""
    rounded = (np.round(voice * 0.1 * 32767) / 32767).astype(np.float32)
    assert away(speech_features(rounded), heard) < 0.05


@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 159, 160, 1000, 7777, 40000]), min_size=1, max_size=20))
def test_a_stream_is_heard_as_the_whole(voice, heard, sizes):
    stream, parts, at = SpeechStream(), [], 0
    for size in [*sizes, len(voice)]:
        parts.append(stream.push(voice[at : at + size]))
        at += size
    assert np.allclose(
        np.concatenate([*parts, stream.finish()]), heard, atol=1e-4
    )  # where an array lies decides its last bits


def test_a_stream_keeps_no_more_than_a_window():
    stream = SpeechStream()
    for _ in range(40):
        stream.push(np.zeros(SECOND // 4, np.float32))
        assert len(stream._mel) <= 320 and len(stream._samples) < 600


@pytest.mark.parametrize("at", [0.5, 0.93, 1.0, 1.51, 2.2])
def test_a_click_is_heard_when_it_sounds(at):
    """What changes most is the token of its moment. Both sounds begin with the same loud burst, so they have one level."""
    plain = np.random.default_rng(0).normal(0, 0.01, 3 * SECOND).astype(np.float32)
    plain[:1600] *= 30
    clicked = plain.copy()
    clicked[round(at * SECOND)] += 0.8
    change = np.linalg.norm(speech_features(clicked) - speech_features(plain), axis=1)
    assert abs(change.argmax() / RATE - at) <= 0.02


def sounds():
    rng, t = np.random.default_rng(0), np.arange(3 * SECOND) / SECOND
    return {
        "noise": rng.normal(0, 0.1, len(t)),
        "hiss": rng.normal(0, 0.001, len(t)),
        "chord": 0.1 * sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330, 440)),
        "breath": rng.normal(0, 0.05, len(t)) * np.clip(np.sin(np.pi * t), 0, 1),
        "silence": 0 * t,
    }


def test_the_detector_is_sileros(voice):
    """Its own ONNX file's answers, kept from when it was converted."""
    with np.load(Path(__file__).parent / "voiced.npz") as kept:
        assert np.abs(speech_probability(voice) - kept["espeak"]).max() < 1e-3
        assert np.abs(speech_probability(sounds()["noise"]) - kept["noise"]).max() < 1e-3


@pytest.mark.parametrize("name", list(sounds()))
def test_what_is_not_speech_is_not_taken_for_speech(name):
    assert speech_probability(sounds()[name].astype(np.float32)).max() < SPEECH


@pytest.mark.parametrize("level", [-15, -35, -55])
def test_speech_is_speech_however_quiet(voice, level):
    quiet = voice * 10 ** (level / 20) / np.sqrt(np.mean(voice**2))
    assert (speech_probability(quiet.astype(np.float32)) > SPEECH).mean() > 0.7


def test_the_detector_streams(voice):
    detector, rng, parts, at = VoiceDetector(), np.random.default_rng(1), [], 0
    while at < len(voice):
        size = int(rng.integers(1, 3000))
        parts.append(detector.push(voice[at : at + size]))
        at += size
    whole = speech_probability(voice)
    assert len(whole) == -(-len(voice) // STEP)
    assert np.allclose(np.concatenate([*parts, detector.finish()]), whole, atol=1e-5)


def test_what_a_gain_changes_is_measured():
    from emolib.metrics.speech import change, cost

    rng = np.random.default_rng(0)
    sound = (np.sin(np.arange(32000) * 0.1) * np.linspace(0.1, 1, 32000) + 0.01 * rng.normal(size=32000)).astype(
        np.float32
    )
    found = change(sound, (-6, -40))
    assert found["peak at -6 dB"] < found["peak at -40 dB"] + 0.01 < 2, "per cent"
    assert found["rounded at -40 dB"] > found["rounded at -6 dB"] > 0
    assert 0 < cost(lambda x: np.cumsum(x), sound) < 1


def test_the_probe_tells_acted_emotions_of_unseen_actors(tmp_path):
    """Four actors whose anger is a high tone and whose calm is a low one: told apart. No files: a sentence."""
    from emolib.media.audio import save_wav
    from emolib.metrics.speech import ravdess_probe

    for actor in range(1, 5):
        (tmp_path / f"Actor_{actor:02d}").mkdir()
        for take, (emotion, hertz) in enumerate([(2, 150), (5, 1200), (1, 160), (5, 1300)]):
            tone = 0.3 * np.sin(2 * np.pi * (hertz + 7 * actor) * np.arange(16000) / 16000)
            save_wav(tmp_path / f"Actor_{actor:02d}" / f"03-01-{emotion:02d}-01-01-{take:02d}-{actor:02d}.wav", tone)
    assert ravdess_probe(tmp_path, (1,)) == {1: 1.0}, "calm counts as neutral"
    with pytest.raises(EmolibError, match="no speech of RAVDESS"):
        ravdess_probe(tmp_path / "Actor_01")
