"""People of no corpus who read sentences of no corpus aloud: what a recogniser of characters learns from."""

from collections.abc import Iterator

import numpy as np

from synthface.crowd_speech import ESPEAK, sentence
from synthface.expressions import EMOTIONS
from synthface.speech import Speaker, prosody, say
from synthface.synth import named_rng


def readings(count: int, seed: int) -> Iterator[tuple[np.ndarray, str]]:
    """``count`` times (sound float32 (n,) at 16 kHz, its text), each by another speaker in any of the eight emotions; espeak's voices."""
    for number in range(count):
        rng = named_rng(seed, "readings", number)
        sex = str(rng.choice(sorted(ESPEAK)))
        speaker, text, emotion = Speaker.sample(rng, sex), sentence(rng), str(rng.choice(EMOTIONS))
        how = prosody(emotion, 1 if emotion == "neutral" else int(rng.integers(1, 4)), speaker, rng)
        yield say(text, str(rng.choice(ESPEAK[sex])), how, rng).audio, text
