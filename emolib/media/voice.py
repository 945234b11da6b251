"""A voice as the networks hear it: its log-mel, made in one pass over a file of any length, and what a user should know of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.media.audio import LogMel, check_level, level_of
from emolib.media.sound import array_blocks, mono_blocks, samples_of

# Below the first, voices are raised to the second: the nets were trained at about that.
QUIET_DBFS, RAISED_DBFS = -32.0, -20.0
Source = str | Path | np.ndarray


@dataclass(frozen=True, eq=False)
class Voice:
    """source: the file, or mono samples at 16 kHz. log_mel: (1 + n_samples // 160, 80). notes: sentences for the user.

    An hour's log-mel takes 115 MB; the sound itself is not kept.
    """

    source: Source
    n_samples: int
    log_mel: np.ndarray
    notes: tuple[str, ...]

    def blocks(self) -> Iterable[np.ndarray]:
        """The sound anew, as it is, in parts (n,) at 16 kHz."""
        return _blocks(self.source)


def _blocks(source: Source, notes: list[str] | None = None) -> Iterable[np.ndarray]:
    return array_blocks(samples_of(source)) if isinstance(source, np.ndarray) else mono_blocks(source, notes=notes)


def read_voice(source: Source) -> Voice:
    """Reads a file or mono samples (n,) at 16 kHz. A quiet voice is raised for the networks, and a note says so.

    Raises :class:`EmolibError` if it is missing, empty, silent (below -75 dBFS), not finite or not sound.
    """
    notes: list[str] = []
    if not isinstance(source, np.ndarray | str | Path):
        raise EmolibError(f"the voice is a {type(source).__name__}; give a file, or samples at 16 kHz as an array")
    name = "the audio" if isinstance(source, np.ndarray) else f"the audio {source}"

    def parts() -> Iterable[np.ndarray]:
        return _blocks(source, notes)

    level, log = _heard(parts, 1.0)
    check_level(level, log.count, name)
    if level < QUIET_DBFS:
        notes.append(
            f"{name} is quiet ({level:.0f} dBFS); it is raised to {RAISED_DBFS:.0f} for the networks, not in the video"
        )
        kept = list(notes)
        del log  # of an hour 115 MB, which the second need not lie beside
        _, log = _heard(parts, 10 ** ((RAISED_DBFS - level) / 20))
        notes[:] = kept  # the second pass has the same to say
    return Voice(source, log.count, log.finish(), tuple(notes))


def _heard(parts: Callable[[], Iterable[np.ndarray]], gain: float) -> tuple[float, LogMel]:
    """(level in dBFS, log-mel to be finished) of a sound times ``gain``."""
    log = LogMel()

    def through() -> Iterable[np.ndarray]:
        for block in parts():
            log.push(block if gain == 1 else (block * gain).astype(np.float32))
            yield block

    return level_of(through()), log
