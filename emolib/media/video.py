"""Video: streaming writer (H.264 + AAC in MP4, exact frame rates) and readers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from emolib.errors import EmolibError
from emolib.files import check_input, check_output, replacing
from emolib.media.audio import SAMPLE_RATE, resample

AUDIO_RATE = 48000  # an AAC packet is 1024 samples: 21 ms at this rate, shorter than a video frame
BT709 = 1  # ITU code of the colour matrix; untagged video is read as BT.601 or 709 as the player likes


class VideoWriter:
    """Streams uint8 (H, W, 3) RGB frames into an MP4; the file has its name only once it is whole.

        with VideoWriter("out.mp4", Fraction(25), (640, 480), audio=speech) as video:
            for frame in frames:
                video.write(frame)

    fps: exact rate, e.g. Fraction(30000, 1001). size: (width, height), or one int for a square.
    audio: float32 (n,) at 16 kHz or None; cut or padded with silence to the length of the video.
    lossless: all-intra and nearly lossless (crf 10; for corpus clips) instead of a product for players (crf 16).
    H.264's 4:2:0 needs even sides: an odd one gets its last row or column twice. An exception inside the block removes
    the unfinished file. Raises :class:`EmolibError` if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        size: tuple[int, int] | int,
        audio: np.ndarray | None = None,
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
            self._container = av.open(str(self._temporary), "w", format="mp4", options=options)
        except OSError as error:
            raise EmolibError(f"cannot write {self.path}: {error.strerror or error}; choose another output") from None
        self._video = self._add_video(lossless)
        self._audio, self._sent = None, 0  # sent: samples of self._sound already encoded
        if audio is not None:
            self._sound = resample(audio, SAMPLE_RATE, AUDIO_RATE)
            self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="mono", bit_rate=128_000)

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
        if self._audio is None:
            return
        end = round(self.n_frames * AUDIO_RATE / self.fps)
        block = self._sound[self._sent : end]
        block = np.pad(block, (0, end - self._sent - len(block))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self._sent, Fraction(1, AUDIO_RATE)
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
    """fps: exact. duration, audio_duration: seconds (audio_duration 0.0 without sound)."""

    fps: Fraction
    n_frames: int
    width: int
    height: int
    duration: float
    audio_duration: float


def _open(path: str | Path):
    path = check_input(path, "video file", "give the path of a video")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmolibError(
            f"{path} is not a video that can be decoded ({reason}); give an mp4, mov or mkv file"
        ) from None
    if not container.streams.video:
        container.close()
        raise EmolibError(f"{path} holds no pictures; expected a video file")
    return container


def _seconds(stream) -> float:
    return float(stream.duration * stream.time_base) if stream.duration else 0.0


def video_info(path: str | Path) -> VideoInfo:
    """What the file's header says. Raises :class:`EmolibError` if it is missing or not a video."""
    with _open(path) as container:
        video = container.streams.video[0]
        fps = Fraction(video.average_rate or video.guessed_rate or 25)
        duration = _seconds(video) or (container.duration or 0) / av.time_base
        sound = _seconds(container.streams.audio[0]) if container.streams.audio else 0.0
        return VideoInfo(fps, video.frames or round(duration * fps), video.width, video.height, duration, sound)


def _rgb(frame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")


def iter_video(path: str | Path) -> Iterator[np.ndarray]:
    """Yields uint8 (H, W, 3) RGB frames in order, one at a time."""
    with _open(path) as container:
        try:
            for frame in container.decode(container.streams.video[0]):
                yield _rgb(frame)
        except av.error.FFmpegError as error:
            raise EmolibError(f"the video {path} is damaged ({error}); give a whole file") from None


def read_video(path: str | Path, indices: Sequence[int] | None = None) -> np.ndarray:
    """uint8 (T, H, W, 3) RGB: all frames, or those of ``indices`` in the order given (it seeks: the last one is near)."""
    if indices is None:
        frames = list(iter_video(path))
        if not frames:
            raise EmolibError(f"the video {path} holds no frames; give a whole file")
        return np.stack(frames)
    wanted = [int(i) for i in indices]
    found: dict[int, np.ndarray] = {}
    with _open(path) as container:
        stream = container.streams.video[0]
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
