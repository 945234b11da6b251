"""ECG from end to end on small nets: one picture and one voice become frames."""

import numpy as np
import pytest
import torch

from emolib.baselines.ecg.content import Content
from emolib.baselines.ecg.landmarks import LandmarkGenerator, delaunay_adjacency, frontal, predict_landmarks
from emolib.baselines.ecg.texture import TextureGenerator, at_once, ecg_animate
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients

SIZE, FRAMES = 64, 6


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    face = load_face_model()
    adjacency = delaunay_adjacency(frontal(face, torch.zeros(1, 80), torch.zeros(1, 64))[0].numpy())
    listener = Content(width=8).eval()
    return LandmarkGenerator(adjacency, d=16).eval(), listener, TextureGenerator(8).eval(), face


def animated(parts, pose, **options):
    source = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    audio = np.random.default_rng(1).normal(0, 0.1, FRAMES * 640).astype(np.float32)
    made = ecg_animate(*parts, source, Coefficients.zeros(1), audio, "happy", 2, pose=pose, fps=25.0, **options)
    return source, made


def test_an_untrained_baseline_shows_the_source(parts):
    """The landmark net starts as the neutral face and the texture net as the warped source: nothing moves yet."""
    source, made = animated(parts, torch.zeros(FRAMES, 6), iterations=0)
    assert made.shape == (FRAMES, SIZE, SIZE, 3) and made.dtype == np.uint8
    assert np.abs(made.astype(int) - source).mean() < 12
    assert np.abs(made[0].astype(int) - made[-1]).max() == 0


def test_the_picture_follows_the_head_to_the_right(parts):
    """A head that moves 4 px to the right: around it the picture of frame t is that of the source 4 px further left."""
    pose = torch.zeros(FRAMES, 6)
    still = animated(parts, pose, iterations=0)[1].astype(float)
    pose[:, 3] = 4 / (SIZE * 1015 / 224 / 10)
    moved = animated(parts, pose, iterations=0)[1].astype(float)
    middle = slice(24, 40)
    with_shift = np.abs(moved[0][middle, 28:40] - still[0][middle, 24:36]).mean()
    without = np.abs(moved[0][middle, 28:40] - still[0][middle, 28:40]).mean()
    assert with_shift < 0.5 * without


def test_landmarks_are_asked_for_each_frame_and_emotion_is_checked(parts):
    generator, listener, _, face = parts
    words = np.zeros(FRAMES * 640, np.float32), torch.zeros(1, 80)
    points = predict_landmarks(generator, listener, face, *words, "sad", 1, FRAMES, 25.0)
    assert points.shape == (FRAMES, 68, 2)
    torch.testing.assert_close(points[0], frontal(face, torch.zeros(1, 80), torch.zeros(1, 64))[0])


def test_frames_that_are_painted_together_fit_into_memory():
    assert [at_once(size) for size in (64, 128, 256, 512)] == [64, 16, 4, 1]
