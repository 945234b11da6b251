"""``emolib talk --method ecg``: the baseline on a user's own portrait and voice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from emolib.baselines.ecg.background import Background
from emolib.baselines.ecg.landmarks import LandmarkGenerator
from emolib.baselines.ecg.texture import TextureGenerator, ecg_frames
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.fitting import fit_image
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.media.pictures import to_frames, to_tensor
from emolib.prompts import NOUNS, WORDS
from emolib.request import Request
from emolib.talker import Talker, behaviour
from emolib.weights import PRETRAINED, verify
from emolib.words import Understood

LANDMARKS, TEXTURE = "ecg_landmarks.safetensors", "ecg_texture.safetensors"
SIDE = 128  # px: of the crops that G_T learnt from, where its manifest does not say
ONE_SHOT = 5  # iterations on the portrait (Sec. 4.1)


class EcgTalker(Talker):
    """ECG behind the interface of :class:`emolib.talker.Talker`. The face is made at ``size`` px, at which G_T learnt. Use :meth:`load`."""

    def __init__(self, generator, content, texture, model, size: int = SIDE):
        self.device = torch.device("cpu")
        self.parts, self.model, self.size = (generator, content, texture), model, size

    @classmethod
    def load(cls, folder: str | Path | None = None, device: str = "cpu", ears: str | Path | None = None) -> "EcgTalker":
        """Weights of ``folder`` (default: those that ship). Raises :class:`EmolibError` for missing or damaged ones, and for ``ears``,
        which it does not have."""
        if ears is not None:
            raise EmolibError("ECG takes no emotion from a voice; leave out --ears, or --method ecg")
        folder = Path(folder) if folder is not None else PRETRAINED
        made_with = verify(folder, (LANDMARKS, TEXTURE, SHIPPED)).get("params", {})
        parts = *LandmarkGenerator.load(folder / LANDMARKS), TextureGenerator.load(folder / TEXTURE)
        return cls(*parts, load_face_model(folder / SHIPPED), made_with.get("base", {}).get("size", SIDE))

    def placed(self, request: Request) -> Request:
        """``request`` as it is. EmolibError if its emotion is none of the eight that ECG knows."""
        emotion_class(request)
        if request.style:
            raise EmolibError(f"style {request.style} was asked for, but ECG knows one; leave it out")
        return request

    def frames(self, request: Request, notes: list[str] | None = None) -> Iterator[np.ndarray]:
        """Yields the whole picture, uint8 (H, W, 3), frame by frame."""
        landmarks = request.faces[request.face - 1].landmarks
        alignment = Alignment.from_landmarks(landmarks, self.size)
        crop = np.array(alignment.crop(request.image))
        own = fit_image(self.model, crop, alignment.points(landmarks)).coefficients
        pose, closure = behaviour(request, own.pose)
        audio = np.concatenate(list(request.voice.blocks()))
        made = ecg_frames(
            *self.parts, self.model, crop, own, audio, emotion_class(request), request.intensity,
            pose=pose, fps=float(request.fps), iterations=ONE_SHOT, closure=closure,
        )  # fmt: skip
        background = Background(to_tensor(crop[None])[0])  # G_T lets it sway
        for faces in made:
            for face in to_frames(background.returned(to_tensor(faces))):
                yield alignment.paste(face, request.image)


def emotion_class(request: Request) -> str:
    """Which of the eight emotions the words of a request name. EmolibError if none, or if it is no words."""
    emotion = request.emotion
    if not isinstance(emotion, Understood):
        raise EmolibError("ECG takes its emotion from one word; give one as --emotion, or leave out --method ecg")
    for name, words in WORDS.items():
        if emotion.text.lower() in (name, *words, *NOUNS[name]):
            return name
    raise EmolibError(
        f"ECG knows the emotions {', '.join(WORDS)}, not '{emotion.text}'; leave out --method ecg for others"
    )
