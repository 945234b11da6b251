"""The sound of any file, or of an array, block by block: what is needed of an hour of it never lies in memory at once.

The first audio stream counts. Its presentation times are kept: gaps are silence. Parts that are damaged are left out and counted. More than
two channels are mixed by FFmpeg's rules for their layout (the centre of 5.1 as loud as mono), two are averaged; where two cancel each
other, which a plug wired the wrong way does, the louder one is taken.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from emolib.errors import EmolibError
from emolib.media.opening import open_media, unreadable

SAMPLE_RATE = 16000
GAP, LONGEST_GAP = 0.05, 60.0  # s: what is less is rounding of times, what is more a damaged time
CANCELLED = 0.1  # of the louder channel's level: what is left of two channels that cancel each other
LAYOUTS = ("mono", "stereo")  # of one channel, of two
BLOCK = 1 << 16  # samples of an array taken at once
WHAT, ADVICE = "audio", "give a sound or video file that holds speech, such as a wav, mp3 or mp4"
SCALES = {"int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}


def samples_of(array: np.ndarray, name: str = "the audio") -> np.ndarray:
    """Mono samples (n,) of any usual type as float32, 1 = full scale: int16, int32 and uint8 by their range, floats as they are.

    Raises :class:`EmolibError` for other types and shapes, values that are not finite, and floats that are integers' values.
    """
    array = np.asarray(array)
    if array.ndim != 1:
        raise EmolibError(f"{name} has shape {array.shape}; expected one channel, (samples,), at {SAMPLE_RATE} Hz")
    kind = array.dtype.name
    if kind in SCALES:
        return ((array.astype(np.float32) - (128 if kind == "uint8" else 0)) / SCALES[kind]).astype(np.float32)
    if array.dtype.kind != "f":
        raise EmolibError(f"{name} holds {kind}; expected floats in [-1, 1], int16, int32 or uint8")
    samples = array.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise EmolibError(f"{name} holds values that are not finite; expected samples in [-1, 1]")
    if samples.size and (most := float(np.abs(samples).max())) > 32:
        raise EmolibError(
            f"{name} holds floats up to {most:g}; expected samples in [-1, 1], divide by their full scale"
        )
    return samples


class _Times:
    """How much silence belongs before each frame so that samples lie where their times say."""

    def __init__(self, since: float | None):
        self.due, self.first = since, True  # s: where the next sample belongs

    def gap(self, frame) -> float:
        """Seconds of silence before ``frame``; negative, at the start only: how much of the sound comes too early."""
        timed = frame.pts is not None and frame.time_base is not None
        start = float(frame.pts * frame.time_base) if timed else self.due or 0.0
        due = start if self.due is None else self.due
        gap = start - due
        if not self.first and not GAP < gap < LONGEST_GAP:
            gap = 0.0
        self.due, self.first = due + gap + frame.samples / frame.sample_rate, False
        return gap


def _silence(frame, seconds: float):
    """A silent frame of the kind of ``frame``."""
    shape = (frame.to_ndarray().shape[0], round(seconds * frame.sample_rate))
    if not frame.format.is_planar:
        shape = (1, shape[1] * len(frame.layout.channels))
    zeros = np.full(shape, 128 if frame.format.name in ("u8", "u8p") else 0, frame.to_ndarray().dtype)
    silent = av.AudioFrame.from_ndarray(zeros, format=frame.format.name, layout=frame.layout.name)
    silent.sample_rate = frame.sample_rate
    return silent


def channel_blocks(
    path: str | Path,
    rate: int,
    layout: str | None = None,
    *,
    since: float | None = None,
    notes: list[str] | None = None,
) -> Iterator[np.ndarray]:
    """Yields float32 (channels, n) at ``rate`` Hz, of the file's own ``layout`` if none is given.

    since: the moment on the file's clock, s, at which the first sample lies; none: where the sound begins. Raises :class:`EmolibError`
    if the file is missing, empty, or holds no sound that can be decoded.
    """
    good = bad = 0
    with open_media(path, WHAT, ADVICE) as container:
        if not container.streams.audio:
            raise EmolibError(f"{path} holds no sound; expected an audio file or a video with sound")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise EmolibError(f"{path} holds sound in a coding that is not known; {ADVICE}")
        times, resampler, cut, kind, channels = _Times(since), None, 0, None, LAYOUTS.index(layout) + 1 if layout else 0
        for frames in _frames(container, stream, path):
            if frames is None:
                bad += 1
                continue
            for frame in frames:
                gap, good, now = times.gap(frame), good + 1, (frame.sample_rate, frame.layout.name, frame.format.name)
                blocks: list[np.ndarray] = []
                if now != kind or resampler is None:  # at the start, and where recordings were joined
                    blocks += _resampled(resampler, [None] if resampler else [])
                    many = layout if len(frame.layout.channels) > 2 else None  # of two, FFmpeg's mean is 3 dB too loud
                    resampler, kind = av.AudioResampler(format="fltp", layout=many, rate=rate), now
                cut += round(max(-gap, 0.0) * rate)
                blocks += _resampled(resampler, [*([_silence(frame, gap)] if gap * rate >= 1 else []), frame])
                for block in blocks:
                    channels = channels or block.shape[0]
                    yield _fitted(block, channels)[:, cut:]
                    cut = max(0, cut - block.shape[1])
        for block in _resampled(resampler, [None] if resampler else []):
            yield _fitted(block, channels or block.shape[0])[:, cut:]
    if bad and bad >= good:
        raise EmolibError(
            f"{path} is not {WHAT} that can be decoded ({bad} of its {bad + good} parts are damaged); {ADVICE}"
        )
    if bad and notes is not None:
        parts = "1 damaged part" if bad == 1 else f"{bad} damaged parts"
        notes.append(f"{parts} of the sound of {Path(path).name} left out")


def _frames(container, stream, path) -> Iterator[list | None]:
    """The frames of each packet; None for a damaged one. A decoder that has seen damage is not asked for what it kept back."""
    damaged = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, ValueError) as error:
            raise unreadable(path, WHAT, error, ADVICE) from None
        if not packet.size and damaged:
            return
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            damaged = True
            yield None
        else:
            yield frames


def _resampled(resampler, frames: list) -> list[np.ndarray]:
    """What a resampler makes of ``frames``; None asks for what it kept back."""
    made = []
    for frame in frames:
        if frame is not None:
            frame.pts = None  # times are kept by :class:`_Times`; the resampler would fill what it takes for gaps
        made += [block.to_ndarray() for block in resampler.resample(frame)]
    return made


def _fitted(block: np.ndarray, channels: int) -> np.ndarray:
    """A block with as many channels as the sound began with: their mean, where a part has others."""
    return block if block.shape[0] == channels else np.repeat(block.mean(0, keepdims=True), channels, axis=0)


def mono_blocks(
    path: str | Path, rate: int = SAMPLE_RATE, *, since: float | None = None, notes: list[str] | None = None
) -> Iterator[np.ndarray]:
    """Yields float32 (n,) in [-1, 1] at ``rate`` Hz of a file's sound; arguments and errors as of :func:`channel_blocks`."""
    layout, pick = _mix(path, notes)
    for block in channel_blocks(path, rate, layout, since=since, notes=notes):
        yield np.clip(block.mean(0) if pick is None else block[pick], -1.0, 1.0).astype(np.float32, copy=False)


def _mix(path: str | Path, notes: list[str] | None) -> tuple[str | None, int | None]:
    """How a file becomes mono: a layout to ask FFmpeg for, or one channel to take alone; (None, None) for the mean."""
    with open_media(path, WHAT, ADVICE) as container:
        if not container.streams.audio or (context := container.streams.audio[0].codec_context) is None:
            return None, None  # what reads it says so
        channels = len(context.layout.channels) if context.layout is not None else 0
    if channels > 2:
        return "mono", None
    if channels < 2:
        return None, None
    both, each = 0.0, np.zeros(2)
    for block in channel_blocks(path, SAMPLE_RATE):
        both += float(np.square(block.mean(0), dtype=np.float64).sum())
        each += np.square(block, dtype=np.float64).sum(1) if len(block) == 2 else 0
    if both >= CANCELLED**2 * each.max():
        return None, None
    pick = int(each.argmax())
    if notes is not None:
        notes.append(
            f"the two channels of {Path(path).name} cancel each other; the {('left', 'right')[pick]} one is taken"
        )
    return None, pick


def resampled(samples: np.ndarray, rate_from: int, rate_to: int) -> Iterator[np.ndarray]:
    """Yields mono samples (n,) at ``rate_from`` Hz as float32 (1, m) at ``rate_to`` Hz, in parts."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate_to)
    for part in array_blocks(samples):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part, np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate_from
        yield from _resampled(resampler, [frame])
    yield from _resampled(resampler, [None])


def array_blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Yields an array (n,) in parts."""
    for start in range(0, len(samples), BLOCK):
        yield samples[start : start + BLOCK]
