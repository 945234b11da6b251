"""A stage of the pipeline as its notebook sees it: parameters in, one data folder and one reports folder out.

Notebook ``notebooks/04_eac.ipynb`` = stage ``04_eac`` = section ``eac`` = ``data/04_eac/`` = ``reports/04_eac/``; a variant of a
matrix stage has a folder of its name inside both. The same lines work under papermill and by hand in Jupyter, from any folder.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from emolib.errors import EmolibError
from emolib.face.loaders import SHIPPED
from emolib.files import write_atomic
from emolib.metrics.digits import digits
from emolib.params import Params, load_params
from emolib.pipeline.figures import as_image, packed, shows_pictures
from emolib.pipeline.memory import peak_memory
from emolib.train.loop import Run, Training, train


def project_root(start: str | Path = ".") -> Path:
    """The folder of ``dvc.yaml`` at or above ``start``."""
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise EmolibError(f"no dvc.yaml at or above {start}; run inside a clone of the project")


def _cell(value, exact: bool) -> str:
    """A table's cell as text; of a measured number, its :func:`digits`. What is missing is empty, not nan."""
    if value is None or value is pd.NA or value != value:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.6g}" if exact else digits(value)


@dataclass(frozen=True)
class Stage:
    """One stage (and variant). Use :meth:`open`."""

    name: str
    variant: str
    root: Path
    all: Params

    @classmethod
    def open(cls, name: str, variant: str = "") -> "Stage":
        """Reads ``params.yaml`` and changes into the project's root (where every path of a notebook starts)."""
        root = project_root()
        os.chdir(root)
        stage = cls(name, variant, root, load_params(root / "params.yaml"))
        if stage.base.face_model:  # what load_face_model() loads, in this process and its children
            os.environ["EMOLIB_FACE_MODEL"] = str(Path(stage.base.face_model).resolve())
        for folder in (stage.data, stage.figures, stage.plots):
            folder.mkdir(parents=True, exist_ok=True)
        return stage

    @property
    def section(self) -> str:
        return self.name.split("_", 1)[1]

    @property
    def params(self):
        """The stage's own section of the parameters, e.g. :class:`emolib.params.Eac`."""
        return getattr(self.all, self.section)

    @property
    def base(self):
        return self.all.base

    @property
    def data(self) -> Path:
        """What later stages read: ``data/<stage>[/<variant>]``."""
        return self.root / "data" / self.name / self.variant

    @property
    def reports(self) -> Path:
        """What people read: ``reports/<stage>[/<variant>]``, with figures, plots, tables and metrics in it."""
        return self.root / "reports" / self.name / self.variant

    @property
    def figures(self) -> Path:
        return self.reports / "figures"

    @property
    def plots(self) -> Path:
        return self.reports / "plots"

    def checkpoints(self, name: str) -> Path:
        """Folder for the checkpoints of training ``name``: outside DVC's outs, which a re-run deletes first."""
        return self.root / ".checkpoints" / self.name / self.variant / name

    def input(self, stage: str, variant: str = "") -> Path:
        """The data folder of an earlier stage. Raises :class:`EmolibError` if it has not run."""
        folder = self.root / "data" / stage / variant
        if not folder.is_dir():
            raise EmolibError(f"{folder.relative_to(self.root)} is missing; run `dvc repro {stage}` first")
        return folder

    @property
    def released(self) -> Path:
        """The folder of the weights that ship."""
        return self.root / "data" / "pretrained"

    @property
    def face_model(self) -> Path:
        """The face model of this run: ``base.face_model``, or the one that ships."""
        return Path(self.base.face_model).absolute() if self.base.face_model else self.released / SHIPPED

    def train(self, training: Training, name: str = "") -> Run:
        """Weights that are true at ``data/<stage>/<name>.safetensors``: those that lie there, or trained now; and their curves.

        See :func:`emolib.train.loop.train`. name: ``training.name`` where none is given.
        """
        name = name or training.name
        places = {"checkpoints": self.checkpoints(name), "plots": self.plots}
        return train(training, self.data / f"{name}.safetensors", device=self.base.device, **places)

    def save_figure(self, name: str, figure, dpi: int = 110) -> Path:
        """Saves a matplotlib figure as ``figures/<name>`` .jpg (pictures) or .png, small enough for git (:func:`figures.packed`)."""
        ending, content = packed(as_image(figure, dpi), shows_pictures(figure))
        return write_atomic(self.figures / f"{name}{ending}", content)

    def save_table(self, name: str, frame) -> Path:
        """Saves a pandas table as ``<name>.csv`` and ``<name>.md``; returns the csv's path.

        Measured numbers have the :func:`digits` that another machine would have, too; columns that end in " paper" those of the paper.
        """
        shown = frame.apply(lambda column: column.map(lambda value: _cell(value, str(column.name).endswith(" paper"))))
        write_atomic(self.reports / f"{name}.md", shown.to_markdown(index=False, disable_numparse=True) + "\n")
        return write_atomic(self.reports / f"{name}.csv", shown.to_csv(index=False))

    def save_metrics(self, metrics: dict, *shown: str) -> Path:
        """Saves flat metrics (numbers; the unit in the key): all as ``measures.json``, those that ``shown`` names as ``metrics.json``.

        ``metrics.json`` is what ``dvc metrics show`` and ``dvc exp show`` print, with the peak memory of the stage so far. Four digits:
        a training on another machine changes the third. Returns the path of ``metrics.json``.
        """
        flat = {k: (float(f"{float(v):.4g}") if not isinstance(v, int | str) else v) for k, v in metrics.items()}
        write_atomic(self.reports / "measures.json", json.dumps(flat, indent=2) + "\n")
        few = {name: flat[name] for name in shown}
        if math.isfinite(peak := peak_memory(children=True)):
            few["peak_memory_mib"] = int(peak) // 2**20
        return write_atomic(self.reports / "metrics.json", json.dumps(few, indent=2) + "\n")
