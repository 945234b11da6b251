"""The demonstration: a real portrait and a synthetic voice that need nothing from the user."""

import numpy as np

from emolib.emotions import EMOTIONS
from synthface.speech import VOICES, Prosody, prosody, say

TEXT = "Hello! It is so good to see you. Shall we begin?"
VOICE = VOICES["female"][13]  # en-us+f3


def portrait() -> np.ndarray:
    """A real portrait that ships in a package: Eileen Collins (NASA, public domain), uint8 (512, 512, 3)."""
    import skimage.data

    return skimage.data.astronaut()


def speech(text: str = TEXT, emotion: str = "happy", intensity: float = 2, seed: int = 0) -> np.ndarray:
    """``text`` spoken by espeak-ng with the prosody of ``emotion`` (calm, if that is not one of the eight): float32 16 kHz."""
    how = prosody(emotion, intensity) if emotion in EMOTIONS else Prosody()
    return say(text, VOICE, how, np.random.default_rng(seed)).audio
