"""Phones found in sound whose words are known, against espeak's own times; and what of it becomes a measure of real lips."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from emolib.ame import Ame
from emolib.corpus import aligned as module
from emolib.corpus.aligned import PHONES, aligned, real_clips
from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.face.loaders import default_path, load_face_model
from emolib.train.acted_scores import real_voices
from synthface.speech import PHONEME_CLASS, speak

RAVDESS = Path(os.environ.get("EMOLIB_RAVDESS", Path(__file__).parents[2] / "shared/data/ravdess"))
needs_ravdess = pytest.mark.skipif(not RAVDESS.is_dir(), reason="RAVDESS is not here")


def test_every_phone_has_a_viseme():
    assert set(PHONES.values()) <= set(PHONEME_CLASS) and len(PHONES) == 39


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_phones_are_found_where_espeak_says_them(gain):
    """Closures of lips, which are short, and vowels: within 40 ms of the synthesiser's own times, however loud."""
    said = speak("Dogs are sitting by the door.")
    found = aligned(gain * said.audio, said.text)
    for name in ("b", "aI", "s", "N"):
        (mine,) = [(a + b) / 2 for phone, a, b in found if phone == name]
        (theirs,) = [(a + b) / 2 for phone, a, b in said.phonemes if phone == name]
        assert abs(mine - theirs) < 0.04
    assert all(a < b for _, a, b in found) and found[-1][2] <= said.seconds + 0.02


def test_words_that_are_not_said_are_not_found():
    noise = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    assert aligned(noise, "kids are talking by the door") is None


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(EmolibError, match="no speech of RAVDESS in .*; expected Actor_01"):
        real_clips(tmp_path, load_face_model(default_path()))
    monkeypatch.setattr(module, "available", lambda: False)
    module._decoder.cache_clear()
    with pytest.raises(EmolibError, match="pocketsphinx is not installed"):
        aligned(np.zeros(16000, np.float32), "kids")


@needs_ravdess
def test_real_voices_are_measured():
    face, ame = load_face_model(default_path()), Ame.create()
    clips = real_clips(RAVDESS, face, range(1, 3), every=14)
    assert {clip["person"] for clip in clips} == {1, 2} and len({clip["emotion"] for clip in clips}) > 2
    for clip in clips:
        assert clip["heard"].shape == (2 * len(clip["beta"]), 768) and {1, 2, 3} & set(clip["moments"].tolist())
    torch.manual_seed(0)
    found = real_voices(Eac(audio="whisper", embedding_dim=ame.dim, dim=16, depth=1).eval(), ame, clips, face)
    assert abs(found["ravdess_mouth_correlation"]) < 0.5 and 0 <= found["ravdess_acc"] <= 0.6
