"""The clip format: what is written comes back, a killed writer goes on, bad records are refused."""

from fractions import Fraction

import numpy as np
import pytest

from emolib.corpus.clips import COLUMNS, JOURNAL, Corpus, CorpusWriter
from emolib.errors import EmolibError

AUDIO = (0.2 * np.sin(np.arange(3200) / 5)).astype(np.float32)


def record(clip_id="a_happy_1", **changes):
    base = {"corpus": "synth", "split": "train", "clip_id": clip_id, "identity": "a", "emotion": "happy"}
    return base | {"intensity": 1, "text": "Hello.", "fps": Fraction(30000, 1001)} | changes


def frames(value=90):
    return np.full((5, 32, 32, 3), value, np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None] * 20


def written(folder, **kwargs):
    writer = CorpusWriter(folder, **kwargs)
    truth = {"coefficients": np.random.default_rng(0).normal(size=(5, 257)).astype(np.float32)}
    writer.add(record(), frames(), AUDIO, truth)
    writer.add(record("b_sad_3", identity="b", emotion="sad", intensity=3, split="test"), frames(), AUDIO)
    return writer, truth


def test_round_trip(tmp_path):
    writer, truth = written(tmp_path)
    corpus = writer.finish()
    assert len(corpus) == 2 and tuple(corpus.table.columns) == COLUMNS
    clip = corpus[0]
    assert (clip.emotion, clip.intensity, clip.fps, clip.n_frames) == ("happy", 1, Fraction(30000, 1001), 5)
    assert np.abs(clip.frames().astype(int) - frames()).mean() < 2
    np.testing.assert_array_equal(clip.frames([4, 1]), clip.frames()[[4, 1]])
    np.testing.assert_allclose(clip.audio(), AUDIO, atol=1 / 32000)
    np.testing.assert_array_equal(clip.truth()["coefficients"], truth["coefficients"])
    assert [c.clip_id for c in Corpus.open(tmp_path)] == ["a_happy_1", "b_sad_3"]


def test_select(tmp_path):
    corpus = written(tmp_path)[0].finish()
    assert [c.clip_id for c in corpus.select(split="test")] == ["b_sad_3"]
    assert len(corpus.select(emotion=["happy", "sad"], intensity=[1, 3])) == 2
    assert len(corpus.select(intensity=1, split="test")) == 0
    with pytest.raises(EmolibError, match="no column mood"):
        corpus.select(mood="good")


def test_killed_writer_goes_on(tmp_path):
    """A torn journal line and a file without its line are what a kill leaves; whole clips are not written again."""
    written(tmp_path)
    before = (tmp_path / "a_happy_1.mp4").stat().st_mtime_ns
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"fingerprint": "", "rec')
    (tmp_path / "stray.mp4").write_bytes(b"half")
    writer = CorpusWriter(tmp_path)
    assert "a_happy_1" in writer and "c" not in writer
    assert writer.add(record(), frames(), AUDIO) is False
    assert writer.add(record("c"), frames(), AUDIO) is True
    assert [c.clip_id for c in writer.finish()] == ["a_happy_1", "b_sad_3", "c"]
    assert (tmp_path / "a_happy_1.mp4").stat().st_mtime_ns == before
    assert not (tmp_path / "stray.mp4").exists()
    assert len(CorpusWriter(tmp_path).finish()) == 3


def test_other_parameters_start_anew(tmp_path):
    written(tmp_path)[0].finish()
    writer = CorpusWriter(tmp_path, fingerprint="other")
    assert "a_happy_1" not in writer
    writer.add(record("new"), frames(), AUDIO)
    assert [c.clip_id for c in writer.finish()] == ["new"]
    assert not (tmp_path / "a_happy_1.mp4").exists()


def test_same_input_same_bytes(tmp_path):
    for name in ("one", "two"):
        written(tmp_path / name)[0].finish()
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_refusals(tmp_path):
    with pytest.raises(EmolibError, match="01_data"):
        Corpus.open(tmp_path)
    writer, _ = written(tmp_path)
    for wrong, said in [
        ({"emotion": "hungry"}, "expected one of neutral"),
        ({"intensity": 4}, "intensity is 4"),
        ({"clip_id": "../x"}, "names files"),
    ]:
        with pytest.raises(EmolibError, match=said):
            writer.add(record("z") | wrong, frames(), AUDIO)
    with pytest.raises(EmolibError, match="even"):
        writer.add(record("odd"), frames()[:, :31], AUDIO)
    with pytest.raises(EmolibError, match="lacks text"):
        writer.add({k: v for k, v in record("z").items() if k != "text"}, frames(), AUDIO)
    corpus = writer.finish()
    with pytest.raises(EmolibError, match="02_fitting"):
        corpus[0].coefficients()
    with pytest.raises(EmolibError, match="only rendered"):
        corpus[1].truth()
