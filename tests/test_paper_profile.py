"""The profile ``paper``: what scripts/check_paper.py makes of it, without the hours that its stages take."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emolib.corpus.clips import Corpus, CorpusWriter
from emolib.params import load_params

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("check_paper", ROOT / "scripts" / "check_paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_settings_are_the_profiles_but_for_length(script, tmp_path):
    (tmp_path / "params.yaml").write_text(script.settings(ROOT, tmp_path / "mead", tmp_path / "clip.pt"))
    params = load_params(tmp_path / "params.yaml")
    assert (params.base.size, params.eac.dim, params.eac.batch_size, params.hef.channels) == (512, 512, 128, 16384)
    assert (params.critics.clip_model, params.eac.audio, params.eac.reading, params.hef.detail) == (
        "ViT-B-32",
        "mel",
        False,
        False,
    )
    assert params.eac.steps == params.hef.steps == 2 and params.data.root == str(tmp_path / "mead")


def test_linked_records_read_like_their_originals(script, tmp_path):
    data, fits = tmp_path / "data" / "01_data", tmp_path / "data" / "02_fitting"
    writer = CorpusWriter(data)
    record = {"corpus": "mead", "split": "train", "emotion": "sad", "intensity": 1, "text": "", "fps": "25"}
    for name in ("a", "b"):
        frames = np.full((2, 16, 16, 3), 90, np.uint8)
        writer.add(record | {"clip_id": name, "identity": name.upper()}, frames, np.zeros(1280, np.float32))
    writer.finish()
    fits.mkdir(parents=True)
    for name in ("a", "b"):
        (fits / f"{name}.npz").write_bytes(b"x")
        (fits / f"{name}.json").write_text("{}")
    for _ in range(2):  # again from what is there
        script.multiply(tmp_path, 5)
    corpus = Corpus.open(data, fits)
    assert list(corpus.table.clip_id) == ["a", "b", "ax1", "bx1", "ax2"] and len(corpus.fitted()) == 5
    assert list(corpus.table.identity) == ["A", "B", "Ax1", "Bx1", "Ax2"]
    np.testing.assert_array_equal(corpus[4].frames(), corpus[0].frames())
    assert len(pd.read_parquet(data / "own.parquet")) == 2
