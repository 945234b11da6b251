"""Arrays on disk: npz files that are read without trust."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from emolib.errors import EmolibError
from emolib.files import check_input, replacing


def write_npz(path: str | Path, arrays: dict[str, np.ndarray], compressed: bool = True) -> Path:
    """Writes ``arrays`` by name into one npz, whole or not at all; returns the path."""
    save: Callable = np.savez_compressed if compressed else np.savez
    with replacing(path) as temporary, open(temporary, "wb") as file:
        save(file, **arrays)
    return Path(path)


def read_npz(path: str | Path, names: tuple[str, ...], what: str) -> dict[str, np.ndarray]:
    """All arrays of an npz. EmolibError, which calls the file a ``what`` file, if it is missing, damaged or lacks one of ``names``."""
    path = check_input(path, f"{what} file", "expected an npz written by this project")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]!r} is no array")
    except Exception as error:  # a damaged zip can fail anywhere inside the unzipper
        why = "it holds Python objects" if "Object arrays" in str(error) else error
        raise EmolibError(f"{path} is not a readable {what} file ({why}); expected an npz, make it anew") from None
    missing = [name for name in names if name not in arrays]
    if missing:
        raise EmolibError(f"{path} lacks {', '.join(missing)}; expected a {what} file written by this project")
    return arrays


def checked(array: np.ndarray, what: str, shape: tuple[int, ...], remedy: str, kinds: str = "fiu") -> np.ndarray:
    """The array as float32 (int64 if ``kinds`` are integers, bool if 'b'), or an :class:`EmolibError` that says what is wrong with it.

    ``kinds``: the dtype kinds that will do. ``what`` names the array and its file.
    """
    if array.dtype.kind not in kinds:
        wanted = {"iu": "whole numbers", "b": "true or false"}.get(kinds, "numbers")
        raise EmolibError(f"{what} holds {array.dtype}; expected {wanted}: {remedy}")
    if array.shape != shape:
        raise EmolibError(f"{what} is {array.shape}; expected {shape}: {remedy}")
    with np.errstate(over="ignore"):
        array = array.astype({"iu": np.int64, "b": bool}.get(kinds, np.float32))
    if array.dtype == np.float32 and not np.isfinite(array).all():
        raise EmolibError(
            f"{what} has {(~np.isfinite(array)).sum()} values that are nan or infinite; expected none: {remedy}"
        )
    return array


def refuse_file(path: Path, remedy: str, name: str, found: str, expected: str) -> NoReturn:
    """Raises the :class:`EmolibError` that says what ``name`` of the file ``path`` is, and what to do."""
    raise EmolibError(f"{name} of {path} {found}; expected {expected}: {remedy}")


def in_range(refuse, name: str, index: np.ndarray, first: int, last: int) -> None:
    """Calls ``refuse(name, found, expected)`` unless all of ``index`` lies in first..last."""
    if index.size and (index.min() < first or index.max() > last):
        refuse(name, f"runs from {index.min()} to {index.max()}", f"{first} to {last}")
