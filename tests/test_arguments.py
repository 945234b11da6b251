from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.arguments import frame_rate, intensity, whole
from emolib.errors import EmolibError


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        (25, 25), ("25", 25), (np.int64(30), 30), (12.5, Fraction(25, 2)), (np.float32(24), 24),
        (29.97, Fraction(30000, 1001)), ("29.97", Fraction(30000, 1001)), ("23.976", Fraction(24000, 1001)),
        (59.94005994005994, Fraction(60000, 1001)), ("30000/1001", Fraction(30000, 1001)), (Fraction(15, 2), Fraction(15, 2)),
    ],
)  # fmt: skip
def test_frame_rates_are_exact(given, rate):
    assert frame_rate(given) == rate and isinstance(frame_rate(given), Fraction)


@pytest.mark.parametrize(
    "given", ["x", "", "nan", float("nan"), float("inf"), None, True, [], "1/0", 0, -25, 121, 0.5, 1e300]
)
def test_what_is_no_frame_rate(given):
    with pytest.raises(EmolibError, match="fps is .*; expected"):
        frame_rate(given)


@given(st.one_of(st.floats(), st.text(max_size=9), st.none(), st.booleans(), st.integers(), st.complex_numbers()))
def test_an_intensity_is_from_1_to_3_or_refused(value):
    try:
        number = intensity(value)
    except EmolibError as error:
        assert "expected a number from 1 (slight) to 3 (strong)" in str(error)
    else:
        assert 1 <= number <= 3 and number == value


def test_numpy_numbers_are_numbers():
    assert intensity(np.float32(2)) == 2 and intensity(np.int16(3)) == 3
    assert whole(np.int64(4), "seed", 0, "of blinks") == 4


@pytest.mark.parametrize("given", [-1, "1", 1.0, True, None, 0.5])
def test_what_is_no_whole_number(given):
    with pytest.raises(EmolibError, match=r"seed is .*; expected a whole number from 0, of blinks"):
        whole(given, "seed", 0, "of blinks")
