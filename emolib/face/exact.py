"""Arithmetic that gives the same bits on every machine.

BLAS and vector units add up in an order of their own, so the last digits of a sum depend on the processor. Corpora and fits
must not: what stands on such a sum is computed in float64, where that noise is about 1e-15, and rounded to a grid that is much
coarser. A value then differs between machines only if it lies that close to the middle between two grid points: 1e-9 and less.
"""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import scipy.linalg  # noqa: F401  its BLAS is another one than numpy's, and must be loaded to be found
from threadpoolctl import ThreadpoolController

DIGITS = 6  # decimals that are kept: a micrometre of a face, a thousandth of the finest thing that is drawn


def settled(values, digits: int = DIGITS) -> np.ndarray:
    """``values`` as float64, rounded to ``digits`` decimals."""
    return np.round(np.asarray(values, np.float64), digits) + 0.0  # no -0.0


def product(a, b, digits: int = DIGITS) -> np.ndarray:
    """The matrix product a @ b in float64, rounded to ``digits`` decimals."""
    return settled(np.asarray(a, np.float64) @ np.asarray(b, np.float64), digits)


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it, or in a function it decorates, numpy and scipy multiply and solve in one thread.

    For matrices of our size waking a second one takes longer than the product, and many times longer when other processes want the
    cores (benchmarks/threads.py).
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield
