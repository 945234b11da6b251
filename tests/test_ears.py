"""An audio encoder that learns other voices: what it learns, what stays, and what is refused."""

import numpy as np
import pytest
import torch

from emolib.ame import Ame
from emolib.eac import Eac
from emolib.errors import EmolibError
from emolib.hearing import hear_with
from emolib.train.acted_scores import probe
from emolib.train.ears import EarsTraining, Voices
from emolib.train.loop import Loop


def voices(people, seed=0):
    """Each emotion is a direction of its own, in noise."""
    rng = np.random.default_rng(seed)
    ways = np.random.default_rng(1).normal(size=(3, 768))
    kinds = np.tile([0, 3, 5], people)
    heard = [(0.3 * ways[k % 3] + rng.normal(size=(60, 768))).astype(np.float16) for k in (0, 1, 2) * people]
    return Voices(heard, kinds, np.repeat(np.arange(people), 3), "toy")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ears")
    Ame.create().save(folder / "clip.safetensors")
    torch.manual_seed(0)
    Eac(audio="whisper", frames=24, dim=16, depth=1).save(folder / "eac.safetensors")
    Eac(audio="whisper", frames=24, dim=32, depth=1).save(folder / "other.safetensors")
    return folder


def test_only_the_encoder_learns_and_it_does(files, tmp_path):
    training = EarsTraining(
        voices=voices(6), eac=files / "eac.safetensors", ame=files / "clip.safetensors", steps=60, seed=0, lr=3e-3
    )
    history = Loop(training.prepare(), checkpoints=tmp_path, log_every=1, device="cpu").run()
    assert np.mean([row["anchored"] for row in history[-5:]]) < 0.5 * np.mean([row["anchored"] for row in history[:5]])
    training.save(tmp_path / "ears.safetensors")
    plain, taught = (Eac.load(files / "eac.safetensors") for _ in range(2))
    hear_with(taught, tmp_path / "ears.safetensors")
    same = [
        torch.equal(a, b)
        for (name, a), b in zip(plain.state_dict().items(), taught.state_dict().values())
        if "audio." not in name
    ]
    assert all(same) and not torch.equal(plain.audio.head.weight, taught.audio.head.weight)
    with pytest.raises(EmolibError, match="no audio encoder of this converter"):
        hear_with(Eac.load(files / "other.safetensors"), tmp_path / "ears.safetensors")
    with pytest.raises(EmolibError, match="no audio encoder of this converter"):
        hear_with(plain, files / "eac.safetensors")


def test_folds_share_nobody():
    everyone = voices(4)
    some = everyone.of([1, 3])
    assert set(some.person.tolist()) == {1, 3} and len(some.heard) == 6 and some.digest() != everyone.digest()
    assert np.array_equal(some.heard[0], everyone.heard[3])


def test_the_probe_hears_directions():
    known, unseen = voices(8), voices(4, seed=5)
    assert probe(known.heard, known.emotion, unseen.heard, unseen.emotion) == 1
    shuffled = np.random.default_rng(0).permutation(unseen.emotion)
    assert probe(known.heard, known.emotion, unseen.heard, shuffled) < 0.8
