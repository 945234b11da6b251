"""What a user gives to :mod:`emolib.talker`, read and checked without any weights and without writing."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from emolib import arguments, timeline
from emolib.errors import EmolibError
from emolib.face.framed import faces_of
from emolib.face.landmarks import Face, size_notes
from emolib.files import check_output
from emolib.media.pictures import Source, load_image
from emolib.media.voice import Source as Spoken
from emolib.media.voice import Voice, read_voice
from emolib.timeline import TRANSITION, Timeline
from emolib.words import Understood, understand

MAX_SIDE = 1920  # px; larger pictures are shrunk: players stop at 4096 and every frame is a whole picture
POSES = ("generated", "still")


@dataclass(frozen=True)
class EmotionCondition:
    """What the emotion is taken from: exactly one of words (:mod:`emolib.words`, :mod:`emolib.timeline`), a face (as :func:`load_image`
    takes it), a voice (file, 16 kHz samples)."""

    text: str | None = None
    image: Source | None = None
    audio: Spoken | None = None

    def __post_init__(self):
        given = [name for name in ("text", "image", "audio") if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{len(given)} emotions ({', '.join(given)})" if given else "no emotion"
            raise EmolibError(f"{found} given; give exactly one: a text, an image or an audio")
        if self.text is not None and not self.text.strip():
            raise EmolibError("no emotion given: the text is empty; give words such as 'happy' or 'sadly surprised'")


Emotion = Understood | Timeline | tuple[np.ndarray, Face] | Voice


@dataclass(frozen=True, eq=False)
class Request:
    """A checked job, see :func:`check`. image: uint8 (H, W, 3). emotion: words, some that change, a picture and its face, or a voice."""

    image: np.ndarray
    faces: list[Face]
    face: int
    voice: Voice
    emotion: Emotion
    intensity: float
    out: Path
    pose: str
    blinks: bool
    seed: int
    style: int
    fps: Fraction
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What was made. seconds: length of the video; wall_s: how long it took without loading weights; notes: what a user should know."""

    path: str
    frames: int
    fps: str
    seconds: float
    width: int
    height: int
    faces_found: int
    face_used: int
    notes: tuple[str, ...]
    wall_s: float


def _shrunk(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    return np.asarray(
        Image.fromarray(image).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    )


def _emotion_input(emotion: EmotionCondition, intensity: float, transition: float, notes: list[str]) -> Emotion:
    """The condition, read: words, (picture, its largest face), or sound."""
    if timeline.changes(emotion.text):
        course = timeline.read(str(emotion.text), intensity, transition)
        notes += course.notes
        return course
    if emotion.text is not None:
        meant = understand(emotion.text)
        notes += [meant.note] if meant.note else []
        return meant
    if emotion.audio is not None:
        heard = read_voice(emotion.audio)
        notes += [f"the emotion's voice: {note}" for note in heard.notes]
        return heard
    assert emotion.image is not None  # exactly one is given
    said: list[str] = []
    picture = _shrunk(load_image(emotion.image, said))
    found = faces_of(picture)[0]
    notes += [f"the emotion's picture: {note}" for note in said + size_notes(found)]
    return picture, found


def _cut_notes(face: Face, image: np.ndarray) -> list[str]:
    """What a user should know if the picture ends within the face."""
    x, y = face.landmarks.T
    inside = (x > 0) & (x < image.shape[1]) & (y > 0) & (y < image.shape[0])
    if inside.all():
        return []
    return ["the picture ends within the face, whose rest is made up; one with room about the head looks better"]


def check(
    source: Source,
    audio: Spoken,
    emotion: EmotionCondition | str,
    intensity: float = 2,
    out: str | Path = "out/talk.mp4",
    *,
    face: int | None = None,
    pose: str = "generated",
    blinks: bool = True,
    seed: int = 0,
    style: int = 0,
    fps: Fraction | float | str = 25,
    transition: float = TRANSITION,
) -> Request:
    """Reads and checks everything a user gives, without weights and without writing; arguments as
    :meth:`emolib.talker.Talker.talk`."""
    condition = EmotionCondition(text=emotion) if isinstance(emotion, str) else emotion
    if not isinstance(condition, EmotionCondition):
        raise EmolibError("no emotion given; give exactly one: a text, an image or an audio")
    intensity = arguments.intensity(intensity)
    fps = arguments.frame_rate(fps)
    seed = arguments.whole(seed, "seed", 0, "of head motion and blinks")
    style = arguments.whole(style, "style", 0, "0 = as most people express it, every other one a way of its own")
    transition = arguments.seconds(transition, "transition")
    if face is not None:
        face = arguments.whole(face, "face", 1, "1 = the largest")
    if pose not in POSES:
        raise EmolibError(f"pose is '{pose}'; expected one of {', '.join(POSES)}")
    out = check_output(out, [".mp4"], (source, audio, condition.image, condition.audio))
    notes: list[str] = []
    picture = load_image(source, notes)
    image = _shrunk(picture)
    voice = read_voice(audio)
    notes += voice.notes
    wanted = _emotion_input(condition, intensity, transition, notes)
    faces = faces_of(image)
    if face is not None and not 1 <= face <= len(faces):
        raise EmolibError(f"face {face} was asked for but {len(faces)} found; give 1 (the largest) to {len(faces)}")
    if image is not picture:
        notes.append(f"the picture was shrunk to {image.shape[1]} x {image.shape[0]}")
    if image.shape[0] % 2 or image.shape[1] % 2:
        notes.append("H.264 needs even sides: the last row or column of the picture is doubled")
    if face is None and len(faces) > 1:
        notes.append(f"{len(faces)} faces found; the largest talks, choose another with face 2 to {len(faces)}")
    notes += size_notes(faces[(face or 1) - 1]) + _cut_notes(faces[(face or 1) - 1], image)
    return Request(image, faces, face or 1, voice, wanted, intensity, out, pose, blinks, seed, style, fps, tuple(notes))
