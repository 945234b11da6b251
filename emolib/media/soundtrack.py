"""The sound of a video that is written: the user's own track, at its own rate and with its two channels, a little at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emolib.media.opening import open_media
from emolib.media.sound import ADVICE, LAYOUTS, SAMPLE_RATE, WHAT, channel_blocks, resampled, samples_of

AAC_RATES = (
    16000,
    22050,
    24000,
    32000,
    44100,
    48000,
    88200,
    96000,
)  # an AAC packet is 1024 samples, shorter than two frames
ARRAY_RATE = 48000  # of what is given as an array at 16 kHz: a packet is 21 ms there, shorter than a video frame


class Soundtrack:
    """Sound to be read in order. rate: Hz. layout: mono or stereo."""

    def __init__(self, blocks: Iterator[np.ndarray], rate: int, layout: str):
        self.rate, self.layout = rate, layout
        self._blocks, self._rest = blocks, np.zeros((LAYOUTS.index(layout) + 1, 0), np.float32)

    @classmethod
    def of(cls, source: str | Path | np.ndarray) -> "Soundtrack":
        """Of a file (more than two channels become two) or of mono samples (n,) at 16 kHz. EmolibError as of :func:`channel_blocks`."""
        if isinstance(source, np.ndarray):
            return cls(resampled(samples_of(source), SAMPLE_RATE, ARRAY_RATE), ARRAY_RATE, "mono")
        with open_media(source, WHAT, ADVICE) as container:
            stream = next(iter(container.streams.audio), None)
            context = stream.codec_context if stream is not None else None
            own = (context.rate or ARRAY_RATE, len(context.layout.channels)) if context is not None else (ARRAY_RATE, 1)
        rate = min((r for r in AAC_RATES if r >= own[0]), default=AAC_RATES[-1])
        layout = LAYOUTS[min(max(own[1], 1), 2) - 1]
        return cls(channel_blocks(source, rate, layout), rate, layout)

    def read(self, count: int) -> np.ndarray:
        """The next ``count`` samples, float32 (channels, count); silence after the end."""
        parts, have = [self._rest], self._rest.shape[1]
        while have < count and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            have += block.shape[1]
        whole = np.concatenate(parts, axis=1)
        self._rest = whole[:, count:]
        return np.pad(whole[:, :count], ((0, 0), (0, max(0, count - have))))
