"""The people of :mod:`synthface.crowd` on disk, one file each: drawn side by side, kept while what they depend on has not changed."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from emolib.corpus.people import one_file_each
from emolib.critics.sync import mouth_window
from emolib.face.loaders import default_path
from emolib.fingerprint import fingerprint
from synthface.crowd import crowd_studio, sit_for_judges
from synthface.crowd_speech import speak_for_judges

SIZE = 128  # px, of the crops
_studio = functools.lru_cache(maxsize=1)(crowd_studio)  # of a worker process


def _sit(number: int) -> dict[str, np.ndarray]:
    sitting = sit_for_judges(_studio(SIZE), number)
    return {"images": sitting.images, "levels": sitting.levels, "coefficients": sitting.coefficients}


def _speak(number: int) -> dict[str, np.ndarray]:
    clips, sounds, voices, texts = zip(*speak_for_judges(_studio(SIZE), number))
    return {
        "mouths": np.stack([mouth_window(frames).numpy() for frames in clips]),
        "audio": np.stack(sounds),
        "voices": np.array(voices),
        "texts": np.array(texts),
    }


WHAT: dict[str, Callable[[int], dict[str, np.ndarray]]] = {"stills": _sit, "clips": _speak}


def draw_crowd(folder: str | Path, what: str, numbers: range, *, workers: int = 2) -> list[Path]:
    """One file for each of ``numbers``, ``<number>.npz``: ``stills`` are a :class:`synthface.crowd.Sitting`, ``clips`` what
    :func:`synthface.crowd_speech.speak_for_judges` gives, stacked, of the pictures the mouths as SyncNet sees them.

    Those that are there stay, unless the code has changed that drew them: then all are drawn anew. Raises :class:`EmolibError` if a
    worker dies.
    """
    mark = fingerprint(__name__, what=what, size=SIZE, face_model=default_path())
    return one_file_each(Path(folder) / what, numbers, WHAT[what], (), mark, workers=workers)
