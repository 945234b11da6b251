"""What a trained converter makes of every clip of a corpus, for the style codes of HEF."""

import torch
from torch import Tensor

from emolib.corpus.shelf import Shelf
from emolib.eac import BETA, Eac, emotion_code, predict
from emolib.emotions import EMOTIONS
from emolib.hearing import Windows


class Codes:
    """(beta_hat (T,64), sigma_hat (T,C)) of many clips by clip_id, kept on disk (:mod:`emolib.corpus.shelf`)."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._shelf = Shelf()

    def __len__(self) -> int:
        return len(self._number)

    def put(self, clip_id: str, beta: Tensor, sigma: Tensor) -> None:
        self._number[clip_id] = len(self)
        self._shelf.put(torch.cat([beta, sigma], 1).cpu().numpy())

    def __getitem__(self, clip_id: str) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(self._shelf[self._number[clip_id]])
        return rows[:, :BETA], rows[:, BETA:]


def emotion_codes(eac: Eac, ame, clips) -> Codes:
    """What the fixed EAC makes of every clip; the emotion is told by the label as text."""
    words = {emotion: emotion_code(eac, ame, emotion) for emotion in EMOTIONS}
    found = Codes()
    for clip in clips:
        windows = Windows.of(eac, clip.audio(), clip.n_frames, clip.fps)
        found.put(clip.clip_id, *predict(eac, windows, words[clip.emotion], clip.intensity))
    return found
