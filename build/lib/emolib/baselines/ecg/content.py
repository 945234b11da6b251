"""What is said, and not how: the speech content features of ECG (Sinha et al., IJCAI 2022, Sec. 3.1).

The paper takes the log-probabilities of DeepSpeech's 29 characters in a window W about each video frame, "hence the
features are emotion-independent". Here a small frame-level recogniser of sound classes, trained on the corpus's own
phoneme times and then frozen, stands for it; a corpus without phoneme times falls back to the mel.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.media.audio import MEL_RATE, N_MELS, mel, mel_windows
from emolib.weights import load_into, load_weights, save_weights

WINDOW = 20  # W, mel frames of content around a video frame (0.2 s)


class Content(nn.Module):
    """Mel (B, M, 80) -> log-probabilities of sound classes (B, M, C), independent of loudness and of the emotion's
    colour.

    classes: names of the C classes; none for a corpus without phoneme times, and then the mel itself is the content.
    """

    def __init__(self, classes: tuple[str, ...] = (), width: int = 64):
        super().__init__()
        self.classes, self.width = tuple(classes), len(classes) or N_MELS
        layers = []
        for inputs, dilation in ((N_MELS, 1), (width, 1), (width, 2), (width, 4)):
            layers += [
                nn.Conv1d(inputs, width, 3, padding=dilation, dilation=dilation),
                nn.GroupNorm(8, width),
                nn.ReLU(),
            ]
        self.net = nn.Sequential(*layers, nn.Conv1d(width, len(classes), 1)) if classes else nn.Identity()

    def forward(self, mel_frames: Tensor) -> Tensor:
        mel_frames = mel_frames - mel_frames.mean((1, 2), keepdim=True)
        if not self.classes:
            return mel_frames
        return self.net(mel_frames.transpose(1, 2)).transpose(1, 2).log_softmax(2)

    @torch.no_grad()
    def windows(self, audio: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
        """Content (n_frames, WINDOW, C) around each video frame of speech (n_samples,)."""
        device = next(self.parameters(), torch.zeros(0)).device
        content = self(torch.from_numpy(mel(audio)).to(device)[None])[0].cpu().numpy()
        return mel_windows(content, n_frames, fps, WINDOW)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, {"classes": list(self.classes)})

    @classmethod
    def load(cls, path: str | Path) -> "Content":
        """Reads weights, frozen. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"classes"}:
            raise EmolibError(f"{path} holds no content net; expected data/06_ecg/content.safetensors")
        return load_into(cls(tuple(config["classes"])), state, path)


def sound_classes(events, n_mel: int, classes: tuple[str, ...]) -> np.ndarray:
    """(name, start s, end s) events -> the class (n_mel,) at each mel frame; what no event covers is the first
    class.
    """
    labels = np.zeros(n_mel, np.int64)
    for name, start, end in events:
        labels[max(0, round(float(start) * MEL_RATE)) : max(0, round(float(end) * MEL_RATE))] = classes.index(name)
    return labels


def content_set(corpus) -> tuple[list[np.ndarray], list[np.ndarray], tuple[str, ...]]:
    """(mels (M, 80), labels (M,), class names) of the clips of a corpus that knows its phonemes; empty for one that
    does not.
    """
    heard = []
    for clip in corpus:
        try:
            truth = clip.truth()
        except EmolibError:
            truth = {}
        if "visemes" not in truth:
            return [], [], ()
        heard.append((mel(clip.audio()), list(zip(truth["visemes"].astype(str), *truth["viseme_times"].T))))
    classes = ("sil", *sorted({name for _, events in heard for name, _, _ in events} - {"sil"}))
    return [m for m, _ in heard], [sound_classes(events, len(m), classes) for m, events in heard], classes
