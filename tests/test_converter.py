"""Which converter the tables call ours; and the one that ships, which must beat what it must beat."""

import json

import pandas as pd
import pytest

from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.pipeline import converter as module
from emolib.pipeline.converter import FILES, converter_file, measured


def test_the_one_that_is_asked_for(tmp_path):
    assert converter_file("trained", tmp_path) == tmp_path / "eac.safetensors"
    assert converter_file("shipped", tmp_path) == FILES[0]
    with pytest.raises(EmolibError, match="eac.converter is 'mine'; expected shipped or trained"):
        converter_file("mine", tmp_path)


def test_a_damaged_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILES", (tmp_path / "eac.safetensors", tmp_path / "manifest.json"))
    with pytest.raises(EmolibError, match="manifest.json is missing"):
        converter_file("shipped", tmp_path)
    (tmp_path / "eac.safetensors").write_bytes(b"something")
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"eac.safetensors": "0" * 64}}))
    with pytest.raises(EmolibError, match="eac.safetensors are damaged"):
        converter_file("shipped", tmp_path)


def test_the_one_that_ships_has_learnt():
    """Lips and movement of unseen actors are nearer than those of a constant face, of loudness and of a linear map; styles differ."""
    lips = pd.read_csv(FILES[0].parent / "lips.csv").set_index("row")
    rivals = lips.loc[["constant", "loudness", "ridge"]]
    assert lips.loc["text", "mouth_correlation"] > rivals["mouth_correlation"].max() + 0.05
    assert lips.loc["text", "landmark_px"] < rivals["landmark_px"].min()
    assert lips.loc["truth", "mouth_correlation"] == pytest.approx(1) and lips.loc["truth", "landmark_px"] == 0
    eac = Eac.load(FILES[0])
    assert eac.config["style"] and eac.encoding == "clip" and measured()["style_variance"] > 0.3
