"""Video: streaming writer (H.264 + AAC in MP4, exact frame rates) and readers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path

import av
import numpy as np

from emolib.errors import EmolibError
from emolib.files import check_output, replacing
from emolib.media.opening import open_media
from emolib.media.soundtrack import Soundtrack

BIT_RATES = {"mono": 128_000, "stereo": 192_000}  # bits a second of sound
WHAT, ADVICE = "video", "give the path of a video, such as an mp4, mov or mkv"
LONGEST_STILL = 60.0  # s for which one frame may be shown; more is a damaged time
EARLY = 1e-4  # s: by how much a file's rounding of times may make a frame late
BT709 = 1  # ITU code of the colour matrix; untagged video is read as BT.601 or 709 as the player likes


class VideoWriter:
    """Streams uint8 (H, W, 3) RGB frames into an MP4; the file has its name only once it is whole.

        with VideoWriter("out.mp4", Fraction(25), (640, 480), audio=speech) as video:
            for frame in frames:
                video.write(frame)

    fps: exact rate, e.g. Fraction(30000, 1001). size: (width, height), or one int for a square.
    audio: (n,) at 16 kHz, a :class:`Soundtrack`, or None; cut or padded with silence to the length of the video.
    lossless: all-intra and nearly lossless (crf 10; for corpus clips) instead of a product for players (crf 16).
    H.264's 4:2:0 needs even sides: an odd one gets its last row or column twice. An exception inside the block removes
    the unfinished file. Raises :class:`EmolibError` if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        size: tuple[int, int] | int,
        audio: np.ndarray | Soundtrack | None = None,
        lossless: bool = False,
    ):
        self.path = check_output(path)
        self.fps = Fraction(fps)
        self.width, self.height = (size, size) if isinstance(size, int) else size
        self.n_frames = 0
        self._whole = replacing(self.path)
        try:
            self._temporary = self._whole.__enter__()
            options = {} if lossless else {"movflags": "+faststart"}
            self._container = av.open(f"file:{self._temporary}", "w", format="mp4", options=options)
        except OSError as error:
            raise EmolibError(f"cannot write {self.path}: {error.strerror or error}; choose another output") from None
        self._video = self._add_video(lossless)
        self._audio, self._sent, self._sound = None, 0, None  # sent: samples of the sound already encoded
        if audio is not None:
            self._sound = audio if isinstance(audio, Soundtrack) else Soundtrack.of(audio)
            layout, rate = self._sound.layout, BIT_RATES[self._sound.layout]
            self._audio = self._container.add_stream("aac", rate=self._sound.rate, layout=layout, bit_rate=rate)

    def _add_video(self, lossless: bool):
        if lossless:
            options = {"crf": "10", "preset": "veryfast", "g": "1", "keyint_min": "1", "bf": "0"}
        else:
            options = {"crf": "16", "preset": "veryfast"}
        stream = self._container.add_stream("libx264", rate=self.fps, options=options)
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / self.fps
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1  # limited, what players expect
        return stream

    def write(self, frame: np.ndarray) -> None:
        """Appends one uint8 (height, width, 3) RGB frame."""
        if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame is {frame.dtype} {frame.shape}; expected uint8 {(self.height, self.width, 3)}")
        if self.width % 2 or self.height % 2:
            frame = np.pad(frame, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=1)
        picture.pts, picture.time_base = self.n_frames, 1 / self.fps
        self.n_frames += 1
        self._mux(self._video.encode(picture))
        self._write_audio()

    def _mux(self, packets) -> None:
        try:
            self._container.mux(packets)
        except OSError as error:
            raise EmolibError(f"cannot write {self.path}: {error.strerror or error}; choose another output") from None

    def _write_audio(self) -> None:
        """Encodes the sound up to the end of the last frame, so that the file is interleaved and memory stays flat."""
        if self._audio is None or self._sound is None:
            return
        rate = self._sound.rate
        end = round(self.n_frames * rate / self.fps)
        if end == self._sent:
            return
        block = self._sound.read(end - self._sent)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, self._sent, Fraction(1, rate)
        self._sent = end
        self._mux(self._audio.encode(frame))

    def close(self) -> None:
        """Flushes the encoders and gives the file its name."""
        if not self.n_frames:
            self.abort()
            raise ValueError("a video needs at least one frame")
        self._mux(self._video.encode(None))
        if self._audio is not None:
            self._mux(self._audio.encode(None))
        try:
            self._container.close()  # writes what was kept back: a disk may be full only now
        except OSError as error:
            raise EmolibError(f"cannot write {self.path}: {error.strerror or error}; choose another output") from None
        self._whole.__exit__(None, None, None)

    def abort(self) -> None:
        """Drops the unfinished file."""
        try:
            self._container.close()
        except OSError:
            pass  # the disk that filled up is why we abort; the file goes anyway
        self._whole.__exit__(GeneratorExit, GeneratorExit(), None)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise


@dataclass(frozen=True)
class VideoInfo:
    """fps: exact, the mean one where it varies. width, height: as stored. duration, audio_duration: seconds (the latter 0.0 without
    sound). start: when the first frame is shown, s."""

    fps: Fraction
    n_frames: int
    width: int
    height: int
    duration: float
    audio_duration: float
    start: float = 0.0


def _open(path: str | Path):
    """(container, its first stream of moving pictures; the cover of an album is none)."""
    container = open_media(path, WHAT, ADVICE)
    cover = av.stream.Disposition.attached_pic
    stream = next((s for s in container.streams.video if not s.disposition & cover), None)
    if stream is None or stream.codec_context is None:
        container.close()
        why = (
            "no pictures; expected a video file"
            if stream is None
            else f"pictures in a coding that is not known; {ADVICE}"
        )
        raise EmolibError(f"{path} holds {why}")
    return container, stream


def _seconds(stream) -> float:
    return float(stream.duration * stream.time_base) if stream.duration else 0.0


def video_info(path: str | Path) -> VideoInfo:
    """What the file's header says. Raises :class:`EmolibError` if it is missing or not a video."""
    container, video = _open(path)
    with container:
        fps = Fraction(video.average_rate or video.guessed_rate or 25)
        duration = _seconds(video) or (container.duration or 0) / av.time_base
        sound = _seconds(container.streams.audio[0]) if container.streams.audio else 0.0
        start = float((video.start_time or 0) * video.time_base)
        count = video.frames or round(duration * fps)
        return VideoInfo(fps, count, video.width, video.height, duration, sound, start)


def _rgb(frame) -> np.ndarray:
    """A frame's pixels, uint8 (H, W, 3), turned as its display matrix asks for: a phone's pictures are stored on their side."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)) if frame.rotation else pixels


def _decoded(path: str | Path) -> Iterator[tuple[float | None, float, Callable[[], np.ndarray]]]:
    """Yields of each frame, in the order they are shown: when, for how long by the file's word (s), and its pixels."""
    container, stream = _open(path)
    with container:
        usual = float(1 / Fraction(stream.average_rate or stream.guessed_rate or 25))
        try:
            for frame in container.decode(stream):
                base = frame.time_base
                moment = float(frame.pts * base) if frame.pts is not None and base else None
                lasts = float(frame.duration * base) if frame.duration and base else usual
                yield moment, lasts if lasts < LONGEST_STILL else usual, partial(_rgb, frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise EmolibError(f"the video {path} is damaged ({error}); give a whole file") from None


def iter_video(path: str | Path) -> Iterator[np.ndarray]:
    """Yields uint8 (H, W, 3) RGB frames in order, one at a time, as they are meant to be seen (rotation tags count)."""
    for _, _, pixels in _decoded(path):
        yield pixels()


def iter_at_rate(path: str | Path, fps: Fraction | int) -> Iterator[np.ndarray]:
    """Yields, for each frame of a video at ``fps``, the frame of ``path`` that is shown at its middle, from its first one on.

    Presentation times count, not numbers: a phone's variable frame rate stays in time. A frame that is shown twice is the same array.
    """
    step, made, end, first = 1 / float(fps), 0, 0.0, None
    shown: _Shown | None = None
    for moment, lasts, pixels in _decoded(path):
        first = moment if first is None else first
        at = end if moment is None else moment - (first or 0.0)
        if at - end > LONGEST_STILL:
            raise EmolibError(
                f"the times of {path} jump from {end:.1f} to {at:.1f} s; it is damaged, give a whole file"
            )
        while shown is not None and (made + 0.5) * step < at - EARLY:
            yield shown.pixels
            made += 1
        shown, end = _Shown(pixels), max(at + lasts, end)
    while shown is not None and (made + 1) * step <= end + EARLY:
        yield shown.pixels
        made += 1


class _Shown:
    """A frame whose pixels are made when they are first asked for."""

    def __init__(self, make: Callable[[], np.ndarray]):
        self._make = make

    @cached_property
    def pixels(self) -> np.ndarray:
        return self._make()


def read_video(path: str | Path, indices: Sequence[int] | None = None) -> np.ndarray:
    """uint8 (T, H, W, 3) RGB: all frames, or those of ``indices`` in the order given (it seeks: the last one is near)."""
    if indices is None:
        frames = list(iter_video(path))
        if not frames:
            raise EmolibError(f"the video {path} holds no frames; give a whole file")
        return np.stack(frames)
    wanted = [int(i) for i in indices]
    found: dict[int, np.ndarray] = {}
    container, stream = _open(path)
    with container:
        stream.thread_type = "NONE"  # frame threads decode ahead: wasted where a few frames are taken
        tick = 1 / (stream.average_rate * stream.time_base)  # pts of one frame
        origin, position = stream.start_time or 0, -1
        decoded = container.decode(stream)
        for index in sorted(set(wanted)):
            if not 0 <= index - position <= 8:
                container.seek(origin + round(index * tick), stream=stream)
                decoded = container.decode(stream)
            for frame in decoded:
                position = round((frame.pts - origin) / tick)
                if position >= index:
                    break
            if position != index:
                raise IndexError(f"frame {index} of {path}, which ends at frame {position}")
            found[index] = _rgb(frame)
    return np.stack([found[i] for i in wanted])
