"""Performances of :mod:`synthface.acting` on disk, one file a person: what is heard, by Whisper, and what the face does."""

import functools
import io
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emolib.corpus.workers import each
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.face.loaders import default_path
from emolib.files import write_atomic
from emolib.fingerprint import fingerprint
from emolib.speech.features import speech_features
from emolib.speech.whisper import WEIGHTS
from synthface.acting import SEED, Troupe

_troupe = functools.lru_cache(maxsize=1)(Troupe)  # of a worker process


def _act(path: Path, seed: int, voices: str, unseen: bool, number: int, count: int) -> None:
    alpha, played = _troupe(seed, voices, unseen).perform(number, count)
    heard = [speech_features(one.audio) for one in played]
    content = io.BytesIO()
    np.savez(
        content,
        alpha=alpha,
        heard=np.concatenate(heard).astype(np.float16),
        loudness=np.concatenate([loudness(one.audio) for one in played]),
        beta=np.concatenate([one.beta for one in played]).astype(np.float32),
        frames=np.array([len(one.beta) for one in played]),
        emotion=np.array([EMOTIONS.index(one.emotion) for one in played]),
        level=np.array([one.level for one in played]),
        spoken=np.array([bool(one.said.text) for one in played]),
        moments=np.concatenate([one.moments for one in played]),
    )
    write_atomic(path, content.getvalue())


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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    what = {
        "count": count,
        "voices": voices,
        "unseen": unseen,
        "seed": seed,
        "face_model": default_path(),
        "weights": WEIGHTS,
    }
    mark, note = fingerprint(__name__, **what), folder / "made.txt"
    if not note.is_file() or note.read_text() != mark:
        for old in folder.glob("*.npz"):
            old.unlink()
        write_atomic(note, mark)
    paths = [folder / f"{number:06d}.npz" for number in people]
    jobs = [(path, seed, voices, unseen, number, count) for path, number in zip(paths, people) if not path.is_file()]
    done = each(_act, jobs, workers=workers)
    for (path, *_), _, died in tqdm(done, total=len(jobs), desc="performances", unit="person", mininterval=5):
        if died:
            raise EmolibError(f"the person {path.stem} cannot act: {died}; those so far are kept")
    return paths
