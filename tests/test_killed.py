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
STEPS, KILLS = (24, 12) if FULL else (3, 2)


def started(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", toy.__file__, "--alone", str(folder), str(STEPS)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(toy.__file__).parent
    )


def made(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "fits").glob("*.npz"), *(folder / "weights").glob("*.safetensors")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def killed_at(folder: Path, files: int, delay: float) -> bool:
    """Starts it and kills it ``delay`` seconds after there are so many files; whether it was still at work."""
    process = started(folder)
    while process.poll() is None and len(made(folder)) < files:
        time.sleep(0.05)
    try:
        process.wait(timeout=delay)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def test_killed_again_and_again_the_bytes_are_the_same(tmp_path):
    built = toy.build(tmp_path / "built")
    for fitted in (built / "fits").iterdir():
        fitted.unlink()
    whole, killed = toy.copied(built, tmp_path / "whole"), toy.copied(built, tmp_path / "killed")
    assert started(whole).wait() == 0
    chance, kills = random.Random(0), 0
    for files in sorted(chance.sample(range(1, len(made(whole))), KILLS)):
        # Once it has made so many, and one more than before; the delay is a part of a training. No clock: machines have busy hours.
        kills += killed_at(killed, max(files, len(made(killed)) + 1), delay=chance.uniform(0, 3))
    assert kills >= KILLS / 2 and started(killed).wait() == 0
    assert made(killed) == made(whole) and len(made(whole)) == len(toy.SPECS) + len(toy.TRAININGS)
    assert not [p for p in killed.rglob("checkpoint.safetensors")]
