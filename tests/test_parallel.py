"""Two processes that share each batch give every system the losses of one that has it all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy

STEPS = 3
# What is summed in another order differs in the last digits, and each step of Adam makes the most of it where a gradient is nearly 0.
CLOSE = 2e-3


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    built = toy.build(tmp_path_factory.mktemp("toy"))
    alone, two = (toy.copied(built, tmp_path_factory.mktemp(name)) for name in ("alone", "two"))
    assert toy.run(alone, toy.EVERY, STEPS, log_every=1) == dict.fromkeys(toy.EVERY, STEPS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launcher, toy.__file__, str(two), str(STEPS)], check=True, cwd=Path(toy.__file__).parent)

    def read(folder, name):
        return json.loads((folder / "weights" / f"{name}.json").read_text())["history"]

    return {name: (read(alone, name), read(two, name)) for name in toy.EVERY}


@pytest.mark.parametrize("name", toy.EVERY)
def test_two_processes_have_the_losses_of_one(histories, name):
    alone, two = histories[name]
    assert len(alone) == len(two) == STEPS and list(alone[0]) == list(two[0])
    for one, other in zip(alone, two):
        for term, value in one.items():
            np.testing.assert_allclose(
                other[term], value, rtol=CLOSE, atol=1e-5, err_msg=f"{term} at step {one['step']}"
            )
