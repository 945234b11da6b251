"""One file a person, made side by side, kept while what they depend on has not changed: crowds and performances alike."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emolib.corpus.workers import each
from emolib.errors import EmolibError
from emolib.files import write_atomic


def _make(path: Path, make: Callable[..., Mapping[str, np.ndarray]], number: int, arguments: tuple) -> None:
    content = io.BytesIO()
    np.savez(content, **make(number, *arguments))  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def one_file_each(
    folder: Path,
    numbers: range,
    make: Callable[..., Mapping[str, np.ndarray]],
    arguments: tuple,
    mark: str,
    *,
    workers: int,
) -> list[Path]:
    """``<number>.npz`` of ``make(number, *arguments)``, a function of a module, for each of ``numbers``.

    Those that are there stay, unless ``mark``, a fingerprint, is another than theirs: then all are made anew. Raises
    :class:`EmolibError` if a worker dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "made.txt"
    if not note.is_file() or note.read_text() != mark:
        for old in folder.glob("*.npz"):
            old.unlink()
        write_atomic(note, mark)
    paths = [folder / f"{number:06d}.npz" for number in numbers]
    jobs = [(path, make, int(path.stem), arguments) for path in paths if not path.is_file()]
    done = each(_make, jobs, workers=workers)
    for (path, *_), _, died in tqdm(done, total=len(jobs), desc=folder.name, unit="person", mininterval=5):
        if died:
            raise EmolibError(f"person {int(path.stem)} of {folder.name} cannot be made: {died}; those so far are kept")
    return paths
