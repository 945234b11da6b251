"""The evaluation protocol, written down once and the same for every row of every table.

- Clips: test identities only; ``n_clips`` of them, spread over identities and emotions by the seed. Each row gets the
  same.
- Frames: the first ``n_frames`` of a clip, whole aligned crops at ``base.size`` pixels (one alignment a clip,
  background included, nothing masked). Generated frames are compared with the real ones of the same number.
- Source (Sec. 4.2 of Xu et al.): the first frame of the test clip, fitted alone, as a user's photograph is; or, in rows that say so, the
  person's neutral portrait, which ECG assumes: the first frame of a neutral clip. Audio: the clip's own. Head pose: the clip's own, since
  neither system makes pose. Emotion: Ours-A its audio, Ours-I its middle frame, Ours-T and ECG its label.
- PSNR, SSIM: every frame, whole crop. LMD: every frame, the face net's 68 points tracked on real and generated frames
  alike, mouth points, pixels of a 256-pixel crop. It mixes three things that are beside it: LMD static (mean over time,
  inner points: emotion), LMD dynamic (mean over time removed, mouth points: speech), Opening (of the inner lips), with
  the head held still, in per cent of the span of the outer eye corners. Sync: every frame, the SyncNet of stage 03 on
  the same crop; the offsets it tries go to a third of the clip, 15 frames at most. Its least distance is below the median
  for noise too, so Sync at 0 is beside it: the median less the distance at offset 0, 0 on average for a foreign sound.
- EFD: every ``STRIDE``-th frame, the emotion net that no loss has seen. CSIM: the same frames against the source,
  dlib's descriptor; two people are alike there, too, so Own face is beside it: in how many frames the source is nearer
  than every other person's (verification among the people of the table). FID, LPIPS: the same frames; the columns'
  names say on which features. FID pools the frames of all clips.
- What Sinha et al. report beside: CPBD (sharpness, every fourth frame), M-LD (LMD), M-LVD (the same of the steps from frame to frame),
  F-LD and F-LVD (all 68 points), Emotion (whether that judge names the clip's emotion, weighing the frames as FAN does).
- Ablations of EAC (Table 3) hand their beta to the HEF trained with ``full``, with the sigma of ``full``: that HEF
  knows no other token. Ablations of HEF get the beta and sigma of ``full``.
- Spread: 95 % intervals from a two-stage bootstrap (identities, then their clips; 4,000 draws, the same for every row,
  so that differences are paired). FID: jackknife over clips, since resampling with repeats biases a Frechet distance
  upwards.
- Orderings: a difference counts where its p-value, Holm's within the block of claims that it belongs to, is below .05.
- A face that is not found in a generated clip leaves its LMD and CSIM out and is counted in ``faces_lost``.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from emolib.errors import EmolibError
from emolib.media.pictures import to_tensor
from emolib.metrics.features import csim, efd, frechet_distance
from emolib.metrics.image import lpips, psnr, ssim
from emolib.metrics.landmarks import dynamic_lmd, face_lmd, lmd, lmvd, opening_error, static_lmd
from emolib.metrics.sharpness import cpbd

STRIDE = 4
HIGHER_IS_BETTER = {"EFD": False, "LMD": False, "Sync": True, "CSIM": True, "FID": False, "PSNR": True, "SSIM": True}
HIGHER_IS_BETTER |= {"LPIPS": False, "LMD static": False, "LMD dynamic": False, "Opening": False}
HIGHER_IS_BETTER |= {"Sync at 0": True, "Own face": True}
METRICS = tuple(HIGHER_IS_BETTER)
SINHA = {"CPBD": True, "M-LVD": False, "F-LD": False, "F-LVD": False, "Emotion": True}  # and whether higher is better
SYNC = ("Sync", "Sync at 0")  # what one look at lips and sound gives


@dataclass(frozen=True)
class Judges:
    """What the metrics look through. Frames are uint8 (T, S, S, 3), audio float32 at 16 kHz, features (T, D) arrays."""

    emotion: Callable[[np.ndarray], np.ndarray]
    identity: Callable[[np.ndarray, np.ndarray], np.ndarray]  # frames, landmarks (T, 68, 2) -> (T, D)
    distribution: Callable[[np.ndarray], np.ndarray]
    sync: Callable[[np.ndarray, np.ndarray, float], tuple[float, float]]  # frames, audio, fps -> Sync, Sync at 0
    track: Callable[[np.ndarray], np.ndarray]  # frames -> landmarks (T, 68, 2)
    distribution_name: str
    emotion_class: Callable[[np.ndarray], str]  # frames of one clip -> one of EMOTIONS


@dataclass(frozen=True)
class Reference:
    """A real test clip, looked at once."""

    clip: Any
    frames: np.ndarray
    audio: np.ndarray
    landmarks: np.ndarray
    emotion: np.ndarray
    identity: np.ndarray
    distribution: np.ndarray


@dataclass(frozen=True)
class Row:
    """One method's scores: a table with one line a clip, and the pooled features of generated and real frames."""

    name: str
    clips: pd.DataFrame  # clip_id, identity, emotion and one column a metric of METRICS and SINHA (FID is not per clip)
    features: list[np.ndarray]
    real_features: list[np.ndarray]
    frames: dict[int, np.ndarray]  # generated frames of the clips asked for, for figures

    @property
    def faces_lost(self) -> int:
        return int(self.clips.LMD.isna().sum())


def choose_clips(corpus, n_clips: int, seed: int) -> list:
    """``n_clips`` clips, spread: identities in turn, and within each its emotions in turn, both in the seed's order."""
    rng = np.random.default_rng(seed)
    table = corpus.table.reset_index(drop=True)
    order = table.iloc[rng.permutation(len(table))]
    queues = [list(group.index) for _, group in order.groupby("identity", sort=True)]
    chosen: list[int] = []
    seen = dict.fromkeys(table.emotion, 0)
    while len(chosen) < n_clips and any(queues):
        for queue in filter(None, queues):
            best = min(queue, key=lambda i: seen[table.emotion[i]])
            queue.remove(best)
            seen[table.emotion[best]] += 1
            chosen.append(best)
    return [corpus[i] for i in chosen[:n_clips]]


def refer(clip, judges: Judges, n_frames: int) -> Reference:
    """Looks at the first ``n_frames`` real frames of ``clip``."""
    frames = clip.frames(range(min(n_frames, clip.n_frames)))
    landmarks = judges.track(frames)
    few = frames[::STRIDE]
    return Reference(
        clip,
        frames,
        clip.audio(),
        landmarks,
        judges.emotion(few),
        judges.identity(frames[:1], landmarks[:1]),
        judges.distribution(few),
    )


def refer_all(clips: Sequence, judges: Judges, n_frames: int) -> list[Reference]:
    """:func:`refer` of each clip; a clip whose real frames show no face is left out. EmolibError if none is left."""
    found = []
    for clip in clips:
        with contextlib.suppress(EmolibError):
            found.append(refer(clip, judges, n_frames))
    if not found:
        raise EmolibError(f"no face found in any of {len(clips)} test clips; look at the pictures of the stage 01_data")
    return found


def score_clip(
    frames: np.ndarray,
    reference: Reference,
    judges: Judges,
    metrics: Sequence[str] = METRICS,
    others: Sequence[np.ndarray] = (),
) -> tuple[dict, np.ndarray]:
    """({metric: value}, distribution features) of one generated clip (T, S, S, 3) uint8 against the real one.

    ``others``: the sources' identities of other people, (1, D) each.
    """
    if frames.shape != reference.frames.shape:
        raise ValueError(f"generated frames {frames.shape} do not match the real ones {reference.frames.shape}")
    images, real, few = to_tensor(frames), to_tensor(reference.frames), frames[::STRIDE]
    measures = {
        "EFD": lambda: efd(judges.emotion(few), reference.emotion).mean(),
        "PSNR": lambda: float(psnr(images, real).mean()),
        "SSIM": lambda: float(ssim(images, real).mean()),
        "LPIPS": lambda: float(lpips(images[::STRIDE], real[::STRIDE]).mean()),
    }
    values = {name: measures[name]() if name in measures and name in metrics else np.nan for name in METRICS}
    values |= {"CPBD": float(cpbd(few).mean()), "Emotion": float(judges.emotion_class(few) == reference.clip.emotion)}
    values |= dict.fromkeys(("M-LVD", "F-LD", "F-LVD"), np.nan)
    if "Sync" in metrics:
        values |= zip(SYNC, judges.sync(frames, reference.audio, float(reference.clip.fps)))
    with contextlib.suppress(EmolibError):  # no face found: counted in faces_lost
        landmarks = judges.track(frames)
        real_landmarks = reference.landmarks
        values["LMD"] = lmd(landmarks, real_landmarks, frames.shape[1]).mean()
        values["M-LVD"] = lmvd(landmarks, real_landmarks, frames.shape[1]).mean()
        values["F-LD"] = face_lmd(landmarks, real_landmarks, frames.shape[1]).mean()
        steps, real_steps = np.diff(landmarks, axis=0), np.diff(real_landmarks, axis=0)
        values["F-LVD"] = face_lmd(steps, real_steps, frames.shape[1]).mean()
        # One person twice: at rest both have the same face, whatever it is.
        values["LMD static"] = static_lmd(landmarks, real_landmarks, real_landmarks, real_landmarks)
        values["LMD dynamic"] = dynamic_lmd(landmarks, real_landmarks)
        values["Opening"] = opening_error(landmarks, real_landmarks)
        if "CSIM" in metrics:
            identity = judges.identity(few, landmarks[::STRIDE])
            own = csim(identity, np.broadcast_to(reference.identity, identity.shape))
            values["CSIM"] = own.mean()
            if len(others):
                values["Own face"] = (own[:, None] > csim(identity[:, None], np.concatenate(others))).all(1).mean()
    return values, judges.distribution(few)


def evaluate(
    name: str,
    references: Sequence[Reference],
    judges: Judges,
    generate: Callable[[Reference], np.ndarray],
    keep: Sequence[int] = (),
    metrics: Sequence[str] = METRICS,
) -> Row:
    """Measures one method. ``generate``: reference -> uint8 frames of its shape. keep: numbers of the clips whose
    frames are kept. metrics: those wanted (LMD and FID are always there); others are nan.
    """
    lines, features, kept = [], [], {}
    for i, reference in enumerate(references):
        frames = generate(reference)
        if i in keep:
            kept[i] = frames
        clip = reference.clip
        others = [r.identity for r in references if r.clip.identity != clip.identity]
        values, seen = score_clip(frames, reference, judges, metrics, others)
        lines.append({"clip_id": clip.clip_id, "identity": clip.identity, "emotion": clip.emotion} | values)
        features.append(seen)
    return Row(name, pd.DataFrame(lines), features, [r.distribution for r in references], kept)


def resound(name: str, row: Row, references: Sequence[Reference], judges: Judges, audio: Callable) -> Row:
    """The row of the real video with Sync measured against another sound, ``audio(i)`` for clip number i (sanity
    rows).
    """
    heard = [judges.sync(r.frames, audio(i), float(r.clip.fps)) for i, r in enumerate(references)]
    return replace(row, name=name, clips=row.clips.assign(**dict(zip(SYNC, zip(*heard)))))


class Spread:
    """95 % intervals over clips: see the protocol above. Build it once a table, from the clips' identities."""

    def __init__(self, identities: Sequence, seed: int, draws: int = 1000):
        rng = np.random.default_rng(seed)
        groups = [np.flatnonzero(np.asarray(identities) == g) for g in sorted(set(identities))]
        self.weights = np.zeros((draws, len(identities)))  # how often each draw holds each clip
        for row in self.weights:
            for g in rng.integers(len(groups), size=len(groups)):
                np.add.at(row, rng.choice(groups[g], size=len(groups[g])), 1)

    def means(self, values: "Sequence[float] | np.ndarray | pd.Series") -> np.ndarray:
        """The mean of one value a clip in each draw; a missing value (nan) is left out, and draws that hold no other."""
        values = np.asarray(values, np.float64)
        there = ~np.isnan(values)
        weights = self.weights[:, there]
        weights = weights[weights.sum(1) > 0]
        return weights @ values[there] / weights.sum(1)

    def interval(self, values: "Sequence[float] | np.ndarray | pd.Series") -> tuple[float, float]:
        """Interval of the mean of one value a clip."""
        means = self.means(values)
        if not len(means):
            return float("nan"), float("nan")
        low, high = np.percentile(means, (2.5, 97.5))
        return float(low), float(high)

    def p_value(self, values: "Sequence[float] | np.ndarray | pd.Series") -> float:
        """Of the mean being 0, two-sided: twice the share of draws on the rarer side of 0; never below one draw's share."""
        means = self.means(values)
        if not len(means):
            return float("nan")
        return float(min(1.0, 2 * max(min((means <= 0).mean(), (means >= 0).mean()), 1 / len(self.weights))))


def holm(values: Sequence[float]) -> np.ndarray:
    """p-values of one block of comparisons (n,) -> adjusted ones (n,): Holm, "A simple sequentially rejective multiple test procedure",
    Scand. J. Statist. 6, 1979."""
    p = np.asarray(values, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def pooled_fid(row: Row, leave_out: int | None = None) -> float:
    """Frechet distance of all frames of a row from the real ones, optionally without clip number ``leave_out``."""
    keep = [i for i in range(len(row.features)) if i != leave_out]
    return frechet_distance(
        np.concatenate([row.features[i] for i in keep]), np.concatenate([row.real_features[i] for i in keep])
    )


def jackknife(whole: float, parts: np.ndarray) -> tuple[float, float]:
    """95 % interval of ``whole`` from its values with one clip left out each."""
    n = len(parts)
    error = np.sqrt((n - 1) / n * ((parts - parts.mean()) ** 2).sum())
    return whole - 1.96 * error, whole + 1.96 * error


def summary(row: Row, spread: Spread, metrics: Sequence[str] = METRICS) -> dict[str, tuple[float, float, float]]:
    """{metric: (value, low, high)} of one row, of ``metrics``, some of METRICS and SINHA."""
    result = {}
    for metric in metrics:
        if metric == "FID":
            parts = np.array([pooled_fid(row, i) for i in range(len(row.features))]) if len(row.features) > 1 else None
            whole = pooled_fid(row)
            result[metric] = (whole, *(jackknife(whole, parts) if parts is not None else (np.nan, np.nan)))
        else:
            result[metric] = (float(row.clips[metric].mean()), *spread.interval(row.clips[metric]))
    return result


def paired_difference(a: Row, b: Row, metric: str, spread: Spread) -> tuple[float, float, float]:
    """(difference a - b, low, high) over the same clips."""
    if metric == "FID":
        parts = np.array([pooled_fid(a, i) - pooled_fid(b, i) for i in range(len(a.features))])
        whole = pooled_fid(a) - pooled_fid(b)
        return whole, *jackknife(whole, parts)
    difference = a.clips[metric].to_numpy() - b.clips[metric].to_numpy()
    return float(np.nanmean(difference)), *spread.interval(difference)


def paired_p(a: Row, b: Row, metric: str, spread: Spread) -> float:
    """p-value of that difference being 0; of FID by the jackknife's normal interval."""
    if metric != "FID":
        return spread.p_value(a.clips[metric].to_numpy() - b.clips[metric].to_numpy())
    value, low, high = paired_difference(a, b, metric, spread)
    return float(2 * norm.sf(1.96 * abs(value) / max((high - low) / 2, 1e-12)))
