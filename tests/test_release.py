import json
import shutil

import pytest
import torch
import yaml

from emolib.errors import EmolibError
from emolib.face.loaders import SHIPPED
from emolib.fingerprint import code, file_digest
from emolib.pipeline import release as releasing
from emolib.pipeline.release import CONVERTER, MAKERS, SOURCES, release, stale
from emolib.pipeline.repro import copy_tree
from emolib.pipeline.stage import project_root
from emolib.train.loop import record_path
from emolib.weights import load_weights, save_weights, verify

ROOT = project_root(__file__.rsplit("/", 1)[0])


@pytest.fixture
def trained(tmp_path):
    """A project root with (tiny) trained weights, and a target that holds the face model."""
    for source in SOURCES.values():
        save_weights(tmp_path / source, {"w": torch.linspace(-1, 1, 64)}, {"from": source})
    params = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("converter: shipped", "converter: trained"))
    target = tmp_path / "data/pretrained"
    target.mkdir(parents=True)
    (target / SHIPPED).write_bytes(b"a face model")
    return tmp_path, target


def test_a_release_is_half_precision_and_verifies(trained):
    root, target = trained
    manifest = release(root, target)
    assert verify(target) == json.loads((target / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    assert set(manifest["files"]) == {*SOURCES, SHIPPED, "dense.safetensors", "covers.safetensors"}
    state, config = load_weights(target / "eac.safetensors")
    assert config == {"from": "data/04_eac/full/eac.safetensors"}
    assert torch.allclose(state["w"], torch.linspace(-1, 1, 64), atol=1e-3)
    assert (target / "eac.safetensors").stat().st_size < (root / SOURCES["eac.safetensors"]).stat().st_size


def test_a_release_takes_the_converter_that_ships(trained):
    root, target = trained
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    with pytest.raises(EmolibError, match="converter/eac.safetensors"):
        release(root, target)
    save_weights(root / CONVERTER, {"w": torch.ones(4)}, {"from": "performances"})
    (root / CONVERTER).with_name("manifest.json").write_text(
        json.dumps({"code": code("emolib.train.acted"), "measured": {"lag_ms": 1}})
    )
    assert release(root, target)["measured"]["converter"] == {"lag_ms": 1}
    assert load_weights(target / "eac.safetensors")[1] == {"from": "performances"}
    assert "eac.safetensors" not in stale(target)


def test_missing_and_damaged_releases_are_refused(trained):
    root, target = trained
    with pytest.raises(EmolibError, match="manifest.json is missing"):
        verify(target)
    release(root, target)
    (target / SHIPPED).write_bytes(b"another one")
    with pytest.raises(EmolibError, match="face_model.npz are damaged"):
        verify(target)
    release(root, target)
    (target / "hef.safetensors").unlink()
    with pytest.raises(EmolibError, match="no weights at .*hef.safetensors"):
        verify(target)
    (target / "manifest.json").write_text("{")
    with pytest.raises(EmolibError, match="manifest .* is damaged"):
        verify(target)


def test_a_failed_release_leaves_the_one_before(trained):
    root, target = trained
    before = release(root, target)
    (root / SOURCES["hef.safetensors"]).unlink()
    with pytest.raises(EmolibError, match="run `make repro`"):
        release(root, target)
    assert verify(target)["files"] == before["files"]


def test_a_release_knows_which_code_made_it(trained, monkeypatch):
    root, target = trained
    for name, source in SOURCES.items():
        module = MAKERS[name][0]
        record = {"weights": file_digest(root / source), "code": code(module), "history": []}
        record_path(root / source).write_text(json.dumps(record))
    release(root, target)
    unknown = {SHIPPED, "dense.safetensors", "covers.safetensors"}
    assert set(stale(target)) == unknown, "files that no training here has made"
    monkeypatch.setattr(releasing, "code", lambda module: "new" if module == "emolib.train.hef" else code(module))
    found = stale(target)
    assert set(found) == unknown | {"hef.safetensors"} and "emolib.train.hef" in found["hef.safetensors"]


def dependents(stages: dict, changed: str) -> set[str]:
    """The stages that read, directly or not, what stage ``changed`` writes."""

    def folder(stage):
        return f"data/{stage}"

    found = {changed}
    while True:
        more = {s for s, v in stages.items() if any(d.startswith(folder(f)) for d in v["deps"] for f in found)} | found
        if more == found:
            return found
        found = more


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("eac", {"04_eac", "05_hef", "07_evaluation", "08_unseen"}),
        ("hef", {"05_hef", "07_evaluation", "08_unseen"}),
        ("ecg", {"06_ecg", "07_evaluation"}),
        ("evaluation", {"07_evaluation"}),
    ],
)
def test_a_changed_parameter_reruns_its_stage_and_what_depends_on_it(section, expected):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    changed = [s for s, v in stages.items() if any(p.startswith(f"{section}.") for p in v["params"])]
    assert set().union(*(dependents(stages, c) for c in changed)) == expected


def test_the_copy_for_tests_holds_the_tree_but_no_results(tmp_path):
    copy_tree(ROOT, tmp_path / "copy")
    names = {p.relative_to(tmp_path / "copy").as_posix() for p in (tmp_path / "copy").rglob("*") if p.is_file()}
    assert {"dvc.yaml", "params.yaml", "emolib/params.py", "notebooks/01_data.ipynb", ".dvc/config"} <= names
    assert not any(n.startswith("reports/") or n == "dvc.lock" for n in names)


def test_what_others_trained_counts_for_the_size(trained, monkeypatch):
    root, target = trained
    (target / "foundation").mkdir()
    (target / "foundation" / "net.safetensors").write_bytes(bytes(30_000_000))
    monkeypatch.setattr(releasing, "LIMIT_MB", 30)
    with pytest.raises(EmolibError, match="MB with foundation, converter, judges and words; expected at most 30"):
        release(root, target)
