"""The judges of the protocol, from the weights of stage 03 and the packages' own nets."""

from pathlib import Path

import numpy as np
import torch

from emolib.critics.emotion import EmotionNet
from emolib.critics.identity import identity_descriptor
from emolib.critics.sync import REACH, SyncNet
from emolib.emotions import EMOTIONS
from emolib.face.landmarks import track
from emolib.media.pictures import to_tensor
from emolib.metrics.protocol import Judges
from emolib.metrics.sync import sync_at_zero, sync_confidence

FID_SCALE = 100.0  # the tower's embeddings have unit length: their distances are small numbers


def load_judges(critics: str | Path, ame) -> Judges:
    """``critics``: the data folder of stage 03. ame: the :class:`emolib.ame.Ame` whose image tower gives FID's
    features.
    """
    emotion = EmotionNet.load(Path(critics) / "emotion_efd.safetensors")
    syncnet = SyncNet.load(Path(critics) / "sync.safetensors")

    @torch.no_grad()
    def tower(frames: np.ndarray) -> np.ndarray:
        return FID_SCALE**0.5 * ame.image(to_tensor(frames)).cpu().numpy()

    @torch.no_grad()
    def emotion_features(frames: np.ndarray) -> np.ndarray:
        return emotion.features(to_tensor(frames)).numpy()

    @torch.no_grad()
    def emotion_class(frames: np.ndarray) -> str:
        return EMOTIONS[int(emotion(to_tensor(frames)[None]).argmax())]

    def sync(frames: np.ndarray, audio: np.ndarray, fps: float) -> tuple[float, float]:
        video, sound = syncnet.embed(frames, audio, fps)
        reach = max(1, min(REACH, len(video) // 3))
        return sync_confidence(video, sound, reach)[0], sync_at_zero(video, sound, reach)["sync_c"]

    name = f"FID x{FID_SCALE:.0f} ({ame.config['pretrained'] or 'our'} image tower)"
    return Judges(emotion_features, identity_descriptor, tower, sync, track, name, emotion_class)
