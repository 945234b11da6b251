"""kill -9 at any moment of fits and trainings, again and again: what comes out has the bytes of a run that nobody killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import toy

FULL = bool(os.environ.get("EMOLIB_CHECK"))  # `make check`: more steps, more kills
STEPS, KILLS = (24, 30) if FULL else (3, 2)
SOON, LATE = (0.05, 0.35) if FULL else (0.15, 0.9)  # when a run is killed, as a share of how long a whole one takes


def started(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", toy.__file__, "--alone", str(folder), str(STEPS)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(toy.__file__).parent
    )


def made(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "fits").glob("*.npz"), *(folder / "weights").glob("*.safetensors")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def test_killed_again_and_again_the_bytes_are_the_same(tmp_path):
    built = toy.build(tmp_path / "built")
    for fitted in (built / "fits").iterdir():
        fitted.unlink()
    whole, killed = toy.copied(built, tmp_path / "whole"), toy.copied(built, tmp_path / "killed")
    begin = time.time()
    assert started(whole).wait() == 0
    length = time.time() - begin
    chance = random.Random(0)
    kills = 0
    for _ in range(4 * KILLS):
        process = started(killed)
        try:
            process.wait(timeout=chance.uniform(SOON, LATE) * length)
            break  # it came through
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        if kills == KILLS:
            break
    assert kills > 0 and started(killed).wait() == 0
    assert made(killed) == made(whole) and len(made(whole)) == len(toy.SPECS) + len(toy.TRAININGS)
    assert not [p for p in killed.rglob("checkpoint.safetensors")]
