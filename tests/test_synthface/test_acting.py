"""Performances without pictures: the same in every process, in time with their sound, by nobody of a corpus."""

import functools

import numpy as np
import pytest

from emolib.face.exact import product
from synthface import natural
from synthface.acting import MOST, SEED, Troupe
from synthface.crowd import SEED as CROWD
from synthface.synth import FPS, PAIRS, SENTENCES, _for_test


@functools.cache
def troupe() -> Troupe:
    return Troupe(voices="espeak")


@functools.cache
def played():
    return troupe().perform(4, 6)


def test_sound_and_face_are_as_long():
    for one in played()[1]:
        assert one.beta.shape == (len(one.audio) * FPS // 16000, 64) and len(one.arkit) == len(one.beta)
        assert len(one.audio) % (16000 // FPS) == 0 and len(one.audio) <= MOST * 16000
        assert one.audio.dtype == np.float32 and 0.02 < np.abs(one.audio).max() < 1


def test_the_truth_is_the_actors_own():
    _, _, alpha, to_beta = troupe().cast(4)
    np.testing.assert_array_equal(alpha, played()[0])
    one = played()[1][0]
    np.testing.assert_array_equal(product(one.arkit, to_beta), one.beta)


def test_the_same_person_acts_the_same_again_and_begins_alike():
    again = Troupe(voices="espeak").perform(4, 3)[1]
    for one, other in zip(played()[1], again):
        np.testing.assert_array_equal(one.audio, other.audio)
        np.testing.assert_array_equal(one.beta, other.beta)


def test_there_is_silence_before_and_after():
    for one in played()[1]:
        times = [(a, b) for name, a, b in one.said.visemes if name != "sil"]
        assert times[0][0] >= 0.08
        if one.said.seconds < MOST:
            assert one.said.seconds - times[-1][1] >= 0.08


def test_nobody_and_nothing_is_a_test_corpus_s():
    assert SEED not in (CROWD, 7)
    assert all((one.emotion, one.level) in PAIRS for one in played()[1])
    assert len({(one.emotion, one.level) for one in played()[1]}) == 6
    for person in range(12):
        assert not _for_test(troupe().cast(person)[1].voice)
    assert not {one.said.text for one in played()[1]} & set(SENTENCES[True])


@pytest.mark.skipif(not natural.available(), reason="needs the extra voices")
def test_every_fourth_voice_is_natural_and_tests_have_their_own():
    voices = {unseen: [Troupe(unseen=unseen).cast(person)[1].voice for person in range(8)] for unseen in (False, True)}
    for unseen, of in voices.items():
        assert [not voice.startswith("en") for voice in of] == 2 * [True, False, False, False]
        known = {name for names in (natural.TEST if unseen else natural.TRAIN).values() for name in names}
        assert all(set(voice.split("+")) <= known for voice in of[::4])
    assert not set(voices[False]) & set(voices[True])
