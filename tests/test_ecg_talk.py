"""The baseline on a user's own portrait and voice: ``emolib talk --method ecg``."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_talker import VOICE, quick_fit, small_portrait  # noqa: F401 (quick_fit is a fixture)

from emolib import cli
from emolib.baselines.ecg import talk
from emolib.baselines.ecg.content import Content
from emolib.baselines.ecg.landmarks import LandmarkGenerator, delaunay_adjacency, frontal
from emolib.baselines.ecg.texture import TextureGenerator
from emolib.errors import EmolibError
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.media.audio import save_wav
from emolib.media.video import read_video
from emolib.request import check
from emolib.weights import sha256


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained ECG, which shows its source."""
    folder, model = tmp_path_factory.mktemp("ecg"), load_face_model()
    torch.manual_seed(0)
    adjacency = delaunay_adjacency(frontal(model, torch.zeros(1, 80), torch.zeros(1, 64))[0].numpy())
    LandmarkGenerator(adjacency, d=16).save(folder / talk.LANDMARKS, Content(width=8))
    TextureGenerator(8).save(folder / talk.TEXTURE)
    model.save(folder / SHIPPED)
    files = {name: sha256(folder / name) for name in (talk.LANDMARKS, talk.TEXTURE, SHIPPED)}
    (folder / "manifest.json").write_text(json.dumps({"files": files, "params": {"base": {"size": 64}}}))
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(small_portrait()).save("me.png")
    save_wav("voice.wav", np.tile(VOICE, 2)[:8000])
    return tmp_path


def test_a_video_by_ecg(weights, files, capsys):
    command = f"talk --method ecg --source me.png --audio voice.wav --emotion furious --out out.mp4 --weights {weights} --json"
    assert cli.main(command.split()) == 0
    answer, frames = json.loads(capsys.readouterr().out), read_video(files / "out.mp4")
    portrait = small_portrait()
    assert answer["frames"] == len(frames) == 12
    height, width = portrait.shape[:2]
    assert np.abs(frames[0, :height, :width].astype(int) - portrait).mean() < 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--emotion hungry", "ECG knows the emotions neutral, angry"),
        ("--emotion neutral@0,happy@1", "ECG takes its emotion from one word"),
        ("--emotion-audio voice.wav", "ECG takes its emotion from one word"),
        ("--emotion happy --style 2", "ECG knows one"),
        ("--emotion happy --ears voice.wav", "leave out --ears"),
        ("--emotion happy --method xyz", "invalid choice"),
    ],
)
def test_what_ecg_cannot_do_is_one_sentence(weights, files, capsys, options, said):
    command = f"talk --method ecg --source me.png --audio voice.wav --weights {weights} --out out.mp4 {options}"
    assert cli.main(command.split()) == 2
    assert said in capsys.readouterr().err and not (files / "out.mp4").exists()


@pytest.mark.parametrize(("word", "name"), [("happy", "happy"), ("rage", "angry"), ("scornful", "contempt")])
def test_words_of_the_eight_emotions(files, word, name):
    assert talk.emotion_class(check("me.png", "voice.wav", word)) == name


def test_the_face_is_made_at_the_side_of_its_training(weights):
    assert talk.EcgTalker.load(weights).size == 64


def test_weights_of_another_method_are_refused(files, tmp_path):
    with pytest.raises(EmolibError, match="manifest.json is missing"):
        talk.EcgTalker.load(tmp_path)
