"""``make repro`` and the pipeline half of ``make test``: checks, calls DVC, prints where the results lie.

DVC does the work (composition of profiles included); this module only refuses bad parameters before anything starts and
shows the tables after. A profile runs in a copy of the working tree with data and results of its own, ``.profiles/<profile>``: the
project's ``params.yaml`` and ``reports/`` stay as they are, and there is nothing to go back from.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from emolib.errors import EmolibError
from emolib.params import load_params
from emolib.pipeline.stage import project_root

PROFILES = ".profiles"


def profiles(root: Path) -> list[str]:
    """The names of the profiles in ``conf/profile``."""
    return sorted(p.stem for p in (root / "conf" / "profile").glob("*.yaml"))


def check(root: Path, profile: str | None) -> None:
    """Raises :class:`EmolibError` for a profile that does not exist or a wrong ``params.yaml``."""
    if profile is None:
        load_params(root / "params.yaml")
    elif profile not in profiles(root):
        raise EmolibError(f"no profile '{profile}' in conf/profile; expected one of: {', '.join(profiles(root))}")


def reproduce(root: Path, profile: str | None = None) -> int:
    """Runs the pipeline in ``root``; with a profile, DVC composes ``params.yaml`` from ``conf/`` there. Returns the exit code."""
    check(root, profile)
    command = ["dvc", "repro"] if profile is None else ["dvc", "exp", "run", "-S", f"profile={profile}"]
    return subprocess.run(command, cwd=root).returncode


def costs(root: Path) -> str:
    """What each stage cost: its notebook's wall time and the memory of its largest process."""
    lines = ["stage                     minutes  memory GiB"]
    for notebook in sorted((root / "reports").glob("**/*.ipynb")):
        metrics = notebook.with_name("metrics.json")
        seconds = json.loads(notebook.read_text())["metadata"].get("papermill", {}).get("duration")
        if metrics.is_file() and seconds:
            memory = json.loads(metrics.read_text()).get("peak_memory_mib", 0) / 1024
            name = notebook.parent.relative_to(root / "reports")
            lines.append(f"{str(name):24} {seconds / 60:8.1f} {memory:11.1f}")
    return "\n".join(lines)


def show(root: Path) -> str:
    """What each stage cost, the result tables, and where the figures and the video lie."""
    lines = [costs(root)]
    for table in sorted((root / "reports" / "07_evaluation").glob("*.md")):
        lines += ["", f"== {table.relative_to(root)}", table.read_text().rstrip()]
    figures = sorted((root / "reports").glob("**/figures/*.*"))
    lines += ["", f"{len(figures)} figures: reports/<stage>/figures/"]
    lines += [f"video: {path.relative_to(root)}" for path in sorted((root / "data" / "07_evaluation").glob("*.mp4"))]
    return "\n".join(lines)


def copy_tree(root: Path, target: Path) -> None:
    """The working tree (tracked and new files, less results) as a git repository of its own in ``target``.

    What an earlier run left in ``target`` stays, so that a second test run repeats only the stages that changed.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    keep = [f for f in listed.split("\0") if f and not f.startswith("reports/") and f != "dvc.lock"]
    target.mkdir(parents=True, exist_ok=True)
    for stale in ("emolib", "synthface", "notebooks", "conf"):
        shutil.rmtree(target / stale, ignore_errors=True)
    for name in keep:
        if (root / name).is_file() and name != "params.yaml":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    if not (target / "params.yaml").is_file():
        shutil.copy2(root / "params.yaml", target / "params.yaml")
    if not (target / ".git").is_dir():
        subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    who = ["-c", "user.name=emolib", "-c", "user.email=emolib@localhost", "-c", "core.hooksPath="]
    subprocess.run(["git", "add", "-A", "--", ".", ":!reports", ":!data/0*"], cwd=target, check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "copy"], cwd=target, check=True)


def test_notebooks(root: Path) -> int:
    """nbval over every notebook of ``root``: each runs again on what the pipeline left, cell by cell."""
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900"]
    side_by_side = ["-n", "logical", "--dist", "loadfile"]
    return subprocess.run([*command, *side_by_side, "-p", "no:cacheprovider", "notebooks"], cwd=root).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emolib.pipeline.repro", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", help="a profile of conf/profile; runs in a copy of its own, see --copy")
    parser.add_argument(
        "--copy", type=Path, help=f"run in a copy of the working tree here (with a profile: {PROFILES}/<profile>)"
    )
    parser.add_argument("--nbval", action="store_true", help="afterwards run nbval over the notebooks")
    args = parser.parse_args()
    # torch and numba each bring an OpenMP pool; threads that wait by spinning take the cores from the other's.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # dvc and the python of its stages are those of this interpreter, whether its environment is activated or not.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        root = project_root()
        check(root, args.profile)
        target = args.copy or (root / PROFILES / args.profile if args.profile else None)
        if target:
            copy_tree(root, target.resolve())
            root = target.resolve()
            # The copy's own packages, not the installed ones, are what its notebooks import.
            os.environ["PYTHONPATH"] = str(root)
        code = reproduce(root, args.profile)
        if code == 0 and args.nbval:
            return test_notebooks(root)
        if code == 0:
            print(show(root))
        return code
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
