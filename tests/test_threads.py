"""Threads that wait sleep, and small products take one of them: set by importing emolib, unless the user has set it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from emolib.face import gauss_newton
from emolib.face.exact import one_blas_thread
from emolib.face.gauss_newton import fit_points, from_landmarks
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("given, seen", [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_importing_emolib_puts_waiting_threads_to_sleep_before_torch_loads(given, seen):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    code = "import sys, emolib.errors, os; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == seen


def test_one_blas_thread_within_and_as_many_as_before_after():
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        with pytest.raises(ValueError), one_blas_thread():
            raise ValueError
        assert blas_threads() == {2}


def test_fit_points_solves_in_one_thread_to_the_same_bits(monkeypatch):
    model, rest = load_face_model(), Coefficients.zeros(3)
    points = model.landmarks(rest.alpha, rest.beta, rest.pose, 128).numpy()
    evidence = from_landmarks(model, points + np.random.default_rng(0).normal(0, 1, points.shape), 128)
    seen, solve = [], gauss_newton._solve

    def watched(*arguments):
        seen.append(blas_threads())
        return solve(*arguments)

    monkeypatch.setattr(gauss_newton, "_solve", watched)
    with threadpool_limits(2, user_api="blas"):
        alone = fit_points(model, evidence)
        several = fit_points.__wrapped__(model, evidence)
    assert seen[:4] == [{1}] * 4 and seen[4:] == [{2}] * 4
    np.testing.assert_array_equal(alone.to_vector(), several.to_vector())
