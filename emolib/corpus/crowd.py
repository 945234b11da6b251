"""The people of :mod:`synthface.crowd` on disk, one file each: drawn side by side, kept while what they depend on has not changed."""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emolib.corpus.workers import each
from emolib.critics.sync import mouth_window
from emolib.errors import EmolibError
from emolib.face.loaders import default_path
from emolib.files import write_atomic
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


def _draw(what: str, number: int, path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, **WHAT[what](number))  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def draw_crowd(folder: str | Path, what: str, numbers: range, *, workers: int = 2) -> list[Path]:
    """One file for each of ``numbers``, ``<number>.npz``: ``stills`` are a :class:`synthface.crowd.Sitting`, ``clips`` what
    :func:`synthface.crowd_speech.speak_for_judges` gives, stacked, of the pictures the mouths as SyncNet sees them.

    Those that are there stay, unless the code has changed that drew them: then all are drawn anew. Raises :class:`EmolibError` if a
    worker dies.
    """
    folder = Path(folder) / what
    folder.mkdir(parents=True, exist_ok=True)
    mark, note = fingerprint(__name__, what=what, size=SIZE, face_model=default_path()), folder / "made.txt"
    if not note.is_file() or note.read_text() != mark:
        for old in folder.glob("*.npz"):
            old.unlink()
        write_atomic(note, mark)
    paths = [folder / f"{number:06d}.npz" for number in numbers]
    jobs = [(what, int(path.stem), path) for path in paths if not path.is_file()]
    done = each(_draw, jobs, workers=workers)
    for (_, number, _), _, died in tqdm(done, total=len(jobs), desc=what, unit="person", mininterval=5):
        if died:
            raise EmolibError(f"person {number} of the crowd cannot be drawn: {died}")
    return paths
