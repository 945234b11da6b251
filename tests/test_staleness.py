"""What is kept is true: whatever a training depends on makes it run again, and nothing else does."""

import ast
import shutil

import numpy as np
import pytest
import toy

from emolib import fingerprint as marks
from emolib.corpus.clips import Corpus
from emolib.fingerprint import closure, code, fingerprint
from emolib.media.video import VideoWriter, read_video
from emolib.weights import load_weights, save_weights

ON_FRAMES = {"emotion_loss", "emotion_efd", "clip"}
ON_FITS = ON_FRAMES | {"eac", "hef", "landmarks", "texture"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A toy corpus, its fits and all weights, trained once."""
    folder = toy.build(tmp_path_factory.mktemp("toy"))
    assert toy.run(folder) == dict.fromkeys(toy.TRAININGS, 1)
    return folder


@pytest.fixture
def project(built, tmp_path):
    return toy.copied(built, tmp_path / "project")


def again(project) -> set[str]:
    """The trainings that make steps now."""
    return {name for name, steps in toy.run(project).items() if steps}


def test_nothing_changed_nothing_runs(project):
    assert again(project) == set()


def test_other_bytes_of_phi_emo(project):
    path = project / "weights/emotion_loss.safetensors"
    record = path.with_suffix(".json").read_text()
    state, config = load_weights(path)
    state["head.bias"] = state["head.bias"] + 1
    state["backbone.0.0.weight"] = state["backbone.0.0.weight"] * 1.5
    save_weights(path, state, config)
    # Somebody put other weights there, and a record that says they are right.
    path.with_suffix(".json").write_text(record.replace(marks.file_digest(path), "") or record)
    only = tuple(n for n in toy.TRAININGS if n != "emotion_loss")
    assert {n for n, steps in toy.run(project, only).items() if steps} == {"eac", "hef"}


def test_the_judge_of_efd_enters_nothing_that_is_trained(project):
    """No loss, condition or code comes from it: with other bytes in its place nobody else makes a step."""
    weights = project / "weights"
    judge = marks.file_digest(weights / "emotion_efd.safetensors")
    assert judge not in {marks.file_digest(f) for f in weights.glob("*.safetensors") if f.stem != "emotion_efd"}
    state, config = load_weights(weights / "emotion_efd.safetensors")
    save_weights(weights / "emotion_efd.safetensors", {k: v * 2 for k, v in state.items()}, config)
    others = tuple(n for n in toy.TRAININGS if n != "emotion_efd")
    assert not any(toy.run(project, others).values())


def test_a_fitting_parameter(project):
    toy.fit(project, iterations=3)
    assert again(project) == ON_FITS


def test_one_frame_of_the_corpus(project):
    clip = Corpus.open(project / "clips")[0]
    path = project / "clips" / f"{clip.clip_id}.mp4"
    frames = read_video(path)
    frames[3, 20:40, 20:40] = 255 - frames[3, 20:40, 20:40]
    with VideoWriter(path, clip.fps, frames.shape[1], lossless=True) as video:
        for frame in frames:
            video.write(frame)
    before = {p.name: p.read_bytes() for p in (project / "fits").glob("*.npz")}
    toy.fit(project, iterations=2)
    changed = [name for name, content in before.items() if (project / "fits" / name).read_bytes() != content]
    assert changed == [f"{clip.clip_id}.npz"], "only the fit of that clip"
    assert again(project) == ON_FITS | {"sync"}


@pytest.fixture
def edited(monkeypatch, tmp_path):
    """edited(module, old, new): as if ``module`` had been edited, for all that hash code."""

    def edit(module, old, new):
        source = marks.module_file(module)
        text = source.read_text()
        assert old in text
        copy = tmp_path / f"{module}.py"
        copy.write_text(text.replace(old, new, 1))
        real = marks.module_file
        monkeypatch.setattr(marks, "module_file", lambda name: copy if name == module else real(name))

    return edit


def test_a_line_of_eq_6(project, edited):
    edited("emolib.train.eac", "phi_emo.features(merged).float() - wanted", "wanted - phi_emo.features(merged).float()")
    path = project / "weights/eac.safetensors"
    before = path.read_bytes()
    assert again(project) == {"eac"}, "the code that runs is the same, so are the weights, and HEF keeps its own"
    assert path.read_bytes() == before


def test_a_docstring_and_a_comment(project, edited):
    edited("emolib.train.eac", '"""The five terms of Eq. 5 by name', '"""Five terms (Eq. 5) by name')
    assert again(project) == set()
    edited("emolib.hef", "# Eq. 10 with the band", "# Eq. 10 and the band")
    assert again(project) == set()


def test_code_that_only_some_stand_on(project, edited):
    edited("emolib.layers", "math.sqrt(2)", "math.sqrt(2.0)")
    assert again(project) == {"sync", "eac", "hef", "texture", "content", "landmarks"}


def test_the_adapter_of_another_corpus_is_in_no_closure():
    for module in ("emolib.corpus.synth", "emolib.train.eac", "emolib.corpus.fits", "synthface.synth"):
        assert not {"emolib.corpus.mead", "emolib.corpus.ravdess", "emolib.params"} & set(closure(module)), module


def test_imports_inside_functions_count_and_layout_does_not(tmp_path, monkeypatch):
    package = tmp_path / "emolib"
    package.mkdir()
    real = marks.module_file
    monkeypatch.setattr(
        marks, "module_file",
        lambda name: next((p for p in [tmp_path / f"{name.replace('.', '/')}.py"] if p.is_file()), None),
    )  # fmt: skip
    (package / "a.py").write_text("def f():\n    from emolib.b import g\n    return g()\n")
    (package / "b.py").write_text('"""Text."""\nx = 1\n\n\ndef g():\n    """Text."""\n    return x\n')
    assert list(closure("emolib.a")) == ["emolib.a", "emolib.b"]
    before = code("emolib.a")
    (package / "b.py").write_text("# other\nx = 1\ndef g():\n\n    return (x)\n")
    assert code("emolib.a") == before
    (package / "b.py").write_text("x = 2\ndef g():\n    return x\n")
    assert code("emolib.a") != before
    assert real("emolib.hef") is not None


def test_a_library_counts_where_it_is_imported(monkeypatch):
    before = code("synthface.speech"), code("emolib.metrics.sync")
    real = marks.importlib.metadata.version
    monkeypatch.setattr(marks.importlib.metadata, "version", lambda n: "0" if n == "espeakng-loader" else real(n))
    assert code("synthface.speech") != before[0] and code("emolib.metrics.sync") == before[1]


def test_values_files_folders_and_arrays(tmp_path):
    (tmp_path / "a").write_text("1")
    said = {"x": 1, "path": tmp_path / "a", "folder": tmp_path, "array": np.arange(3)}
    first = fingerprint("emolib.errors", **said)
    assert first == fingerprint("emolib.errors", **dict(reversed(said.items()))) and len(first) == 16
    assert first != fingerprint("emolib.errors", **said | {"x": 2})
    assert first != fingerprint("emolib.errors", **said | {"array": np.arange(4)})
    shutil.copy(tmp_path / "a", tmp_path / "b")
    assert first != fingerprint("emolib.errors", **said)
    with pytest.raises(TypeError, match="cannot hold Module"):
        fingerprint("emolib.errors", x=ast.parse(""))
