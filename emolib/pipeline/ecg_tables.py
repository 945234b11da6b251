"""Tables 2 to 5 of Sinha et al. (IJCAI 2022): measured here beside the paper's numbers. Every line names its corpus."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emolib.baselines.ecg.landmarks import UNIT, LandmarkGenerator, frontal, predict_landmarks
from emolib.metrics.digits import digits
from emolib.metrics.landmarks import correlation, face_lmd, lmd, lmvd, mouth_opening
from emolib.metrics.protocol import HIGHER_IS_BETTER, SINHA, Row, Spread, summary

OTHERS = "paper ({})"
SIDE = 256  # of the crop on which pixels are counted
NAMES = {"LMD": "M-LD"}  # what this paper calls a metric of ours
LANDMARKS = ("M-LD", "M-LVD", "F-LD", "F-LVD")
TABLE2 = ("PSNR", "SSIM", "CPBD", "FID", "LMD", "M-LVD", "F-LD", "F-LVD", "Emotion", "CSIM", "Sync")
TABLE4 = ("PSNR", "CSIM", "Emotion")
TABLE5 = tuple(metric for metric in TABLE2 if metric != "Emotion")

# (corpus, method, our row, values in the order of the table's metrics); emotion accuracy as a share.
PAPER_TABLE2 = (
    ("MEAD", "MEAD", "", (28.61, 0.68, 0.29, 22.52, 2.52, 2.28, 3.16, 2.01, 0.7600, 0.86, 1.83)),
    ("MEAD", "EVP", "", (29.53, 0.71, 0.35, 7.99, 2.45, 1.78, 3.01, 1.56, 0.8358, 0.67, 1.21)),
    ("MEAD", "Ours", "ECG", (30.06, 0.77, 0.37, 35.41, 2.18, 0.77, 1.24, 0.50, 0.8548, 0.79, 3.05)),
    ("CREMA-D", "Vougioukas et al.", "", (23.57, 0.70, 0.22, 71.12, 2.90, 0.42, 2.80, 0.34, 0.5526, 0.51, 1.12)),
    ("CREMA-D", "Eskimez et al.", "", (30.91, 0.85, 0.39, 218.59, 6.14, 0.49, 5.89, 0.40, 0.6567, 0.75, 4.38)),
    ("CREMA-D", "Ours", "", (31.07, 0.90, 0.46, 68.45, 2.41, 0.69, 1.35, 0.46, 0.7502, 0.75, 3.53)),
)
PAPER_TABLE3 = {
    "wo_graph": ("w/o graph encoder", (5.54, 0.54, 2.75, 0.43)),
    "wo_skips": ("w/o skip connections", (5.54, 0.54, 2.75, 0.43)),
    "wo_omega": ("w/o edge weights", (2.45, 0.83, 1.39, 0.52)),
    "wo_gan": ("w/o L_gan", (2.52, 0.86, 1.42, 0.53)),
    "full": ("ours", (2.18, 0.77, 1.24, 0.50)),
}
PAPER_TABLE4 = (
    ("MEAD", "w/o emotion feature", "ECG, wo_emotion", (29.83, 0.885, 0.4500)),
    ("MEAD", "w/o emotional landmark", "ECG, neutral landmarks", (29.85, 0.861, 0.5961)),
    ("MEAD", "w/o one-shot learning", "ECG, not tuned", (29.89, 0.767, 0.8400)),
    ("MEAD", "Ours", "ECG", (30.06, 0.789, 0.8548)),
)
PAPER_TABLE5 = (
    ("MEAD", "MakeItTalk", "", (24.89, 0.77, 0.219, 158.76, 7.65, 0.59, 5.44, 0.46, 0.57, 3.22)),
    ("MEAD", "Wav2Lip", "", (25.37, 0.79, 0.282, 127.22, 6.74, 0.39, 4.91, 0.26, 0.84, 6.28)),
    ("MEAD", "Ours", "ECG", (28.78, 0.80, 0.385, 30.41, 1.53, 0.49, 0.97, 0.34, 0.91, 3.27)),
)


def table(paper: tuple, rows: dict[str, Row], spread: Spread, corpus: str, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Lines of ``paper`` (one of the above), a measured one wherever ``rows`` has it, and below what else ``rows`` holds."""
    lines, known = [], {name for _, _, name, _ in paper}
    for place, method, name, values in paper:
        row, theirs = rows.get(name), dict(zip(metrics, values))
        lines.append(_line(method if row is None else name, row, spread, corpus, OTHERS.format(place), metrics, theirs))
    for name, row in rows.items():
        if name not in known:
            lines.append(_line(name, row, spread, corpus, "", metrics, {}))
    return pd.DataFrame(lines).astype({"n_clips": "Int64"})


def _line(name, row, spread, corpus, paper_corpus, metrics, theirs) -> dict:
    ours = summary(row, spread, metrics) if row else {}
    line: dict = {"method": name, "corpus": corpus if row else paper_corpus}
    line["n_clips"] = len(row.clips) if row else pd.NA
    for metric in metrics:
        value, low, high = ours.get(metric, (np.nan,) * 3)
        called = NAMES.get(metric, metric)
        line[called + (" ↑" if (HIGHER_IS_BETTER | SINHA)[metric] else " ↓")] = value
        line[f"{called} 95% CI"] = _interval(low, high)
        line[f"{called} paper"] = theirs.get(metric, np.nan)
    return line


def _interval(low: float, high: float) -> str:
    return f"{digits(low)}..{digits(high)}" if np.isfinite([low, high]).all() else ""


@torch.no_grad()
def landmark_scores(generators: dict[str, LandmarkGenerator], content, face, train, test) -> pd.DataFrame:
    """How landmarks of people never seen lie beside the truth: a line for each clip of ``test`` and method.

    The methods: ``generators`` by name; ``constant``: the neutral face with the mean movement of its emotion in ``train``; ``silent``: the
    neutral face. Pixels of a 256-pixel crop. mouth_r, mouth_amplitude: correlation of the mouth's opening over time, its deviation as a
    part of the truth's.
    """
    usual = mean_movement(face, train)
    lines = []
    for clip in test:
        fitted = clip.coefficients()
        neutral, true = (frontal(face, fitted.alpha, beta) for beta in (0 * fitted.beta, fitted.beta))
        words = clip.audio(), fitted.alpha[:1], clip.emotion, clip.intensity, len(fitted), float(clip.fps)
        made = {name: predict_landmarks(net, content, face, *words) for name, net in generators.items()}
        made |= {"constant": neutral + usual[clip.emotion], "silent": neutral}
        for name, points in made.items():
            line = {"method": name, "clip_id": clip.clip_id, "identity": clip.identity, "emotion": clip.emotion}
            lines.append(line | _apart(points, true))
    return pd.DataFrame(lines)


def mean_movement(face, clips) -> dict[str, Tensor]:
    """emotion -> the mean displacement (68, 2) from the neutral face, in units, of the clips that show it."""
    moved: dict[str, list[Tensor]] = {}
    for clip in clips.fitted():
        theta = clip.coefficients()
        away = frontal(face, theta.alpha, theta.beta) - frontal(face, theta.alpha, 0 * theta.beta)
        moved.setdefault(clip.emotion, []).append(away.mean(0))
    return {emotion: torch.stack(parts).mean(0) for emotion, parts in moved.items()}


def _apart(points: Tensor, true: Tensor) -> dict[str, float]:
    a, b = (x.numpy() * UNIT * SIDE for x in (points, true))
    opened, wanted = mouth_opening(points), mouth_opening(true)
    found = {"M-LD": lmd(a, b, SIDE).mean(), "M-LVD": lmvd(a, b, SIDE).mean()}
    found |= {"F-LD": face_lmd(a, b, SIDE).mean()}
    found |= {"F-LVD": face_lmd(np.diff(a, axis=0), np.diff(b, axis=0), SIDE).mean()}
    found |= {"mouth_r": correlation(opened, wanted), "mouth_amplitude": float(opened.std() / wanted.std())}
    return {name: float(value) for name, value in found.items()}


def table3(scores: pd.DataFrame, spread: Spread, corpus: str) -> pd.DataFrame:
    """Table 3 from :func:`landmark_scores`; a row that was not trained has the paper's numbers alone."""
    lines = []
    for name in (*PAPER_TABLE3, *(dict.fromkeys(n for n in scores.method if n not in PAPER_TABLE3))):
        label, values = PAPER_TABLE3.get(name, (name, ()))
        own = scores[scores.method == name]
        line = {"method": label, "variant": name, "corpus": corpus if len(own) else OTHERS.format("MEAD")}
        line["n_clips"] = len(own) or pd.NA
        for metric, theirs in zip(LANDMARKS, (*values, *[np.nan] * (4 - len(values)))):
            line[f"{metric} ↓"] = own[metric].mean()
            line[f"{metric} 95% CI"] = _interval(*spread.interval(own[metric])) if len(own) else ""
            line[f"{metric} paper"] = theirs
        lines.append(line)
    return pd.DataFrame(lines).astype({"n_clips": "Int64"})
