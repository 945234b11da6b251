"""Machine code of compiled loops, kept until any source changes that they were made from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from emolib import fingerprint
from emolib.files import cache_folder

config: Any = numba.config


def compiler(module: str, **options) -> Callable[[Callable], Callable]:
    """``numba.njit`` for the functions of ``module``, with ``options``, holding no lock while they run.

    numba keeps machine code until the file of a function changes; constants, options and functions that it took from elsewhere may
    change and be missed. Here the code lies in ``$NUMBA_CACHE_DIR``, else in our cache, in a
    folder named by :func:`fingerprint.code` of the module.
    """
    folder = Path(config.CACHE_DIR or cache_folder() / "kernels") / f"{module}-{fingerprint.code(module)}"
    kept = _writable(
        folder
    )  # else it is compiled in every process; a folder that all may write to is no place for code

    def decorate(function: Callable) -> Callable:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:  # numba reads where to keep it here, not when it compiles
            return numba.njit(cache=kept, nogil=True, **options)(function)
        finally:
            config.CACHE_DIR = before

    return decorate


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
