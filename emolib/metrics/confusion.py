"""Confusion matrices of emotion recognition."""

import numpy as np
import torch

from emolib.emotions import EMOTIONS


def _counted(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    np.add.at(counts, (truth, answer), 1)
    return counts


@torch.no_grad()
def confusion(score, bank, *, composites: bool = False, clips: bool = False) -> np.ndarray:
    """(8,8) counts, row = truth, column = answer.

    score: what gives (B,8) scores for images (B,3,S,S), or for (B,K,3,S,S) with ``clips``, such as an
    :class:`emolib.critics.emotion.EmotionNet`. bank: :class:`emolib.train.emotion.FrameBank`.
    """
    counts = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    source = bank.composites if composites else bank.images
    for i in range(0, len(bank), 16):
        images = source[i : i + 16].float() / 255
        answer = score(images if clips else images.flatten(0, 1)).argmax(1).cpu()
        truth = bank.emotion[i : i + 16].repeat_interleave(1 if clips else images.shape[1])
        counts += _counted(truth.numpy(), answer.numpy())
    return counts


def accuracy(counts: np.ndarray) -> float:
    """Share of right answers in a confusion matrix, every emotion that occurs weighing the same (neutral is rare)."""
    occurs = counts.sum(1) > 0
    return float((np.diag(counts)[occurs] / counts.sum(1)[occurs]).mean())


def ceiling(known: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray], seed: int) -> float:
    """The better accuracy of two classifiers, a linear and a small net, that are told what faces do: no judge of pixels can expect more.

    known, unseen: (actions (N, A), emotion (N,)) to learn from and to be measured on.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = []
    for model in (LogisticRegression(max_iter=300), MLPClassifier((64,), early_stopping=True, random_state=seed)):
        answer = make_pipeline(StandardScaler(), model).fit(*known).predict(unseen[0])
        found.append(accuracy(_counted(unseen[1], answer)))
    return max(found)
