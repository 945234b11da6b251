"""dvc.yaml says what the code says."""

import ast

import pytest
import yaml

from emolib.errors import EmolibError
from emolib.pipeline.deps import cells, deps_of, derive, params_read
from emolib.pipeline.stage import project_root

ROOT = project_root(__file__.rsplit("/", 1)[0])
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_dvc_yaml_is_what_the_code_derives():
    assert (ROOT / "dvc.yaml").read_text() == derive(ROOT), "run `python -m emolib.pipeline.deps --write`"


def test_parameters_are_read_off_the_cells():
    cell = """
p, base = stage.params, stage.base
x = p.steps + stage.params.lr
y = stage.all.data.templates
run = stage.train(EacTraining(seed=base.seed, model=stage.face_model, frames=p.frames))
"""
    wanted = ["base.face_model", "base.seed", "data.templates", "eac.frames", "eac.lr", "eac.steps"]
    assert params_read(ast.parse(cell), "eac") == wanted
    every = params_read(ast.parse("t = EacTraining(**stage.params.training())"), "eac")
    assert "eac.lambda_clip" in every and not {"eac.test_clips", "eac.variants"} & set(every)
    assert "hef.test_pairs" in params_read(ast.parse("f(stage.params)"), "hef"), "a bare section is all of it"
    with pytest.raises(EmolibError, match="eac.stepps, which is no parameter"):
        params_read(ast.parse("stage.params.stepps"), "eac")


def test_what_was_missing_is_there():
    always = {"emolib/params.py", "emolib/pipeline/stage.py", "emolib/fingerprint.py"}
    for name, stage in STAGES.items():
        assert always <= set(stage["deps"]), name
    needed = {
        "03_critics": {"emolib/corpus/clips.py", "emolib/face/model.py"},
        "04_eac": {"emolib/critics/emotion.py", "emolib/train/eac.py", "emolib/metrics/protocol.py"},
        "05_hef": {"emolib/ame.py", "emolib/metrics/image.py", "data/04_eac/full"},
        "07_evaluation": {"emolib/ame.py", "emolib/media/video.py", "data/04_eac", "data/05_hef", "data/06_ecg"},
    }
    for name, deps in needed.items():
        assert deps <= set(STAGES[name]["deps"]), name
    assert "data.templates" in STAGES["03_critics"]["params"]
    assert "ecg.one_shot_steps" in STAGES["07_evaluation"]["params"]


def test_another_corpus_and_another_variant_dirty_nothing():
    for name, stage in STAGES.items():
        others = {"mead", "cremad"} | ({"ravdess"} if name != "04_eac" else set())  # whose real voices 04 measures on
        assert not {f"emolib/corpus/{c}.py" for c in others} & set(stage["deps"]), name
    assert "emolib/corpus/${data.corpus}.py" in STAGES["01_data"]["deps"]
    assert "eac.variants" not in STAGES["04_eac"]["params"] and "hef.variants" not in STAGES["05_hef"]["params"]


def test_shipped_weights_are_dependencies_of_those_who_read_them():
    assert "data/pretrained/dense.safetensors" in STAGES["02_fitting"]["deps"]
    assert "data/pretrained/dense.safetensors" not in STAGES["03_critics"]["deps"]
    assert all("data/pretrained/face_model.npz" in s["deps"] for s in STAGES.values())
    assert "data/pretrained/foundation/landmarker.safetensors" in STAGES["02_fitting"]["deps"], (
        "and no other file there"
    )
    assert not any(
        dep in ("data/pretrained", "data/pretrained/foundation") for s in STAGES.values() for dep in s["deps"]
    )
    assert {"data/pretrained/hef.safetensors", "data/pretrained/manifest.json"} <= set(STAGES["07_evaluation"]["deps"])


def test_a_new_import_in_a_notebook_is_a_new_dependency(tmp_path):
    import json

    source = ROOT / "notebooks" / "06_ecg.ipynb"
    notebook = json.loads(source.read_text())
    notebook["cells"][3]["source"] = ["from emolib.metrics import tables\n", *notebook["cells"][3]["source"]]
    (tmp_path / "06_ecg.ipynb").write_text(json.dumps(notebook))
    more = set(deps_of(ROOT, tmp_path / "06_ecg.ipynb")) - set(deps_of(ROOT, source))
    assert more == {"emolib/metrics/tables.py", "emolib/metrics/protocol.py", "emolib/metrics/features.py"} or (
        "emolib/metrics/tables.py" in more
    )
    assert cells(source).body
