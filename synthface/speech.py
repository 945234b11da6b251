"""Synthetic speech: espeak-ng's or natural voices with the time of every phoneme, and prosody that carries an emotion.

Prosody of emotions: Scherer, "Vocal communication of emotion", Speech Communication 40, 2003, Table 2; Banse and Scherer,
"Acoustic profiles in vocal emotion expression", J. Pers. Soc. Psychol. 70(3), 1996; Juslin and Laukka, "Communication of emotions in
vocal expression and music performance", Psychol. Bull. 129(5), 2003, Table 7. They say up or down, seldom how much: the figures are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import butter, sosfilt

from emolib.errors import EmolibError
from emolib.media.audio import SAMPLE_RATE, resample
from synthface import espeak, natural
from synthface.expressions import EMOTIONS
from synthface.ipa import IPA_CLASS
from synthface.phrases import SENTENCES
from synthface.room import Room, recorded

__all__ = [
    "PHONEME_CLASS",
    "SENTENCES",
    "VOICES",
    "Prosody",
    "Speaker",
    "Speech",
    "expressive",
    "prosody",
    "say",
    "speak",
    "spoken",
    "utter",
]

ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029")  # "en" is espeak's name of en-gb
VOICES = {
    "male": tuple(f"{a}+m{i}" for i in range(1, 8) for a in ACCENTS),
    "female": tuple(f"{a}+f{i}" for i in range(1, 6) for a in ACCENTS),
}

# espeak mnemonic (without stress marks) -> viseme class of the Oculus / MPEG-4 set of 15.
_CLASS_MEMBERS = {
    "sil": "_ _: _! _| || ?",
    "PP": "p b m m-",
    "FF": "f v",
    "TH": "T D",
    "DD": "t d t# t[ d[ t2 d# *",
    "kk": "k g N x h h2 Q",
    "CH": "tS dZ S Z tS; dZ; S; Z; C",
    "SS": "s z s; z; z#",
    "nn": "n l n- l- L @L n[ l^",
    "RR": "r r- r/ R 3 3: IR VR ER",
    "aa": "0 A A: A@ a a: aa V aI aI@ aI3 aI2 aU aU@ A~ 0#",
    "E": "E E2 E# e e: e@ eI @ @2 @# @5 @- a# 3r EI",
    "ih": "I I2 I# i i: i@ i@3 j ; I@ i2 I2# y y:",
    "oh": "O O: O2 o o: o@ oU OI O@ oI OU O~",
    "ou": "U u u: U@ w w# u# u@ U:",
}
PHONEME_CLASS = {name: group for group, names in _CLASS_MEMBERS.items() for name in names.split()}
OTHER = "kk"  # a phoneme of another language (espeak may switch for a foreign word): the mouth opens a little
# A diphthong is two mouth shapes, one half of its time each.
DIPHTHONGS = {
    "aI": ("aa", "ih"), "aI@": ("aa", "ih"), "aI3": ("aa", "ih"), "aI2": ("aa", "ih"), "aU": ("aa", "ou"), "aU@": ("aa", "ou"),
    "eI": ("E", "ih"), "oU": ("oh", "ou"), "OI": ("oh", "ih"), "i@": ("ih", "E"), "i@3": ("ih", "E"), "U@": ("ou", "E"),
    "@L": ("E", "nn"), "tS": ("DD", "CH"), "dZ": ("DD", "CH"),
}  # fmt: skip


@dataclass(frozen=True)
class Speech:
    """audio: float32 (n,) at 16 kHz. phonemes: (name, start s, end s), without gaps; names are espeak's without stress, of natural voices
    the IPA's. text: what is said."""

    audio: np.ndarray
    phonemes: list[tuple[str, float, float]]
    text: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.audio) / SAMPLE_RATE

    @property
    def visemes(self) -> list[tuple[str, float, float]]:
        """(viseme class, start s, end s); a diphthong or affricate is two."""
        out = []
        for name, start, end in self.phonemes:
            classes = DIPHTHONGS.get(name) or (PHONEME_CLASS.get(name) or IPA_CLASS.get(name, OTHER),)
            edges = np.linspace(start, end, len(classes) + 1).tolist()
            out += list(zip(classes, edges[:-1], edges[1:]))
        return out


def speak(
    text: str, voice: str = "en-us", *, rate: float = 165, pitch: float = 50, range: float = 50, gap: float = 0,
    tract: float = 1.0, tune: str = "",
) -> Speech:  # fmt: skip
    """Speaks ``text`` with espeak-ng. Deterministic.

    voice: name and variant, e.g. one of :data:`VOICES`. rate: words a minute, 80 to 450. pitch, range (of the pitch): 0 to 100.
    gap, tract, tune: as in :class:`Prosody`. Raises :class:`EmolibError` for an unknown voice or a text with nothing to say.
    """
    # Sound played faster by ``tract`` has its resonances that much higher; the words are said that much slower before.
    limits = {espeak.RATE: (rate / tract, 80, 450), espeak.PITCH: (pitch, 0, 100), espeak.RANGE: (range, 0, 100)}
    parameters = {key: round(min(max(value, low), high)) for key, (value, low, high) in limits.items()}
    parameters |= {espeak.VOLUME: 80, espeak.WORDGAP: round(100 * max(gap, 0.0))}
    said = text.rstrip(" .?!") + tune if tune else text
    samples, espeak_rate, marks = espeak.synthesise(said, voice, parameters)
    espeak_rate = 50 * round(
        espeak_rate * tract / 50
    )  # a factor in common with 16000 keeps the resampling filter short
    names = [name.lstrip("',%=") or "_" for name, _ in marks]
    voiced = [i for i, name in enumerate(names) if PHONEME_CLASS.get(name) != "sil"]
    if not voiced:
        raise EmolibError(f"the text {text!r} holds nothing that can be spoken; give words")
    starts = [sample / espeak_rate for _, sample in marks] + [len(samples) / espeak_rate]
    audio = resample(samples.astype(np.float32) / 32768, espeak_rate, SAMPLE_RATE)
    end = min(starts[voiced[-1] + 1] + 0.1, len(audio) / SAMPLE_RATE)  # espeak adds a pause after a sentence
    spans = zip(names, starts[:-1], starts[1:])
    phonemes = [(name, start, min(stop, end)) for name, start, stop in spans if min(stop, end) > start]
    phonemes = [("_", 0.0, starts[0])] * (starts[0] > 0) + phonemes
    return Speech(audio[: round(end * SAMPLE_RATE)], phonemes, text)


@dataclass(frozen=True)
class Prosody:
    """How something is said; the defaults are a calm voice.

    rate: words a minute. pitch, range: espeak's 0 to 100. energy: dB relative to a calm voice. gap: silence between words, s.
    jitter: random, tremor: 6 Hz variation of pitch and loudness, 0 to 1. tilt: dB that 4 kHz gains over 500 Hz (a tense voice
    is bright). breath: noise in the voice, 0 to 1. tract: factor of the resonances (a smile shortens the vocal tract, above 1; a small
    head too). tune: melody of the sentence, "." falls, "?" rises, "!" stresses; "" as the text has it.
    """

    rate: float = 165.0
    pitch: float = 50.0
    range: float = 50.0
    energy: float = 0.0
    gap: float = 0.0
    jitter: float = 0.05
    tremor: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    tract: float = 1.0
    tune: str = ""


# What a full emotion (level 3) adds to the calm voice. rate is a factor.
_EMOTIONAL: dict[str, dict] = {
    "neutral": {},
    "angry": {"rate": 1.15, "pitch": 10, "range": 22, "energy": 7.0, "jitter": 0.5, "tilt": 9.0, "tune": "!"},
    "contempt": {"rate": 0.82, "pitch": -14, "range": -10, "energy": -1.5, "gap": 0.03, "tilt": -2.0, "tract": -0.03},
    "disgusted": {"rate": 0.80, "pitch": -8, "range": 10, "energy": 1.0, "jitter": 0.8, "gap": 0.04, "tilt": 2.0, "tract": -0.05},
    "fear": {"rate": 1.25, "pitch": 28, "range": -14, "energy": 0.5, "jitter": 0.3, "tremor": 1.0, "tilt": 2.0, "breath": 0.7},
    "happy": {"rate": 1.10, "pitch": 20, "range": 34, "energy": 4.0, "tilt": 4.0, "tract": 0.07},
    "sad": {"rate": 0.76, "pitch": -14, "range": -30, "energy": -7.0, "tremor": 0.3, "gap": 0.08, "tilt": -9.0, "breath": 0.7},
    "surprised": {"rate": 1.04, "pitch": 34, "range": 48, "energy": 3.0, "tilt": 1.0, "breath": 0.4, "tune": "?"},
}  # fmt: skip
_LEVELS = ((0, 1, 2, 3), (0.0, 0.4, 0.7, 1.0))


@dataclass(frozen=True)
class Speaker:
    """One person's voice, in the room of their session. calm: how they speak without emotion. gain: how much each emotion changes each
    feature (1 = average)."""

    voice: str
    calm: Prosody
    gain: dict[str, dict[str, float]]
    room: Room

    @classmethod
    def sample(cls, rng: np.random.Generator, sex: str = "male") -> "Speaker":
        """``sex``: 'male' or 'female'. Voices differ in accent, timbre, pitch, pace and in how they show what they feel."""
        voice = VOICES[sex][int(rng.integers(len(VOICES[sex])))]
        calm = Prosody(
            rate=float(np.clip(rng.normal(165, 13), 135, 195)),
            pitch=float(np.clip(rng.normal(45, 8), 25, 65)),
            range=float(np.clip(rng.normal(48, 8), 30, 65)),
            energy=float(rng.normal(0, 1.5)),
            jitter=float(rng.uniform(0.0, 0.12)),
            tilt=float(rng.normal(0, 1.0)),
            breath=float(rng.uniform(0.0, 0.2)),
            gap=float(rng.uniform(0.0, 0.015)),
            tract=float(rng.uniform(0.95, 1.05)),
        )
        gain = {e: {k: float(np.clip(rng.normal(1, 0.3), 0.2, 1.8)) for k in sorted(_EMOTIONAL[e])} for e in EMOTIONS}
        return cls(voice, calm, gain, Room.sample(rng))


def prosody(
    emotion: str, intensity: float, speaker: Speaker | None = None, rng: np.random.Generator | None = None
) -> Prosody:
    """How ``speaker`` (default: the average voice) says something with ``emotion`` at ``intensity`` 0 to 3.

    With ``rng`` every utterance varies a little. Raises :class:`EmolibError` for an unknown emotion or an intensity out of range.
    """
    if emotion not in _EMOTIONAL:
        raise EmolibError(f"no emotion '{emotion}' for a voice; expected one of {', '.join(EMOTIONS)}")
    if not 0 <= intensity <= 3:
        raise EmolibError(f"intensity is {intensity}; expected 0 to 3")
    calm = speaker.calm if speaker else Prosody()
    level = float(np.interp(intensity, *_LEVELS))
    values = {}
    for name, change in _EMOTIONAL[emotion].items():
        amount = level * (speaker.gain[emotion][name] if speaker else 1.0)
        amount *= 1.0 if rng is None else float(np.clip(rng.normal(1, 0.2), 0.3, 1.7))
        base = getattr(calm, name)
        if name == "tune":  # a melody has no half
            values[name] = change if (0.5 if rng is None else rng.random()) < amount else base
        else:
            values[name] = base * (1 + amount * (change - 1)) if name == "rate" else base + amount * change
    said = replace(calm, **values)
    if rng is not None:
        said = replace(said, rate=said.rate * rng.uniform(0.95, 1.05), pitch=said.pitch + rng.normal(0, 2))
    return said


def _smooth_noise(n: int, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """Noise (n,) of unit deviation below ``hertz``, drawn at 4 * hertz and interpolated."""
    knots = rng.normal(size=int(n / SAMPLE_RATE * 4 * hertz) + 4)
    return np.interp(np.arange(n) * (4 * hertz / SAMPLE_RATE), np.arange(len(knots)), knots)


def expressive(audio: np.ndarray, how: Prosody, rng: np.random.Generator) -> np.ndarray:
    """Voice quality that no voice here has of itself: brightness, breath, jitter, tremor, loudness. Phoneme times stay (within 0.5 ms)."""
    n = len(audio)
    seconds = np.arange(n) / SAMPLE_RATE
    out = audio - np.mean(audio)
    high = sosfilt(butter(1, 2000, "high", fs=SAMPLE_RATE, output="sos"), out)
    out = out + (10 ** (how.tilt / 20) - 1) * high
    loudness = np.sqrt(sosfilt(butter(1, 20, fs=SAMPLE_RATE, output="sos"), out**2).clip(0))
    hiss = sosfilt(butter(2, (1500, 6000), "band", fs=SAMPLE_RATE, output="sos"), rng.normal(size=n))
    out = out + 0.12 * max(how.breath, 0.0) * hiss * loudness
    phase = rng.uniform(0, 2 * np.pi)
    delay = 0.16e-3 * how.jitter * _smooth_noise(n, 60, rng)  # s; a moving delay is a moving pitch
    delay += 0.3e-3 * how.tremor * np.sin(2 * np.pi * 6 * seconds + phase)
    out = np.interp(seconds + delay, seconds, out)
    out *= 1 + 0.35 * how.tremor * np.sin(2 * np.pi * 6 * seconds + phase)
    out *= 10 ** ((1.0 + how.jitter) * _smooth_noise(n, 3, rng) / 20)  # stress wanders by 1 to 2 dB
    level = np.sqrt(np.mean(out**2)) + 1e-9
    out *= 10 ** ((-24 + how.energy) / 20) / level
    return np.tanh(out).astype(np.float32)  # full scale is never passed, loud voices saturate as in a microphone


def spoken(text: str, voice: str, how: Prosody) -> Speech:
    """``text`` by espeak-ng, or by a natural ``voice`` (of :data:`synthface.natural.VOICES`), before :func:`expressive`."""
    what = {name: getattr(how, name) for name in ("rate", "pitch", "range", "gap", "tract", "tune")}
    if voice.startswith("en"):  # espeak's are called by their language
        return speak(text, voice, **what)
    return Speech(*natural.speak(text, voice, **what), text)


def say(text: str, voice: str, how: Prosody, rng: np.random.Generator) -> Speech:
    """``text`` in ``voice`` (see :func:`spoken`) with prosody ``how``; ``rng`` draws the small irregularities of a living voice."""
    said = spoken(text, voice, how)
    return replace(said, audio=expressive(said.audio, how, rng))


def utter(
    seconds: float, speaker: Speaker, how: Prosody, rng: np.random.Generator, sentences: Sequence[str] = SENTENCES
) -> Speech:
    """One of ``sentences`` that fills ``seconds``, said by ``speaker`` and :func:`recorded` in their room; exactly ``seconds`` long.

    Of three drawn ones of about the right length the one that fits best is said, with silence around it; a sentence that is too long
    fades out at the end. Raises :class:`EmolibError` for no sentences.
    """
    if not sentences:
        raise EmolibError("there are no sentences to say; give at least one")
    letters = 14.0 * how.rate / 165 * seconds  # English: about 14 letters a second at this rate
    near = sorted(range(len(sentences)), key=lambda i: (abs(len(sentences[i]) - letters), i))[:24]
    drawn = [spoken(sentences[i], speaker.voice, how) for i in rng.permutation(near)[:3]]
    best = min(drawn, key=lambda s: abs(s.seconds + 0.05 - seconds))
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    first = max(0, int(rng.uniform(0.2, 0.8) * (len(audio) - len(best.audio))))
    kept = expressive(best.audio, how, rng)[: len(audio) - first]
    fade = min(160, len(kept))
    kept[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)  # no click
    audio[first : first + len(kept)] = kept
    offset = first / SAMPLE_RATE
    moved = [(name, start + offset, min(stop + offset, seconds)) for name, start, stop in best.phonemes]
    return Speech(recorded(audio, speaker.room, rng), [p for p in moved if p[2] > p[1]], best.text)
