"""Performances without pictures: what people of no corpus say, in what voice and mood, and what their faces do.

Sound and truth of a clip cost a tenth of its pictures, so a converter can learn from thousands of them. The faces are those of the corpus's
kind (:mod:`synthface.expressions`), the people, their heads and voices are others.
"""

from dataclasses import dataclass, replace

import numpy as np

from emolib.errors import EmolibError
from emolib.face.exact import product
from emolib.face.loaders import default_path, load_face_model
from emolib.media.audio import SAMPLE_RATE
from synthface import natural
from synthface.crowd_speech import invented
from synthface.expressions import LEAD, Style, performance
from synthface.heads import HeadSampler
from synthface.noises import KINDS, noise
from synthface.room import recorded
from synthface.speech import Speaker, Speech, expressive, prosody, spoken
from synthface.synth import FPS, PAIRS, SENTENCES, VOICES, _for_test, _project_head, named_rng

SEED = 1_000_033  # of heads, looks and acting; no corpus may have it as its own
PAUSE = (0.1, 0.9)  # s of silence before and after what is said: the mouth must learn to rest
MOST = 5.0  # s of a clip
QUIET = 0.2  # s after which a mouth rests
_LOOKED_AT = {"PP": 1, "aa": 2}  # of the visemes
UNSPOKEN = 0.06  # share of clips in which nobody speaks
NATURAL_EVERY = 4  # person of "mixed" speaks naturally: a natural voice costs fifteen of espeak's


@dataclass(frozen=True)
class Performance:
    """audio: float32 (n,) at 16 kHz. beta: (T, 64) at 25 fps. arkit: (T, 52). emotion, level: as of the corpus. moments: of
    :func:`moments`."""

    audio: np.ndarray
    beta: np.ndarray
    arkit: np.ndarray
    emotion: str
    level: int
    said: Speech
    moments: np.ndarray


class Troupe:
    """People who act. voices: of :data:`synthface.synth.VOICES`; natural ones need the extra ``voices``. unseen: they are of others of the
    sampler's heads, and speak in voices and sentences that are for tests."""

    def __init__(self, seed: int = SEED, voices: str = "mixed", unseen: bool = False):
        if voices not in VOICES:
            raise EmolibError(f"voices are '{voices}'; expected one of {', '.join(VOICES)}")
        if voices != "espeak" and not natural.available():
            raise EmolibError(
                f"voices are '{voices}', which needs packages that are not installed; run pip install 'emolib[voices]'"
            )
        self.seed, self.voices, self.unseen = seed + unseen, voices, unseen
        self.sampler, self.model = HeadSampler(self.seed), load_face_model(default_path())

    def cast(self, person: int) -> tuple[Style, Speaker, np.ndarray, np.ndarray]:
        """(style, speaker, alpha (80,), map of arkit to beta (52, 64)) of this number; the same in every process."""
        rng = named_rng(self.seed, "actor", person)
        head, style = self.sampler.sample(rng), Style.sample(rng)
        sex = "female" if head.sex > 0.5 else "male"
        speaker = Speaker.sample(rng, sex)
        while _for_test(speaker.voice) != self.unseen:
            speaker = Speaker.sample(rng, sex)
        if self.voices == "natural" or (self.voices == "mixed" and person % NATURAL_EVERY == 0):
            names = rng.choice(
                (natural.TEST if self.unseen else natural.TRAIN)[sex], int(rng.integers(1, 3)), replace=False
            )
            speaker = replace(speaker, voice="+".join(str(name) for name in names))
        return style, speaker, *_project_head(self.model, head)

    def perform(self, person: int, count: int) -> tuple[np.ndarray, list[Performance]]:
        """(alpha (80,), ``count`` performances) of a person: emotions and levels in an order of their own."""
        style, speaker, alpha, to_beta = self.cast(person)
        rng = named_rng(self.seed, "acts", person)
        order = [PAIRS[i] for _ in range(-(-count // len(PAIRS))) for i in rng.permutation(len(PAIRS))]
        played = []
        for emotion, level in order[:count]:
            if rng.random() < UNSPOKEN:
                said = unspoken(speaker, rng)
            else:
                said = recite(self._text(rng), speaker, emotion, level, rng)
            frames = round(said.seconds * FPS)
            arkit, _ = performance(emotion, level, said.visemes, frames, float(FPS), style, rng)
            played.append(
                Performance(said.audio, product(arkit, to_beta), arkit, emotion, level, said, moments(said, frames))
            )
        return alpha, played

    def _text(self, rng: np.random.Generator) -> str:
        return invented(rng) if rng.random() < 0.3 else str(rng.choice(SENTENCES[self.unseen]))


def moments(said: Speech, frames: int) -> np.ndarray:
    """uint8 (T,), what the lips must do where they may be looked at: 1 touch, in the middle of p, b, m; 2 be apart, in that of an open
    vowel; 3 rest, :data:`QUIET` s or more from all speech; 0 nothing of these."""
    found, spoken = np.zeros(frames, np.uint8), np.zeros(frames, bool)
    at = (np.arange(frames) + 0.5) / FPS + LEAD
    for name, start, end in said.visemes:
        if name == "sil":
            continue
        spoken |= (at > start - QUIET) & (at < end + QUIET)
        middle = int(((start + end) / 2 - LEAD) * FPS)
        if name in _LOOKED_AT and 0 <= middle < frames and end - start >= 0.04:
            found[middle] = _LOOKED_AT[name]
    found[~spoken] = 3
    return found


def unspoken(speaker: Speaker, rng: np.random.Generator) -> Speech:
    """A sound of :mod:`synthface.noises` where ``speaker`` is silent, 2 to 4 s."""
    count = round(rng.uniform(2, 4) * FPS) * SAMPLE_RATE // FPS
    return Speech(recorded(noise(str(rng.choice(KINDS)), count, rng), speaker.room, rng), [], "")


def recite(text: str, speaker: Speaker, emotion: str, level: int, rng: np.random.Generator) -> Speech:
    """``text`` by ``speaker`` in their room, with silence about it, :data:`MOST` s at most (then it fades out)."""
    how = prosody(emotion, level, speaker, rng)
    said = spoken(text, speaker.voice, how)
    before, after = rng.uniform(*PAUSE, 2)
    whole = min(before + said.seconds + after, MOST)
    audio = np.zeros(round(whole * FPS) * SAMPLE_RATE // FPS, np.float32)
    first = round(before * SAMPLE_RATE)
    kept = expressive(said.audio, how, rng)[: len(audio) - first]
    kept[-160:] *= np.linspace(1, 0, len(kept[-160:]), dtype=np.float32)  # no click
    audio[first : first + len(kept)] = kept
    start, end = first / SAMPLE_RATE, len(audio) / SAMPLE_RATE
    moved = [(name, a + start, min(b + start, end)) for name, a, b in said.phonemes if a + start < end]
    return Speech(recorded(audio, speaker.room, rng), moved, text)
