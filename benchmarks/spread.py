"""What training anew on another machine changes: the difference of every measure between two runs of the pipeline.

    OPENBLAS_CORETYPE=Haswell ATEN_CPU_CAPABILITY=avx2 make repro PROFILE=cpu
    python benchmarks/spread.py reports .profiles/cpu/reports

A kind of measure (efd, lmd_px256, ...) has as many differences as there are rows that measure it; shown are their largest and their
root mean square, and the decimals that this leaves: the last one is at least half the root mean square.
"""

import json
import math
import sys
from pathlib import Path

import pandas as pd

MACHINE = (
    "seconds",
    "fps",
    "ms_",
    "memory",
    "peak_",
    "solve_",
    "steps",
    "params",
    "_mb",
)  # of the machine, or no result
METHODS = ("_ours_a", "_ours_i", "_ours_t", "_ecg", "_still", "_text", "_audio", "_image", "_full", "_lm", "_onehot")


def measures(reports: Path) -> dict[tuple[str, str], float]:
    """(stage, name) -> value of all that the stages measured."""
    found = {}
    for path in sorted(reports.rglob("measures.json")):
        for name, value in json.loads(path.read_text()).items():
            if isinstance(value, int | float) and not any(part in name for part in MACHINE):
                found[str(path.parent.relative_to(reports)), name] = float(value)
    return found


def kind(stage: str, name: str) -> str:
    """The measure without its row: ``07_evaluation efd``."""
    for method in METHODS:
        name = name.removesuffix(method)
    return f"{stage.split('/')[0]} {name}"


def compare(one: dict, other: dict) -> pd.DataFrame:
    """A line a kind of measure: how many, an example's two values, largest and root mean square difference, decimals."""
    lines: dict[str, list] = {}
    for key in one.keys() & other.keys():
        lines.setdefault(kind(*key), []).append((one[key], other[key]))
    table = []
    for name, pairs in sorted(lines.items()):
        changes = [abs(a - b) for a, b in pairs]
        rms = math.sqrt(sum(c * c for c in changes) / len(changes))
        decimals = max(0, math.floor(-math.log10(rms / 2))) if rms else ""
        table.append((name, len(pairs), *pairs[0], max(changes), rms, decimals))
    return pd.DataFrame(table, columns=["measure", "n", "here", "there", "max", "rms", "decimals"])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(compare(*(measures(Path(p)) for p in sys.argv[1:])).to_string(index=False, float_format="%.4f"))
