"""Numbers that users give, whatever they are given as: a text, a numpy scalar, a fraction."""

import math
import numbers
from fractions import Fraction

from emolib.errors import EmolibError

MOST_FPS = 120
NTSC = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120))  # what 23.976, 29.97, ... stand for


def frame_rate(value: object) -> Fraction:
    """A frame rate of 1 to 120, exact: 29.97, as a number or a text, is 30000/1001. :class:`EmolibError` if it is none."""
    try:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
            value = repr(float(value))
        rate = Fraction(value)  # type: ignore[call-overload]
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise EmolibError(f"fps is {_shown(value)}; expected a rate such as 25 or 30000/1001") from None
    for exact in NTSC:
        if rate.denominator > 1 and abs(rate - exact) < Fraction(1, 200):
            rate = exact
    if not 1 <= rate <= MOST_FPS:
        raise EmolibError(f"fps is {value}; expected 1 to {MOST_FPS}")
    return rate


def intensity(value: object) -> float:
    """A number from 1 (slight) to 3 (strong); :class:`EmolibError` if it is none."""
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    if not 1 <= number <= 3:
        raise EmolibError(f"intensity is {_shown(value)}; expected a number from 1 (slight) to 3 (strong)")
    return number


def seconds(value: object, name: str) -> float:
    """A time of 0 to 60 s; :class:`EmolibError`, which says its ``name``, if it is none."""
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 60:
        raise EmolibError(f"{name} is {_shown(value)}; expected seconds, 0 to 60")
    return number


def whole(value: object, name: str, low: int, meaning: str) -> int:
    """A whole number from ``low`` on; :class:`EmolibError`, which says its ``meaning``, if it is none."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise EmolibError(f"{name} is {_shown(value)}; expected a whole number from {low}, {meaning}")
    return int(value)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
