"""The sitters of :mod:`synthface.sitters` on disk: drawn side by side, once, kept while nothing that they depend on has changed."""

import functools
from pathlib import Path

import numpy as np

from emolib.corpus.workers import each
from emolib.errors import EmolibError
from emolib.face.loaders import default_path
from emolib.files import replacing, write_atomic
from emolib.fingerprint import fingerprint
from synthface.sitters import sit
from synthface.synth import Studio

_studio = functools.lru_cache(maxsize=1)(Studio)  # of a worker process


def _sit(studio: tuple, sitter: int) -> tuple[np.ndarray, np.ndarray]:
    return sit(_studio(*studio), sitter)


def draw_sitters(path: str | Path, people: int, *, size: int, seed: int, workers: int = 2) -> Path:
    """Writes ``people`` sitters to ``path`` (npz: images uint8 (people, 8, FRAMES, S, S, 3), levels (people, 8)) and returns it.

    Same arguments, same bytes, whatever ``workers`` is; a file that the same code made of the same arguments stays. Raises
    :class:`EmolibError` if a worker dies.
    """
    path, studio = Path(path), (seed, size, 1.0)
    mark = fingerprint(__name__, studio=studio, people=people, face_model=default_path())
    note = path.with_suffix(".txt")
    if path.is_file() and note.is_file() and note.read_text() == mark:
        return path
    note.unlink(missing_ok=True)
    drawn: list = [None] * people
    for (_, sitter), found, died in each(_sit, [(studio, sitter) for sitter in range(people)], workers=workers):
        if died:
            raise EmolibError(f"sitter {sitter} cannot be drawn: {died}")
        drawn[sitter] = found
    images, levels = (np.stack(part) for part in zip(*drawn))
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, images=images, levels=levels)
    write_atomic(note, mark)
    return path
