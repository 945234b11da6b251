"""Natural voices: signs, times, prosody. Those that need the model skip without the extra ``voices``."""

import numpy as np
import pytest

from emolib.corpus.synth import build_corpus
from emolib.errors import EmolibError
from emolib.params import from_dict
from synthface import natural
from synthface.expressions import VISEMES
from synthface.ipa import IPA_CLASS, LONG, STRESS, VOCABULARY, phones
from synthface.natural import VOICES, speak, style_of
from synthface.phrases import SENTENCES
from synthface.speech import PHONEME_CLASS
from synthface.synth import ClipSpec, Studio

needs_model = pytest.mark.skipif(not natural.available(), reason="needs the extra 'voices'")
TEXT = "Mama made more room for Peter."


def test_signs_are_known_and_none_is_dropped():
    """Every phone that espeak has for our sentences has a number and a mouth."""
    for text in SENTENCES:
        for accent in ("en-us", "en"):
            said = phones(text, accent)
            assert set(said) <= set(VOCABULARY)
            assert all(sign in IPA_CLASS or sign in STRESS + LONG for sign in said)
            assert len(said.split()) >= len(text.split()) - 1  # weak words may join: "of the"


@pytest.mark.parametrize(
    ("text", "accent", "said"),
    [
        ("Stop it, now.", "en-us", "stˈɑːp ɪt, nˈaʊ."),
        ("The early bird.", "en", "ðɪ ˈɜːlɪ bˈɜːd."),
        ("ninety", "en-us", "nˈaɪndi"),
    ],
)
def test_words_are_pronounced(text, accent, said):
    assert phones(text, accent) == said


@pytest.mark.parametrize("text", ["", "...", "?!"])
def test_nothing_to_say_is_said(text):
    with pytest.raises(EmolibError, match="nothing that can be spoken"):
        phones(text)


def test_an_unknown_accent_is_refused():
    with pytest.raises(EmolibError, match="no voice 'xx-yy'"):
        phones("word", "xx-yy")


def test_both_tables_of_mouths_agree():
    """A sign that espeak's own names share with the IPA is the same mouth."""
    shared = set(IPA_CLASS) & set(PHONEME_CLASS) - {" "}
    assert {s: IPA_CLASS[s] for s in shared - {";"}} == {
        s: PHONEME_CLASS[s] for s in shared - {";"}
    }  # ";" is a j in espeak's names


def test_the_table_has_every_voice():
    everyone = [name for names in VOICES.values() for name in names]
    assert len(set(everyone)) == 28
    styles = np.concatenate([style_of(name, 40) for name in everyone])
    assert styles.shape == (28, 256) and np.isfinite(styles).all()
    between = style_of("af_heart+af_sky", 33)
    assert np.allclose(between, (style_of("af_heart", 33) + style_of("af_sky", 33)) / 2, atol=1e-6)
    with pytest.raises(EmolibError, match="no natural voice 'af_nobody'"):
        style_of("af_nobody", 10)


def test_without_the_extra_one_sentence_says_so(monkeypatch):
    natural._sessions.cache_clear()
    monkeypatch.setattr(natural, "available", lambda: False)
    with pytest.raises(EmolibError, match=r"pip install 'emolib\[voices\]'"):
        speak(TEXT, "af_heart")


@pytest.fixture(scope="module")
def said():
    return speak(TEXT, "af_heart")


def level(audio, start, end):
    part = audio[round(start * 16000) : round(end * 16000)]
    return 20 * np.log10(np.sqrt(np.mean(part**2)) + 1e-6)


def pitch(audio):
    """Median F0, Hz, of the loud frames: where their autocorrelation is highest between 60 and 500 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, 1024)[::256]
    power = (frames**2).mean(1)
    loud = frames[power > 0.1 * power.max()] * np.hanning(1024)
    alike = np.fft.irfft(np.abs(np.fft.rfft(loud, 2048)) ** 2)
    lags = np.arange(16000 // 500, 16000 // 60)
    return float(np.median(16000 / lags[alike[:, lags].argmax(1)]))


@needs_model
def test_phones_have_times_without_gaps(said):
    names, starts, ends = zip(*said.phones)
    assert (
        starts[0] == 0
        and np.allclose(starts[1:], ends[:-1])
        and ends[-1] == pytest.approx(len(said.audio) / 16000, abs=0.06)
    )
    spoken = [name for name in names if name != "_"]
    assert spoken == [sign for sign in phones(TEXT) if sign not in STRESS + LONG + " ."]


@needs_model
def test_vowels_are_loud_where_they_are_said_and_closures_are_not(said):
    vowels = [level(said.audio, a, b) for name, a, b in said.phones if IPA_CLASS.get(name) in ("aa", "E", "oh", "ou")]
    closed = [level(said.audio, a, b) for name, a, b in said.phones if name in ("p", "t", "_")]
    assert np.mean(vowels) > np.mean(closed) + 8


@needs_model
def test_a_voice_is_the_same_twice(said):
    again = speak(TEXT, "af_heart")
    assert np.array_equal(again.audio, said.audio) and again.phones == said.phones


@needs_model
def test_prosody_is_heard(said):
    assert len(speak(TEXT, "af_heart", rate=120).audio) > 1.2 * len(said.audio)
    assert pitch(speak(TEXT, "af_heart", pitch=70).audio) > 1.25 * pitch(said.audio)
    assert pitch(speak(TEXT, "am_michael").audio) < 0.8 * pitch(said.audio)


def test_who_speaks_is_chosen_by_person_and_split():
    """Every second person of `mixed`; judges, test people and train people share no voice."""
    mixed, own, espeak = (Studio(7, 64, 0.72, voices=voices) for voices in ("mixed", "natural", "espeak"))
    for person in (0, 1):
        voice = {s.voices: s.cast(person)[2].voice for s in (mixed, own, espeak)}
        assert voice["natural"] in natural.TRAIN["female"] + natural.TRAIN["male"]
        assert voice["mixed"] == (voice["natural"] if person else voice["espeak"])
    assert own.cast(2, "test")[2].voice in natural.TEST["female"] + natural.TEST["male"]
    sets = [set(s["female"] + s["male"]) for s in (natural.TRAIN, natural.TEST, natural.CROWD)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 28
    with pytest.raises(EmolibError, match="voices are 'robots'; expected one of espeak, natural, mixed"):
        Studio(7, 64, 0.72, voices="robots")


def test_a_corpus_without_the_extra_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(natural, "available", lambda: False)
    params = from_dict({"data": {"voices": "natural"}})
    with pytest.raises(EmolibError, match=r"data.voices is 'natural'.*pip install 'emolib\[voices\]'"):
        build_corpus(tmp_path / "corpus", params.data, params.base)
    assert not (tmp_path / "corpus").exists()


@needs_model
def test_a_clip_in_a_natural_voice_moves_the_mouth_by_what_is_said():
    record, frames, audio, truth = Studio(7, 64, 1.6, voices="natural").clip(ClipSpec("train", 3, "happy", 2, 0))
    assert len(frames) == 40 and len(audio) == 25600 and set(truth["visemes"]) <= set(VISEMES)
    said = [str(name) for name in truth["phonemes"] if IPA_CLASS.get(str(name), "sil") != "sil"]
    assert len(said) > 10 and set(said) <= set(IPA_CLASS), record["text"]
