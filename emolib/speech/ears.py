"""What the converter hears: the paper's log-mel (Xu et al. 2023, Sec. 4.1), or what Whisper says of a sound (ours)."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from emolib.media.audio import MEL_RATE, N_MELS, mel
from emolib.media.sound import SAMPLE_RATE
from emolib.speech.features import RATE, WIDTH, SpeechStream, speech_features


class Ear(NamedTuple):
    """rate: features a second; feature i speaks of the moment i / rate s. width: numbers of a feature. hear: (n,) sound -> (F, width)."""

    rate: int
    width: int
    hear: Callable[[np.ndarray], np.ndarray]


EARS = {"mel": Ear(MEL_RATE, N_MELS, mel), "whisper": Ear(RATE, WIDTH, speech_features)}


class Passing:
    """Whisper's features of a sound that is read while they are used: rows asked for by rising numbers, earlier ones are forgotten.

    blocks: begins the sound anew, in parts. n_samples: its length. Has what :func:`emolib.media.audio.mel_windows` asks of an array.
    """

    def __init__(self, blocks: Callable[[], Iterable[np.ndarray]], n_samples: int):
        self._blocks, self._count = blocks, -(-n_samples * RATE // SAMPLE_RATE)
        self._begin()

    def _begin(self) -> None:
        self._parts, self._kept, self._first = self._heard(), np.zeros((0, WIDTH), np.float32), 0

    def _heard(self) -> Iterator[np.ndarray]:
        stream = SpeechStream()
        for block in self._blocks():
            yield stream.push(block)
        yield stream.finish()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        if index.min() < self._first:
            self._begin()
        while self._first + len(self._kept) <= index.max():
            self._kept = np.concatenate([self._kept, next(self._parts)])
        done = int(index.min()) - self._first
        self._kept, self._first = self._kept[done:].copy(), self._first + done
        return self._kept[index - self._first]
