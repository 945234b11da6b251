"""Drawn actors' faces become people's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emolib.face.loaders import load_face_model
from emolib.showing import BREATH, FROWN, JOY, LEAVING, LIDS, PRESSED, SQUINT, as_people, as_told, within_reach
from synthface.expressions import _AU, FACS

MODEL = load_face_model()
AT_REST = torch.zeros(1, 64)


def beta_of(rows: list[dict[str, float]]) -> torch.Tensor:
    """Actions by name, a name without a side on both."""
    weights = torch.zeros(len(rows), 52)
    for i, row in enumerate(rows):
        for name, value in row.items():
            for full in [name] if name in MODEL.arkit_names else [name + "Left", name + "Right"]:
                weights[i, MODEL.arkit_names.index(full)] = value
    return weights @ MODEL.arkit_to_beta


def read(beta: torch.Tensor, name: str) -> torch.Tensor:
    """(T, 2) of an action with sides, (T, 1) of one without."""
    names = [name] if name in MODEL.arkit_names else [name + "Left", name + "Right"]
    return (beta @ MODEL.beta_to_arkit)[:, [MODEL.arkit_names.index(n) for n in names]]


def acted(emotion: str, level: float = 1.0) -> torch.Tensor:
    """What the book has every actor do."""
    row = sum(level * amplitude * _AU[unit] for unit, (amplitude, share) in FACS[emotion].items() if share > 0.5)
    return torch.as_tensor(row, dtype=torch.float32).clamp(0, 1)[None] @ MODEL.arkit_to_beta


def test_who_does_nothing_stays_at_rest_and_lips_that_speak_stay_what_they_are():
    still = beta_of([{}, {"jawOpen": 0.6}, {"mouthPucker": 0.8, "jawOpen": 0.2}, {"mouthPress": 0.5}])
    torch.testing.assert_close(as_people(MODEL, still, AT_REST), still, atol=0.02, rtol=0)


def test_the_mood_is_what_is_told_and_the_lips_are_the_voices():
    cheerful = beta_of([{"mouthSmile": 0.8, "cheekSquint": 0.7, "jawOpen": 0.1 * (i % 6)} for i in range(60)])
    mood = beta_of([{"mouthDimpleLeft": 0.7, "noseSneer": 0.2, "jawOpen": 0.3}])
    shown = as_told(MODEL, cheerful, mood)
    assert read(shown, "mouthSmile").abs().max() < 0.1 and read(shown, "cheekSquint").abs().max() < 0.1
    assert read(shown, "mouthDimple")[:, 0].min() > 0.6 and read(shown, "noseSneer").min() > 0.1
    torch.testing.assert_close(read(shown, "jawOpen"), read(cheerful, "jawOpen"), atol=0.03, rtol=0)
    torch.testing.assert_close(as_told(MODEL, mood.expand(5, -1), mood), mood.expand(5, -1), atol=1e-5, rtol=0)


def test_what_is_quicker_than_a_mood_stays():
    brows = [{"browInnerUp": 0.4 * (i % 10 < 5)} for i in range(4 * BREATH)]
    shown = as_told(MODEL, beta_of(brows), beta_of([{"browInnerUp": 0.5}]))
    raised = read(shown, "browInnerUp")[BREATH:-BREATH, 0]
    assert raised.max() - raised.min() > 0.3 and float(raised.mean()) == pytest.approx(0.5, abs=0.05)
    assert as_told(MODEL, beta_of(brows[:1]), beta_of([{"browInnerUp": 0.5}])).shape == (1, 64)


def test_anger_draws_up_the_nose_and_bares_an_open_mouth_but_never_a_closed_one():
    closed, opened = beta_of([{"browDown": 0.5, "mouthPress": 0.6}, {"browDown": 0.5, "jawOpen": 0.5}]).split(1)
    assert read(as_people(MODEL, closed, AT_REST), "noseSneer").mean() == pytest.approx(0.5, abs=0.1)
    assert read(as_people(MODEL, closed, AT_REST), "mouthPress").mean() == pytest.approx(0.6 - 0.5 * PRESSED, abs=0.1)
    for name in ("mouthLowerDown", "mouthUpperUp"):
        assert read(as_people(MODEL, closed, AT_REST), name).mean() < read(closed, name).mean() + 0.05
        assert read(as_people(MODEL, opened, AT_REST), name).mean() > read(opened, name).mean() + 0.1
    # Brows that are drawn up in the middle are grief or fear.
    grieved = beta_of([{"browDown": 0.5, "browInnerUp": 0.8}])
    assert read(as_people(MODEL, grieved, AT_REST), "noseSneer").mean() < 0.1


def test_lips_that_meet_for_a_p_before_an_open_jaw_meet_in_anger_too():
    p, a = beta_of([{"browDown": 0.9, "jawOpen": 0.2, "mouthPress": 0.7}, {"browDown": 0.9, "jawOpen": 0.5}]).split(1)
    for name in ("mouthLowerDown", "mouthUpperUp", "jawOpen"):
        assert read(as_people(MODEL, p, AT_REST), name).mean() < read(p, name).mean() + 0.05
        assert read(as_people(MODEL, a, AT_REST), name).mean() > read(a, name).mean() + 0.1


def test_who_is_happy_smiles_more_than_an_actor_and_bares_teeth_when_the_mouth_opens():
    closed, opened = beta_of([{"mouthSmile": 0.5}, {"mouthSmile": 0.5, "jawOpen": 0.3}]).split(1)
    for beta, bared in ((closed, 0.0), (opened, 0.15)):
        shown = as_people(MODEL, beta, AT_REST)
        assert read(shown, "mouthSmile").mean() == pytest.approx(0.5 * (1 + JOY["mouthSmile"]), abs=0.08)
        assert read(shown, "mouthUpperUp").mean() - read(beta, "mouthUpperUp").mean() == pytest.approx(bared, abs=0.06)


def test_contempt_is_on_one_side_whichever_it_is():
    left = beta_of([{"mouthDimpleLeft": 0.7, "mouthDimpleRight": 0.3, "mouthSmile": 0.25}])
    right = beta_of([{"mouthDimpleLeft": 0.3, "mouthDimpleRight": 0.7, "mouthSmile": 0.25}])
    for beta, strong in ((left, 0), (right, 1)):
        shown = as_people(MODEL, beta, AT_REST)
        dimple, brow = read(shown, "mouthDimple")[0], read(shown, "browOuterUp")[0]
        assert dimple[strong] > 0.6 and dimple[1 - strong] < 0.15
        assert brow[1 - strong] > 0.3 > 0.1 > brow[strong]
        assert read(shown, "mouthSmile").mean() < 0.1


def test_disgust_is_no_smile():
    shown, before = as_people(MODEL, acted("disgusted"), AT_REST), acted("disgusted")
    assert read(shown, "mouthStretch").mean() < 0.4 * read(before, "mouthStretch").mean()
    assert read(shown, "mouthFrown").mean() > read(before, "mouthFrown").mean() + 0.3


def test_a_smile_of_the_portrait_is_left_by_more_than_wholly():
    own = beta_of([{"mouthSmile": 0.8, "jawOpen": 0.3}])
    shown = as_people(MODEL, AT_REST, own)
    assert read(shown, "mouthSmile").mean() == pytest.approx(-LEAVING * 0.8, abs=0.05)
    assert abs(float(read(shown, "jawOpen"))) < 0.05  # lips that speak are not pushed into each other


def test_brows_and_lids_stay_within_reach():
    beta = beta_of([{}, {"browDown": 0.4}, {"browDown": 1.0, "jawOpen": 0.5}, {"eyeBlink": 0.3, "eyeSquint": 0.4}])
    kept = within_reach(MODEL, beta)
    torch.testing.assert_close(kept[:2], beta[:2])
    assert read(kept, "browDown")[2].tolist() == pytest.approx([FROWN] * 2, abs=0.05)
    assert float(read(kept, "jawOpen")[2]) == pytest.approx(0.5, abs=0.05)
    closed = read(kept, "eyeBlink")[3] + SQUINT * read(kept, "eyeSquint")[3]
    assert closed.tolist() == pytest.approx([LIDS] * 2, abs=0.05)


@given(st.sampled_from(sorted(set(FACS) - {"neutral"})), st.floats(0.3, 0.9))
def test_more_of_an_emotion_shows_more_of_it(emotion, level):
    less, more = (as_people(MODEL, acted(emotion, x), AT_REST) for x in (level, level + 0.1))
    assert float(more.norm()) > float(less.norm())


def test_each_frame_is_shown_by_itself():
    several = torch.cat([acted(emotion) for emotion in ("angry", "contempt", "sad")])
    one_by_one = torch.cat([as_people(MODEL, row[None], AT_REST) for row in several])
    torch.testing.assert_close(as_people(MODEL, several, AT_REST), one_by_one, atol=1e-5, rtol=0)
