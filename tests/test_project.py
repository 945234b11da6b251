"""What holds the repository together: environments agree, notebooks and stages agree, notebooks are clean."""

import re
import tomllib

import nbformat
import pytest
import yaml

from emolib.emotions import EMOTIONS
from emolib.params import Params, load_params
from emolib.pipeline.stage import project_root

ROOT = project_root(__file__.rsplit("/", 1)[0])
STAGES = ["01_data", "02_fitting", "03_critics", "04_eac", "05_hef", "06_ecg", "07_evaluation", "08_unseen"]
CONDA_NAME = {"torch": "pytorch"}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pins_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        name: lines for name, lines in project["optional-dependencies"].items() if name != "foundation"
    }  # a maintainer's
    lines = project["dependencies"] + sum(extras.values(), [])
    return dict(line.split("==") for line in lines if "==" in line), project["requires-python"]


def test_environment_and_pyproject_agree():
    pins, python = pins_of_pyproject()
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(re.split(r" =(?=\d)", d) for d in dependencies if isinstance(d, str) and re.search(r" =\d", d))
    pip = dict(p.split("==") for d in dependencies if isinstance(d, dict) for p in d["pip"])
    assert {CONDA_NAME.get(k, k): v for k, v in pins.items()} == conda | pip
    assert f"python {python}" in dependencies
    assert "pytorch3d" in dependencies


def test_makefile_installs_the_pinned_torch():
    pins, _ = pins_of_pyproject()
    assert f"torch=={pins['torch']}" in (ROOT / "Makefile").read_text()


def test_one_name_for_notebook_stage_section_and_reports():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == STAGES == [p.stem for p in NOTEBOOKS]
    sections = [s for s in Params.__dataclass_fields__ if s != "base"]
    assert [s.split("_", 1)[1] for s in STAGES] == sections
    for name, stage in stages.items():
        assert "base.seed" in stage["params"] and any(
            p.startswith(f"{name.split('_', 1)[1]}.") for p in stage["params"]
        )
        assert any(next(iter(o)).startswith(f"data/{name}") for o in stage["outs"])
        assert f"notebooks/{name}.ipynb" in stage["deps"]


def test_every_module_a_stage_names_exists():
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        for dep in stage["deps"]:
            dep = dep.replace("${data.corpus}", "synth")
            assert dep.startswith("data/") or (ROOT / dep).exists(), f"{name}: {dep}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_clean_and_readable(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    prose = [c for c in notebook.cells if c.cell_type == "markdown"]
    assert notebook.cells[0].source.startswith("# ")
    assert sum("parameters" in c.metadata.get("tags", []) for c in code) == 1
    assert len(prose) >= len(code) / 2
    for cell in code:
        assert len(cell.source.splitlines()) <= 30
        assert not cell.outputs or "NBVAL_CHECK_OUTPUT" in cell.source
        assert cell.execution_count is None or cell.outputs
        assert not re.search(r"^\s*(def|class) ", cell.source, re.M), "functions live in modules"
    assert not any("```python" in cell.source for cell in prose), "code is quoted from its source: figures.source"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_checked_cells_check_something(path):
    """nbval passes over a cell without an execution count, and compares nothing where nothing is stored."""
    checked = [c for c in nbformat.read(path, as_version=4).cells if "NBVAL_CHECK_OUTPUT" in c.source]
    assert 2 <= len(checked) <= 4
    for cell in checked:
        assert isinstance(cell.execution_count, int), cell.source
        assert "".join("".join(o.get("text", "")) for o in cell.outputs).strip(), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_end_with_a_summary_whose_links_lead_somewhere(path):
    last = nbformat.read(path, as_version=4).cells[-1]
    assert last.source.startswith("## Summary") and "Paper" in last.source
    links = re.findall(r"\]\(([^)#]+)\)", last.source)
    assert len(links) >= 2
    for link in links:
        assert (path.parent / link).exists(), link


def test_params_yaml_is_valid():
    load_params(ROOT / "params.yaml")


def test_the_eight_emotions_are_the_papers():
    assert EMOTIONS == ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")


def test_the_wheel_names_every_package():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    here = [p.parent.relative_to(ROOT) for top in ("emolib", "synthface") for p in (ROOT / top).rglob("__init__.py")]
    weights = {"emolib.pretrained", "emolib.pretrained.foundation", "emolib.pretrained.judges"}
    assert set(packages) == {".".join(p.parts) for p in here} | weights
