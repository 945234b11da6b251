"""kill -9 at any moment of fits and trainings, again and again: what comes out has the bytes of a run that nobody killed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
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


MEASURED = ("ms", "mib", "gb", "s", "fps")  # ends of the names of what depends on the machine's hour


def tables(root: Path) -> dict[str, object]:
    """All that the pipeline in ``root`` found out: its tables but that of costs, and its measures but those of time and memory."""
    found: dict[str, object] = {
        str(p.relative_to(root)): p.read_bytes() for p in root.glob("reports/**/*.csv") if p.stem != "table2"
    }
    for path in root.glob("reports/**/measures.json"):
        numbers = json.loads(path.read_text())
        found[str(path.relative_to(root))] = {
            k: v for k, v in numbers.items() if not set(k.lower().split("_")) & set(MEASURED)
        }
    return found


def progress(root: Path) -> int:
    return sum(1 for p in root.glob("data/0*/**/*") if p.suffix in (".mp4", ".npz", ".safetensors", ".json"))


def pipeline(root: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "emolib.pipeline.repro", "--profile", "smoke", "--copy", str(root)]
    with open(root.with_suffix(".log"), "a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(toy.__file__).parent.parent)


@pytest.mark.skipif(not FULL, reason="half an hour: `make check`")
def test_the_pipeline_killed_three_times_has_the_same_tables(tmp_path):
    psutil = pytest.importorskip("psutil")
    whole, killed, chance = tmp_path / "whole", tmp_path / "killed", random.Random(1)
    assert pipeline(whole).wait() == 0, whole.with_suffix(".log").read_text()[-2000:]
    total = progress(whole)
    for goal in sorted(chance.sample(range(total // 10, total - 2), 3)):
        process = pipeline(killed)
        while process.poll() is None and progress(killed) < goal:
            time.sleep(0.2)
        time.sleep(chance.uniform(0, 4))
        assert process.poll() is None, "it ended before it was killed"
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:  # the kernels of the notebooks are in sessions of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
    assert pipeline(killed).wait() == 0, killed.with_suffix(".log").read_text()[-2000:]
    assert tables(killed) == tables(whole) and len(tables(whole)) > 12
