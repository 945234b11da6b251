"""DVC's own commands in an activated environment, without make, from a path with spaces."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emolib.pipeline.repro import copy_tree

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dvc(tmp_path_factory):
    """dvc(*arguments) -> what it prints; in a copy of the tree with no results."""
    copy = tmp_path_factory.mktemp("a path") / "with spaces"
    copy_tree(ROOT, copy)
    activated = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    activated |= {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(copy)}

    def start(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(["dvc", *arguments], cwd=copy, env=activated, capture_output=True, text=True)

    def run(*arguments: str) -> str:
        done = start(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run.folder, run.start = copy, start
    return run


def test_status_and_dag(dvc):
    assert "05_hef@full" in dvc("status") and "07_evaluation" in dvc("dag")


def test_an_experiment_composes_its_parameters(dvc):
    said = dvc("exp", "run", "-S", "profile=smoke", "-S", "data.seconds=0.9", "--dry", "01_data")
    assert "python -m emolib.pipeline.run 01_data" in said


def test_a_stage_that_fails_says_why_and_removes_nothing(dvc):
    """What lies in reports/ stays when a stage cannot run; here an earlier one has not."""
    table = dvc.folder / "reports/07_evaluation/table1.md"
    table.parent.mkdir(parents=True)
    table.write_text("kept")
    done = dvc.start("repro", "--single-item", "--force", "07_evaluation")
    assert done.returncode != 0 and "run `dvc repro" in done.stderr + done.stdout and table.read_text() == "kept"
