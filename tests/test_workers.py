"""Per-clip work: the same whoever does it, and nothing is lost with a worker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emolib.corpus import workers
from emolib.corpus.workers import DIED, each
from emolib.errors import EmolibError


def square(folder: str, n: int) -> int:
    (Path(folder) / f"{n}.txt").write_text(str(n * n))
    return n * n


def square_but_die_once(folder: str, n: int) -> int:
    """The worker that takes job 3 is killed in the middle of it, the first time."""
    mark = Path(folder) / "died"
    if n == 3 and not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return square(folder, n)


def always_die(folder: str, n: int) -> int:
    if n == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(folder, n)


def fail(folder: str, n: int) -> int:
    raise EmolibError("no such thing")


def results(work, folder, count=6, **options):
    return sorted(
        (job[1], result, reason)
        for job, result, reason in each(work, [(str(folder), n) for n in range(count)], **options)
    )


def test_here_and_in_two_processes_the_same(tmp_path):
    wanted = [(n, n * n, "") for n in range(6)]
    assert results(square, tmp_path, workers=1) == wanted
    assert results(square, tmp_path, workers=2) == wanted
    assert list(each(square, [], workers=2)) == []


def test_a_killed_worker_loses_nothing(tmp_path):
    assert results(square_but_die_once, tmp_path, workers=2) == [(n, n * n, "") for n in range(6)]
    assert (tmp_path / "died").exists() and (tmp_path / "3.txt").read_text() == "9"


def test_a_job_that_kills_its_workers_is_given_up_and_the_others_are_done(tmp_path):
    found = results(always_die, tmp_path, count=4, workers=2)
    assert (1, None, DIED) in found and {n for n, *_ in found} == set(range(4))
    assert [(n, r) for n, r, why in found if not why] == [(n, n * n) for n in (0, 2, 3)]


def test_what_the_work_raises_is_raised_and_the_environment_stays(tmp_path):
    before = dict(os.environ)
    for count in (1, 2):
        with pytest.raises(EmolibError, match="no such thing"):
            results(fail, tmp_path, workers=count)
    assert dict(os.environ) == before


def test_a_cluster_of_ones_own(tmp_path, monkeypatch):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(tmp_path / "scheduler.json")], stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    worker = None
    try:
        deadline = time.time() + 60
        while not (tmp_path / "scheduler.json").exists() and time.time() < deadline:
            time.sleep(0.2)
        worker = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(tmp_path / "scheduler.json"),
             "--nthreads", "1", "--no-nanny", "--no-dashboard"], stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", json.loads((tmp_path / "scheduler.json").read_text())["address"])
        assert results(square, tmp_path) == [(n, n * n, "") for n in range(6)]
    finally:
        for process in (worker, scheduler):
            if process:
                process.kill()  # a worker asked politely may wait long for its scheduler
                process.wait()


def test_no_cluster_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setattr(workers, "CONNECT", "1s")
    with pytest.raises(EmolibError, match="no dask cluster at tcp://127.0.0.1:9"):
        results(square, tmp_path)
