"""The tables of Sinha et al., the two protocols of their sources, and what Table 2 of Xu et al. costs by profile."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.baselines.ecg.landmarks import LandmarkGenerator, delaunay_adjacency, frontal
from emolib.corpus.clips import Corpus, CorpusWriter
from emolib.corpus.fits import fit_corpus
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.metrics.protocol import METRICS, SINHA, Row, Spread
from emolib.pipeline import costs
from emolib.pipeline.ecg_tables import PAPER_TABLE2, PAPER_TABLE3, TABLE2, landmark_scores, mean_movement, table, table3
from emolib.pipeline.sources import FirstFrame, NeutralPortrait
from emolib.values import read_yaml
from synthface.synth import ClipSpec, Studio


def test_a_measured_line_has_our_numbers_beside_the_papers():
    rng = np.random.default_rng(0)
    clips = pd.DataFrame({m: 0.5 + 0.01 * rng.normal(size=6) for m in (*METRICS, *SINHA) if m != "FID"})
    features = [rng.normal(size=(4, 3)) for _ in range(6)]
    row = Row("ECG", clips.assign(identity=list("aaabbb")), features, features, {})
    found = table(PAPER_TABLE2, {"ECG": row, "Ours-T": row}, Spread(list("aaabbb"), 0), "synth", TABLE2)
    assert list(found.corpus) == ["paper (MEAD)"] * 2 + ["synth"] + ["paper (CREMA-D)"] * 3 + ["synth"]
    found = found.set_index("method")
    assert found.loc["ECG", "M-LD paper"] == 2.18 and found.loc["ECG", "M-LD ↓"] == pytest.approx(0.5, abs=0.02)
    assert np.isnan(found.loc["EVP", "M-LD ↓"]) and found.loc["EVP", "Emotion paper"] == 0.8358
    assert np.isnan(found.loc["Ours-T", "CPBD paper"]) and found.loc["Ours-T", "n_clips"] == 6


@dataclass
class Shown:
    """A clip of one head that does ``beta``."""

    emotion: str
    beta: torch.Tensor
    identity: str = "a"
    intensity: int = 2
    fps: float = 25.0

    @property
    def clip_id(self) -> str:
        return f"{self.identity}_{self.emotion}"

    def coefficients(self) -> Coefficients:
        return Coefficients.zeros(len(self.beta)).replace(beta=self.beta)

    def audio(self) -> None:
        return None


class Clips(list):
    def fitted(self):
        return self


class Deaf:
    """Content that says nothing."""

    def windows(self, audio, n_frames, fps):
        return np.zeros((n_frames, 6, 29), np.float32)


def test_what_landmarks_are_held_against():
    face = load_face_model()
    smile = torch.zeros(8, 64)
    smile[:, 0] = 1.0
    moving = smile * torch.linspace(0, 2, 8)[:, None]
    train, test = Clips([Shown("happy", smile), Shown("sad", 0 * smile)]), Clips([Shown("happy", moving)])
    usual = mean_movement(face, train)
    still = torch.zeros(1, 80)
    wanted = frontal(face, still, smile[:1]) - frontal(face, still, 0 * smile[:1])
    torch.testing.assert_close(usual["happy"], wanted[0], atol=1e-5, rtol=1e-4)
    assert usual["sad"].abs().max() < 1e-6
    net = LandmarkGenerator(delaunay_adjacency(frontal(face, still, 0 * smile[:1])[0].numpy()))
    scores = landmark_scores({"full": net}, Deaf(), face, train, test).set_index("method")
    assert scores.loc["full", "F-LD"] == pytest.approx(scores.loc["silent", "F-LD"])  # untrained: the neutral face
    assert scores.loc["constant", "F-LD"] < scores.loc["silent", "F-LD"]  # the mean of the movement
    assert scores.loc["constant", "mouth_amplitude"] == pytest.approx(0, abs=1e-4)
    found = table3(scores.reset_index(), Spread(["a"], 0), "synth").set_index("variant")
    assert found.loc["wo_gan", "corpus"] == "paper (MEAD)" and np.isnan(found.loc["wo_gan", "M-LD ↓"])
    assert found.loc["full", "M-LD paper"] == PAPER_TABLE3["full"][1][0] and found.loc["constant", "n_clips"] == 1


def test_a_person_without_a_neutral_clip_is_named():
    class Corpus(list):
        def select(self, emotion):
            return [clip for clip in self if clip.emotion == emotion]

    class Asked:
        clip = Shown("sad", torch.zeros(2, 64))

    with pytest.raises(EmolibError, match="no neutral clip of a"):
        NeutralPortrait(load_face_model(), Corpus([Shown("sad", torch.zeros(2, 64))]))(Asked)


@pytest.fixture
def clip(tmp_path):
    """A drawn clip, fitted."""
    record, *parts = Studio(7, 96, 0.6).clip(ClipSpec("train", 0, "happy", 2, 0))
    writer = CorpusWriter(tmp_path / "clips")
    writer.add(record, *parts)
    fit_corpus(writer.finish(), tmp_path / "fits", workers=1)
    return Corpus.open(tmp_path / "clips", tmp_path / "fits")[0]


def test_a_first_frame_is_fitted_alone_and_poses_follow(clip):
    seen = SimpleNamespace(clip=clip, frames=clip.frames(range(4)), landmarks=clip.truth()["landmarks"][:4])
    sources = FirstFrame(load_face_model())
    source = sources(seen)
    assert sources(seen) is source  # fitted once
    torch.testing.assert_close(source.pose(clip, 4)[0], source.own.pose[0])
    moved = clip.coefficients().pose
    torch.testing.assert_close(source.pose(clip, 4)[3] - source.own.pose[0], moved[3] - moved[0])
    wanted = source.wanted(clip, torch.ones(3, 64))
    assert (wanted.alpha == source.own.alpha).all() and (wanted.beta == 1).all() and len(wanted) == 3


def test_costs_are_those_of_the_profile():
    paper = read_yaml(Path(__file__).parents[1] / "conf" / "profile" / "paper.yaml")
    assert all(paper["eac"][k] == v for k, v in costs.PAPER_EAC.items())
    assert all(paper["hef"][k] == v for k, v in costs.PAPER_HEF.items())
