"""Prompts: many, unambiguous, in good English, and without the words of the unseen emotions."""

import re

import numpy as np
import pytest

from emolib import prompts
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from synthface.expressions import UNSEEN


def drawn(emotion: str, intensity: int | None = None, n: int = 400) -> set[str]:
    rng = np.random.default_rng(0)
    return {prompts.sample_prompt(rng, emotion, intensity) for _ in range(n)}


def test_many_wordings_and_no_word_for_two_emotions():
    words = [w for e in EMOTIONS for w in (*prompts.WORDS[e], *prompts.NOUNS[e]) if (e, w) != ("neutral", "calm")]
    assert len(words) == len(set(words))
    assert set(prompts.WORDS) == set(prompts.NOUNS) == set(EMOTIONS)
    assert {len(w) for w in prompts.WORDS.values()} == {8}
    assert min(len(drawn(e, 2)) for e in EMOTIONS if e != "neutral") > 120


def test_the_words_of_unseen_emotions_are_unseen():
    text = " ".join(p for e in EMOTIONS for p in prompts.prompts(e))
    text += " ".join(p for e in EMOTIONS for i in (1, 2, 3) for p in drawn(e, i))
    alone = {"surprised", "angry", "disgusted"}  # a compound's second word is a known emotion
    first = {word for name in UNSEEN for word in name.split()} - alone
    assert first >= {"happily", "sadly", "hatred", "awe"}
    assert not re.search(rf"\b({'|'.join(first)}|hat(e|es|ed|eful|ing)|awe\w*|loath\w*)\b", text)


def test_strength_is_said_two_times_in_three():
    rng = np.random.default_rng(1)
    for level, said in ((1, "slight|little|mild|somewhat|faint"), (3, "very|extreme|intens|utter|deep|great")):
        share = np.mean([bool(re.search(said, prompts.sample_prompt(rng, "sad", level))) for _ in range(600)])
        assert share == pytest.approx(2 / 3, abs=0.07)
        assert not any(re.search(said, p) for p in drawn("sad")), "no strength was asked for"
        assert not any(re.search(said, p) for p in drawn("neutral", level)), "neutral has no strength"


def test_articles():
    assert prompts.fill("a {} face", "angry") == "an angry face"
    assert prompts.fill("a {} face", "a little sad") == "a little sad face"
    assert prompts.fill("{} is here", "anger") == "anger is here"
    assert not any(re.search(r"\ba [aeiou]|\ban? an? |  ", p) for e in EMOTIONS for i in (1, 2, 3) for p in drawn(e, i))


def test_refusals():
    rng = np.random.default_rng(0)
    for call, said in [
        (lambda: prompts.prompts("bored"), "bored"),
        (lambda: prompts.sample_prompt(rng, "happy", 4), "intensity is 4"),
        (lambda: prompts.sample_prompt(rng, "happy", 1, ["no slot"]), "0 slots"),
        (lambda: prompts.free_prompts("hatred", ["{} and {}"]), "2 slots"),
    ]:
        with pytest.raises(EmolibError, match=said):
            call()
