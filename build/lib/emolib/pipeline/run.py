"""Runs one stage: ``python -m emolib.pipeline.run 04_eac full``, as ``dvc repro`` does.

The notebook is executed by papermill into ``reports/<stage>[/<variant>]/``. What lay there before is kept until the run has ended well:
a run that fails or cannot start loses nothing. Then what it has not written anew goes, since no cell makes it any more.
"""

import argparse
import sys
import time
from pathlib import Path

from emolib.errors import EmolibError
from emolib.pipeline.stage import project_root


def run(root: Path, stage: str, variant: str = "") -> None:
    """Executes ``notebooks/<stage>.ipynb``. Raises :class:`EmolibError` if there is no such notebook."""
    import papermill  # takes a second, and a wrong name should not

    notebook = root / "notebooks" / f"{stage}.ipynb"
    if not notebook.is_file():
        known = ", ".join(sorted(p.stem for p in notebook.parent.glob("*.ipynb")))
        raise EmolibError(f"no stage '{stage}'; expected one of {known}")
    reports = root / "reports" / stage / variant
    reports.mkdir(parents=True, exist_ok=True)
    start = time.time()
    parameters = {"variant": variant} if variant else {}
    papermill.execute_notebook(str(notebook), str(reports / notebook.name), parameters, cwd=str(root))
    for path in sorted(reports.rglob("*"), reverse=True):
        if path.is_file() and path.stat().st_mtime < start - 2 and path.name != ".gitignore":
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emolib.pipeline.run", description=__doc__.splitlines()[0])
    parser.add_argument("stage", help="the name of a notebook, e.g. 04_eac")
    parser.add_argument("variant", nargs="?", default="", help="of a matrix stage, e.g. full")
    args = parser.parse_args()
    try:
        run(project_root(), args.stage, args.variant)
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
