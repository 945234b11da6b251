"""What sees hair and glasses before a face."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.errors import EmolibError
from emolib.face.covers import CoverNet, load_cover_net, maps_of, placed
from emolib.face.landmarker import WEIGHTS, load_face_net
from emolib.face.landmarks import PLACE, features_of
from emolib.train.covers import CoverTraining, score
from emolib.train.loop import Loop
from synthface.covered import HELD_OUT, covered_portraits, spectacles
from synthface.makeup import made_up
from synthface.synth import Studio


@functools.cache
def held_out() -> tuple[np.ndarray, np.ndarray]:
    studio = Studio(7, 128, 1.0)
    sets = [covered_portraits(studio, HELD_OUT + 500 + k) for k in range(2)]
    images, covers = (np.concatenate(part) for part in zip(*sets))
    return images, covers


def test_the_truth_is_where_a_picture_is_covered():
    images, covers = held_out()
    assert images.shape == (20, 128, 128, 3) and covers.shape == (20, 2, 128, 128) and covers.dtype == np.uint8
    assert (covers[:, 0] > 200).any((1, 2)).mean() > 0.5  # hair or something else
    face = covers[:, 0, 70:100, 55:75]  # nose to mouth
    assert (face > 128).mean() < 0.3
    wears = (covers[:, 1] > 200).any((1, 2))
    assert 0.1 < wears.mean() < 0.8
    assert (covers[wears, 1, :, :] > 128).mean() > 1.5 * (covers[~wears, 1] > 128).mean() == 0
    again, _ = covered_portraits(Studio(7, 128, 1.0), HELD_OUT + 500)
    assert np.array_equal(again, images[:10])


def test_glasses_leave_what_they_do_not_cover():
    frame = np.full((1, 128, 128, 3), 120, np.uint8)
    landmarks = np.full((1, 68, 2), 64.0)
    landmarks[:, 36:42, 0], landmarks[:, 42:48, 0] = 48, 80
    for seed in range(20):
        black, white = (
            spectacles(np.full_like(frame, level), landmarks, np.random.default_rng(seed))[0].astype(float)
            for level in (0, 255)
        )
        share = 1 - (white - black).mean(-1)[0] / 255
        assert share.max() > 0.5 and share[:30].max() < 0.01 and share[110:].max() < 0.01
        dressed, worn = spectacles(frame, landmarks, np.random.default_rng(seed))
        assert (worn[0][share > 0.5] > 0.2).all()  # its rims, and what is behind its lenses
        assert worn[0, 64, 48] > 0.9 and worn[0, 64, 80] > 0.9
        assert (np.abs(dressed[0, :30].astype(int) - 120) <= 1).all()


def test_maps_are_the_trunk_of_the_face_net_and_masks_are_laid_as_it_sees():
    pictures = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    fine, coarse = maps_of(pictures, load_face_net())
    assert fine.shape == (2, 32, 64, 64) and torch.allclose(coarse, features_of(pictures, load_face_net()), atol=1e-4)
    mask = torch.zeros(1, 1, 128, 128)
    x, y = round(128 * PLACE[0]), round(128 * PLACE[1])  # the middle of what the net sees
    mask[..., y - 4 : y + 4, x - 4 : x + 4] = 1
    seen = placed(mask)[0, 0]
    assert seen.shape == (64, 64) and seen[31:33, 31:33].min() > 0.9
    assert float(seen.mean()) == pytest.approx((8 / (128 * PLACE[2])) ** 2, rel=0.1)


def test_training_learns_and_the_net_survives_the_disk(tmp_path):
    images, covers = held_out()
    training = CoverTraining(images=images, covers=covers, steps=60, seed=0, batch_size=8, versions=1)
    training.prepare()
    loss = pd.DataFrame(Loop(training, checkpoints=tmp_path, log_every=1, device="cpu").run())["loss"]
    assert loss.iloc[-10:].mean() < 0.5 * loss.iloc[0], loss.tolist()
    training.save(tmp_path / "covers.safetensors")
    loaded = load_cover_net(tmp_path / "covers.safetensors")
    picture = torch.from_numpy(images[:2]).permute(0, 3, 1, 2).float() / 255
    assert (training.models["covers"].covered(picture) - loaded.covered(picture)).abs().max() < 0.01  # half precision
    with pytest.raises(EmolibError, match="expected the net of `make covers`"):
        load_cover_net(WEIGHTS)


def test_the_shipped_net_sees_what_covers_people_it_never_saw():
    found = score(load_cover_net(), *held_out())
    blind = score(CoverNet(), *held_out())
    assert found["cover_iou"] > 0.6 > blind["cover_iou"] and found["cover_false_pct"] < 3, (found, blind)
    assert found["glasses_iou"] > 0.6 > blind["glasses_iou"], (found, blind)


def test_what_is_painted_on_a_face_covers_nothing():
    images, covers = held_out()
    landmarks = np.full((1, 68, 2), 64.0)
    landmarks[:, 36:42, 0], landmarks[:, 42:48, 0] = 48, 80
    changed = []
    for seed in range(12):
        painted = made_up(images[:1], landmarks, np.random.default_rng(seed))
        assert painted.shape == images[:1].shape and painted.dtype == np.uint8
        assert np.array_equal(painted, made_up(images[:1], landmarks, np.random.default_rng(seed)))
        changed.append((painted != images[:1]).any())
    assert np.mean(changed) > 0.6
    # The net has learnt it: a bare face, made up in many ways, is hardly taken for covered about its eyes.
    bare = next(i for i in range(20) if not (covers[i, :, 40:100, 40:88] > 0).any())
    paints = [made_up(images[bare : bare + 1], landmarks, np.random.default_rng(seed))[0] for seed in range(12)]
    pictures = torch.from_numpy(np.stack(paints)).permute(0, 3, 1, 2) / 255.0
    assert float(load_cover_net().covered(pictures)[..., 50:70, 40:88].mean()) < 0.1


def test_beyond_what_the_face_net_sees_nothing_is_known():
    seen = load_cover_net().covered(torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)))
    assert seen.shape == (1, 2, 128, 128) and seen.min() >= 0 and seen.max() <= 1
    assert float(seen[..., :20, :].max()) == 0  # above PLACE
