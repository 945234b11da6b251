"""What the names of real corpora's files say, and what their folders hold: no file here is decoded."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.corpus import cremad, mead, ravdess
from emolib.corpus.prepare import split_of, splits, walk
from emolib.corpus.takes import VIEWS, strays
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError

MEAD_FORMS = {
    "as published": "{id}/video/{view}/{emotion}/level_{level}/{number}.mp4",
    "parts": "{id}/1/{view}/{emotion}/level_{level}/{number}.mp4",
    "parts and video": "{id}/2/video/{view}/{emotion}/level_{level}/{number}.mp4",
    "one more component": "{id}/video/2/{view}/{emotion}/level_{level}/{number}.mp4",
    "level without a dash": "{id}/video/{view}/{emotion}/level{level}/{number}.mp4",
    "upper case": "{id}/Video/{VIEW}/{EMOTION}/Level_{level}/{number}.MP4",
    "in a folder of its own": "MEAD/part0/{id}/video/{view}/{emotion}/level_{level}/{number}.mp4",
    "in another person's folder": "M999/{id}_{view}_{emotion}_level_{level}_{number}.mp4",
    "flat with view": "{id}_{view}_{emotion}_level{level}_{number}.mp4",
    "flat": "{id}_{emotion}_{level}_{number}.mp4",
    "flat short": "{id}_{short}_{level}_{number}.mp4",
    "flat level first": "{id}_level_{level}_{emotion}_{number}.mp4",
    "sound": "{id}/audio/{emotion}/level_{level}/{number}.m4a",
}


@given(
    st.from_regex(r"[MW][0-9]{3}", fullmatch=True),
    st.sampled_from(EMOTIONS),
    st.integers(1, 3),
    st.from_regex(r"[0-9]{3}", fullmatch=True),
    st.sampled_from(VIEWS),
    st.sampled_from(sorted(MEAD_FORMS)),
)
def test_every_form_of_a_mead_name_says_the_same(identity, emotion, level, number, view, form):
    form = MEAD_FORMS[form]
    words = {"id": identity, "emotion": emotion, "EMOTION": emotion.title(), "short": emotion[:3]}
    path = form.format(**words, level=level, number=number, view=view, VIEW=view.title())
    seen = view if "view" in form.lower() else "front"
    assert mead.parse(Path(path)) == (identity, emotion, level, number, seen)


@pytest.mark.parametrize(
    "name",
    ["notes/readme_001.mp4", "M003/video/front/angry/level_7/014.mp4", "M003/video/front/calm/level_1/014.mp4",
     "M003/video/front/angry/level_1/take.mp4", "video/front/angry/level_1/014.mp4"],
)  # fmt: skip
def test_what_is_no_mead_name(name):
    assert mead.parse(Path(name)) is None


def touch(root, *names, content=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def test_mead_walk_finds_the_sound_at_any_depth_and_the_views_asked_for(tmp_path):
    touch(
        tmp_path,
        "M009/video/front/happy/level_2/003.mp4",
        "M009/video/top/happy/level_2/003.mp4",
        "M009/audio/happy/level_2/003.m4a",
        "W011/1/video/front/sad/level_3/001.mp4",
        "W011/audio/2/sad/level_3/001.m4a",
        "W011/1/audio/sad/level_3/001.m4a",
        "M030_sad_3_001.mp4",
        "M009/video/front/happy/level_2/._003.mp4",
        ".trash/M001_sad_3_001.mp4",
    )
    flat, happy, sad = sorted(mead.walk(tmp_path), key=lambda t: (t.video.parent != tmp_path, t.clip_id))
    assert (happy.clip_id, happy.identity, happy.emotion, happy.intensity) == ("M009_happy_2_003", "M009", "happy", 2)
    assert happy.audio == tmp_path / "M009/audio/happy/level_2/003.m4a"
    assert sad.audio == tmp_path / "W011/1/audio/sad/level_3/001.m4a", "the nearer of two"
    assert flat.audio is None and flat.clip_id == "M030_sad_3_001"
    assert {t.clip_id for t in mead.walk(tmp_path, ("front", "top"))} - {t.clip_id for t in (flat, happy, sad)} == {
        "M009_happy_2_003_top"
    }
    assert [t.clip_id for t in mead.walk(tmp_path / "W011")] == ["W011_sad_3_001"], "one person's folder"


def test_mead_copies_count_once_and_rivals_are_named(tmp_path):
    touch(tmp_path, "M009/1/front/sad/level_1/003.mp4", "M009_sad_1_003.mp4", content=b"long")
    touch(tmp_path, "M009/2/front/sad/level_1/003.mp4", "M009/video/front/neutral/level_2/001.mp4")
    neutral, whole, rival = mead.walk(tmp_path)
    assert "level 1 only" in neutral.fault and not whole.fault
    assert whole.clip_id == rival.clip_id and "a second file" in rival.fault and "/2/" in rival.video.as_posix()


def test_linked_folders_are_walked_once(tmp_path):
    touch(tmp_path, "disk/M009/video/front/sad/level_1/003.mp4")
    (tmp_path / "mead").mkdir()
    (tmp_path / "mead/M009").symlink_to(tmp_path / "disk/M009")
    (tmp_path / "disk/M009/loop").symlink_to(tmp_path / "disk/M009")
    assert [t.clip_id for t in mead.walk(tmp_path / "mead")] == ["M009_sad_1_003"]


def mead_takes(root, people=3, takes=30):
    for i in range(people):
        names = [f"M{i:03d}/video/front/neutral/level_1/{n:03d}.mp4" for n in range(1, takes + 1)]
        names += [f"M{i:03d}/video/front/sad/level_{k}/{n:03d}.mp4" for k in (1, 2, 3) for n in range(1, takes + 1)]
        touch(root, *names, f"M{i:03d}/video/top/sad/level_1/{takes:03d}.mp4")
    return mead.walk(root, ("front", "top"))


def test_meads_official_split(tmp_path):
    takes = mead_takes(tmp_path)
    side = splits(takes, "official", None, None, seed=0)
    test = sorted(t.clip_id for t in takes if side[t.clip_id] == "test" and t.identity == "M001")
    wanted = [f"M001_neutral_1_{n:03d}" for n in range(21, 31)] + ["M001_sad_1_030_top"]
    assert test == sorted(wanted + [f"M001_sad_{k}_{n:03d}" for k in (1, 2, 3) for n in range(25, 31)])
    few = splits(takes, "official", 2, 1, seed=0)
    assert {c[:4] for c, s in few.items() if s == "train"} == {"M000", "M001"}
    assert {c[:4] for c, s in few.items() if s == "test"} == {"M000"}
    assert few.items() <= side.items()


def test_identities_are_split_without_overlap():
    people = [f"M{i:03d}" for i in range(48)]
    split = split_of(people, 36, 12, seed=1)
    assert sorted(split.values()) == ["test"] * 12 + ["train"] * 36
    assert split == split_of(people[::-1], 36, 12, seed=1) == split_of(people, None, None, seed=1)
    assert split != split_of(people, 36, 12, seed=2)
    assert len(split_of(people, 40, 12, seed=1)) == 48, "as many of the rest as there are"
    with pytest.raises(EmolibError, match="48 identities.*ask for fewer"):
        split_of(people, 48, 12, seed=1)


def test_ravdess_names():
    assert ravdess.parse("01-01-05-02-01-02-12") == (1, "angry", 3, 1, 2, 12)
    assert ravdess.parse("03-01-01-01-02-01-03") == (3, "neutral", 1, 2, 1, 3)
    assert ravdess.parse("01-01-02-01-01-01-01") is None, "calm is not one of the paper's eight"
    assert ravdess.parse("01-02-05-02-01-02-12") is None, "song"
    assert ravdess.parse("01-01-01-02-01-02-12") is None, "neutral has one intensity"


def test_ravdess_trusts_the_name_and_counts_copies_once(tmp_path):
    touch(tmp_path, "Actor_01/03-01-06-02-01-01-07.wav")
    touch(tmp_path, "audio_speech_actors_01-24/Actor_01/03-01-06-02-01-01-07.wav", content=b"whole")
    touch(tmp_path, "Actor_01/01-01-06-02-01-01-07.mp4", "Actor_01/02-01-06-02-01-01-07.mp4")
    (take,) = ravdess.walk(tmp_path)
    assert (take.identity, take.emotion, take.intensity, take.text[:4]) == ("A07", "fear", 3, "Kids")
    assert take.video.name[:2] == "01" and take.audio.read_bytes() == b"whole", "the truncated copy is not the one"


def test_cremad_names(tmp_path):
    assert cremad.parse("1001_IEO_ANG_HI") == ("1001", "IEO", "angry", 3)
    assert cremad.parse("1091_DFA_SAD_XX") == ("1091", "DFA", "sad", 2)
    assert cremad.parse("1001_DFA_NEU_XX") == ("1001", "DFA", "neutral", 1)
    for wrong in ("1001_ABC_NEU_XX", "1092_DFA_NEU_XX", "1000_DFA_NEU_XX", "1001_DFA_CAL_XX", "1001_DFA_NEU_LOW"):
        assert cremad.parse(wrong) is None
    touch(tmp_path, "VideoFlash/1001_IEO_ANG_HI.flv", "AudioWAV/1001_IEO_ANG_HI.wav", "VideoFlash/1076_MTI_SAD_XX.flv")
    good, broken = cremad.walk(tmp_path)
    assert good.text == "It's eleven o'clock." and good.audio.suffix == ".wav" and not good.fault
    assert broken.clip_id == "1076_MTI_SAD_XX" and "broken" in broken.fault


def test_cremad_demographics(tmp_path):
    with pytest.raises(EmolibError, match="no VideoDemographics.csv"):
        cremad.demographics(tmp_path)
    path = tmp_path / "VideoDemographics.csv"
    path.write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Asian,Hispanic\n"
    )
    table = cremad.demographics(tmp_path)
    assert table.to_dict("list") == {
        "identity": ["1001", "1002"], "age": [51, 21], "sex": ["Male", "Female"],
        "race": ["Caucasian", "Asian"], "ethnicity": ["Not Hispanic", "Hispanic"],
    }  # fmt: skip
    path.write_text("ActorID,Age\n1001,51\n")
    with pytest.raises(EmolibError, match="lacks the columns sex, race"):
        cremad.demographics(tmp_path)


@pytest.mark.parametrize("name", ["mead", "ravdess", "cremad"])
def test_a_folder_that_holds_nothing_is_named(name, tmp_path):
    with pytest.raises(EmolibError, match=f"no {name} recordings below"):
        walk(name, tmp_path)
    with pytest.raises(EmolibError, match="data.root"):
        walk(name, tmp_path / "none")


SHARED = Path(__file__).resolve().parents[2] / "shared/data/ravdess"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the RAVDESS utterances are not beside the project")
def test_the_real_ravdess_folder():
    takes = walk("ravdess", SHARED)
    assert len(takes) == 16 * 60 - 16 * 8, "60 a speaker less 8 calm ones"
    assert {t.emotion for t in takes} == set(EMOTIONS) - {"contempt"}
    assert all(t.video is None for t in takes)
    odd = strays(SHARED, takes, ravdess.why)
    assert len(takes) + len(odd) == 960 and {why for _, why in odd} == {"calm, which is none of the eight emotions"}
    assert np.bincount([t.intensity for t in takes])[[1, 3]].tolist() == [16 * 28, 16 * 24]


def test_names_that_nobody_knows_are_listed_with_what_they_lack(tmp_path):
    touch(
        tmp_path,
        "M003/video/front/angry/level_2/001.mp4",
        "M003/video/front/angry/level_2/001 (1).mp4",
        "M003/video/left_30/angry/level_2/001.mp4",
        "M003/video/front/surprise/level_1/002.mov",
        "M003/video/front/disgust/level_3/003.mp4",
        "M003_34_3_output_01.mp4",
        "M003/video/front/angry/level_7/004.mp4",
        "M003/audio/sad/level_1/009.m4a",
        "notes.txt",
    )
    (tmp_path / "M003/video/front/angry/level_2/005.mp4").symlink_to("nowhere")
    takes = mead.walk(tmp_path)
    assert {t.emotion for t in takes} == {"angry", "surprised", "disgusted"}
    odd = {
        str(path.relative_to(tmp_path)): why for path, why in strays(tmp_path, takes, lambda p: mead.why(p, ("front",)))
    }
    assert odd == {
        "M003/video/front/angry/level_2/001 (1).mp4": "no name of MEAD's: it does not say a number of three digits",
        "M003_34_3_output_01.mp4": "no name of MEAD's: it does not say an emotion, a level from 1 to 3, a number of three digits",
        "M003/video/front/angry/level_7/004.mp4": "no name of MEAD's: it does not say a level from 1 to 3",
        "M003/audio/sad/level_1/009.m4a": "a sound without a video in the views asked for, or a second one of its take",
    }
    assert "005" in {t.number for t in takes}  # the link to nothing is a take, refused by name when it is looked at


def test_used_and_refused_and_odd_are_all_that_was_found(tmp_path):
    names = [f"Actor_01/0{m}-01-0{e}-01-01-01-01{s}" for e in range(1, 9) for m, s in ((1, ".mp4"), (3, ".wav"))]
    touch(tmp_path, *names, "Actor_01/01-02-03-01-01-01-01.mp4", "Actor_01/holiday.mov")
    takes = ravdess.walk(tmp_path)
    odd = strays(tmp_path, takes, lambda p: ravdess.why(p, ("front",)))
    used = {path for take in takes for path in (take.video, take.audio)}
    assert len(used) == 14 and len(used) + len(odd) == len(names) + 2
    assert [why.split(";")[0].split(",")[0] for _, why in odd] == [
        "calm",
        "a song",
        "calm",
        "no name of RAVDESS's: seven numbers of two digits were expected",
    ]


def test_cremad_says_which_code_it_does_not_know(tmp_path):
    touch(tmp_path, "1001_IEO_ANG_HI.flv", "1040_ITH_SAD_X.flv", "1001_XXX_ANG_HI.flv", "2001_IEO_ANG_HI.flv", "x.wav")
    odd = strays(tmp_path, cremad.walk(tmp_path), cremad.why)
    assert {path.stem: why for path, why in odd} == {
        "1040_ITH_SAD_X": "CREMA-D knows no level 'X'",
        "1001_XXX_ANG_HI": "CREMA-D knows no sentence 'XXX'",
        "2001_IEO_ANG_HI": "CREMA-D knows no actor '2001'",
        "x": "no name of CREMA-D's: actor_sentence_emotion_level was expected",
    }
