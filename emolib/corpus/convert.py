"""One take -> one clip: validate, decode, detect, align, crop, resample. Everything that can be wrong with a file has its reason here.

Full frames are seen one at a time and only crops are kept, so a full-HD recording needs no more memory than its crops.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from emolib.corpus.takes import Take, is_lfs_pointer
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment, interocular
from emolib.face.landmarks import detect
from emolib.files import check_input
from emolib.media.audio import SAMPLE_RATE, load_audio
from emolib.media.video import VideoInfo, iter_at_rate, iter_video, video_info

FPS = Fraction(25)
LOOKS = 9  # frames in which the face is looked for
# s; what lasts longer holds several sentences, and often several emotions (CREMA-D's 1064_IEO_DIS_MD).
SHORTEST, LONGEST = 0.5, 30.0
MOST_APART = 0.5  # s between the lengths of sound and picture, and between what a header promises and what there is
FAR = 1.0  # eye distances from where the face mostly is: actors sway less, another person sits further
STEADY = 0.75  # of the looks at least must be nearer than that


def look(path: Path, info: VideoInfo, find: Callable = detect) -> np.ndarray:
    """Landmarks (n, 68, 2) in picture pixels of the largest face in up to nine frames spread over the video.

    EmolibError unless most of them show a face.
    """
    wanted = set(np.linspace(0, max(info.n_frames - 1, 0), LOOKS).astype(int).tolist())
    found, misses = [], 0
    for i, frame in enumerate(iter_video(path)):
        if i in wanted:
            try:
                found.append(find(frame)[0].landmarks)
            except EmolibError:
                misses += 1  # a search in vain takes seconds: stop once the answer is known
        if 2 * misses >= len(wanted) or i >= max(wanted):
            break
    if 2 * len(found) <= len(wanted):
        if 2 * misses < len(wanted):
            raise EmolibError(f"{path} ends long before its {info.n_frames} frames; it is truncated, give a whole file")
        raise EmolibError(
            f"a face in only {len(found)} of {len(found) + misses} frames of {path}; expected one in most"
        )
    return np.array(found)


def steady(landmarks: np.ndarray, path: Path) -> np.ndarray:
    """Those of landmarks (n, 68, 2) that lie where the face mostly is; EmolibError if it is not mostly in one place."""
    centres, width = landmarks.mean(1), np.median(interocular(landmarks))
    near = np.linalg.norm(centres - np.median(centres, axis=0), axis=1) < FAR * width
    near &= np.abs(np.log(interocular(landmarks) / width)) < np.log(1.5)
    if near.mean() < STEADY:
        raise EmolibError(
            f"the face of {path} jumps: in {int((~near).sum())} of {len(near)} looks it is elsewhere or of another size; "
            "expected one person who stays in place"
        )
    return landmarks[near]


def placed(landmarks: np.ndarray, size: int) -> Alignment:
    """The alignment of a clip of landmarks (n, 68, 2), on a grid: the face net's last digits are not the same in every process, and a
    clip's bytes should be. An eighth of a pixel, and about as much by turn and scale, is what two looks differ by anyway."""
    steps = np.array([4096, 4096, 8])
    matrix = Alignment.from_landmarks(landmarks, size).matrix
    return Alignment(np.round(matrix * steps) / steps, size)


def cropped(path: Path, alignment: Alignment) -> np.ndarray:
    """The aligned face, uint8 (T, size, size, 3), at 25 fps. A video that ends before its header says gives fewer frames."""
    crops: list[np.ndarray] = []
    last = None
    for frame in iter_at_rate(path, FPS):
        crops.append(crops[-1] if frame is last else alignment.crop(frame))  # one that is shown twice is cropped once
        last = frame
    return np.stack(crops) if crops else np.empty((0, alignment.size, alignment.size, 3), np.uint8)


def aligned_frames(path: Path, size: int) -> np.ndarray:
    """The video's face as uint8 (T, size, size, 3) at 25 fps, one alignment for the clip (median of nine looks)."""
    info = video_info(path)
    return cropped(path, placed(look(path, info), size))


def _check_file(path: Path) -> None:
    check_input(path, "recording", "it was removed, is a link to nothing, or was not copied whole")
    if is_lfs_pointer(path):
        raise EmolibError(f"{path} is a Git LFS pointer, not a recording; run `git lfs pull` in the corpus")


def _sound(take: Take, since: float) -> np.ndarray:
    """float32 (n,) at 16 kHz: the video's own track from ``since`` on, when its first frame is shown, or else the file beside it."""
    try:
        return load_audio(take.video or "", since=since)
    except EmolibError:
        if take.audio is None:
            raise
    _check_file(take.audio)
    return load_audio(take.audio)


def fault_of(take: Take) -> str:
    """Why a take cannot be used as far as the names of its files tell; "" where they tell nothing."""
    return take.fault or ("" if take.video else "sound only; a clip needs a face")


def convert(take: Take, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One take as frames uint8 (T, size, size, 3) at 25 fps and sound float32 (640 T,) at 16 kHz.

    Raises :class:`EmolibError` with the reason if it cannot be used: no picture or sound, a Git LFS pointer, an empty, damaged
    or truncated file, silence, sound and picture of different lengths, less than half a second or more than half a minute, no
    face, a face that jumps.
    """
    video = take.video
    if (fault := fault_of(take)) or video is None:
        raise EmolibError(fault)
    _check_file(video)
    info = video_info(video)
    audio = _sound(take, info.start)
    seconds, sounding = float(info.n_frames / info.fps), len(audio) / SAMPLE_RATE
    if abs(seconds - sounding) > MOST_APART:
        raise EmolibError(
            f"{take.video} has {seconds:.2f} s of picture but {sounding:.2f} s of sound; one of them is cut"
        )
    if min(seconds, sounding) < SHORTEST:
        raise EmolibError(f"{take.video} lasts {min(seconds, sounding):.2f} s; expected at least {SHORTEST} s")
    if max(seconds, sounding) > LONGEST:
        raise EmolibError(
            f"{take.video} lasts {max(seconds, sounding):.1f} s; expected one sentence, at most {LONGEST:g} s"
        )
    landmarks = steady(look(video, info), video)
    frames = cropped(video, placed(landmarks, size))
    if len(frames) / float(FPS) < seconds - MOST_APART:
        raise EmolibError(f"{take.video} ends after {len(frames) / float(FPS):.2f} of {seconds:.2f} s; it is truncated")
    n_samples = round(len(frames) / FPS * SAMPLE_RATE)
    return frames, np.pad(audio[:n_samples], (0, max(0, n_samples - len(audio))))


def reason_of(error: Exception, take: Take) -> str:
    """Why a take cannot be used, without folders; an error that nobody foresaw with its type."""
    reason = str(error) if isinstance(error, EmolibError) else f"unexpected {type(error).__name__}: {error}"
    for path in (take.video, take.audio):
        if path is not None:
            reason = reason.replace(str(path), path.name)
    return " ".join(reason.split())
