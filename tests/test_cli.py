"""The command line as a user meets it: help, refusals in one sentence with code 2, a video, a fit."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from test_talker import VOICE, make_weights, quick_fit, small_portrait  # noqa: F401 (quick_fit is a fixture)

from emolib import cli, talker
from emolib.face.model import Coefficients
from emolib.media.audio import SAMPLE_RATE, save_wav
from emolib.media.video import VideoWriter, video_info


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """Every command runs in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def files(tmp_path):
    Image.fromarray(small_portrait()).save(tmp_path / "me.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    save_wav(tmp_path / "voice.wav", np.tile(VOICE, 2)[:8000])
    save_wav(tmp_path / "silent.wav", np.zeros(8000))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.txt").write_text("neither picture nor sound")
    return tmp_path


@pytest.mark.parametrize(
    "command, said",
    [
        ("", "required: COMMAND"),
        ("dance", "invalid choice"),
        ("talk --bogus", "unrecognized arguments: --bogus"),
        ("talk --source absent.png --emotion happy", "no image at absent.png"),
        ("talk --source text.txt --emotion happy", "not an image"),
        ("talk --source wall.png --emotion happy", "no face found"),
        ("talk --source me.png --emotion happy --face 2", "1 found"),
        ("talk --source me.png --emotion happy --face one", "invalid int value"),
        ("talk --audio absent.wav --emotion happy", "no audio file at absent.wav"),
        ("talk --audio empty.wav --emotion happy", "empty"),
        ("talk --audio silent.wav --emotion happy", "silent"),
        ("talk --audio text.txt --emotion happy", "not audio|no sound"),
        ("talk --audio voice.wav --text hello --emotion happy", "both --audio and --text"),
        ("talk --text ... --emotion happy", "nothing that can be spoken"),
        ("talk --intensity 4", "intensity is 4"),
        ("talk --intensity nan", "intensity is nan"),
        ("talk --intensity much", "invalid float value"),
        ("talk --source me.png", "no emotion given"),
        ("talk --emotion happy --emotion-audio voice.wav", r"2 emotions \(text, audio\)"),
        ("talk --emotion-image wall.png", "no face found"),
        ("talk --emotion-audio silent.wav", "silent"),
        ("talk --emotion happy@0@1", "time"),
        ("talk --emotion happy@1", "starts at 1 s"),
        ("talk --transition -1 --emotion happy@0", "transition is -1"),
        ("talk --pose wild", "invalid choice"),
        ("talk --fps 1/0", "fps is '1/0'; expected a rate"),
        ("talk --seed -1", "not a whole number"),
        ("talk --style x", "not a whole number"),
        ("talk --out text.txt/a.mp4", "not a folder that can be written"),
        ("talk --out a.gif", "does not end in .mp4"),
        ("talk --weights absent", "no weights in absent"),
        ("fit absent.png", "no file at absent.png"),
        ("fit text.txt", "not an image"),
        ("fit wall.png", "no face found"),
        ("fit me.png --size 8", "size is 8"),
        ("fit me.png --overlay o.xyz", "does not end in .png or .jpg"),
        ("fit me.png --out text.txt/a.npz", "not a folder that can be written"),
    ],
)
def test_refusals(files, capsys, monkeypatch, command, said):
    before = sorted(p.name for p in files.iterdir())
    if "--weights" not in command:
        monkeypatch.setattr(talker.Talker, "load", lambda *_, **__: pytest.fail("weights were loaded before the check"))
    assert cli.main(command.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and printed.err.startswith("emolib: ")
    assert re.search(said, printed.err), printed.err
    assert sorted(p.name for p in files.iterdir()) == before


@pytest.mark.parametrize(
    "command, shown", [("talk", "(default: out/talk.mp4)"), ("fit", "(default: coefficients.npz)")]
)
def test_help_shows_defaults_ranges_and_an_example(capsys, command, shown):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and shown in text and f"example: emolib {command}" in text and " to " in text


def test_talk(files, capsys):
    weights = files / "weights"
    weights.mkdir()
    make_weights(weights)
    command = "talk --source me.png --audio voice.wav --emotion-image me.png --out a/b.mp4 --weights weights --json"
    assert cli.main([*command.split(), "--intensity", "1.5", "--fps", "30000/1001"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    info = video_info(files / "a" / "b.mp4")
    assert (answer["frames"], answer["fps"]) == (15, "30000/1001") and info.n_frames == 15
    assert (answer["width"], info.width) == (242, 242) and "even" in printed.err


def test_demonstration_is_happy(monkeypatch, tmp_path):
    """Without arguments: the package's portrait, three seconds of speech, happy, out/talk.mp4."""
    seen = []

    class Fake:
        def run(self, request, progress):
            seen.append(request)
            raise talker.EmolibError("stopped here")

    monkeypatch.setattr(talker.Talker, "load", lambda *_, **__: Fake())
    assert cli.main(["talk"]) == 2
    request = seen[0]
    assert request.emotion.text == "happy" and request.intensity == 2 and str(request.out) == "out/talk.mp4"
    assert request.image.shape == (512, 512, 3) and 2.5 < request.voice.n_samples / SAMPLE_RATE < 4
    assert not (tmp_path / "out").exists()


def test_fit_an_image(files, capsys):
    assert cli.main("fit me.png --out me.npz --overlay o.png --size 96 --json".split()) == 0
    answer = json.loads(capsys.readouterr().out)
    coefficients = Coefficients.load(files / "me.npz")
    assert len(coefficients) == answer["frames"] == 1 and 0 < answer["nme_pct"] < 8
    assert Image.open(files / "o.png").size == (4 * 96, 96)


def test_fit_a_video(files, capsys):
    with VideoWriter(files / "me.mp4", 25, (241, 241)) as video:
        for shift in range(10):
            video.write(np.roll(small_portrait(), shift // 3, axis=1))
    assert cli.main("fit me.mp4 --size 96 --overlay o.png".split()) == 0
    assert "10 frame(s)" in capsys.readouterr().out
    assert len(Coefficients.load(files / "coefficients.npz")) == 10
    assert Image.open(files / "o.png").size == (4 * 96, 4 * 96)
    assert cli.main("fit me.mp4 --face 1".split()) == 2
