"""A trained converter on the clips of a corpus: the emotion of a clip as a code, and the face it makes of the clip's sound.

A clip is a :class:`emolib.corpus.clips.Clip`; ``ame`` an :class:`emolib.ame.Ame`.
"""

import torch
from torch import Tensor

from emolib.eac import Eac, emotion_code, predict
from emolib.face.model import Coefficients
from emolib.hearing import Windows
from emolib.media.pictures import to_tensor
from emolib.speech.ears import EARS


@torch.no_grad()
def generate(eac: Eac, clip, z_emo: Tensor, mu: float | None = None) -> tuple[Coefficients, Tensor]:
    """(theta_hat, sigma (T,C)): the coefficients of ``clip`` with beta predicted from its sound."""
    windows = Windows.of(eac, clip.audio(), clip.n_frames, clip.fps)
    beta, sigma = predict(eac, windows, z_emo, clip.intensity if mu is None else mu)
    return clip.coefficients().replace(beta=beta.cpu()), sigma.cpu()


@torch.no_grad()
def condition(eac: Eac, ame, clip, modality: str = "text") -> Tensor:
    """Code (D,) of a clip's emotion as in Sec. 4.2: its label as text, its own audio, or its middle frame as image."""
    if modality == "audio":
        return eac.embed_audio(torch.from_numpy(EARS[eac.config["audio"]].hear(clip.audio()))[None])[0]
    if modality == "image":
        return ame.image(to_tensor(clip.frames([clip.n_frames // 2])))[0].float()
    return emotion_code(eac, ame, clip.emotion)
