import dataclasses
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from emolib.errors import EmolibError
from emolib.params import Params, as_yaml, from_dict, load_params, main
from emolib.pipeline.repro import check, profiles
from emolib.pipeline.stage import project_root

ROOT = project_root(__file__.rsplit("/", 1)[0])


def test_defaults_round_trip_through_yaml():
    assert from_dict(yaml.safe_load(as_yaml())) == Params()


def test_base_is_what_the_code_says():
    assert from_dict(yaml.safe_load((ROOT / "conf/base.yaml").read_text())) == Params()


@pytest.mark.parametrize("profile", profiles(ROOT))
def test_every_profile_composes_and_is_valid(profile):
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        values = OmegaConf.to_container(compose("config", overrides=[f"profile={profile}"]))
    params = from_dict(values)
    assert (params == load_params(ROOT / "params.yaml")) == (profile == "cpu")


def test_the_papers_hyper_parameters_are_in_its_profile():
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        params = from_dict(OmegaConf.to_container(compose("config", overrides=["profile=paper"])))
    assert (params.eac.frames, params.eac.batch_size, params.eac.lr) == (32, 128, 2e-4)  # Sec. 4.1
    assert (params.eac.lambda_clip, params.eac.lambda_emo, params.eac.lambda_rec) == (1, 1, 100)
    assert (params.eac.lambda_lm, params.eac.lambda_reg) == (0.1, 0.01)
    assert (params.hef.lr, params.hef.batch_size, params.base.size) == (2e-3, 8, 512)
    assert (params.hef.lambda_rec, params.hef.lambda_p, params.hef.lambda_adv) == (5, 5, 1)
    assert (params.data.corpus, params.data.train_identities) == ("mead", 36)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"eac": {"step": 3}}, "unknown parameter eac.step (did you mean 'steps'?)"),
        ({"hefs": {}}, "unknown parameter section hefs (did you mean 'hef'?)"),
        ({"eac": {"steps": 0}}, "parameter eac.steps is 0; expected 1 to"),
        ({"eac": {"steps": "many"}}, "parameter eac.steps is 'many'; expected a value of type int"),
        ({"eac": {"steps": True}}, "parameter eac.steps is True"),
        ({"base": {"device": "tpu"}}, "parameter base.device is 'tpu'; expected one of auto, cpu, cuda"),
        ({"hef": {"variants": []}}, "parameter hef.variants is []"),
        ({"hef": 3}, "parameter section hef is 3"),
        (
            {"hef": {"variants": ["full", "typo"]}},
            "parameter hef.variants names 'typo'; expected some of full, short, wo_res, wo_hie, plain",
        ),
        ({"eac": {"variants": ["full", "../../x", "onehot", "lm"]}}, "parameter eac.variants names '../../x'"),
        ({"eac": {"variants": ["full", "ful", "onehot", "lm"]}}, "names 'ful' (did you mean 'full'?)"),
        ({"eac": {"variants": ["full", "onehot"]}}, "parameter eac.variants lacks lm, which later stages compare"),
        ({"hef": {"variants": ["full", "full"]}}, "expected each text once"),
        ({"base": {"size": 129}}, "parameter base.size is 129; expected one of 32, 64, 128"),
        ({"eac": {"dim": 130}}, "parameter eac.dim is 130; expected a multiple of 4"),
        ({"ecg": {"texture_width": 12}}, "parameter ecg.texture_width is 12; expected a multiple of 8"),
        ({"ecg": {"landmark_motion": 1}}, "parameter ecg.landmark_motion is 1; expected a value of type bool"),
        (
            {"data": {"templates": ["a {} face", "a face"]}},
            "parameter data.templates has 'a face'; expected the gap {} once",
        ),
        ({"data": {"templates": ["a {0} face {}"]}}, "has 'a {0} face {}'"),
        ({"eac": {"lr": float("nan")}}, "parameter eac.lr is nan; expected 1e-07 to 1.0"),
        ({"eac": {"lr": "fast"}}, "parameter eac.lr is 'fast'; expected a value of type float"),
        ({"eac": {"lr": float("inf")}}, "parameter eac.lr is inf"),
        ([1], "expected sections"),
    ],
)
def test_wrong_parameters_are_refused_by_name(values, named):
    with pytest.raises(EmolibError) as error:
        from_dict(values)
    assert named in str(error.value)


@given(st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=3))
def test_a_section_is_either_valid_or_refused_in_one_sentence(values):
    try:
        params = from_dict({"eac": values})
    except EmolibError as error:
        assert "eac" in str(error)
    else:
        assert all(getattr(params.eac, k) == v for k, v in values.items())


def test_a_file_that_is_not_there_and_one_that_is_not_yaml(tmp_path):
    with pytest.raises(EmolibError, match="no parameter file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(EmolibError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_a_profile_that_does_not_exist_is_refused_with_the_ones_that_do():
    with pytest.raises(EmolibError, match="no profile 'fast' .* cpu, gpu, paper, smoke"):
        check(ROOT, "fast")


def test_every_parameter_is_documented():
    for section in dataclasses.fields(Params):
        for f in dataclasses.fields(section.default_factory):
            assert f.metadata["doc"], f"{section.name}.{f.name}"


def test_writing_params_anew_keeps_what_the_user_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    edited = as_yaml().replace("steps: 700  # optimiser steps", "steps: 401  # mine")
    assert "401" in edited
    Path("params.yaml").write_text(edited)
    monkeypatch.setattr("sys.argv", ["params", "--write"])
    assert main() == 0
    assert load_params("params.yaml").eac.steps == 401 and "# optimiser steps" in Path("params.yaml").read_text()
    assert load_params("conf/base.yaml") == Params()
    monkeypatch.setattr("sys.argv", ["params", "--write", "--defaults"])
    assert main() == 0 and load_params("params.yaml") == Params()


def test_a_learning_rate_as_the_papers_write_it_is_a_number(tmp_path):
    (tmp_path / "params.yaml").write_text("eac:\n  lr: 2e-4\n  lambda_rec: 1E2\n")
    params = load_params(tmp_path / "params.yaml")
    assert (params.eac.lr, params.eac.lambda_rec) == (0.0002, 100.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00e\x00a", "is not a text in UTF-8"),
        (bytes(range(128, 256)), "is not a text in UTF-8"),
        (b"eac: \x00", "is not valid YAML"),
        (b"eac:\n  steps: 3\n  steps: 4\n", "steps is given twice"),
        (b"eac: &a [*a]", "parameter section eac is"),
        (b"[" * 5000, "is not valid YAML"),
        (b"- 1", "expected sections"),
        (b"0", "the parameters are 0"),
        (b"data: {corpus: mead}", "data.corpus is 'mead' and data.root is empty; expected the folder"),
        (b"base: {seed: !!python/object:os.system x}", "is not valid YAML"),
        (b"base: {seed: 2026-13-45}", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_parameter_file_is_refused_in_one_sentence(tmp_path, content, said):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(EmolibError) as error:
        load_params(tmp_path / "params.yaml")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_folder_and_an_empty_file(tmp_path):
    with pytest.raises(EmolibError, match="no parameter file"):
        load_params(tmp_path)
    (tmp_path / "params.yaml").write_text("# nothing set\n")
    assert load_params(tmp_path / "params.yaml") == Params()


def test_the_variants_are_those_of_the_systems():
    from emolib import eac, params
    from emolib.train import hef

    assert params.EAC_VARIANTS == tuple(eac.VARIANTS) and params.HEF_VARIANTS == tuple(hef.ROWS)
