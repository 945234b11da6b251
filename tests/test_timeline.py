"""Emotions that change over time and mixtures, as users write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.errors import EmolibError
from emolib.timeline import Moment, Timeline, changes, read
from emolib.words import Understood


def test_the_example():
    course = read("neutral@0 happy:2@1.5 sadly surprised:3@4", 1)
    assert [(m.start, m.intensity, m.parts) for m in course.moments] == [
        (0.0, 1, ((Understood("neutral"), 1.0),)),
        (1.5, 2, ((Understood("happy"), 1.0),)),
        (4.0, 3, ((Understood("sadly surprised"), 1.0),)),
    ]
    assert course.transition == 0.3


def test_mixtures():
    (moment,) = read("happy*0.7 + surprised*0.3", 2).moments
    assert moment.parts == ((Understood("happy"), 0.7), (Understood("surprised"), 0.3))
    assert [share for _, share in read("happy + sad + angry", 2).moments[0].parts] == [1 / 3] * 3
    calm, both = read("calm@0, angry*0.6+sad*0.4:2.5@2s", 1).moments
    assert (both.start, both.intensity, [s for _, s in both.parts]) == (2.0, 2.5, [0.6, 0.4]) and calm.intensity == 1


def test_what_is_written_so():
    assert changes("a@0") and changes("happy*0.7+sad*.3") and changes("happy + sad")
    assert not any(map(changes, ("sadly surprised", "over the moon", "*sigh*", ":-)", "", None)))


@pytest.mark.parametrize(
    "text, said",
    [
        ("happy@1", "starts at 1 s; expected an emotion at 0"),
        ("happy@0 sad@0", "times are 0, 0; expected"),
        ("happy@0 sad@2 calm@1", "times are 0, 2, 1; expected"),
        ("happy@0 sad", "ends in 'sad'; expected a time"),
        ("happy@soon", "time in the emotion is 'soon'"),
        ("happy@nan", "time in the emotion is 'nan'"),
        ("happy@-1", "time in the emotion is '-1'"),
        ("happy:4@0", "intensity is 4"),
        ("happy:much@0", "intensity in the emotion is 'much'"),
        ("happy*0.7 + sad*0.5", "sum to 1.2; expected 1"),
        ("happy*0.7 + sad", "share in the emotion is ''"),
        ("happy*nan + sad*0.5", "share in the emotion is 'nan'"),
        ("happy*-1 + sad*2", "share in the emotion is '-1'"),
        ("not happy@0", "says what it is not"),
        ("x" * 10_000 + "@0", "10000 characters"),
        (" ".join(f"happy@{i}" for i in range(200)), "at most 100"),
    ],
)
def test_what_cannot_be_read(text, said):
    with pytest.raises(EmolibError, match=said):
        read(text, 2)


def test_a_transition_that_is_no_time():
    with pytest.raises(EmolibError, match="transition is -1"):
        read("happy@0 sad@1", 2, -1)


def _at(*starts, transition=0.3):
    return Timeline(tuple(Moment(s, ((Understood("happy"), 1.0),), 2) for s in starts), transition)


def test_shares_by_hand():
    """At 25 fps a change of 0.2 s from 0.4 s on: frame 10 is about 0.42 s, a tenth of it over."""
    shares = _at(0, 0.4, transition=0.2).shares(20, 25)
    assert shares[:10].tolist() == [[1, 0]] * 10 and shares[15:].tolist() == [[0, 1]] * 5
    np.testing.assert_allclose(shares[10:15, 1], [0.1, 0.3, 0.5, 0.7, 0.9], atol=1e-6)
    sharp = _at(0, 0.4, transition=0).shares(20, 25)
    assert sharp[9].tolist() == [1, 0] and sharp[10].tolist() == [0, 1]


@given(st.lists(st.floats(0.01, 9), max_size=5, unique=True), st.floats(0, 3), st.integers(1, 60))
def test_shares_sum_to_one_and_end_in_the_last(starts, transition, n_frames):
    shares = _at(0, *sorted(starts), transition=transition).shares(n_frames, 10)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    assert (shares >= 0).all() and (shares[0, 0] > 0 or min(starts, default=1) < 0.06)
    longer = _at(0, *sorted(starts), transition=transition).shares(400, 10)
    np.testing.assert_allclose(longer[-1], np.eye(len(starts) + 1)[-1], atol=1e-5)
    np.testing.assert_array_equal(longer[:n_frames], shares)
