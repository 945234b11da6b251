"""What waiting threads and a second BLAS thread cost, alone and beside a process that keeps one core busy.

    python benchmarks/threads.py            a table
    python benchmarks/threads.py --json     one JSON object

Two things, each against what emolib does: frames of HEF with OpenMP threads that spin while they wait (OMP_WAIT_POLICY=ACTIVE and the
default) against those that sleep (PASSIVE), and `fit_points` with as many BLAS threads as cores against one. The rivals take turns, a
process each, so that whatever else runs on the machine meets them alike; the load printed is that of the whole machine at the start. All
numbers are the median of the turns, as ratios to emolib's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

POLICIES = {"passive (emolib)": "PASSIVE", "default": None, "active": "ACTIVE"}

FRAMES = """
import time, torch
from emolib.hef import Hef
from emolib.weights import PRETRAINED
hef = Hef.load(PRETRAINED / "hef.safetensors")
size = hef.size
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.sight import make_drive
model, own = load_face_model(), Coefficients.zeros(1)
with torch.no_grad():
    source = hef.encode_source(torch.full((1, 3, size, size), 0.5))
    def work():
        drive = make_drive(model, own, own.expand(4), torch.zeros(4, hef.config["sigma_dim"]), size)
        hef.generate(source, drive)
    work()
    start = time.perf_counter()
    for _ in range(3):
        work()
print(1000 * (time.perf_counter() - start) / 12)
"""

FIT = """
import sys, time, contextlib, numpy as np
from emolib.face import gauss_newton
from emolib.face.loaders import load_face_model
model = load_face_model()
mean = gauss_newton.Coefficients.zeros(50)
points = model.landmarks(mean.alpha, mean.beta, mean.pose, 128).numpy()
seen = gauss_newton.from_landmarks(model, points + np.random.default_rng(0).normal(0, 1, points.shape), 128)
fit = gauss_newton.fit_points if sys.argv[1] == "one" else gauss_newton.fit_points.__wrapped__
fit(model, seen)
start = time.perf_counter()
for _ in range(3):
    fit(model, seen)
print(1000 * (time.perf_counter() - start) / 150)
"""


def once(code: str, argument: str = "", policy: str | None = "PASSIVE") -> float:
    """What ``code`` prints, in a process of its own with OMP_WAIT_POLICY ``policy``, None for OpenMP's own."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if policy is None:
        code = "import torch\n" + code  # before emolib, whose setting then comes too late
    else:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", code, argument]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def measure(rounds: int) -> dict[str, float]:
    """ms a frame of every rival, the median of ``rounds`` turns."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, policy in POLICIES.items():
            times.setdefault(f"HEF, waiting threads {name}", []).append(once(FRAMES, policy=policy))
        for name in ("one", "all"):
            times.setdefault(f"fit_points, {name} BLAS", []).append(once(FIT, name))
    return {name: statistics.median(spent) for name, spent in times.items()}


def rows(alone: dict[str, float], beside: dict[str, float]) -> list[dict]:
    """One a rival: its milliseconds and their ratio to the first rival of its kind, alone and beside a busy core."""
    table, first = [], ""
    for name in alone:
        if name.split(",")[0] != first.split(",")[0]:
            first = name
        ratios = alone[name] / alone[first], beside[name] / beside[first]
        table.append(
            {"rival": name, "ms": alone[name], "ratio": ratios[0], "busy_ms": beside[name], "busy_ratio": ratios[1]}
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every rival")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    alone = measure(arguments.rounds)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        beside = measure(arguments.rounds)
    finally:
        busy.kill()
        busy.wait()
    table = rows(alone, beside)
    if arguments.json:
        print(json.dumps({"cores": os.cpu_count(), "load": load, "rows": table}))
        return
    print(f"{os.cpu_count()} cores, load {load:.1f} at the start")
    print(f"{'':38} {'ms/frame':>9} {'ratio':>6}   {'+1 busy':>9} {'ratio':>6}")
    for row in table:
        print(
            f"{row['rival']:38} {row['ms']:9.2f} {row['ratio']:6.1f}   {row['busy_ms']:9.2f} {row['busy_ratio']:6.1f}"
        )


if __name__ == "__main__":
    main()
