"""An emotion that changes or is mixed, as a user writes it.

    neutral@0 happy:2@1.5 sadly surprised:3@4       words, an intensity after a colon, the second from which on
    happy*0.7 + surprised*0.3                       shares that sum to one; without them, equal ones
    calm@0 angry*0.6 + sad*0.4:2.5@2                both

:func:`read` needs no weights. What a text of one emotion means is :mod:`emolib.words`' to say.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from emolib import arguments
from emolib.errors import EmolibError
from emolib.words import Understood, understand

TRANSITION = 0.3  # s from one emotion to the next
MOST = 100  # emotions in a text
_ENTRY = re.compile(r"(?P<said>[^@]+?)\s*(?::\s*(?P<level>[^:@\s]*))?\s*@\s*(?P<start>[^\s,;@]*)\s*[,;]?\s*")
_PART = re.compile(r"(?P<said>[^*]+?)\s*(?:\*\s*(?P<share>\S*))?")
_MARKS = re.compile(r"@|\*\s*[-+.\d]|\w\s*\+\s*\w")
EXAMPLE = "'neutral@0 happy:2@1.5' or 'happy*0.7 + sad*0.3'"


@dataclass(frozen=True)
class Moment:
    """start: s. parts: what is felt, each with its share of 1. intensity: 1 to 3."""

    start: float
    parts: tuple[tuple[Understood, float], ...]
    intensity: float


@dataclass(frozen=True)
class Timeline:
    """moments: by time, the first at 0. transition: s that a change takes, from the start of the new moment on."""

    moments: tuple[Moment, ...]
    transition: float = TRANSITION

    def shares(self, n_frames: int, fps: Fraction | float) -> np.ndarray:
        """(n_frames, moments) how much of each moment there is about the middle of each frame; rows sum to 1."""
        seconds = (np.arange(n_frames) + 0.5) / float(fps)
        begun = [np.ones(n_frames)]
        for moment in self.moments[1:]:
            begun.append(((seconds - moment.start) / max(self.transition, 1e-9)).clip(0, 1))
        shares = np.stack(begun, 1)
        for later in range(1, len(self.moments)):  # what has begun takes its share from all that were there before
            shares[:, :later] *= 1 - shares[:, later : later + 1]
        return shares.astype(np.float32)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the words."""
        return tuple(dict.fromkeys(said.note for moment in self.moments for said, _ in moment.parts if said.note))

    def told(self, placed: Callable[[Understood], Understood]) -> "Timeline":
        """The same with ``placed`` in place of each emotion."""
        return replace(
            self, moments=tuple(replace(m, parts=tuple((placed(s), w) for s, w in m.parts)) for m in self.moments)
        )


def changes(text: object) -> bool:
    """Whether ``text`` is written as a timeline or a mixture."""
    return isinstance(text, str) and bool(_MARKS.search(text))


def read(text: str, intensity: float, transition: float = TRANSITION) -> Timeline:
    """The timeline that ``text`` writes; ``intensity`` where it gives none. Raises :class:`EmolibError` for one that cannot be read."""
    transition = arguments.seconds(transition, "transition")
    if "@" not in text:
        said, _, level = text.partition(":")
        return Timeline((Moment(0.0, _mixture(said), _level(level, intensity)),), transition)
    moments, at = [], 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise EmolibError(
                f"the timeline ends in '{text[at:][:40].strip()}'; expected a time too, such as {EXAMPLE}"
            )
        at = entry.end()
        start = _number(entry["start"], "time", "seconds from 0")
        moments.append(Moment(start, _mixture(entry["said"]), _level(entry["level"], intensity)))
    starts = [moment.start for moment in moments]
    if starts[0] != 0:
        raise EmolibError(
            f"the timeline starts at {starts[0]:g} s; expected an emotion at 0, e.g. 'neutral@0 {text.strip()[:40]}'"
        )
    if len(moments) > MOST or any(b <= a for a, b in zip(starts, starts[1:])):
        found = ", ".join(f"{s:g}" for s in starts[:8])
        raise EmolibError(f"the timeline's times are {found}; expected at most {MOST}, each later than the one before")
    return Timeline(tuple(moments), transition)


def _level(text: str | None, default: float) -> float:
    if not text or not text.strip():
        return default
    return arguments.intensity(_number(text.strip(), "intensity", "a number from 1 (slight) to 3 (strong)"))


def _mixture(text: str) -> tuple[tuple[Understood, float], ...]:
    entries = [_PART.fullmatch(part.strip()) for part in text.split("+")]
    if any(entry is None for entry in entries):
        raise EmolibError(f"the mixture '{text.strip()[:60]}' cannot be read; write it such as {EXAMPLE}")
    parts = [(understand(entry["said"]), entry["share"]) for entry in entries if entry]
    given = [share for _, share in parts if share is not None]
    if not given:
        return tuple((said, 1 / len(parts)) for said, _ in parts)
    shares = [_number(share or "", "share", "a number from 0 to 1 for each emotion") for _, share in parts]
    if abs(sum(shares) - 1) > 0.01:
        raise EmolibError(f"the shares of '{text.strip()[:60]}' sum to {sum(shares):g}; expected 1")
    return tuple((said, share / sum(shares)) for (said, _), share in zip(parts, shares))


def _number(text: str, name: str, expected: str) -> float:
    try:
        number = float(text.removesuffix("s"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise EmolibError(f"a {name} in the emotion is '{text[:20]}'; expected {expected}, as in {EXAMPLE}")
    return number
