"""Synthetic speech: deterministic, on time, and with the emotion in it."""

from collections import Counter

import numpy as np
import pytest

from emolib.corpus import speech
from emolib.corpus.expressions import VISEMES
from emolib.corpus.speech import PHONEME_CLASS, SENTENCES, Speaker, prosody, say, speak, speak_for
from emolib.errors import EmolibError
from emolib.media.audio import SAMPLE_RATE
from emolib.params import EMOTIONS


def pitch(audio: np.ndarray) -> tuple[float, float]:
    """Median and interquartile range of the pitch, Hz, by autocorrelation of the loud frames: a reference without espeak's own figures."""
    found = []
    for start in range(0, len(audio) - 1024, 320):
        frame = audio[start : start + 1024].astype(np.float64)
        if np.sqrt(np.mean(frame**2)) < 0.3 * np.sqrt(np.mean(audio**2)):
            continue
        correlation = np.correlate(frame - frame.mean(), frame - frame.mean(), "full")[1023:]
        lags = correlation[32:267]  # 60 to 500 Hz
        if lags.max() > 0.5 * correlation[0]:
            found.append(SAMPLE_RATE / (32 + int(lags.argmax())))
    low, middle, high = np.percentile(found, [25, 50, 75])
    return float(middle), float(high - low)


def test_same_words_same_samples_whatever_came_before():
    first = speak("The boy took the oil.", "en+f2")
    speak("Something else altogether.", "en-us+m3", rate=240)
    again = speak("The boy took the oil.", "en+f2")
    np.testing.assert_array_equal(first.audio, again.audio)
    assert first.phonemes == again.phonemes


def test_phonemes_cover_the_sound_in_order():
    spoken = speak("She sells fresh fish by the shore.")
    starts, ends = [p[1] for p in spoken.phonemes], [p[2] for p in spoken.phonemes]
    assert starts[0] == 0 and starts[1:] == ends[:-1] and all(a < b for a, b in zip(starts, ends))
    assert ends[-1] == pytest.approx(spoken.seconds, abs=1e-3)
    names = "".join(name for name, _, _ in spoken.phonemes if not name.startswith("_"))
    assert names.startswith("Si:sEzfrESfISbaID@2S")  # espeak makes the l of "sells" part of its vowel


def test_hiss_is_where_the_phonemes_say():
    """Most of the energy above 4 kHz lies in s and sh, which fill little of the time; moved by 80 ms it does not."""
    spoken = speak("See Sue sew a sash. She sees us.")
    spectrum = np.fft.rfft(spoken.audio)
    spectrum[: int(4000 * spoken.seconds)] = 0
    energy = np.fft.irfft(spectrum, len(spoken.audio)) ** 2
    inside = np.zeros(len(energy), bool)
    for name, start, end in spoken.phonemes:
        if PHONEME_CLASS[name] in ("SS", "CH"):
            inside[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] = True
    share = energy[inside].sum() / energy.sum()
    assert share > 0.8 and energy[np.roll(inside, 1280)].sum() / energy.sum() < share - 0.3


def test_every_phoneme_has_a_viseme():
    assert len(SENTENCES) >= 200 and len(set(SENTENCES)) == len(SENTENCES)
    assert set(PHONEME_CLASS.values()) == set(VISEMES)
    counts = Counter()
    for i, text in enumerate(SENTENCES):
        spoken = speak(text, speech.ACCENTS[i % len(speech.ACCENTS)], rate=300)
        assert all(name in PHONEME_CLASS for name, _, _ in spoken.phonemes), text
        counts.update(PHONEME_CLASS[name] for name, _, _ in spoken.phonemes)
    assert min(counts[c] for c in VISEMES) >= 100  # rich: no mouth shape is rare


def test_visemes_split_diphthongs():
    spoken = speech.Speech(np.zeros(0), [("b", 0.0, 0.1), ("aU", 0.1, 0.3), ("Xx", 0.3, 0.4)], "")
    assert [v[0] for v in spoken.visemes] == ["PP", "aa", "ou", speech.OTHER]
    assert [v[1] for v in spoken.visemes] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_emotion_is_in_the_voice():
    """The signs of Scherer 2003, Table 2, measured on the sound: pitch, its spread, loudness and pace."""
    text, rng = "My father parks the car in the yard.", np.random.default_rng
    voice = {e: say(text, "en-us+m3", prosody(e, 3), rng(0)) for e in EMOTIONS}
    loud = {e: np.sqrt(np.mean(s.audio**2)) for e, s in voice.items()}
    height = {e: pitch(s.audio) for e, s in voice.items()}
    assert loud["angry"] > loud["neutral"] > loud["sad"]
    assert voice["fear"].seconds < voice["neutral"].seconds < voice["sad"].seconds
    assert min(height["happy"][0], height["fear"][0]) > height["neutral"][0] > height["sad"][0]
    assert height["happy"][1] > height["sad"][1]
    mild = say(text, "en-us+m3", prosody("happy", 1), rng(0))
    assert height["neutral"][0] < pitch(mild.audio)[0] < height["happy"][0]


def test_people_differ_and_repeat_themselves():
    one, same, other = (Speaker.sample(np.random.default_rng(s), "female") for s in (1, 1, 2))
    assert one == same and one != other
    assert prosody("angry", 2, one) != prosody("angry", 2, other)
    assert all("+f" in Speaker.sample(np.random.default_rng(s), "female").voice for s in range(5))


@pytest.mark.parametrize("seconds", [0.6, 1.6, 3.0])
def test_a_sentence_that_fits(seconds):
    how = prosody("sad", 3)
    spoken = speak_for(seconds, "en-us+m2", how, np.random.default_rng(4))
    again = speak_for(seconds, "en-us+m2", how, np.random.default_rng(4))
    np.testing.assert_array_equal(spoken.audio, again.audio)
    assert len(spoken.audio) == round(seconds * SAMPLE_RATE) and np.abs(spoken.audio).max() < 1
    assert spoken.phonemes[0][1] == 0 and spoken.phonemes[-1][2] == pytest.approx(seconds)
    moving = sum(b - a for name, a, b in spoken.phonemes if PHONEME_CLASS[name] != "sil")
    assert moving > 0.5 * seconds and spoken.text in SENTENCES


def test_refusals():
    for call, said in [
        (lambda: speak("Hello", "xx-nobody"), "no voice"),
        (lambda: speak("..."), "nothing that can be spoken"),
        (lambda: speak(""), "nothing that can be spoken"),
        (lambda: prosody("hungry", 1), "expected one of neutral"),
        (lambda: prosody("happy", 4), "intensity is 4"),
    ]:
        with pytest.raises(EmolibError, match=said):
            call()
