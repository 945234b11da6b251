"""Synthetic speech: deterministic, on time, and with the emotion in it."""

import zlib
from collections import Counter

import numpy as np
import pytest

from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.media.audio import SAMPLE_RATE
from synthface import speech
from synthface.expressions import VISEMES
from synthface.room import Room, recorded, voiced_level
from synthface.speech import PHONEME_CLASS, SENTENCES, Speaker, prosody, say, speak, utter


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


# What espeak's en-us can say (its ph_english_us), but for the vowel of "cloth", which it makes that of "thought".
CONSONANTS = "p b t d k g f v T D s z S Z tS dZ h m n N l r j w"
VOWELS = "I E a V U 0 @ i: u: O: A@ 3: 3 eI aI aU oU OI i@3 e@ U@ o@"


@pytest.fixture(scope="module")
def calm() -> dict[str, speech.Speech]:
    return {text: speak(text) for text in SENTENCES}


def test_sentences_hold_every_sound_of_english(calm):
    assert len(SENTENCES) >= 200 and len(set(SENTENCES)) == len(SENTENCES)
    assert set(PHONEME_CLASS.values()) == set(VISEMES)
    for sentences in (
        SENTENCES,
        [s for s in SENTENCES if zlib.crc32(s.encode()) % 4 == 0],
    ):  # the second: of test people
        sounds = Counter(name for text in sentences for name, _, _ in calm[text].phonemes)
        assert set(f"{CONSONANTS} {VOWELS}".split()) <= set(sounds)
        groups = Counter(v for text in sentences for v, _, _ in calm[text].visemes)
        assert min(groups[v] for v in VISEMES) > 0.01 * sum(groups.values())  # no mouth shape is rare


@pytest.mark.parametrize("accent", speech.ACCENTS)
def test_every_phoneme_has_a_viseme(accent):
    for text in SENTENCES[::8]:
        assert all(name in PHONEME_CLASS for name, _, _ in speak(text, accent, rate=300).phonemes), text


@pytest.mark.parametrize("seconds", [1.0, 1.6, 2.4, 3.0, 4.0, 5.0, 6.0])
def test_some_sentences_for_every_length(calm, seconds):
    fit = [text for text, said in calm.items() if 0.8 * seconds <= said.seconds <= 1.1 * seconds]
    for_test = sum(zlib.crc32(text.encode()) % 4 == 0 for text in fit)
    assert for_test >= 8 and len(fit) - for_test >= 20


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


def test_a_small_mouth_and_a_question():
    """A tract shorter by a tenth has resonances a tenth higher, in the same time; a question rises at its end."""
    plain, small, asked = (speak("We were near a wall.", **k) for k in ({"tune": "."}, {"tract": 1.1}, {"tune": "?"}))
    assert small.seconds == pytest.approx(plain.seconds, rel=0.08) and asked.text == "We were near a wall."
    power = [np.abs(np.fft.rfft(s.audio, 2**16)) ** 2 for s in (plain, small)]
    centre = [np.average(np.arange(len(p)), weights=p) for p in power]
    assert 1.04 < centre[1] / centre[0] < 1.16
    last = [pitch(s.audio[-2500:])[0] for s in (plain, asked)]
    assert last[1] > 1.15 * last[0]


def pauses(audio: np.ndarray) -> float:
    """Seconds of silence of 80 ms or more inside ``audio``."""
    windows = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    level = np.sqrt((windows**2).mean(1))
    loud = np.flatnonzero(level > 0.03 * level.max())
    gaps = np.diff(loud) - 1
    return float(0.02 * gaps[gaps >= 4].sum())


def test_sad_voices_pause():
    sad, happy = (
        say("We found a big new cup on the beach.", "en-us+m3", prosody(e, 3), np.random.default_rng(0))
        for e in ("sad", "happy")
    )
    assert pauses(sad.audio) > 0.15 and pauses(sad.audio) > 2 * pauses(happy.audio)


QUIET = Room(noise=-60, rumble=300, echo=-60, decay=0.1, drive=1, seed=0)


def test_a_recorder_levels_loud_and_quiet():
    """7 dB louder is not louder on the record; what is left of it is the distance to the noise."""
    rng = np.random.default_rng
    voice = say("My father parks the car.", "en-us+m3", prosody("neutral", 1), rng(0)).audio
    voice = np.concatenate([voice, np.zeros(8000, np.float32)])
    room = Room(noise=-35, rumble=300, echo=-20, decay=0.2, drive=1, seed=0)
    loud, quiet = (recorded(voice * gain, room, rng(1)) for gain in (2.2, 0.45))
    assert voiced_level(loud) == pytest.approx(voiced_level(quiet), abs=0.1)
    floor = [voiced_level(sound[-3200:]) for sound in (loud, quiet)]
    assert floor[1] - floor[0] == pytest.approx(20 * np.log10(2.2 / 0.45), abs=3)
    levels = [voiced_level(recorded(voice, room, rng(i))) for i in range(100)]
    assert np.mean(levels) == pytest.approx(-24, abs=1) and 2 < np.std(levels) < 4


def test_a_recorder_keeps_the_time():
    """An echo delays nothing: the record is most like the voice at a lag below 5 ms. A dry, quiet room changes the gain only."""
    voice = say("My father parks the car.", "en-us+m3", prosody("neutral", 1), np.random.default_rng(0)).audio
    for seed in range(4):
        room = Room.sample(np.random.default_rng(seed))
        sound = recorded(voice, room, np.random.default_rng(seed))
        lags = [np.dot(voice[1000:-1000], np.roll(sound, -k)[1000:-1000]) for k in range(-400, 400, 4)]
        assert abs(range(-400, 400, 4)[int(np.argmax(lags))]) < 0.005 * SAMPLE_RATE
    sound = recorded(voice, QUIET, np.random.default_rng(0))
    assert np.corrcoef(voice, sound)[0, 1] > 0.99


@pytest.mark.parametrize("seconds", [0.6, 1.6, 3.0])
def test_a_sentence_that_fits(seconds):
    speaker, how = Speaker.sample(np.random.default_rng(0)), prosody("sad", 3)
    said, again, other = (utter(seconds, speaker, how, np.random.default_rng(s)) for s in (4, 4, 5))
    np.testing.assert_array_equal(said.audio, again.audio)
    assert not np.array_equal(said.audio, other.audio)
    assert len(said.audio) == round(seconds * SAMPLE_RATE) and np.abs(said.audio).max() < 1
    starts, ends = [p[1] for p in said.phonemes], [p[2] for p in said.phonemes]
    assert starts[0] >= 0 and ends[-1] <= seconds and starts[1:] == pytest.approx(ends[:-1])
    moving = sum(b - a for name, a, b in said.phonemes if PHONEME_CLASS[name] != "sil")
    assert moving > 0.5 * seconds and said.text in SENTENCES
    assert utter(seconds, speaker, how, np.random.default_rng(4), ["Go on.", "Look up."]).text in ("Go on.", "Look up.")


def test_phonemes_of_an_utterance_are_where_it_sounds():
    speaker = Speaker("en-us+m3", prosody("neutral", 1), {}, QUIET)
    said = utter(2.0, speaker, prosody("neutral", 1), np.random.default_rng(1), ["See Sue sew a sash. She sees us."])
    hiss = np.fft.rfft(said.audio)
    hiss[: int(4000 * 2.0)] = 0
    energy, inside = np.fft.irfft(hiss, len(said.audio)) ** 2, np.zeros(len(said.audio), bool)
    for name, start, end in said.phonemes:
        if PHONEME_CLASS[name] in ("SS", "CH"):
            inside[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] = True
    assert energy[inside].sum() > 0.8 * energy.sum()


def test_loudness_does_not_tell_the_emotion():
    """Over people and takes, the level of anger and of sadness is the same within the spread that chance makes."""
    levels = {"angry": [], "sad": []}
    for person in range(12):
        speaker = Speaker.sample(np.random.default_rng(person))
        for take in range(3):
            for emotion, found in levels.items():
                rng = np.random.default_rng([person, take, len(emotion)])
                said = utter(1.2, speaker, prosody(emotion, 3, speaker, rng), rng, SENTENCES[::20])
                found.append(voiced_level(said.audio))
    error = np.sqrt(sum(np.var(v) for v in levels.values()) / 36)
    assert abs(np.mean(levels["angry"]) - np.mean(levels["sad"])) < 3 * error < 3


def test_refusals():
    for call, said in [
        (lambda: speak("Hello", "xx-nobody"), "no voice"),
        (lambda: speak("..."), "nothing that can be spoken"),
        (lambda: speak(""), "nothing that can be spoken"),
        (lambda: prosody("hungry", 1), "expected one of neutral"),
        (lambda: prosody("happy", 4), "intensity is 4"),
        (lambda: utter(1, Speaker.sample(np.random.default_rng(0)), prosody("sad", 1), None, ()), "no sentences"),
    ]:
        with pytest.raises(EmolibError, match=said):
            call()
