"""What synthface/README.md says: its example runs, its tables hold all modules and all of the truth."""

import re
from pathlib import Path

import numpy as np

import synthface
from emolib.media.video import iter_video, video_info

HOME = Path(synthface.__file__).parent
TEXT = (HOME / "README.md").read_text()


def test_the_example_runs_and_its_truth_is_as_said(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    small = code.replace("size=256, seconds=2.0", "size=64, seconds=0.8")
    assert small != code
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(small, "README.md", "exec"), space)
    info, frames, truth = video_info("happy.mp4"), space["frames"], space["truth"]
    assert (info.n_frames, info.width, info.height, info.fps) == (20, 64, 64, 25)
    assert np.abs(np.stack(list(iter_video("happy.mp4"))).astype(int) - frames).mean() < 8
    assert frames.shape == (20, 64, 64, 3) and space["audio"].shape == (0.8 * 16000,)
    assert "S003 says, happy: " in capsys.readouterr().out
    rows = re.findall(r"^\| (`.*?) \| (\(.*?) \|", TEXT, re.MULTILINE)
    said = {
        name: shape for names, shapes in rows for name, shape in zip(re.findall(r"`(\w+)`", names), _shapes(shapes))
    }
    assert set(said) == set(truth)
    sizes = {"T": 20, "V": len(truth["vertices_neutral"]), "P": len(truth["phonemes"]), "Q": len(truth["visemes"])}
    for name, (shape, kind) in said.items():
        assert truth[name].shape == tuple(sizes[n] if n in sizes else int(n) for n in shape), name
        assert kind == ("text" if truth[name].dtype.kind == "U" else truth[name].dtype), name


def _shapes(text):
    """'(P,) text, (P, 2) float32' -> [(["P"], "text"), (["P", "2"], "float32")]."""
    return [(re.findall(r"\w+", shape), kind) for shape, kind in re.findall(r"\(([\w, ]+)\) (text|float\d+)", text)]


def test_every_module_has_its_line():
    table = TEXT.split("## Its modules")[1].split("\n## ")[0]
    lines = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(lines) == sorted(p.stem for p in HOME.glob("*.py") if p.stem != "__init__")
