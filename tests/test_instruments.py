"""The instruments that tell emotion from speech, and whether sound and mouth agree as they stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.metrics.landmarks import BONE, dynamic_lmd, on_bone, opening_error, static_lmd
from emolib.metrics.protocol import Spread, holm
from emolib.metrics.sync import sync_at_zero, sync_confidence

SPAN = 60.0  # px, of the outer eye corners of the faces below


def face(frames: int = 5) -> np.ndarray:
    """A face (T, 68, 2) that does not move: its outer eye corners SPAN apart."""
    points = np.random.default_rng(1).uniform(-40, 40, (68, 2))
    points[BONE] = [[-30, 0], [-12, 1], [0, -2], [0, 6], [12, 1], [30, 0]]
    return np.repeat(points[None], frames, 0)


def moved(landmarks: np.ndarray, seed: int) -> np.ndarray:
    """Each frame under a turn, size and shift of its own."""
    rng = np.random.default_rng(seed)
    out = []
    for points in landmarks:
        angle, scale = rng.uniform(-0.8, 0.8), rng.uniform(0.5, 3)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out.append(points @ turn.T + rng.uniform(-50, 50, 2))
    return np.stack(out)


@given(seed=st.integers(0, 10_000))
def test_how_the_head_moves_does_not_count(seed):
    still = face()
    assert on_bone(moved(still, seed)) == pytest.approx(on_bone(still), abs=1e-9)
    corners = on_bone(still)[0, [36, 45]]
    assert corners[1] - corners[0] == pytest.approx([1, 0])


def test_static_is_emotion_and_dynamic_is_speech():
    rest, target = face(), face()
    raised = face()
    raised[:, 17:27, 1] -= 0.06 * SPAN  # brows up, all the time
    assert static_lmd(raised, target, rest, rest) == pytest.approx(6 * 10 / 51)
    assert dynamic_lmd(raised, target) == pytest.approx(0, abs=1e-9)
    assert static_lmd(raised, raised + 7, rest, rest) == pytest.approx(0, abs=1e-9)
    other = face()
    other[:, 31] += 5.0  # another shape of nose, in clip and neutral alike
    assert static_lmd(other, target, other, rest) == pytest.approx(0, abs=1e-9)
    speaking = face(6)
    speaking[::2, 48:68, 1] += 0.04 * SPAN
    assert static_lmd(speaking, face(6), rest, rest) == pytest.approx(2 * 20 / 51)
    assert dynamic_lmd(speaking, face(6)) == pytest.approx(2)


def test_opening_error_by_hand():
    target, opened = face(), face()
    target[:, 62], target[:, 66] = [0, 20], [0, 20 + 0.1 * SPAN]
    opened[:, 62], opened[:, 66] = [0, 20], [0, 20 + 0.25 * SPAN]
    assert opening_error(moved(opened, 3), moved(target, 4)) == pytest.approx(15)


def test_sync_at_zero_is_signed():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(60, 16))
    here, late, foreign = (
        sync_at_zero(v, audio, 8) for v in (audio, np.roll(audio, -3, axis=0), rng.normal(size=(60, 16)))
    )
    assert here == {"sync_d": 0.0, "sync_c": pytest.approx(here["sync_c"]), "offset": 0} and here["sync_c"] > 3
    assert late["offset"] == 3 and late["sync_c"] < 0.5
    assert abs(foreign["sync_c"]) < 0.3 < sync_confidence(rng.normal(size=(60, 16)), audio, 8)[0] + 0.3


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0] and holm([]).tolist() == []


def test_p_values_of_a_bootstrap():
    spread = Spread(list("aabbccdd"), 0, 400)
    assert spread.p_value(np.full(8, 2.0)) == pytest.approx(2 / 400)  # every draw lies above 0: one draw's share, twice
    assert spread.p_value([1, -1, 1, -1, 1, -1, 1, -1]) > 0.5
    assert spread.p_value(np.zeros(8)) == 1.0
    assert np.isnan(spread.p_value(np.full(8, np.nan)))
