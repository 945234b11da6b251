"""Metrics against independent implementations, closed forms and values worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from emolib.errors import EmolibError
from emolib.metrics.confusion import ceiling
from emolib.metrics.features import csim, efd, frechet_distance
from emolib.metrics.image import lpips, lpips_name, psnr, ssim
from emolib.metrics.landmarks import face_lmd, lmd, lmvd
from emolib.metrics.protocol import Judges, Spread, choose_clips, evaluate, jackknife, refer, summary
from emolib.metrics.sync import offset_distances, sync_confidence


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_psnr_and_ssim_equal_skimage(rng):
    a = rng.uniform(size=(2, 24, 31, 3))
    b = np.clip(a + 0.1 * rng.normal(size=a.shape), 0, 1)
    x, y = (torch.from_numpy(z).permute(0, 3, 1, 2) for z in (a, b))
    for i in range(2):
        assert psnr(x, y)[i] == pytest.approx(peak_signal_noise_ratio(b[i], a[i], data_range=1.0), abs=1e-6)
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
        assert ssim(x, y)[i] == pytest.approx(structural_similarity(a[i], b[i], data_range=1.0, **settings), abs=1e-6)


def test_psnr_by_hand_and_of_equal_images():
    black = torch.zeros(1, 3, 4, 4)
    assert psnr(black, black + 0.1).item() == pytest.approx(20.0, abs=1e-5)  # mean square 0.01
    assert psnr(black, black).item() == 60.0
    assert ssim(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)).item() == pytest.approx(1.0)


def test_image_metrics_refuse_other_shapes():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
    with pytest.raises(ValueError, match="at least 11"):
        ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_lpips_is_zero_for_equal_images_repeatable_and_named(rng):
    a = torch.from_numpy(rng.uniform(size=(1, 3, 64, 64))).float()
    assert lpips(a, a).item() == pytest.approx(0.0, abs=1e-6)
    assert lpips(a, 1 - a).item() > 0
    assert lpips(a, 1 - a).item() == lpips(a, 1 - a).item()
    assert lpips_name() in ("LPIPS", "LPIPS (random backbone)")


def test_lmd_by_hand(rng):
    face = rng.uniform(20, 100, (3, 68, 2))
    moved = face + [5.0, -2.0]
    assert np.allclose(lmd(face, moved, 128), 0)  # the mouth's place does not count
    assert np.allclose(face_lmd(face, moved, 128), 2 * np.hypot(5, 2))  # 128 -> 256 pixels
    opened = face.copy()
    opened[:, 48:58, 1] += 2.0  # half of the points by 2 px: 1 px each from the common mean
    assert np.allclose(lmd(face, opened, 256), 1.0)
    opened[1:, 48:58, 1] += 2.0
    assert np.allclose(lmvd(face, opened, 256), [1.0, 0.0])


def test_efd_and_csim_by_hand():
    a, b = np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [5.0, 5.0]])
    assert np.allclose(efd(a, b), [np.sqrt(2), 0.0])
    assert np.allclose(csim(a, b), [0.0, 1.0])
    with pytest.raises(ValueError, match="one shape"):
        efd(a, b[:1])


def test_frechet_distance_of_diagonal_gaussians_and_against_sqrtm(rng):
    # Exact sample moments: whiten a draw, then scale it; closed form |m|^2 + sum (s1 - s2)^2.
    x = rng.normal(size=(200, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    s1, s2, shift = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 1.0]), np.array([1.0, 0.0, -2.0])
    assert frechet_distance(x * s1, x * s2 + shift) == pytest.approx(5.0 + 1.0 + 0.0 + 4.0)
    a, b = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(60, 4)) + 0.3
    c1, c2 = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a[:3], a[:3]) == pytest.approx(0.0, abs=1e-9)  # fewer samples than dimensions


def test_sync_confidence_finds_a_known_offset(rng):
    audio = rng.normal(size=(40, 16))
    video = np.roll(audio, -3, axis=0)  # video frame t matches audio frame t + 3: the sound is late
    confidence, offset = sync_confidence(video, audio, reach=8)
    assert offset == 3 and confidence > 3
    distances = offset_distances(video, audio, 8)
    assert distances[8 + 3] == pytest.approx(0.0)
    assert distances[8] == pytest.approx(np.linalg.norm(video - audio, axis=1).mean())
    with pytest.raises(ValueError, match="T > 80"):
        sync_confidence(video, audio, reach=40)


class FakeClip:
    fps, n_frames = 25, 8

    def __init__(self, number):
        self.clip_id, self.identity, self.emotion = f"c{number}", f"id{number % 2}", "happy"
        self.pixels = np.random.default_rng(number).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)

    def frames(self, indices):
        return self.pixels[list(indices)]

    def audio(self):
        return np.zeros(16000, np.float32)


def fake_judges():
    def features(frames):
        return frames.reshape(len(frames), -1)[:, :5].astype(float)

    def track(frames):
        if frames.max() == 0:
            raise EmolibError("no face found")
        return np.tile(np.linspace(5, 60, 68)[None, :, None], (len(frames), 1, 2))

    return Judges(
        features, lambda f, _: features(f), features, lambda f, a, fps: (1.0, 0.5), track, "pixels", lambda f: "happy"
    )


def test_the_real_video_against_itself_is_perfect_and_a_lost_face_is_counted():
    judges = fake_judges()
    references = [refer(FakeClip(i), judges, 8) for i in range(4)]
    spread = Spread([r.clip.identity for r in references], seed=1)
    scores = summary(evaluate("real video", references, judges, lambda r: r.frames), spread)
    for metric, best in {"EFD": 0, "LMD": 0, "FID": 0, "PSNR": 60, "SSIM": 1, "LPIPS": 0}.items():
        assert scores[metric][0] == pytest.approx(best, abs=1e-5)
    black = evaluate("black", references, judges, lambda r: np.zeros_like(r.frames))
    assert black.faces_lost == 4
    assert np.isnan(summary(black, spread)["LMD"][0])


def test_spread_holds_whole_identities_and_the_jackknife_is_the_standard_error(rng):
    spread = Spread(["a", "a", "b", "b"], seed=0)
    assert (spread.weights.sum(1) == 4).all()
    assert spread.interval([2.0, 2.0, 2.0, 2.0]) == (2.0, 2.0)
    low, high = spread.interval([0.0, 0.0, 1.0, 1.0])  # only two identities: the mean may be either one's
    assert (low, high) == (0.0, 1.0)
    assert spread.interval([np.nan, 1.0, 1.0, 1.0]) == (1.0, 1.0)
    x = rng.normal(size=10)
    parts = np.array([np.delete(x, i).mean() for i in range(10)])
    assert jackknife(x.mean(), parts)[1] - x.mean() == pytest.approx(1.96 * x.std(ddof=1) / np.sqrt(10))


def test_chosen_clips_cover_identities_and_emotions():
    class Corpus(list):
        table = pd.DataFrame([(i, e) for i in "ab" for e in ("happy", "sad", "fear") for _ in range(2)])
        table.columns = ["identity", "emotion"]

    chosen = choose_clips(Corpus(range(12)), 6, seed=0)
    picked = Corpus.table.iloc[chosen]
    assert sorted(picked.identity) == list("aaabbb")
    assert set(picked.emotion) == {"happy", "sad", "fear"}
    assert chosen == choose_clips(Corpus(range(12)), 6, seed=0)


def test_the_ceiling_is_what_true_actions_tell():
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 8, 1200)
    actions = np.eye(8)[emotion] + 0.1 * rng.normal(size=(1200, 8))
    assert ceiling((actions[:800], emotion[:800]), (actions[800:], emotion[800:]), 0) > 0.98
    assert ceiling((rng.normal(size=(800, 8)), emotion[:800]), (actions[800:], emotion[800:]), 0) < 0.3
