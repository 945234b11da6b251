"""ECG: the graph convolution by hand, geometry round trips, learning on toy data, what is refused."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.baselines.ecg.content import CHARACTERS, LETTERS, WINDOW, Content, character_errors, read, spelled
from emolib.baselines.ecg.landmarks import (
    LIDS,
    REGIONS,
    UNIT,
    VARIANTS,
    GraphConv,
    GraphDiscriminator,
    LandmarkGenerator,
    LandmarkSet,
    blinking,
    delaunay_adjacency,
    emotion_vector,
    frontal,
    posed,
    region_pooling,
)
from emolib.baselines.ecg.texture import TextureGenerator, TextureSet, adain, heatmaps, one_shot, spread_motion
from emolib.baselines.ecg.train_content import ContentTraining
from emolib.baselines.ecg.train_landmarks import LandmarksTraining
from emolib.corpus.readings import readings
from emolib.errors import EmolibError
from emolib.face.model import Coefficients
from emolib.layers import warp
from emolib.speech.features import WIDTH
from emolib.train.loop import Loop


class FlatFace:
    """A stand-in for the 3DMM: 68 points of a smiling disc, alpha[0] widens it, beta[0] moves its last 20 points
    down.
    """

    def __init__(self):
        rng = np.random.default_rng(0)
        self.points = torch.from_numpy(rng.uniform(-0.7, 0.7, (68, 2))).float()

    def landmarks(self, alpha, beta, pose, size):
        points = self.points * (1 + 0.1 * alpha[:, :1, None])
        down = torch.zeros(68, 2)
        down[48:, 1] = 0.05
        points = points + beta[:, :1, None] * down
        cos, sin = pose[:, 2].cos(), pose[:, 2].sin()
        turn = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
        return (points @ turn + pose[:, None, 3:5] + 1) * size / 2


@pytest.fixture
def adjacency():
    return delaunay_adjacency(FlatFace().points.numpy())


def test_graph_convolution_by_hand():
    # Two nodes and one edge: D = 2 everywhere, so each becomes (own + other) / 2 with unit omega.
    layer = GraphConv(np.array([[0, 1], [1, 0]]), 1, 1)
    with torch.no_grad():
        layer.weight.weight.fill_(1.0)
        layer.weight.bias.zero_()
        f = torch.tensor([[[2.0], [6.0]]])
        assert torch.allclose(layer(f), torch.tensor([[[4.0], [4.0]]]))
        layer.omega[0, 1] = 3.0  # this edge now counts three times for node 0
        assert torch.allclose(layer(f), torch.tensor([[[10.0], [4.0]]]))


def test_delaunay_adjacency_of_a_square_with_its_centre():
    adjacency = delaunay_adjacency(np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]]))
    assert (adjacency == adjacency.T).all() and (adjacency[4, :4] == 1).all()
    assert adjacency[0, 2] == adjacency[1, 3] == 0 and adjacency[0, 1] == 1


def test_regions_partition_the_landmarks():
    pooling = region_pooling()
    assert torch.equal((pooling > 0).sum(0), torch.ones(68, dtype=torch.long))
    assert torch.allclose(pooling.sum(1), torch.ones(8)) and len(REGIONS) == 8


def test_posed_landmarks_of_the_true_expression_are_those_of_the_model():
    model, alpha, beta = FlatFace(), torch.zeros(2, 80), torch.zeros(2, 64)
    alpha[:, 0], beta[1, 0] = torch.tensor([0.3, -0.5]), 1.0
    pose = torch.tensor([[0, 0, 0.3, 0.1, 0, 0], [0, 0, -0.2, 0, 0.05, 0]])
    found = posed(model, alpha, frontal(model, alpha, beta), pose, 64)
    assert torch.allclose(found, model.landmarks(alpha, beta, pose, 64), atol=1e-3)
    middle = frontal(model, alpha[:1] * 0, beta[:1]) * UNIT + 0.5
    assert torch.allclose(middle * 64, model.landmarks(alpha[:1] * 0, beta[:1], pose[:1] * 0, 64), atol=1e-4)


def spoken_as(text: str) -> np.ndarray:
    """Log-probabilities (F, 29) of somebody who spells ``text`` out, two moments a letter and a blank between."""
    numbers = [n for letter in spelled(text) for n in (letter, letter, 0)]
    return np.log(np.eye(CHARACTERS)[numbers] * 0.9 + 0.1 / CHARACTERS)


def test_what_is_spelled_is_read():
    assert CHARACTERS == 29 and len(set(LETTERS)) == 28
    assert read(spoken_as("It's a moon, Otto!")) == "it's a moon otto"
    assert read(spoken_as("")) == ""


@pytest.mark.parametrize(
    ("heard", "text", "wrong"), [("moon", "moon", 0), ("moan", "moon", 1 / 4), ("mon", "Moon.", 1 / 4), ("amoons", "moon", 2 / 4),
                                 ("", "moon", 1), ("sunday", "saturday", 3 / 8)]
)  # fmt: skip
def test_character_errors_by_hand(heard, text, wrong):
    assert character_errors(heard, text) == pytest.approx(wrong)


def test_content_of_any_sound():
    net = Content(width=8).eval()
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    content = net.of(noise)
    assert content.shape == (50, CHARACTERS)
    np.testing.assert_allclose(np.exp(content).sum(1), 1, atol=1e-5)
    windows = net.windows(noise, 25, 25.0)
    assert windows.shape == (25, WINDOW, CHARACTERS)
    np.testing.assert_array_equal(windows[10], content[18:24])  # frame 10's middle is .42 s: moment 21


def test_the_recogniser_learns_to_read(tmp_path):
    """Four letters that sound each in its own way, in words of any order."""
    rng = np.random.default_rng(0)
    sounds = rng.normal(0, 1, (5, WIDTH)).astype(np.float32)
    texts = ["".join(rng.choice(list("abcd"), 5)) for _ in range(40)]
    training = ContentTraining(steps=80, seed=0, batch_size=8, lr=1e-2)
    training.heard = [torch.from_numpy(sounds[[k for n in spelled(text) for k in (n - 2, n - 2, 4)]]) for text in texts]
    training.texts = [torch.tensor(spelled(text)) for text in texts]
    torch.manual_seed(0)
    training.models = {"content": Content(width=16).train()}
    training.optimizers = {"content": torch.optim.Adam(training.models["content"].parameters(), lr=1e-2)}
    history = Loop(training, checkpoints=tmp_path, device="cpu").run()
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    training.save(tmp_path / "content.safetensors")
    again = Content.load(tmp_path / "content.safetensors")
    with torch.no_grad():
        wrong = [character_errors(read(again(h[None])[0].numpy()), text) for h, text in zip(training.heard, texts)]
    assert np.mean(wrong) < 0.5  # who stays silent gets 1


def test_people_of_no_corpus_read_sentences_of_no_corpus():
    first, again = (list(readings(3, seed=1)) for _ in range(2))
    for (sound, text), (same, said) in zip(first, again):
        np.testing.assert_array_equal(sound, same)
        assert text == said and len(sound) > 8000 and sound.dtype == np.float32


def test_emotion_vector_and_what_it_refuses():
    assert emotion_vector("sad", 3).tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert emotion_vector("angry", 1.5).tolist() == [1, 0, 0, 0, 0, 0, 0, 0.75, 0.25]
    assert emotion_vector("neutral", 1).tolist() == [0] * 9
    with pytest.raises(EmolibError, match="ECG knows neutral"):
        emotion_vector("hatred", 1)
    with pytest.raises(EmolibError, match="expected 1 to 3"):
        emotion_vector("sad", 4)


def test_a_blink_brings_the_lids_together():
    points = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0))
    closed = blinking(points, np.array([0.0, 0.5, 1.0]))
    torch.testing.assert_close(closed[0], points[0])
    for upper, lower in LIDS:
        torch.testing.assert_close(closed[1, upper], (points[1, upper] + points[1, lower]) / 2)
        torch.testing.assert_close(closed[2, upper], points[2, lower])
    others = [i for i in range(68) if i not in {upper for upper, _ in LIDS}]
    torch.testing.assert_close(closed[:, others], points[:, others])


def test_adain_by_hand():
    x, style = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[10.0, 14.0, 18.0]]]])
    made = adain(x, style)  # mean 2, deviation 1 -> mean 14, deviation sqrt(32 / 3)
    torch.testing.assert_close(made.flatten(), 14 + torch.tensor([-1.0, 1.0]) * (32 / 3) ** 0.5, atol=1e-3, rtol=0)


@dataclass
class Said:
    """A clip of which every frame is as bright as its number says, and every landmark lies there; it is ``fit`` and sounds ``heard``."""

    number: int
    emotion: str
    identity: str
    fit: Coefficients
    intensity: int = 2
    fps: float = 25.0

    @property
    def n_frames(self) -> int:
        return len(self.fit)

    def coefficients(self) -> Coefficients:
        return self.fit

    def audio(self) -> int:
        return self.number

    def frames(self, at) -> np.ndarray:
        return np.full((len(at), 8, 8, 3), 60 * self.number, np.uint8)


class AllFitted(list):
    """Clips, all of them fitted."""

    def fitted(self):
        return self


class MarkedFace:
    """Every landmark lies where alpha's first number says."""

    def landmarks(self, alpha, beta, pose, size):
        return alpha[:, :1, None].expand(-1, 68, 2)


class ToyContent:
    """Hears what a clip's number says: the frame's own row of ``heard``, at each moment, as characters that differ."""

    def __init__(self, heard):
        self.heard = heard

    def windows(self, number, n_frames, fps):
        return self.heard[number][:n_frames]


def test_pairs_show_the_same_person_in_another_emotion():
    fits = [Coefficients.zeros(2).replace(alpha=torch.full((2, 80), float(n))) for n in range(4)]
    words = ("happy", "sad", "happy", "neutral")
    clips = AllFitted(Said(n, e, f"S{n // 2}", fit) for n, (e, fit) in enumerate(zip(words, fits)))
    held = TextureSet(clips, MarkedFace(), per_clip=2)
    source, before, after, emotion, target = held.sample(np.random.default_rng(0), 64, same_clip=0.0)
    of, to = (x[:, 0, 0].int() for x in (before, after))
    assert ({*zip(of.tolist(), to.tolist())}) == {(0, 1), (1, 0), (2, 3), (3, 2)}
    torch.testing.assert_close(emotion, torch.stack([emotion_vector(words[n], 2) for n in to]))
    torch.testing.assert_close(source[:, 0, 0, 0] * 255 / 60, of.float())
    torch.testing.assert_close(target[:, 0, 0, 0] * 255 / 60, to.float())
    _, before, after, _, _ = held.sample(np.random.default_rng(0), 64, same_clip=1.0)
    torch.testing.assert_close(before, after)


def _spoken_clips() -> tuple[AllFitted, ToyContent]:
    """Two clips of 40 and 24 frames whose lips do what is heard."""
    rng = torch.Generator().manual_seed(0)
    beta = torch.zeros(64, 64)
    beta[:, 0] = torch.randint(0, 2, (64,), generator=rng).float() * 2 - 1
    theta = Coefficients.zeros(64).replace(alpha=torch.randn(64, 80, generator=rng), beta=beta)
    content = (beta[:, :1, None] * torch.tensor([1.0, 0.0, -1.0]).expand(64, WINDOW, 3)).numpy()
    clips = AllFitted([Said(0, "happy", "S0", theta[:40]), Said(1, "happy", "S1", theta[40:])])
    return clips, ToyContent([content[:40], content[40:]])


def test_the_landmark_generator_learns_to_move_the_mouth(tmp_path, adjacency):
    clips, listener = _spoken_clips()
    data = LandmarkSet(clips, FlatFace(), listener)
    content, emotion, neutral, spoken = data.take(np.array([0, 39, 40, 63]))
    model, fits = FlatFace(), Coefficients.cat([clip.fit for clip in clips])[[0, 39, 40, 63]]
    torch.testing.assert_close(spoken, frontal(model, fits.alpha, fits.beta))
    torch.testing.assert_close(neutral, frontal(model, fits.alpha, 0 * fits.beta))
    torch.testing.assert_close(content[:, 0, 0], fits.beta[:, 0])
    torch.manual_seed(0)
    net = LandmarkGenerator(adjacency, 3, 32)
    assert torch.equal(net(content, emotion, neutral), neutral)  # starts as the neutral face
    training = LandmarksTraining(
        corpus=None,
        face_model=None,
        content=None,
        steps=80,
        seed=1,
        batch_size=32,
        lr=3e-3,
        lambda_ver=1.0,
        lambda_gan=0.5,
    )
    training.canonical = frontal(FlatFace(), torch.zeros(1, 80), torch.zeros(1, 64))
    training.data, training.models = data, {"landmarks": net.train(), "judge": GraphDiscriminator(adjacency, 32)}
    training.optimizers = {k: torch.optim.Adam(m.parameters(), lr=3e-3) for k, m in training.models.items()}
    curves = pd.DataFrame(Loop(training, checkpoints=tmp_path, device="cpu").run())
    first, last = curves.vertex.iloc[[0, -1]]
    assert last < 0.3 * first
    path = net.save(tmp_path / "landmarks.safetensors", Content(width=8))
    again, heard = LandmarkGenerator.load(path)
    assert torch.equal(again(content, emotion, neutral), net(content, emotion, neutral))
    assert heard.config == {"width": 8}


def test_characters_that_are_all_unlikely_still_open_the_gates(adjacency):
    """Log-probabilities about -8 shut an LSTM's gates: two different characters made one and the same f_a."""
    torch.manual_seed(0)
    heard = torch.full((2, WINDOW, 29), -8.0)
    heard[0, :, 3] = heard[1, :, 17] = -0.01
    made = LandmarkGenerator(adjacency).audio(heard)
    assert (made[0] - made[1]).norm() > 0.02 * made.norm()


def test_the_generator_of_the_paper_has_none_of_our_additions(tmp_path, adjacency):
    """`ecg.standardise: false`: f_a is the LSTM's of the characters as they are, and a file says which of both it holds."""
    torch.manual_seed(0)
    plain, heard = LandmarkGenerator(adjacency, 3, 32, standardise=False).eval(), torch.randn(2, WINDOW, 3)
    assert torch.equal(plain.audio(heard), plain.audio.last(plain.audio.lstm(heard)[0][:, -1]))
    for net in (plain, LandmarkGenerator(adjacency, 3, 32).eval()):
        loaded, _ = LandmarkGenerator.load(net.save(tmp_path / "landmarks.safetensors", Content()))
        assert loaded.config == net.config
        assert torch.allclose(loaded.audio(heard), net.audio(heard), atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_of_table_3_lack_what_they_say(adjacency, variant):
    torch.manual_seed(0)
    net = LandmarkGenerator(adjacency, 3, 32, variant)
    torch.nn.init.normal_(net.displacement.weight)
    content, emotion = torch.randn(1, WINDOW, 3), emotion_vector("sad", 2)[None]
    faces = torch.randn(2, 68, 2)
    moved = net(content.expand(2, -1, -1), emotion.expand(2, -1), faces) - faces
    assert torch.allclose(moved[0], moved[1]) == (variant == "wo_graph")  # without the graph every face moves alike
    learnable = {p.requires_grad for name, p in net.named_parameters() if name.endswith("omega")}
    assert learnable == {variant != "wo_omega"}
    net.local[0].weight.weight.data[:, 32:] = 0  # what comes over the skip from the points ...
    net.regional.weight.weight.data[:, 32:] = 0  # ... and from the regions
    cut = net(content.expand(2, -1, -1), emotion.expand(2, -1), faces) - faces
    assert torch.allclose(cut, moved) == (variant in ("wo_graph", "wo_skips"))


def test_without_the_emotion_feature_all_emotions_paint_alike():
    torch.manual_seed(0)
    image, marks = torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1), (torch.rand(1, 68, 2) * 32).expand(2, -1, -1)
    words = torch.stack([emotion_vector("happy", 3), emotion_vector("sad", 3)])
    for felt in (True, False):
        net = TextureGenerator(width=8, felt=felt)
        torch.nn.init.normal_(net.motion.maps.weight)
        flow = net(image, marks, marks, words).flow
        assert torch.allclose(flow[0], flow[1]) == (not felt)


def test_heatmaps_peak_at_the_landmarks():
    maps = heatmaps(torch.full((1, 68, 2), 18.0), 64)  # cell 4 has its centre at 4.5 cells = 18 px
    assert maps.shape == (1, 69, 16, 16)
    assert maps[0, 68, 4, 4] == 0 and maps[0, 68, 12, 12] == pytest.approx(1, abs=1e-3)  # the background
    assert maps[0, 0, 4, 4] == pytest.approx(1.0) and maps[0, 0, 4, 5] == pytest.approx(np.exp(-0.5))


def test_warp_by_whole_pixels():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 8, 8)
    assert torch.allclose(warp(image, flow), image, atol=1e-6)
    flow[:, 0] = 2 / 8 * 2  # two pixels to the right: a pixel is 2 / size
    assert torch.allclose(warp(image, flow)[..., :6], image[..., 2:], atol=1e-6)


def test_spread_motion_carries_the_landmarks():
    before = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * 40 + 100
    flow = spread_motion(before, before + torch.tensor([4.0, 0.0]), 256)  # all move 4 px right: look 4 px to the left
    assert flow[0, 0, 30, 30] == pytest.approx(-4 * 2 / 256, rel=0.1) and flow[0, 1].abs().max() < 1e-6
    assert flow[0, 0, 0, 63].abs() < 0.1 * 4 * 2 / 256  # far away next to nothing moves
    net = TextureGenerator(width=8, landmark_motion=False)
    emotion = emotion_vector("sad", 1)[None]
    assert net(torch.rand(1, 3, 64, 64), before, before + 4, emotion).flow.abs().max() == 0


def test_texture_generator_starts_near_the_source_and_saves(tmp_path):
    torch.manual_seed(0)
    net = TextureGenerator(width=8)
    image, marks = torch.rand(2, 3, 32, 32), torch.rand(2, 68, 2) * 32
    painted = net(image, marks, marks, emotion_vector("happy", 1).expand(2, -1))
    assert painted.image.shape == image.shape and painted.flow.shape == (2, 2, 8, 8)
    assert painted.flow.abs().max() == 0 and (painted.image - image).abs().mean() < 0.08
    net.half().float()  # weights are kept as fp16
    again = TextureGenerator.load(net.save(tmp_path / "texture.safetensors"))
    assert torch.equal(
        again(image, marks, marks, emotion_vector("sad", 1).expand(2, -1)).image,
        net(image, marks, marks, emotion_vector("sad", 1).expand(2, -1)).image,
    )


def test_one_shot_tunes_only_the_image_encoder_and_decoder():
    torch.manual_seed(0)
    net = TextureGenerator(width=8).requires_grad_(False)
    image, marks = torch.rand(1, 3, 32, 32), torch.rand(1, 68, 2) * 32
    tuned = one_shot(net, image, marks, iterations=3, lr=1e-2)
    changed = {k.split(".")[0] for k, v in net.state_dict().items() if not torch.equal(v, tuned.state_dict()[k])}
    assert changed == {"image_encoder", "image_decoder"}
    neutral = emotion_vector("neutral", 1)[None]
    error = [(n(image, marks, marks, neutral).image - image).abs().mean() for n in (net, tuned)]
    assert error[1] < error[0]


def test_a_foreign_file_is_refused(tmp_path):
    path = TextureGenerator(width=8).save(tmp_path / "texture.safetensors")
    with pytest.raises(EmolibError, match="no ECG landmark generator"):
        LandmarkGenerator.load(path)
