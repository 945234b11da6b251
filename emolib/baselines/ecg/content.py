"""What is said, and not how: the speech content features of ECG (Sinha et al., IJCAI 2022, Sec. 3.1).

The paper takes the log-probabilities of DeepSpeech's 29 characters (Hannun et al. 2014: CTC from text) in a window of W = 6 about each
video frame, "hence the features are emotion-independent". DeepSpeech is a download; a small recogniser that learns in the same way,
characters by CTC from the texts of people of no corpus, stands for it. As DeepSpeech rests on thousands of hours of speech, so it does,
through Whisper's first layers (:mod:`emolib.speech`), which stay as they are.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.layers import Dropout
from emolib.media.audio import mel_windows
from emolib.speech.features import RATE, WIDTH, speech_features
from emolib.weights import load_into, load_weights, save_weights

WINDOW = 6  # W, moments of 20 ms around a video frame
LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
CHARACTERS = len(LETTERS) + 1  # 29: the blank of CTC is number 0


class Content(nn.Module):
    """Features (B, F, 768) of :func:`emolib.speech.features.speech_features` -> log-probabilities of characters (B, F, 29)."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.config = {"width": width}
        self.first = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * width), nn.ReLU(), Dropout(0.2))
        self.context = nn.GRU(2 * width, width, batch_first=True, bidirectional=True)
        self.last = nn.Sequential(Dropout(0.2), nn.Linear(2 * width, CHARACTERS))

    def forward(self, heard: Tensor) -> Tensor:
        return self.last(self.context(self.first(heard))[0]).log_softmax(2)

    @torch.no_grad()
    def of(self, audio: np.ndarray) -> np.ndarray:
        """Speech (n_samples,) -> log-probabilities (F, 29), 50 a second."""
        device = next(self.parameters()).device
        return self(torch.from_numpy(speech_features(audio)).to(device)[None])[0].cpu().numpy()

    def windows(self, audio: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
        """Content (n_frames, WINDOW, 29) around each video frame of speech (n_samples,)."""
        return mel_windows(self.of(audio), n_frames, fps, WINDOW, rate=RATE)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config)

    @classmethod
    def load(cls, path: str | Path) -> "Content":
        """Reads weights, frozen. Raises :class:`EmolibError` for a missing, damaged or foreign file."""
        state, config = load_weights(path)
        if set(config) != {"width"}:
            raise EmolibError(f"{path} holds no content net; expected data/06_ecg/content.safetensors")
        return load_into(cls(**config), state, path)


def spelled(text: str) -> list[int]:
    """The characters of a text by number; what is no letter, space or apostrophe is left out."""
    return [LETTERS.index(letter) + 1 for letter in text.lower() if letter in LETTERS]


def read(content: np.ndarray) -> str:
    """The text that log-probabilities (F, 29) spell: the likeliest character of each moment, repeats joined, blanks left out."""
    likeliest = content.argmax(1)
    new = np.diff(likeliest, prepend=0) != 0
    return "".join(LETTERS[i - 1] for i in likeliest[new] if i)


def character_errors(read_text: str, text: str) -> float:
    """Share of wrong characters: insertions, deletions and substitutions over the length of ``text`` (Levenshtein)."""
    wanted = [LETTERS[i - 1] for i in spelled(text)]
    row = np.arange(len(wanted) + 1)
    for i, letter in enumerate(read_text, 1):
        swapped = row[:-1] + np.array([letter != other for other in wanted], int)
        best = np.minimum(swapped, row[1:] + 1)
        row = np.concatenate([[i], best])
        for j in range(1, len(row)):  # what is inserted follows from what stands before it
            row[j] = min(row[j], row[j - 1] + 1)
    return float(row[-1] / max(1, len(wanted)))
