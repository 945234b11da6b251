from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emolib.corpus import cremad, mead, ravdess
from emolib.corpus.prepare import prepare, resampled_indices, split_of, walk
from emolib.errors import EmolibError
from emolib.params import EMOTIONS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("M003/video/front/angry/level_2/014.mp4", ("M003", "angry", 2, "014", "front")),
        ("W011/video/1/left_30/sad/level_3/001.mp4", ("W011", "sad", 3, "001", "left_30")),
        ("W011/1/video/front/neutral/level_1/040.mp4", ("W011", "neutral", 1, "040", "front")),
        ("M003/audio/disgusted/level_1/015.m4a", ("M003", "disgusted", 1, "015", "front")),
        ("M030_sad_3_001.mp4", ("M030", "sad", 3, "001", "front")),
        ("M003_neu_1_017.mp4", ("M003", "neutral", 1, "017", "front")),
        ("M030_front_angry_level3_001.mp4", ("M030", "angry", 3, "001", "front")),
        ("M003_level_1_disgusted_015.mp4", ("M003", "disgusted", 1, "015", "front")),
        ("notes/readme_001.mp4", None),
        ("M003/video/front/angry/level_7/014.mp4", None),
    ],
)
def test_mead_names(name, expected):
    assert mead.parse(Path(name)) == expected


def test_mead_walk_pairs_the_sound_and_keeps_front_views(tmp_path):
    for name in ("video/front/happy/level_2/003.mp4", "video/top/happy/level_2/003.mp4", "audio/happy/level_2/003.m4a"):
        (tmp_path / "M009" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "M009" / name).write_bytes(b"x")
    (take,) = mead.walk(tmp_path)
    assert (take.clip_id, take.identity, take.emotion, take.intensity) == ("M009_happy_2_003", "M009", "happy", 2)
    assert take.audio == tmp_path / "M009/audio/happy/level_2/003.m4a"


def test_ravdess_names():
    assert ravdess.parse("01-01-05-02-01-02-12") == (1, "angry", 3, 1, 2, 12)
    assert ravdess.parse("03-01-01-01-02-01-03") == (3, "neutral", 1, 2, 1, 3)
    assert ravdess.parse("01-01-02-01-01-01-01") is None, "calm is not one of the paper's eight"
    assert ravdess.parse("01-02-05-02-01-02-12") is None, "song"


def test_ravdess_trusts_the_name_and_counts_copies_once(tmp_path):
    for folder in ("Actor_01", "audio_speech_actors_01-24/Actor_01"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "03-01-06-02-01-01-07.wav").write_bytes(b"x")
    (tmp_path / "Actor_01" / "01-01-06-02-01-01-07.mp4").write_bytes(b"x")
    (take,) = ravdess.walk(tmp_path)
    assert (take.identity, take.emotion, take.intensity, take.text[:4]) == ("A07", "fear", 3, "Kids")
    assert take.video.suffix == ".mp4" and take.audio.suffix == ".wav"


def test_cremad_names(tmp_path):
    assert cremad.parse("1001_IEO_ANG_HI") == ("1001", "IEO", "angry", 3)
    assert cremad.parse("1001_DFA_NEU_XX") == ("1001", "DFA", "neutral", 1)
    assert cremad.parse("1001_ABC_NEU_XX") is None
    for name in ("1001_IEO_ANG_HI.flv", "1001_IEO_ANG_HI.wav", "1076_MTI_SAD_XX.flv"):
        (tmp_path / name).write_bytes(b"x")
    (take,) = cremad.walk(tmp_path)
    assert take.text == "It's eleven o'clock." and take.audio.suffix == ".wav"


def test_identities_are_split_without_overlap():
    split = split_of([f"M{i:03d}" for i in range(48)], 36, 12, seed=1)
    assert sorted(split.values()) == ["test"] * 12 + ["train"] * 36
    assert split == split_of([f"M{i:03d}" for i in reversed(range(48))], 36, 12, seed=1)


def test_resampling_by_hand():
    assert resampled_indices(6, Fraction(30)).tolist() == [0, 1, 3, 4, 5]
    assert resampled_indices(4, Fraction(25)).tolist() == [0, 1, 2, 3]
    assert len(resampled_indices(3000, Fraction(30000, 1001))) == 2502, "100.1 s at exact 29.97 are 2502 frames"


@pytest.mark.parametrize("name", ["mead", "ravdess", "cremad"])
def test_a_folder_that_holds_nothing_is_named(name, tmp_path):
    with pytest.raises(EmolibError, match=f"no {name} recordings below"):
        walk(name, tmp_path)
    with pytest.raises(EmolibError, match="set data.root"):
        walk(name, tmp_path / "none")


def test_what_cannot_be_used_is_quarantined_with_its_reason(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1001_IEO_ANG_HI.flv").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "in" / "1001_IEO_ANG_HI.wav").write_bytes(b"not sound")
    with pytest.raises(EmolibError, match="none of 1 cremad recordings could be used"):
        prepare("cremad", tmp_path / "in", tmp_path / "out", size=64, train=1, test=0, seed=0)
    assert "1001_IEO_ANG_HI" in (tmp_path / "out" / "quarantine.csv").read_text()


SHARED = Path(__file__).resolve().parents[2] / "shared/data/ravdess"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the RAVDESS utterances are not beside the project")
def test_the_real_ravdess_folder():
    takes = walk("ravdess", SHARED)
    assert len(takes) == 16 * 60 - 16 * 8, "60 a speaker less 8 calm ones"
    assert {t.emotion for t in takes} == set(EMOTIONS) - {"contempt"}
    assert all(t.video is None for t in takes)
    assert np.bincount([t.intensity for t in takes])[[1, 3]].tolist() == [16 * 28, 16 * 24]
