"""A trained converter on the clips of a corpus: the emotion of a clip as a code, and the face it makes of the clip's sound.

A clip is a :class:`emolib.corpus.clips.Clip`; ``ame`` an :class:`emolib.ame.Ame`.
"""

import torch
from torch import Tensor

from emolib.eac import Eac, Windows, emotion_code, predict
from emolib.emotions import EMOTIONS
from emolib.face.model import Coefficients
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


def emotion_codes(eac: Eac, ame, clips) -> dict[str, tuple[Tensor, Tensor]]:
    """The fixed EAC's (beta_hat (T,64), sigma_hat (T,C)) of every clip, by clip_id; the emotion is told by the label as text."""
    words = {emotion: emotion_code(eac, ame, emotion) for emotion in EMOTIONS}
    found = {}
    for clip in clips:
        windows = Windows.of(eac, clip.audio(), clip.n_frames, clip.fps)
        beta, sigma = predict(eac, windows, words[clip.emotion], clip.intensity)
        found[clip.clip_id] = (beta.cpu(), sigma.cpu())
    return found
