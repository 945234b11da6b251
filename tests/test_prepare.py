"""Real corpora from folder to clips, on small trees of rendered recordings: good ones, every kind of broken one, killed runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from emolib import cli
from emolib.corpus import convert as conversion
from emolib.corpus import prepare as preparation
from emolib.corpus import workers
from emolib.corpus.clips import COLUMNS, JOURNAL, Corpus
from emolib.corpus.prepare import prepare, summary
from emolib.corpus.takes import Take
from emolib.errors import EmolibError
from emolib.face.alignment import nme
from emolib.face.landmarks import Face, detect
from emolib.media.audio import decode_audio, resample
from emolib.media.video import VideoInfo, VideoWriter, iter_at_rate, iter_video, video_info
from synthface.synth import ClipSpec, Studio

SECONDS, SIZE = 0.8, 96
SETTINGS = {"size": SIZE, "train": 1, "test": 1, "seed": 0, "progress": False}


def film(path, frames, audio):
    """A recording at 30 fps, wider than high, the face off its middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.pad(frames, ((0, 0), (10, 30), (20, 60), (0, 0)), mode="edge")
    with VideoWriter(path, Fraction(30), frames.shape[2:0:-1], audio=audio) as video:
        for i in range(len(frames) * 30 // 25):
            video.write(frames[i * 25 // 30])
    return path


def record(path, audio, rate=48000, codec="aac", channels=1):
    """Sound (n,) or (n, 2) at 16 kHz as a file of its own, as MEAD's .m4a."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layout, sampled = {1: "mono", 2: "stereo"}[channels], [resample(a, 16000, rate) for a in np.atleast_2d(audio.T)]
    with av.open(str(path), "w", format="wav" if codec == "pcm_s16le" else "mp4") as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sampled, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=1024 if codec == "aac" else 0)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two people's recordings; files by what they are, arrays 'frames' and 'audio' of the first."""
    folder, studio = tmp_path_factory.mktemp("filmed"), Studio(3, 160, SECONDS)
    (_, one, voice, _), (_, two, other, _) = (
        studio.clip(ClipSpec("train", i, emotion, 2, 0)) for i, emotion in enumerate(("happy", "sad"))
    )
    n = len(one)
    files = {
        "one": film(folder / "one.mp4", one, voice),
        "two": film(folder / "two.mp4", two, other),
        "mute": film(folder / "mute.mp4", one, None),
        "voice": record(folder / "voice.m4a", voice),
        "wav": record(folder / "voice.wav", np.column_stack([voice, 0 * voice]), codec="pcm_s16le", channels=2),
        "silent": film(folder / "silent.mp4", one, 0 * voice),
        "wall": film(folder / "wall.mp4", np.full_like(one, 90), voice),
        "short": film(folder / "short.mp4", one[: n // 2], voice[: n // 2 * 640]),
        "long sound": record(folder / "long.m4a", np.tile(voice, 3)),
        "jumps": film(folder / "jumps.mp4", jumping(one), voice),
    }
    for name, content in (
        ("empty", b""),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid"),
        ("text", b"none"),
    ):
        (folder / name).write_bytes(content)
        files[name] = folder / name
    files["cut"] = folder / "cut.mp4"  # its header is whole, its end is not there
    files["cut"].write_bytes(files["mute"].read_bytes()[: files["mute"].stat().st_size // 4])
    return files | {"frames": one, "audio": voice}


def jumping(frames):
    """The same face, half of the time far to the right."""
    wide = np.pad(frames, ((0, 0), (0, 0), (0, 300), (0, 0)), mode="edge")
    wide[len(wide) // 2 :] = np.roll(wide[len(wide) // 2 :], 300, axis=2)
    return wide


def lay(root, **names):
    """Copies of ``filmed`` files into a tree: lay(root, **{path: file})."""
    for name, source in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)
    return root


def quarantine(folder):
    table = pd.read_csv(folder / "quarantine.csv")
    assert list(table.columns) == ["clip_id", "file", "reason"]
    return dict(zip(table["clip_id"], table["reason"]))


def test_mead_in_this_process_then_through_dask(tmp_path, filmed, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    root = lay(tmp_path / "MEAD", **{
        "M003/video/front/happy/level_2/001.mp4": filmed["one"],
        "M003/1/front/neutral/level_1/002.mp4": filmed["mute"],
        "M003/audio/neutral/level_1/002.m4a": filmed["voice"],
        "W011_sad_3_001.mp4": filmed["two"],
        "M003/video/front/angry/level_1/001.mp4": filmed["mute"],
        "M003/video/top/happy/level_2/001.mp4": filmed["one"],
    })  # fmt: skip
    corpus = prepare("mead", root, tmp_path / "serial", workers=1, **SETTINGS)
    assert corpus.table["clip_id"].tolist() == ["M003_happy_2_001", "M003_neutral_1_002", "W011_sad_3_001"]
    assert tuple(corpus.table.columns) == COLUMNS and corpus.table.groupby("split")["identity"].nunique().eq(1).all()
    assert quarantine(tmp_path / "serial") == {
        "M003_angry_1_001": "001.mp4 holds no sound; expected an audio file or a video with sound"
    }
    for clip in corpus:
        assert clip.frames().shape == (20, SIZE, SIZE, 3) and len(clip.audio()) == 20 * 640 and clip.fps == 25
    frames, theirs = corpus[0].frames(), filmed["frames"]
    found, truth = detect(frames[10])[0].landmarks, detect(theirs[10])[0].landmarks * SIZE / 160
    assert nme(found, truth) < 8, "a rendered clip is an aligned crop already: the same face at the same place"
    corner = np.corrcoef(corpus[0].audio(), filmed["audio"][:12800])[0, 1]
    assert corner > 0.9, "the voice, in time with the picture"

    environment = {name: os.environ.get(name) for name in (*workers.ONE_THREAD, "PYTHONHASHSEED")}
    through = prepare("mead", root, tmp_path / "dask", workers=2, **SETTINGS)
    assert environment == {name: os.environ.get(name) for name in environment}, (
        "what workers are told is not told to what this process starts next"
    )
    assert through.table.equals(corpus.table)
    for path in sorted((tmp_path / "serial").iterdir()):
        if path.name != JOURNAL:
            assert path.read_bytes() == (tmp_path / "dask" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    "video, sound, reason",
    [
        ("empty", None, r"^the recording 1\.mp4 is empty"),
        ("lfs", None, "Git LFS pointer.*git lfs pull"),
        ("mute", "lfs", r"^1\.wav is a Git LFS pointer"),
        ("text", None, r"^1\.mp4 is not a video"),
        ("mute", None, "holds no sound"),
        ("mute", "text", "not audio that can be decoded"),
        ("silent", None, "is silent"),
        ("short", None, r"lasts 0\.4\d s; expected at least 0\.5"),
        ("mute", "long sound", r"0\.80 s of picture but 2\.\d\d s of sound"),
        ("cut", "wav", "truncated|damaged"),
        ("wall", None, "a face in only 0 of"),
        ("jumps", None, "jumps: in [3-6] of 9 looks"),
        (None, "wav", "sound only"),
    ],
)
def test_each_reason(tmp_path, filmed, video, sound, reason):
    files = [tmp_path / "1.mp4" if video else None, tmp_path / "1.wav" if sound else None]
    for path, source in zip(files, (video, sound)):
        if path:
            shutil.copy(filmed[source], path)
    take = Take("mead", "M001_sad_1_001", "M001", "sad", 1, *files)
    with pytest.raises(EmolibError) as error:
        conversion.convert(take, SIZE)
    message = conversion.reason_of(error.value, take)
    assert re.search(reason, message), message
    assert str(tmp_path) not in message


def test_stereo_is_mixed_down_and_a_videos_own_track_comes_first(tmp_path, filmed):
    half = decode_audio(filmed["wav"])
    assert len(half) == pytest.approx(len(filmed["audio"]), abs=32)
    n = min(len(half), len(filmed["audio"]))
    assert np.corrcoef(half[:n], filmed["audio"][:n])[0, 1] > 0.99, "one silent channel of two"
    take = Take("ravdess", "A01_sad_1_11", "A01", "sad", 1, filmed["one"], filmed["wav"])
    loud = conversion._sound(take, 0.0)
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(np.sqrt(np.mean(filmed["audio"] ** 2)), rel=0.1)


def test_one_odd_look_is_outvoted_and_most_must_see_a_face(filmed):
    points = detect(filmed["frames"][0])[0].landmarks

    def find(frame):
        find.calls += 1
        if find.calls in find.blind:
            raise EmolibError("no face")
        return [Face((0, 0, 1, 1), points + 400 * (find.calls == 3), 1.0)]

    path, info = filmed["one"], video_info(filmed["one"])
    find.calls, find.blind = 0, (1, 2, 9)
    looks = conversion.look(path, info, find)
    assert len(looks) == 6
    assert np.allclose(conversion.steady(looks, path), points) and len(conversion.steady(looks, path)) == 5
    find.calls, find.blind = 0, (1, 2, 4, 6, 8)
    with pytest.raises(EmolibError, match="a face in only 3 of 8 frames"):
        conversion.look(path, info, find)


def test_frames_are_taken_one_at_a_time(filmed, monkeypatch):
    """The most full frames alive at once, whatever the length of the video."""
    import weakref

    alive, most = weakref.WeakSet(), []

    class Frame(np.ndarray):
        __hash__ = object.__hash__

    def watched(frames):
        for frame in frames:
            view = frame.view(Frame)
            alive.add(view)
            most.append(len(alive))
            yield view

    monkeypatch.setattr(conversion, "iter_video", lambda path: watched(iter_video(path)))
    monkeypatch.setattr(conversion, "iter_at_rate", lambda path, fps: watched(iter_at_rate(path, fps)))
    conversion.aligned_frames(filmed["one"], SIZE)
    assert len(most) == 24 + 20 and max(most) <= 3, "24 frames at 30 fps are 20 at 25"


def fake(monkeypatch, broken=()):
    """Converts nothing: frames and sound of noise, so that a run over many takes is quick. Returns the list of calls."""
    calls = []

    def convert(take, size):
        calls.append(take.clip_id)
        if take.clip_id in broken:
            raise broken[take.clip_id]
        return np.zeros((2, size, size, 3), np.uint8), np.zeros(1280, np.float32)

    monkeypatch.setattr(preparation, "convert", convert)
    return calls


def tree(root, people=3, takes=2):
    for i in range(people):
        for n in range(takes):
            path = root / f"M{i:03d}/video/front/happy/level_1/{n:03d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def test_whatever_a_take_does_the_others_are_made_and_it_is_tried_again(tmp_path, monkeypatch):
    root, broken = tree(tmp_path / "in"), {"M000_happy_1_001": ZeroDivisionError("by the\ndecoder")}
    calls = fake(monkeypatch, broken)
    settings = SETTINGS | {"train": 2, "workers": 1}
    assert len(prepare("mead", root, tmp_path / "out", **settings)) == 5
    assert quarantine(tmp_path / "out") == {"M000_happy_1_001": "unexpected ZeroDivisionError: by the decoder"}
    assert summary(tmp_path / "out") == [(1, "unexpected ZeroDivisionError: by the decoder")]
    calls.clear()
    broken.clear()
    assert len(prepare("mead", root, tmp_path / "out", **settings)) == 6
    assert calls == ["M000_happy_1_001"] and quarantine(tmp_path / "out") == {}


def test_another_split_moves_clips_and_makes_none(tmp_path, monkeypatch):
    root, calls = tree(tmp_path / "in", people=6), fake(monkeypatch)
    settings = SETTINGS | {"train": 3, "test": 3, "workers": 1}
    first = prepare("mead", root, tmp_path / "out", **settings).table
    assert len(calls) == 12
    calls.clear()
    second = prepare("mead", root, tmp_path / "out", **settings | {"seed": 1}).table
    assert not calls and not first["split"].equals(second["split"])
    assert first.drop(columns="split").equals(second.drop(columns="split"))
    tree(tmp_path / "in", people=7)
    table = prepare("mead", root, tmp_path / "out", **settings | {"train": 6, "test": 1}).table
    assert calls == ["M006_happy_1_000", "M006_happy_1_001"]
    assert table.groupby("identity")["split"].nunique().eq(1).all(), "a person who came later moves nobody half"
    calls.clear()
    prepare("mead", root, tmp_path / "out", **settings | {"size": 64, "train": 6, "test": 1})
    assert len(calls) == 14, "clips of another size are made anew"


def test_a_folder_that_fills_up_ends_the_run_with_one_sentence(tmp_path, monkeypatch):
    root, calls = tree(tmp_path / "in"), fake(monkeypatch)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparation.CorpusWriter, "add", full)
    with pytest.raises(EmolibError, match="No space left on device; choose another output"):
        prepare("mead", root, tmp_path / "out", **SETTINGS, workers=1)
    assert len(calls) == 1, "no take is blamed, none more is tried"
    assert quarantine(tmp_path / "out") == {}


def test_sound_alone_is_refused_before_anything_is_written(tmp_path, filmed):
    names = [f"Actor_{a:02d}/03-01-05-01-01-01-{a:02d}.wav" for a in (1, 2)]
    root = lay(tmp_path / "in", **dict.fromkeys(names, filmed["wav"]))
    with pytest.raises(EmolibError, match="all 2 ravdess .* sound only.*Video_Speech_Actor"):
        prepare("ravdess", root, tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out").exists()


def test_ravdess_and_cremad_trees(tmp_path, filmed):
    root = lay(tmp_path / "ravdess", **{
        "Actor_01/02-01-05-02-01-01-01.mp4": filmed["mute"],
        "Actor_09/03-01-05-02-01-01-01.wav": filmed["voice"],
        "Actor_02/01-01-04-01-02-01-02.mp4": filmed["two"],
        "Actor_02/03-01-04-01-02-02-02.wav": filmed["wav"],
        "Actor_03/03-01-04-01-02-02-03.wav": filmed["wav"],
    })  # fmt: skip
    corpus = prepare("ravdess", root, tmp_path / "r", workers=1, **SETTINGS)
    assert corpus.table["clip_id"].tolist() == ["A01_angry_3_11", "A02_sad_1_21"]
    assert set(quarantine(tmp_path / "r")) == {"A02_sad_1_22", "A03_sad_1_22"} and summary(tmp_path / "r")[0][0] == 2
    root = lay(tmp_path / "cremad", **{
        "VideoFlash/1001_IEO_ANG_HI.mp4": filmed["two"],
        "VideoFlash/1001_IEO_SAD_LO.flv": filmed["lfs"],
        "VideoFlash/1076_MTI_SAD_XX.flv": filmed["one"],
        "VideoFlash/1002_DFA_FEA_XX.flv": filmed["mute"],
        "AudioWAV/1002_DFA_FEA_XX.wav": filmed["lfs"],
    })  # fmt: skip
    corpus = prepare("cremad", root, tmp_path / "c", workers=1, **SETTINGS)
    assert corpus.table["clip_id"].tolist() == ["1001_IEO_ANG_HI"] and corpus[0].text == "It's eleven o'clock."
    reasons = quarantine(tmp_path / "c")
    assert "git lfs pull" in reasons["1001_IEO_SAD_LO"] and "git lfs pull" in reasons["1002_DFA_FEA_XX"]
    assert "broken in the corpus" in reasons["1076_MTI_SAD_XX"]


def test_killed_and_run_again_as_a_user_does(tmp_path, filmed, capsys):
    names = [f"{i}/video/front/happy/level_1/{n:03d}.mp4" for i in ("M001", "M002") for n in range(1, 3)]
    root, out = lay(tmp_path / "in", **dict.fromkeys(names, filmed["one"])), tmp_path / "out"
    command = f"prepare mead {root} --out {out} --size {SIZE} --workers 1 --json".split()
    process = subprocess.Popen([sys.executable, "-m", "emolib.cli", *command], stderr=subprocess.DEVNULL)
    journal = out / JOURNAL
    while process.poll() is None and not (journal.is_file() and journal.read_text().count("\n") >= 1):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (out / "M002_happy_1_002.wav.tmp").write_bytes(b"half")
    kept = {p.name: p.stat().st_mtime_ns for p in out.glob("M001_happy_1_001.*")}
    assert cli.main(command) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["clips"], answer["identities"], answer["train"], answer["test"]) == (4, 2, 2, 2)
    assert answer["quarantined"] == 0 and len(Corpus.open(out)) == 4
    assert kept == {p.name: p.stat().st_mtime_ns for p in out.glob("M001_happy_1_001.*")}
    assert not [p.name for p in out.iterdir() if p.suffix not in (".mp4", ".wav", ".parquet", ".jsonl", ".csv")]


@pytest.mark.parametrize(
    "command, said",
    [
        ("prepare", "required: CORPUS, ROOT, --out"),
        ("prepare vox in --out out", "invalid choice: 'vox'"),
        ("prepare mead absent --out out", "no folder 'absent'"),
        ("prepare mead . --out ../out", "no mead recordings below"),
        ("prepare mead in --out in/out", "lie in one another"),
        ("prepare mead in --out in", "lie in one another"),
        ("prepare mead in --out file/out", "file is not a folder that can be written"),
        ("prepare mead in --out theirs", "not clips, e.g. holiday.mp4"),
        ("prepare mead in --out out --size 127", "size is 127; expected an even number from 64"),
        ("prepare mead in --out out --train 0", "expected at least 1 identity"),
        ("prepare mead in --out out --train 3 --test 1", "ask for fewer"),
        ("prepare mead in --out out --workers 0", "at least 1 process"),
        ("prepare mead in --out out --views front,back", "no view 'back'; expected some of front, down"),
        ("prepare mead in --out out --views ,", "expected some of front"),
        ("prepare mead in --out out --split random", "invalid choice"),
        ("prepare mead in --out out --seed -1", "not a whole number"),
        ("prepare cremad in --out out --split official", "cremad has no official split"),
        ("prepare ravdess in --out out --views top", "front only"),
        (
            "prepare mead in --out out --workers 1",
            "none of 6 mead recordings could be used, e.g. 000.mp4 is not a video",
        ),
    ],
)
def test_refusals_are_one_sentence_and_code_2(command, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    tree(Path("in"))
    if "prepare mead . " in command:
        shutil.rmtree("in")
    Path("file").write_text("")
    Path("theirs").mkdir()
    Path("theirs/holiday.mp4").write_bytes(b"dear")
    assert cli.main(command.split()) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("emolib: ") and said in shown and "\n" not in shown
    assert Path("theirs/holiday.mp4").is_file()
    if "could be used" not in said:
        assert not Path("out").exists() and not Path("../out").exists()


def test_a_cluster_that_is_not_there(tmp_path, monkeypatch):
    import dask

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setattr(workers, "CONNECT", "1s")
    with pytest.raises(EmolibError, match="no dask cluster at tcp://127.0.0.1:9"):
        prepare("mead", tree(tmp_path / "in"), tmp_path / "out", **SETTINGS)
    assert dask.config.get("distributed.comm.timeouts.connect") != "1s", "the user's settings are as they were"


def test_help_shows_defaults_ranges_and_an_example(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["prepare", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert exit.value.code == 0
    for words in ("mead, ravdess, cremad", "64 to 1024 (default: 128)", "(default: front)", "example: emolib prepare"):
        assert words in shown


def test_what_is_used_and_what_is_listed_is_all_there_is(tmp_path, monkeypatch):
    root = tree(tmp_path / "in")
    fake(monkeypatch)
    (root / "M000/video/front/happy/level_1/007 (1).mp4").write_bytes(b"x")
    (root / "M001/video/front/happy/level_1/008.mp4").symlink_to("nowhere")
    (root / "M001/video/front/neutral/level_3").mkdir(parents=True)
    (root / "M001/video/front/neutral/level_3/001.mp4").write_bytes(b"x")
    monkeypatch.setattr(
        preparation,
        "convert",
        lambda take, size, old=preparation.convert: conversion._check_file(take.video) or old(take, size),
    )
    used = prepare("mead", root, tmp_path / "out", **SETTINGS | {"train": 2, "test": 1, "workers": 1})
    table = pd.read_csv(tmp_path / "out" / "quarantine.csv", keep_default_na=False)
    assert len(used) == 6 and len(used) + len(table) == len(list(root.rglob("*.mp4"))) == 9
    reasons = dict(zip(table["file"].str.split("/").str[-1], table["reason"]))
    assert "it does not say a number of three digits" in reasons["007 (1).mp4"]
    assert (
        "no recording at 008.mp4; it was removed, is a link to nothing" in reasons["008.mp4"]
        and "neutral at level 3" in reasons["001.mp4"]
    )


def test_a_recording_of_a_minute_is_no_take(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "video_info", lambda path: VideoInfo(Fraction(25), 61 * 25, 64, 64, 61.0, 61.0))
    monkeypatch.setattr(conversion, "load_audio", lambda path, since: np.zeros(61 * 16000, np.float32))
    (tmp_path / "1064_IEO_DIS_MD.flv").write_bytes(b"x")
    with pytest.raises(EmolibError, match="lasts 61.0 s; expected one sentence, at most 30 s"):
        conversion.convert(Take("cremad", "a", "1064", "disgusted", 2, tmp_path / "1064_IEO_DIS_MD.flv"), 64)
