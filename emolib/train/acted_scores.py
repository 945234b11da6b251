"""How near a converter comes to actors it has not seen, beside rows that it must beat: a constant face, loudness, a linear map.

All are told the emotion and its level; the latter two add to the constant face of the former what the sound says.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emolib.eac import Eac, Windows, emotion_code, predict
from emolib.emotions import EMOTIONS
from emolib.face.model import FaceModel
from emolib.metrics.landmarks import correlation, mouth_opening
from emolib.train.acted import FPS
from emolib.train.eac import LANDMARK_SIZE

REACH = 4  # frames by which the lips may be off
Says = Callable[[dict], Tensor]  # what makes beta (T, 64) of a clip


def points(model: FaceModel, alpha: np.ndarray, beta: Tensor) -> Tensor:
    """The 68 points (T,68,2) of a face that looks ahead, pixels of a 224-pixel crop."""
    count = len(beta)
    return model.landmarks(torch.from_numpy(alpha)[None].expand(count, -1), beta, torch.zeros(count, 6), LANDMARK_SIZE)


def by_net(eac: Eac, ame) -> Says:
    """A converter, told by the label as text."""
    codes = {emotion: emotion_code(eac, ame, emotion) for emotion in EMOTIONS}

    def says(clip: dict) -> Tensor:
        windows = Windows(eac, clip["heard"].astype(np.float32), len(clip["beta"]), FPS)
        return predict(eac, windows, codes[EMOTIONS[clip["emotion"]]], float(clip["level"]))[0].cpu()

    return says


def _heard(clip: dict) -> np.ndarray:
    """(T, 5 * 768): the features of 200 ms about each frame, two and two."""
    pairs = clip["heard"].astype(np.float32).reshape(len(clip["beta"]), 2, -1).mean(1)
    place = np.arange(len(pairs))[:, None] + np.arange(-2, 3)
    return pairs[place.clip(0, len(pairs) - 1)].reshape(len(pairs), -1)


def _loud(clip: dict) -> np.ndarray:
    """(T, 5): the levels of those 200 ms."""
    pairs = clip["loudness"].reshape(-1, 2).mean(1)
    return pairs[(np.arange(len(pairs))[:, None] + np.arange(-2, 3)).clip(0, len(pairs) - 1)]


def rivals(clips: list[dict], most: int = 40_000) -> dict[str, Says]:
    """The rows that a net must beat, learnt from ``clips``, of whose frames ``most`` are looked at: their names and what they say."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kinds = [(clip["emotion"], clip["level"]) for clip in clips]
    mean = {
        kind: np.concatenate([c["beta"] for c, k in zip(clips, kinds) if k == kind]).mean(0)
        for kind in sorted(set(kinds))
    }
    some = clips[:: max(1, sum(len(clip["beta"]) for clip in clips) // most)]
    left = np.concatenate([clip["beta"] - mean[clip["emotion"], clip["level"]] for clip in some])

    def constant(clip: dict) -> Tensor:
        return torch.from_numpy(mean[clip["emotion"], clip["level"]]).expand(len(clip["beta"]), -1)

    def fitted(feature: Callable[[dict], np.ndarray], strength: float) -> Says:
        model = make_pipeline(StandardScaler(), Ridge(strength))
        model.fit(np.concatenate([feature(clip) for clip in some]), left)
        return lambda clip: constant(clip) + torch.from_numpy(model.predict(feature(clip)).astype(np.float32))

    return {"constant": constant, "loudness": fitted(_loud, 1.0), "ridge": fitted(_heard, 3000.0)}


def lips(made: Tensor, truth: Tensor) -> dict[str, float]:
    """Of two tracks of points (T,68,2): mouth_correlation, mouth_amplitude (deviation over the truth's) and lag_ms at which the correlation
    is highest (positive: late)."""
    opening, real = mouth_opening(made).double().numpy(), mouth_opening(truth).double().numpy()
    count, shifts = len(real), range(-REACH, REACH + 1)
    apart = [
        correlation(
            torch.from_numpy(opening[max(0, k) : count + min(0, k)]),
            torch.from_numpy(real[max(0, -k) : count - max(0, k)]),
        )
        for k in shifts
    ]
    lag = shifts[int(np.nanargmax(apart))] if np.isfinite(apart).any() else 0
    return {
        "mouth_correlation": apart[REACH],
        "mouth_amplitude": float(opening.std() / max(real.std(), 1e-6)),
        "lag_ms": 1000 * lag / FPS,
    }


def acted_scores(says: Says, clips: Iterable[dict], model: FaceModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(one row a clip: :func:`lips` and landmark_px, the mean distance of the 68 points; one row an emotion and level: slope and r of the
    mean movement, away from the neutral face of the same speaker, against the actors')."""
    rows, moved = [], []
    for clip in clips:
        made, truth = (points(model, clip["alpha"], b) for b in (says(clip), torch.from_numpy(clip["beta"])))
        kind = {"person": clip["person"], "emotion": EMOTIONS[clip["emotion"]], "level": int(clip["level"])}
        rows.append(kind | lips(made, truth) | {"landmark_px": float((made - truth).norm(dim=2).mean())})
        moved.append(kind | {"made": made.mean(0).flatten().numpy(), "truth": truth.mean(0).flatten().numpy()})
    return pd.DataFrame(rows), _movement(pd.DataFrame(moved))


def _movement(moved: pd.DataFrame) -> pd.DataFrame:
    found = []
    calm = {row.person: (row.made, row.truth) for row in moved[moved["emotion"] == "neutral"].itertuples()}
    moved = moved[moved["person"].isin(calm.keys()) & (moved["emotion"] != "neutral")]
    for (emotion, level), part in moved.groupby(["emotion", "level"]):
        made, truth = (
            np.mean([getattr(row, name) - calm[row.person][k] for row in part.itertuples()], axis=0)
            for k, name in enumerate(("made", "truth"))
        )
        row = {"emotion": emotion, "level": level, "slope": made @ truth / (truth @ truth)}
        row |= {"r": np.corrcoef(made, truth)[0, 1], "made_px": np.linalg.norm(made), "true_px": np.linalg.norm(truth)}
        found.append(row | {"people": part["person"].nunique()})
    return pd.DataFrame(found)
