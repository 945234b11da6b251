"""Portrait + voice + emotion -> video, for notebooks, the command line and any app alike.

    detect -> align -> fit (alpha, beta, delta, gamma, p) -> AME: z_emo -> EAC: beta_hat, sigma_hat (Eqs. 3, 4)
    -> head motion and blinks, which EAC does not make -> R(theta), HEF (Eqs. 7 to 10) -> paste back -> H.264 + AAC

:func:`emolib.request.check` reads and checks all that a user gives without any weights; :meth:`Talker.run` does the work. Frames are
made and written a few at a time: what grows with the length of the voice is its log-mel and coefficients (about 70 KB a second), no sound
or pictures.
"""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emolib.ame import Ame
from emolib.eac import Eac, emotion_code, mix, predict
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.behaviour import blinks
from emolib.face.landmarker import WEIGHTS as FACE_NET
from emolib.face.landmarks import Face
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.face.person import WEIGHTS as PERSON_NET
from emolib.hearing import Windows, hear_with
from emolib.hef import Hef
from emolib.media.audio import SAMPLE_RATE, frame_count, mel
from emolib.media.pictures import Source, to_frames
from emolib.media.soundtrack import Soundtrack
from emolib.media.video import VideoWriter
from emolib.media.voice import Source as Spoken
from emolib.media.voice import Voice
from emolib.motion import add_blinks, head_motion
from emolib.portrait import Portrait, portrait_of
from emolib.request import EmotionCondition, Report, Request, check
from emolib.showing import as_people, as_told
from emolib.speech.ears import Passing
from emolib.timeline import Timeline
from emolib.weights import PRETRAINED, verify
from emolib.words import UNDERSTOOD, Understood

SHIPS = ("clip.safetensors", "eac.safetensors", "hef.safetensors", SHIPPED)  # what a Talker is made of
EAC_FPS = Fraction(25)  # the frame rate of the corpus that EAC is trained on
BATCH = 8  # frames made at once


def _at_rate(rows: Tensor, n_frames: int, fps: Fraction) -> Tensor:
    """Rows (N, C) at :data:`EAC_FPS` -> (n_frames, C) at ``fps``, linear in time."""
    if fps == EAC_FPS:
        return rows[:n_frames]
    place = ((torch.arange(n_frames) + 0.5) * float(EAC_FPS / fps) - 0.5).clamp(0, len(rows) - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=len(rows) - 1)
    return torch.lerp(rows[low], rows[high], (place - low)[:, None].to(rows))


def behaviour(request: Request, own: Tensor) -> tuple[Tensor, np.ndarray | None]:
    """What no voice tells: the head pose of each frame (T, 6) for a portrait in ``own`` (1, 6), and how far lids close (T,), if asked."""
    moving, blinking = np.random.default_rng(request.seed).spawn(2)  # so that a longer voice begins like a shorter one
    n_frames = frame_count(request.voice.n_samples, request.fps)
    pose = own.expand(n_frames, -1)
    if request.pose == "generated":
        pose = pose + torch.from_numpy(head_motion(request.voice.log_mel, n_frames, request.fps, moving)).to(pose)
    return pose, blinks(n_frames, float(request.fps), blinking) if request.blinks else None


def _fewer(batch: int, side: int, notes: list[str] | None) -> int:
    """How many frames to make at once where the GPU has no memory for ``batch`` of them."""
    if batch == 1:
        raise EmolibError(
            f"the GPU's memory is too small for a face of {side} px; close what else uses it, or hide it (CUDA_VISIBLE_DEVICES=)"
        )
    torch.cuda.empty_cache()
    if notes is not None:
        notes.append(f"the GPU's memory is short: {batch // 2} frames are made at once, not {batch}")
    return batch // 2


class Talker:
    """The three systems and the face model, loaded and checked. Use :meth:`load`."""

    def __init__(self, ame: Ame, eac: Eac, hef: Hef, model: FaceModel, device: str = "cpu"):
        expected = hef.config["sigma_dim"]
        if eac.config["dim"] != expected:
            raise EmolibError(
                f"EAC gives a style of {eac.config['dim']} numbers, HEF takes {expected}; use weights made together"
            )
        self.device = torch.device(device)
        self.ame, self.eac, self.hef = ame.to(self.device), eac.to(self.device), hef.to(self.device)
        self.model, self._cpu_model = model.to(self.device), model  # fitting works on the CPU

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "auto", ears: str | Path | None = None) -> "Talker":
        """Weights of ``folder`` (default: those that ship): clip, eac, hef .safetensors, face_model.npz, manifest.json.

        ears: an audio encoder to hear an emotion's voice with in place of theirs (:func:`emolib.hearing.hear_with`).
        device: cpu, cuda, or auto. Raises :class:`EmolibError` for missing or damaged weights.
        """
        folder = Path(folder) if folder is not None else PRETRAINED
        verify(folder, SHIPS)
        verify(FACE_NET.parent, [FACE_NET.name, PERSON_NET.name])
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        ame, eac = Ame.load(folder / "clip.safetensors"), Eac.load(folder / "eac.safetensors")
        if ears is not None:
            hear_with(eac, ears)
        return cls(ame, eac, Hef.load(folder / "hef.safetensors"), load_face_model(folder / SHIPPED), device)

    def talk(
        self,
        source: Source,
        audio: Spoken,
        emotion: EmotionCondition | str,
        intensity: float = 2,
        out: str | Path = "out/talk.mp4",
        *,
        progress: Callable[[int, int], None] | None = None,
        **options,
    ) -> Report:
        """Makes the portrait ``source`` speak ``audio`` with ``emotion``; writes ``out`` (.mp4), whole or not at all.

        source: a file, a Pillow image or an array (:func:`load_image`). audio: a file, or mono samples at 16 kHz (floats in [-1, 1],
        int16, int32 or uint8); the video has the file's own track, at its rate.
        emotion: words, words that change (:mod:`emolib.timeline`) or :class:`EmotionCondition`.
        intensity: 1 to 3. Options: face (n-th largest, 1 ...), pose ("generated" or "still"), blinks, seed,
        style (which way to express it; 0 = as most people do), fps (exact; Fraction),
        transition (s from one emotion of a timeline to the next).
        progress: called with (frames done, frames in all). Raises :class:`EmolibError` for anything wrong with them.
        """
        return self.run(check(source, audio, emotion, intensity, out, **options), progress)

    def run(self, request: Request, progress: Callable[[int, int], None] | None = None) -> Report:
        """Does what :func:`check` has checked."""
        start = time.perf_counter()
        request = self.placed(request)
        height, width = request.image.shape[:2]
        n_frames = frame_count(request.voice.n_samples, request.fps)
        sound = Soundtrack.of(request.voice.source)
        notes = list(request.notes)
        with VideoWriter(request.out, request.fps, (width, height), audio=sound) as video:
            for frame in self.frames(request, notes):
                video.write(frame)
                if progress:
                    progress(video.n_frames, n_frames)
        seconds, wall = float(n_frames / request.fps), time.perf_counter() - start
        return Report(
            str(request.out), n_frames, str(request.fps), seconds, width + width % 2, height + height % 2,
            len(request.faces), request.face, tuple(notes), round(wall, 2),
        )  # fmt: skip

    def placed(self, request: Request) -> Request:
        """``request``, with a note of what its words were taken for if no table knows them. EmolibError if they are no emotion."""
        notes = list(request.notes)

        def placed(words: Understood) -> Understood:
            if words.known:
                return words
            if (nearest := self.ame.place(words.text)) is None:
                raise EmolibError(f"'{words.text}' is not understood as an emotion; give {UNDERSTOOD}")
            notes.append(
                f"'{words.text}' is no word of ours for an emotion; it is taken as it stands, nearest to {nearest}"
            )
            return Understood(words.text)

        emotion = request.emotion
        if isinstance(emotion, (Understood, Timeline)):
            emotion = placed(emotion) if isinstance(emotion, Understood) else emotion.told(placed)
        return request if emotion == request.emotion else replace(request, emotion=emotion, notes=tuple(notes))

    def frames(self, request: Request, notes: list[str] | None = None) -> Iterator[np.ndarray]:
        """Yields the whole picture, uint8 (H, W, 3), frame by frame. notes: to which is added what a user should know.

        Raises :class:`EmolibError` if the GPU has no memory for one frame."""
        portrait, alignment = self.portrait(request)
        wanted, sigma = self.coefficients(request, portrait.own)
        batch, i = max(1, BATCH * self.hef.size // portrait.side), 0
        while i < len(wanted):
            part = slice(i, i + batch)
            try:
                made = to_frames(portrait.frames(wanted[part], sigma[part]))
            except torch.OutOfMemoryError:
                batch = _fewer(batch, portrait.side, notes)
                continue
            for face in made:
                yield alignment.paste(face, request.image)
            i += batch

    def portrait(self, request: Request) -> tuple[Portrait, Alignment]:
        """The face of the request's picture at its own resolution, fitted, and where it lies in the picture."""
        return portrait_of(self.hef, self._cpu_model, request.image, request.faces[request.face - 1].landmarks)

    def coefficients(self, request: Request, own: Coefficients) -> tuple[Coefficients, Tensor]:
        """What each frame shows: coefficients (T rows) and sigma_hat (T, C), for a person whose own ones are ``own`` (1 row).

        EAC's beta is absolute (a neutral face is 0), so an expression that the portrait has is replaced, not added to; it is that of a
        drawn actor, which :func:`as_people` makes a person's.
        """
        beta, sigma = self.spoken(request)
        beta = as_people(self.model, beta, own.beta.to(beta))
        pose, closure = behaviour(request, own.pose)
        if closure is not None:
            beta = add_blinks(self.model, beta, closure)
        return own.expand(len(beta)).replace(beta=beta, pose=pose), sigma

    def spoken(self, request: Request) -> tuple[Tensor, Tensor]:
        """What EAC makes of the request's voice and emotion, whoever shows it: beta_hat (T, 64) and sigma_hat (T, C). The mood is what is
        told, whatever the voice's own (:func:`as_told`)."""
        n_samples = request.voice.n_samples
        heard = Windows(self.eac, self._heard(request.voice), frame_count(n_samples, EAC_FPS), EAC_FPS)
        (z_emo, mu), style = self.told(request, len(heard)), self.style(request.style)
        beta, sigma = predict(self.eac, heard, z_emo, mu, style=style)
        count = len(heard) if z_emo.ndim == 2 else self.eac.config["frames"]
        silent, _ = predict(self.eac, self._silence.expand(count, -1, -1), z_emo, mu, style=style)
        beta = as_told(self.model, beta, silent if z_emo.ndim == 2 else silent.mean(0, keepdim=True))
        n_frames = frame_count(n_samples, request.fps)
        return _at_rate(beta, n_frames, request.fps), _at_rate(sigma, n_frames, request.fps)

    @functools.cached_property
    def _silence(self) -> Tensor:
        """The window of sound (1, W, C_A) in which nothing is heard."""
        nothing = np.zeros(2 * SAMPLE_RATE, np.float32)
        heard = Windows(self.eac, self._heard(Voice(nothing, len(nothing), mel(nothing), ())), 50, EAC_FPS)
        return torch.as_tensor(np.array(heard[25:26]), dtype=torch.float32)

    def _heard(self, voice: Voice):
        """What EAC hears of a voice: its log-mel, or Whisper's features as they come."""
        return voice.log_mel if self.eac.config["audio"] == "mel" else Passing(voice.blocks, voice.n_samples)

    def style(self, number: int) -> Tensor | None:
        """The style code (S,) of that number: 0 the average one, others are draws. EmolibError if the weights know the average alone."""
        if not number:
            return None
        if not (size := self.eac.config["style"]):
            raise EmolibError(
                f"style {number} was asked for, but these weights know one style; leave it out or use others"
            )
        return torch.from_numpy(np.random.default_rng(number).normal(size=size).astype(np.float32)).to(self.device)

    def told(self, request: Request, n_frames: int) -> tuple[Tensor, Tensor | float]:
        """z_emo and mu of Eqs. 2 and 3: (D,) and a number, or of each of ``n_frames`` at :data:`EAC_FPS`, (T, D) and (T,)."""
        if not isinstance(course := request.emotion, Timeline):
            return self.embed(course), request.intensity
        codes = [
            mix(
                torch.stack([self.embed(said) for said, _ in moment.parts]),
                [share for _, share in moment.parts],
            )
            for moment in course.moments
        ]
        shares = torch.from_numpy(course.shares(n_frames, EAC_FPS)).to(codes[0])
        levels = shares.new_tensor([moment.intensity for moment in course.moments])
        return mix(torch.stack(codes), shares), shares @ levels

    @torch.no_grad()
    def embed(self, emotion: str | Understood | tuple[np.ndarray, Face] | Voice) -> Tensor:
        """z_emo (D,) of Eq. 2 for words, a face in a picture, or a voice."""
        emotion = emotion.text if isinstance(emotion, Understood) else emotion
        if isinstance(emotion, str):
            return emotion_code(self.eac, self.ame, emotion)
        if isinstance(emotion, Voice):
            return self.eac.embed_audio(self._heard(emotion))[0]
        if self.eac.encoding != "clip":
            raise EmolibError(f"the EAC variant {self.eac.config['variant']} takes no image as emotion; give a text")
        from emolib.pictured import pictured  # only who gives a picture waits for the nets that look at it

        picture, face = emotion
        return pictured(self.ame, picture, face.landmarks)
