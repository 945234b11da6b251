"""The same bytes on every machine: a clip (its frames, sound, truth, file) and its fit, under other BLAS kernels, vector units, threads."""

import json
import os
import subprocess
import sys

import one_clip
import pytest

# Made on an AMD EPYC (AVX-512) under Linux. Change them with the code that draws or fits, never because another machine says so.
STORED = {
    "frames": "16355735135a2dbd",
    "sound": "1a6da5c11ddfc92b",
    "truth": "a548ee9e3bfc7427",
    "strange": "cffa1e903517df15",
    "mp4": "ee1115ca1e5db40e",
    "fit": "e55f00dc0f8516d9",
}
MACHINES = {
    "this one": {},
    "OpenBLAS for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "numba for any x86-64": {"NUMBA_CPU_NAME": "generic"},
    "no vector units, one thread": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OMP_NUM_THREADS": "1",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX",
    },
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_clip_and_its_fit_have_the_stored_bytes(machine, tmp_path):
    setting = os.environ | MACHINES[machine]
    if "NUMBA_CPU_NAME" in setting:
        setting["NUMBA_CACHE_DIR"] = str(
            tmp_path / "numba"
        )  # compiled code for one processor is kept apart from that for another
    command = [sys.executable, "-W", "ignore", one_clip.__file__, str(tmp_path / "work")]
    done = subprocess.run(command, env=setting, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == STORED
