"""Who may import whom: no circles, arrows only downwards, and a `talk` that loads no training, corpus or synthetic face."""

import pytest
from architecture import (
    ALLOWED,
    LEVELS,
    LIGHT,
    circles,
    folder,
    gathered,
    level,
    loaded,
    module_files,
    modules,
    of,
    room,
    upward,
)
from PIL import Image
from test_talker import VOICE, small_portrait

from emolib.fingerprint import closure
from emolib.media.audio import save_wav


@pytest.fixture(scope="module")
def graph():
    return modules()


def test_the_reader_sees_what_there_is(graph):
    assert "emolib.errors" in graph["emolib.weights"]
    assert {"emolib.demo", "emolib.talker", "emolib.corpus.convert"} <= graph["emolib.cli"], "also inside functions"
    assert "emolib.face.kernels.pixel" in graph["emolib.face.render"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == [("d",), ("b", "c")]
    assert upward({"emolib.files": {"emolib.face.model"}}) == [("emolib.files", "emolib.face.model")]


def test_no_circle_among_modules(graph):
    assert not circles(graph)


def test_no_circle_among_folders(graph):
    assert not circles(gathered(graph, folder))


def test_every_room_has_its_level(graph):
    known = {name for rooms in LEVELS for name in rooms}
    assert {room(module) for module in graph} == known == set(ALLOWED)


def test_no_arrow_goes_up(graph):
    assert not upward(graph)
    for name, targets in ALLOWED.items():
        assert all(level(target) <= level(name) for target in targets.split()), f"what {name} may import lies above it"


def test_arrows_are_those_allowed(graph):
    news = [
        f"{module} imports {target}: {room(module)} -> {room(target)} is not in tests/architecture.py"
        for module, targets in graph.items()
        for target in targets
        if room(target) != room(module) and room(target) not in ALLOWED[room(module)].split()
    ]
    assert not news, "\n".join(sorted(news))


def test_synthface_stands_on_the_face_the_media_and_the_files(graph):
    used = {room(target) for module in graph if room(module) == "synthface" for target in graph[module]}
    assert used <= {"synthface", "face", "face.kernels", "media", "errors", "files"}
    users = {m for m, targets in graph.items() if room(m) != "synthface" and "synthface" in map(room, targets)}
    assert users == {f"emolib.corpus.{name}" for name in ("acted", "aligned", "crowd", "readings", "synth")} | {
        "emolib.demo"
    }


def test_talk_loads_nothing_of_what_made_it():
    names = loaded("import emolib.cli, emolib.talker; emolib.cli.parser()")
    assert of(names, "emolib.talker") and not of(names, *LIGHT)
    assert len(of(names, "emolib")) < 76


def test_the_command_talk_loads_nothing_of_what_made_it(tmp_path):
    """Up to the weights, which are none here: portrait, voice and emotion are read and checked."""
    Image.fromarray(small_portrait()).save(tmp_path / "me.png")
    save_wav(tmp_path / "voice.wav", VOICE)
    code = """
import os, sys
from emolib import cli
os.chdir(sys.argv[1])
given = "--source me.png --audio voice.wav --emotion happy --weights absent --out me.mp4"
assert cli.main(["talk", *given.split()]) == 2
"""
    names = loaded(code, str(tmp_path))
    assert of(names, "emolib.face.landmarks") and not of(names, *LIGHT)


@pytest.mark.parametrize("module", ["emolib.ame", "emolib.eac", "emolib.hef"])
def test_the_systems_know_nothing_of_notebooks_corpora_or_pipelines(module):
    assert not {room(m) for m in closure(module)} & {"pipeline", "corpus", "train", "cli", "params"}


def test_modules_are_short():
    long = {module: n for module, path in module_files().items() if (n := len(path.read_text().splitlines())) > 350}
    assert not long
