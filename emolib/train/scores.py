"""How well trained converters do on clips they have not seen: the table of stage 04."""

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from emolib.eac import Eac
from emolib.emotions import EMOTIONS
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import composite
from emolib.media.pictures import resized, to_tensor
from emolib.metrics.landmarks import correlation, mouth_opening
from emolib.reenact import condition, generate
from emolib.train.eac import LANDMARK_SIZE


@torch.no_grad()
def eac_scores(
    eac: Eac, clips: Iterable, ame, model: FaceModel, judge, *, modalities: Sequence[str] = ("text",), size: int = 96
) -> pd.DataFrame:
    """Scores on whole clips against their fitted coefficients: a table with one row a clip and condition.

    beta_rmse: per number of beta (unit scale). landmark_px, mouth_px: mean distance of all 68, of the 20 mouth points in
    pixels of a 224-pixel crop. mouth_correlation: of the mouth opening over time. emo_distance: norm between the features that
    ``judge``, an emotion net, sees in I^3d and in I, at one and two thirds of the clip. emo_hit: share of those I^3d that it
    names right. size: side of what is rendered, pixels.
    """
    rows = []
    for clip in clips:
        theta, index = clip.coefficients(), [clip.n_frames // 3, 2 * clip.n_frames // 3]
        pictures = resized(to_tensor(clip.frames(index)), size)
        real, felt = _points(model, theta), judge.features(pictures)
        for modality in modalities:
            guess, _ = generate(eac, clip, condition(eac, ame, clip, modality))
            made, seen = _points(model, guess), judge.features(composite(model, guess[index], pictures)[0])
            distance = (real - made).norm(dim=2)
            row = {"clip_id": clip.clip_id, "emotion": clip.emotion, "condition": modality}
            row["beta_rmse"] = float((theta.beta - guess.beta).square().mean().sqrt())
            row |= {"landmark_px": float(distance.mean()), "mouth_px": float(distance[:, 48:].mean())}
            row["mouth_correlation"] = correlation(mouth_opening(real), mouth_opening(made))
            row["emo_distance"] = float((seen - felt).norm(dim=1).mean())
            row["emo_hit"] = float((judge.head(seen).argmax(1) == EMOTIONS.index(clip.emotion)).float().mean())
            rows.append(row)
    return pd.DataFrame(rows)


def _points(model: FaceModel, theta: Coefficients) -> Tensor:
    return model.landmarks(theta.alpha, theta.beta, theta.pose, LANDMARK_SIZE)
