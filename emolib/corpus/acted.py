"""Performances of :mod:`synthface.acting` on disk, one file a person: what is heard, by Whisper, and what the face does."""

import functools
from pathlib import Path

import numpy as np

from emolib.corpus.people import one_file_each
from emolib.emotions import EMOTIONS
from emolib.face.loaders import default_path
from emolib.fingerprint import fingerprint
from emolib.speech.features import speech_features
from emolib.speech.whisper import WEIGHTS
from synthface.acting import SEED, Troupe

_troupe = functools.lru_cache(maxsize=1)(Troupe)  # of a worker process


def _act(number: int, seed: int, voices: str, unseen: bool, count: int) -> dict[str, np.ndarray]:
    alpha, played = _troupe(seed, voices, unseen).perform(number, count)
    heard = [speech_features(one.audio) for one in played]
    return {
        "alpha": alpha,
        "heard": np.concatenate(heard).astype(np.float16),
        "loudness": np.concatenate([loudness(one.audio) for one in played]),
        "beta": np.concatenate([one.beta for one in played]).astype(np.float32),
        "frames": np.array([len(one.beta) for one in played]),
        "emotion": np.array([EMOTIONS.index(one.emotion) for one in played]),
        "level": np.array([one.level for one in played]),
        "spoken": np.array([bool(one.said.text) for one in played]),
        "moments": np.concatenate([one.moments for one in played]),
    }


def loudness(audio: np.ndarray) -> np.ndarray:
    """Level (n / 320,) of each 20 ms of a sound at 16 kHz, dB, of what its feature speaks of: no feature at all, and a net must beat it."""
    about = np.pad(audio, (160, 160))[: len(audio)].reshape(-1, 320)
    return (10 * np.log10((about.astype(np.float64) ** 2).mean(1) + 1e-8)).astype(np.float32)


def act(
    folder: str | Path,
    people: range,
    count: int,
    *,
    voices: str = "mixed",
    unseen: bool = False,
    seed: int = SEED,
    workers: int = 2,
) -> list[Path]:
    """One file for each of ``people``, ``<number>.npz``, with ``count`` performances: alpha (80,), and clip after clip heard (2 T, 768)
    float16, loudness (2 T,), beta (T, 64) and moments (T,) uint8; frames, emotion, level and spoken (count,) of each clip. voices,
    unseen: of :class:`synthface.acting.Troupe`.

    Those that are there stay, unless the code has changed that made them. Raises :class:`EmolibError` if a worker dies.
    """
    what = {"count": count, "voices": voices, "unseen": unseen, "seed": seed}
    mark = fingerprint(__name__, face_model=default_path(), weights=WEIGHTS, **what)
    return one_file_each(Path(folder), people, _act, (seed, voices, unseen, count), mark, workers=workers)
