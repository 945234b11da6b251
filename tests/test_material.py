"""What a step of the converter is given, and the rooms around it: material, splits, judges, the stage's files."""

import json
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.corpus.mead import official_split
from emolib.corpus.takes import Take
from emolib.critics import judges as judging
from emolib.critics.emotion import EmotionNet
from emolib.critics.sync import SyncNet
from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.face.model import Coefficients
from emolib.pipeline.stage import Stage
from emolib.train.eac import Material

FRAMES = 8


@dataclass
class Clip:
    """Frame t is grey t / 20; beta_0 of frame t is t; its sound is a tone that swells."""

    emotion: str
    number: int
    n_frames: int = 20
    intensity: int = 2
    fps: Fraction = field(default_factory=lambda: Fraction(25))

    def coefficients(self):
        theta = Coefficients.zeros(self.n_frames)
        theta.beta[:, 0] = torch.arange(self.n_frames)
        theta.beta[:, 1] = self.number
        return theta

    def audio(self):
        t = np.arange(self.n_frames * 640) / 16000
        return (0.5 * t / t[-1] * np.sin(2 * np.pi * 300 * t)).astype(np.float32)

    def frames(self, index=None):
        index = np.arange(self.n_frames) if index is None else np.asarray(index)
        return np.round(np.ones((1, 32, 32, 3)) * index[:, None, None, None] / 20 * 255).astype(np.uint8)


class Clips(list):
    @property
    def table(self):
        return pd.DataFrame({"n_frames": [c.n_frames for c in self]})


class Towers:
    """A picture's embedding is its brightness; a text's is its length."""

    def image(self, images):
        return torch.stack([images.mean((1, 2, 3)), torch.ones(len(images))], 1)

    def text(self, texts):
        return torch.tensor([[float(len(t)), 1.0] for t in texts])


@pytest.fixture(scope="module")
def material():
    clips = Clips(Clip(e, i) for i, e in enumerate(["happy", "sad", "sad", "sad", "fear"]))
    return Material(clips, Towers(), ear="mel", frames=FRAMES, keys=3, size=16)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 12), variant=st.sampled_from(["full", "onehot"]))
def test_a_draw_is_of_one_moment_and_emotions_come_equally_often(material, seed, batch, variant):
    eac = Eac(variant=variant, window=4, dim=16, heads=2, depth=1)
    sample = material.draw(np.random.default_rng(seed), batch, eac)
    theta = sample.theta.beta.view(batch, FRAMES, 64)
    first, number = theta[:, 0, 0].long(), theta[:, 0, 1].long()
    assert (theta[:, :, 0].diff(dim=1) == 1).all(), "consecutive frames"
    assert sample.windows.shape == (batch, FRAMES, 4, 80)
    for i in range(batch):
        clip = int(number[i])
        assert torch.equal(
            sample.windows[i], torch.from_numpy(material.windows(eac, clip)[first[i] : first[i] + FRAMES])
        )
    shown = first + sample.frame
    assert ((sample.frame >= 0) & (sample.frame < FRAMES)).all() and set(shown.tolist()) <= {0, 10, 19} | {9}
    torch.testing.assert_close(sample.picture.mean((1, 2, 3)), shown / 20, atol=0.01, rtol=0)
    labels = [material.emotion[int(n)] for n in number]
    counts = np.bincount(labels, minlength=8)[[5, 6, 4]]
    assert counts.max() - counts.min() <= 1 and counts.sum() == batch
    if variant == "onehot":
        assert sample.text.argmax(1).tolist() == labels and (sample.text.sum(1) == 1).all()
    again = material.draw(np.random.default_rng(seed), batch, eac)
    assert torch.equal(again.theta.beta, sample.theta.beta) and torch.equal(again.text, sample.text)


def test_official_split_of_mead_by_hand():
    """The last 10 neutral takes and the last 6 others of every person, emotion and level are for tests, in every view."""

    def take(number, emotion="happy", view="front"):
        names = {
            "corpus": "mead",
            "clip_id": f"{emotion}{number}{view}",
            "identity": "M003",
            "emotion": emotion,
            "intensity": 1,
        }
        return Take(**names, number=f"{number:03d}", video=None, audio=None, text="", fault="")

    takes = [take(n) for n in range(1, 9)] + [take(8, view="top")] + [take(n, "neutral") for n in range(1, 13)]
    sides = official_split(takes)
    assert {k for k, v in sides.items() if v == "train"} == {
        "happy1front",
        "happy2front",
        "neutral1front",
        "neutral2front",
    }
    assert sides["happy8top"] == sides["happy8front"] == "test"


def test_judges_are_the_weights_of_stage_03(tmp_path):
    torch.manual_seed(0)
    net, sync = EmotionNet("efd").eval(), SyncNet().eval()
    net.save(tmp_path / "emotion_efd.safetensors")
    sync.save(tmp_path / "sync.safetensors")

    class Ame:
        config = {"pretrained": ""}

        def image(self, images):
            return images.mean((2, 3))

    found = judging.load_judges(tmp_path, Ame())
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3)).astype(np.uint8)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        wanted = net.features(images).numpy()
    np.testing.assert_allclose(
        found.emotion(frames), wanted, atol=0.02 * np.abs(wanted).max()
    )  # half precision on disk
    np.testing.assert_allclose(found.distribution(frames), 10 * images.mean((2, 3)).numpy(), rtol=1e-5)
    assert found.distribution_name == "FID x100 (our image tower)"
    confidence, at_zero = found.sync(frames, np.random.default_rng(1).normal(0, 0.1, 12 * 640).astype(np.float32), 25.0)
    assert np.isfinite(confidence) and at_zero <= confidence  # the best offset is at least as good as none


def test_tables_and_metrics_of_a_stage(tmp_path):
    stage = Stage("07_evaluation", "", tmp_path, None)
    table = pd.DataFrame(
        {
            "method": ["a", "b"],
            "psnr_db": [31.2678, float("nan")],
            "csim": [0.99645, 0.219],
            "n": [30000, 4],
            "db paper": [30.09, 2.5],
        }
    )
    path = stage.save_table("table", table)
    assert path.read_text().splitlines() == [
        "method,psnr_db,csim,n,db paper",
        "a,31.3,0.996,30000,30.09",
        "b,,0.22,4,2.5",
    ]
    shown = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in path.with_suffix(".md").read_text().splitlines()
    ]
    assert shown[0] == ["method", "psnr_db", "csim", "n", "db paper"] and shown[2:] == [
        ["a", "31.3", "0.996", "30000", "30.09"],
        ["b", "", "0.22", "4", "2.5"],
    ]
    metrics = {"efd": np.float32(0.123456789), "n_clips": 12345, "lpips_is": "LPIPS"}
    few = json.loads((path := stage.save_metrics(metrics, "efd")).read_text())
    assert few.pop("peak_memory_mib") > 10
    assert few == {"efd": 0.1235}
    assert json.loads(path.with_name("measures.json").read_text()) == {
        "efd": 0.1235,
        "n_clips": 12345,
        "lpips_is": "LPIPS",
    }
    assert not list(tmp_path.rglob("*.tmp"))


def test_emotions_here_and_in_synthface_are_the_same():
    from synthface.expressions import EMOTIONS as DRAWN

    assert DRAWN == EMOTIONS


def test_a_stretch_stands_for_windows_at_25_frames_a_second():
    """The terms' only look at sound gives the same face, whichever it is given."""
    clips = Clips(Clip(e, i) for i, e in enumerate(["happy", "sad"]))
    material = Material(clips, Towers(), ear="whisper", frames=FRAMES, keys=3, size=16)
    eac = Eac(audio="whisper", variant="onehot", dim=16, heads=2, depth=1).eval()
    drawn = [material.draw(np.random.default_rng(3), 4, eac)]
    assert material.even and drawn[0].windows.shape == (4, eac.heard[0] + 2 * (FRAMES - 1), 768)
    material.even = False
    drawn.append(material.draw(np.random.default_rng(3), 4, eac))
    assert drawn[1].windows.shape == (4, FRAMES, *eac.heard)
    whole, cut = (eac(sample.windows, sample.text, sample.mu)[0] for sample in drawn)
    torch.testing.assert_close(whole, cut)
