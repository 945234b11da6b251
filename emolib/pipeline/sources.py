"""What a method of the tables is given of the person: one picture and what can be known from it alone.

Two protocols. :class:`FirstFrame`, that of Xu et al. (Sec. 4.2): the first frame of the test clip, which wears much of the emotion already.
:class:`NeutralPortrait`, which ECG assumes (Sinha et al., Sec. 3): the same person at rest.
"""

from dataclasses import dataclass

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.fitting import fit_image
from emolib.face.landmarks import detect
from emolib.face.model import Coefficients, FaceModel
from emolib.metrics.protocol import Reference


@dataclass(frozen=True)
class Source:
    """picture: uint8 (S, S, 3). own: its coefficients, 1 row. offset: (6,), what the clip's fitted head poses need added to be in the
    units of this fit, which knows less of the head's shape."""

    picture: np.ndarray
    own: Coefficients
    offset: torch.Tensor

    def pose(self, clip, frames: int) -> torch.Tensor:
        """The head poses (frames, 6) of ``clip``, as this source's head takes them."""
        return clip.coefficients().pose[:frames] + self.offset

    def wanted(self, clip, beta: torch.Tensor) -> Coefficients:
        """This person with the expressions ``beta`` (T, 64) and the clip's head poses."""
        return self.own.expand(len(beta)).replace(beta=beta, pose=self.pose(clip, len(beta)))


def _first(face: FaceModel, clip, landmarks: np.ndarray | None = None) -> Source:
    """The first frame of ``clip``, fitted alone; its landmarks (68, 2) are found if not given."""
    picture = clip.frames([0])[0]
    own = fit_image(face, picture, landmarks, drawn=clip.corpus == "synth").coefficients
    return Source(picture, own, own.pose[0] - clip.coefficients().pose[0])


class FirstFrame:
    """The first frame of a clip, fitted alone; each is fitted once."""

    def __init__(self, face: FaceModel):
        self._face = face
        self._known: dict[str, Source] = {}

    def __call__(self, reference: Reference) -> Source:
        clip = reference.clip
        if clip.clip_id not in self._known:
            self._known[clip.clip_id] = _first(self._face, clip, reference.landmarks[0])
        return self._known[clip.clip_id]


class NeutralPortrait:
    """The first frame of a neutral clip of the same person, fitted alone. corpus: where neutral clips are.

    EmolibError for a person without one.
    """

    def __init__(self, face: FaceModel, corpus):
        self._face, neutral = face, corpus.select(emotion="neutral")
        self._known: dict[str, Source] = {}
        self._clips = {clip.identity: clip for clip in reversed(list(neutral))}

    def __call__(self, reference: Reference) -> Source:
        identity = reference.clip.identity
        if identity not in self._clips:
            raise EmolibError(f"no neutral clip of {identity}; choose other clips or leave the neutral portrait out")
        if identity not in self._known:
            self._known[identity] = _first(self._face, self._clips[identity])
        return self._known[identity]


def photograph(image: np.ndarray, face: FaceModel, size: int) -> Source:
    """Any picture, uint8 (H, W, 3): its first face aligned at ``size`` px and fitted. EmolibError if there is none."""
    landmarks = detect(image)[0].landmarks
    alignment = Alignment.from_landmarks(landmarks, size)
    crop = np.array(alignment.crop(image))
    return Source(crop, fit_image(face, crop, alignment.points(landmarks)).coefficients, torch.zeros(6))
