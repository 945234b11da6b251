from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.critics import sync as lips
from emolib.critics.emotion import KINDS, WINDOW, EmotionNet, face_window, standardised_face
from emolib.critics.identity import identity_descriptor
from emolib.critics.sync import WIDTH, SyncNet, _at_25_fps, clip_windows, distances, sync_auc, sync_curves
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.metrics.confusion import accuracy, confusion
from emolib.metrics.features import csim
from emolib.train.augment import augment
from emolib.train.emotion import EmotionTraining, FrameBank
from emolib.train.loop import Loop
from emolib.train.sync import MouthBank, SyncTraining


@dataclass
class FakeClip:
    """A grey square whose brightness is the loudness of its sound, tinted by the emotion."""

    emotion: str
    seed: int
    n_frames: int = 30
    identity: str = "a"
    intensity: int = 2
    fps: Fraction = field(default_factory=lambda: Fraction(25))

    def loudness(self):
        return np.random.default_rng(self.seed).uniform(0.1, 1, self.n_frames)

    def frames(self, indices=None):
        tint = np.array([EMOTIONS.index(self.emotion) / 8, 0.5, 1 - EMOTIONS.index(self.emotion) / 8])
        frames = self.loudness()[:, None, None, None] * np.ones((1, 64, 64, 1)) * (0.5 + 0.5 * tint)
        frames = (255 * frames).astype(np.uint8)
        return frames if indices is None else frames[indices]

    def audio(self):
        tone = np.sin(2 * np.pi * 440 * np.arange(self.n_frames * 640) / 16000)
        return (np.repeat(self.loudness(), 640) * 0.5 * tone).astype(np.float32)


class FakeCorpus(list):
    pass


@pytest.fixture
def corpus():
    return FakeCorpus(FakeClip(e, i) for i, e in enumerate(["happy", "sad", "happy", "neutral"]))


@pytest.fixture
def loudness(monkeypatch):
    """In place of Whisper's features the amplitude of each 20 ms."""

    def heard(samples):
        parts = np.frombuffer(samples, np.float32).reshape(-1, 320)
        return np.abs(parts).mean(1, keepdims=True).repeat(WIDTH, 1)

    monkeypatch.setattr(lips, "_features", heard)


class Listener(SyncNet):
    """A SyncNet that needs no training: both embeddings are the (centred) loudness over the five frames in the middle."""

    def forward(self, mouths, sounds):
        loud = mouths[:, 2:7].mean((2, 3))
        level = sounds[:, :, 0].unflatten(1, (5, 2)).mean(2)
        return tuple(torch.nn.functional.normalize(x - x.mean(1, keepdim=True), dim=1) for x in (loud, level))


def test_face_window_cuts_the_window_and_nothing_else():
    images = torch.zeros(1, 3, 100, 100)
    top, left, side = (round(100 * WINDOW[k]) for k in ("top", "left", "side"))
    images[:, :, top : top + side, left : left + side] = 0.7
    assert torch.allclose(face_window(images), torch.full((1, 3, 64, 64), 0.7))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        face_window(images[0])


def test_nets_see_neither_light_nor_background():
    image = torch.rand(1, 3, 96, 96)
    bright = 0.2 + 0.6 * image
    torch.testing.assert_close(standardised_face(bright), standardised_face(image), atol=0.05, rtol=0)
    framed = image.clone()
    framed[:, :, :, :18], framed[:, :, :, 78:] = 0, 1
    torch.testing.assert_close(standardised_face(framed), standardised_face(image), atol=1e-4, rtol=0)
    assert standardised_face(image).shape == (1, 1, 64, 64) and standardised_face(image)[0, 0, 0, 0] == 0


def test_the_two_emotion_nets_share_no_kind_of_layer_but_the_last():
    kinds = [{type(m) for m in EmotionNet(k).backbone.modules()} for k in KINDS]
    shared = {t.__name__ for t in kinds[0] & kinds[1]}
    assert shared <= {"Sequential", "Conv2d"}


@pytest.mark.parametrize("kind", KINDS)
def test_emotion_net_round_trip_and_gradient(kind, tmp_path):
    net, images = EmotionNet(kind).eval(), torch.rand(2, 3, 96, 96, requires_grad=True)
    again = EmotionNet.load(net.save(tmp_path / "net.safetensors"))
    assert again.config == net.config and (tmp_path / "net.safetensors").stat().st_size < 1e6
    torch.testing.assert_close(again(images), net(images), atol=2e-3, rtol=0)
    features = net.features(images)
    torch.testing.assert_close(net.head(features), net(images))
    features.square().sum().backward()
    assert images.grad.abs().sum() > 0


def test_clip_features_are_the_weighted_mean_of_fan():
    net, frames = EmotionNet("efd").eval(), torch.rand(2, 3, 3, 64, 64)
    single = torch.stack([net.features(f) for f in frames])  # (2, 3, F)
    weight = 1 / (1 + torch.exp(-(single @ net.attention.weight[0] + net.attention.bias)))
    expected = sum(weight[:, t, None] * single[:, t] for t in range(3)) / weight.sum(1)[:, None]
    torch.testing.assert_close(net.clip_features(frames), expected)
    torch.testing.assert_close(net(frames[:, :1]), net(frames[:, 0]))


def test_weights_of_another_critic_are_refused(tmp_path):
    sync, emotion = SyncNet().save(tmp_path / "s"), EmotionNet().save(tmp_path / "e")
    with pytest.raises(EmolibError, match="emotion net"):
        EmotionNet.load(sync)
    with pytest.raises(EmolibError, match="SyncNet"):
        SyncNet.load(emotion)
    with pytest.raises(EmolibError, match="no weights"):
        SyncNet.load(tmp_path / "none")


def test_frame_bank_keeps_its_budget_and_samples_every_emotion_alike(corpus):
    bank = FrameBank.load(corpus, per_clip=4, size=64, budget_mb=256, seed=0)
    assert (
        bank.images.shape == (4, 4, 3, 64, 64)
        and len(FrameBank.load(corpus, per_clip=64, size=64, budget_mb=2, seed=0)) == 2
    )
    images, emotion, intensity, beta = bank.sample(np.random.default_rng(1), 9, frames=2)
    assert images.shape == (9, 2, 3, 64, 64) and images.max() <= 1 and (intensity == 2).all()
    assert emotion.bincount(minlength=8).tolist() == [3, 0, 0, 0, 0, 3, 3, 0]
    assert torch.equal(bank.sample(np.random.default_rng(1), 9, frames=2)[0], images)
    with pytest.raises(EmolibError, match="no clips"):
        FrameBank.load(FakeCorpus(), per_clip=4, size=64, budget_mb=256, seed=0)


def test_augment_without_strength_only_mirrors():
    images = torch.rand(6, 3, 32, 32)
    out = augment(images, np.random.default_rng(0), 0.0)
    same = (out - images).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (out - images.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all() and same.any() and mirrored.any()
    strong = augment(images, np.random.default_rng(0))
    assert 0 <= strong.min() and strong.max() <= 1 and (strong - out).abs().mean() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_emotion_training_learns_and_repeats_itself(kind, corpus, tmp_path, monkeypatch):
    bank = FrameBank.load(corpus, per_clip=4, size=64, budget_mb=256, seed=0)
    bank = replace(bank, beta=bank.emotion[:, None, None].float().expand(4, 4, 64) + torch.arange(64.0))
    monkeypatch.setattr(EmotionTraining, "load", lambda self: bank)

    def train(folder):
        sizes = {"batch_size": 12, "lr": 5e-3, "frames_per_clip": 4, "cache_mb": 1}
        training = EmotionTraining(corpus=None, face_model=None, kind=kind, steps=12, seed=1, **sizes).prepare()
        history = Loop(training, checkpoints=tmp_path / folder, device="cpu", log_every=1).run()
        return training.models[training.name]["net"], pd.DataFrame(history)

    (net, terms), (again, _) = train("a"), train("b")
    assert terms.loss.iloc[-3:].mean() < terms.loss.iloc[0] and np.isfinite(terms.beta).all()
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), again.parameters()))
    assert confusion(net, bank).sum() == 16 and confusion(net, bank, clips=True).sum() == 4


def test_accuracy_weighs_emotions_alike():
    counts = np.zeros((8, 8), int)
    counts[0, 0], counts[1, 1], counts[1, 2] = 90, 5, 5  # 100 % and 50 %; the others do not occur
    assert accuracy(counts) == pytest.approx(0.75)


def test_sound_and_mouth_windows_share_their_moment(loudness):
    """A flash and a click in frame 12 are seen and heard at index 12."""
    frames = np.zeros((25, 64, 64, 3), np.uint8)
    frames[12] = 255
    audio = np.zeros(16000, np.float32)
    audio[12 * 640 + 300 : 12 * 640 + 340] = 1.0  # about the middle of the frame, where two features meet
    mouths, sounds = clip_windows(frames, audio, 25)
    assert mouths.float().mean((1, 2)).argmax() == 12
    window = lips.cut_windows(mouths, sounds, torch.tensor([12]))[1][0, :, 0]
    assert window.nonzero()[:, 0].tolist() == [4, 5] and len(window) == 10


def test_frames_are_taken_at_25_a_second():
    assert _at_25_fps(10, 50).tolist() == [1, 3, 5, 7, 9]
    assert _at_25_fps(4, 25).tolist() == [0, 1, 2, 3]
    assert _at_25_fps(2, 12.5).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_confidence_finds_the_offset(late, loudness):
    clip = FakeClip("happy", 5, n_frames=60)
    confidence, offset = Listener().confidence(clip.frames(), np.roll(clip.audio(), 640 * late))
    assert offset == late and confidence > 0.5


def test_a_perfect_sync_net_scores_high_and_a_deaf_one_chance(corpus, loudness):
    apart = list(distances(Listener(), corpus))
    assert sync_auc(apart, seed=0) > 0.95
    curve = np.nanmean(sync_curves(apart, reach=8), 0)
    assert curve.argmin() == 8 and curve.shape == (17,)
    with pytest.raises(EmolibError, match="at least 11"):
        clip = FakeClip("sad", 0, n_frames=6)
        SyncNet().embed(clip.frames(), clip.audio())


def test_sync_training_learns(corpus, loudness, tmp_path):
    bank = MouthBank.load(corpus, budget_mb=64, seed=0)
    net = SyncNet(dim=32)
    training = SyncTraining(corpus=None, steps=10, seed=0, batch_size=16, lr=2e-3, cache_mb=1)
    training.bank, training.models = bank, {"sync": net.train()}
    training.optimizers = {"sync": torch.optim.AdamW(net.parameters(), lr=2e-3)}
    loss = pd.DataFrame(Loop(training, checkpoints=tmp_path, device="cpu", log_every=1).run()).loss
    assert loss.iloc[-3:].mean() < loss.iloc[0]
    again = SyncNet.load(net.save(tmp_path / "sync.safetensors"))
    a, b = (n.confidence(corpus[0].frames(), corpus[0].audio()) for n in (net, again))
    assert a[0] == pytest.approx(b[0], abs=0.02)
    with pytest.raises(EmolibError, match="long enough"):
        MouthBank.load(FakeCorpus([FakeClip("sad", 0, n_frames=8)]), budget_mb=64, seed=0)


def test_csim_by_hand_and_for_all_pairs():
    a = np.array([[3.0, 4.0], [1.0, 0.0]])
    assert csim(a[0], a[1]) == pytest.approx(0.6)
    np.testing.assert_allclose(csim(a[:, None], a), [[1, 0.6], [0.6, 1]])


def test_identity_descriptor_knows_a_real_face_again():
    from skimage.data import astronaut

    from emolib.face.alignment import Alignment
    from emolib.face.landmarks import detect

    image = astronaut()
    points = detect(image)[0].landmarks
    alignment = Alignment.from_landmarks(points, 160)
    crop = alignment.crop(image)
    other = np.ascontiguousarray(crop[::-1])  # upside down: nobody in particular
    descriptors = identity_descriptor(np.stack([crop, crop[:, ::-1], other]))
    assert descriptors.shape == (3, 128) and descriptors.dtype == np.float32
    assert csim(descriptors[0], descriptors[1]) > 0.9 > csim(descriptors[0], descriptors[2])
    own = identity_descriptor(crop[None], alignment.points(points)[None])
    assert csim(own[0], descriptors[0]) > 0.95  # the template's landmarks do as well as the face's own


def test_identity_descriptor_refuses_other_shapes():
    with pytest.raises(ValueError, match="uint8"):
        identity_descriptor(np.zeros((1, 64, 64, 3), np.float32))
    with pytest.raises(ValueError, match="landmarks"):
        identity_descriptor(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((2, 68, 2)))
