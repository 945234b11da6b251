"""How near a converter comes to actors it has not seen, beside rows that it must beat: a constant face, loudness, a linear map.

All are told the emotion and its level; the latter two add to the constant face of the former what the sound says. "truth" is the row of the
actors themselves: what a perfect converter would get.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.eac import Eac, emotion_code, predict
from emolib.emotions import EMOTIONS
from emolib.face.model import FaceModel
from emolib.hearing import FPS, Windows
from emolib.metrics.landmarks import correlation, mouth_opening
from emolib.train.eac import LANDMARK_SIZE

REACH = 4  # frames by which the lips may be off
# Of the eye distance, beyond the opening of the neutral face: lips that touch are nearer, lips that are apart farther. The mesh's inner
# lips are .04 to .07 apart when a face is neutral, .03 more where its actor says p, b or m: so measured, the actors' own touch in 98 %.
TOUCH, APART = 0.06, 0.1
STEPS = (1.0, 1.5, 2.0, 2.5, 3.0)  # intensities over which an emotion must grow
Says = Callable[[dict], Tensor]  # what makes beta (T, 64) of a clip


def points(model: FaceModel, alpha: np.ndarray, beta: Tensor) -> Tensor:
    """The 68 points (T,68,2) of a face that looks ahead, pixels of a 224-pixel crop."""
    count = len(beta)
    return model.landmarks(torch.from_numpy(alpha)[None].expand(count, -1), beta, torch.zeros(count, 6), LANDMARK_SIZE)


def at_rest(model: FaceModel, alpha: np.ndarray) -> float:
    """Opening of the mouth of a head's neutral face, pixels of that crop."""
    return float(mouth_opening(points(model, alpha, torch.zeros(1, 64))))


def heard_by(eac: Eac, clip: dict) -> Tensor:
    """e_audio (D,) of a clip's sound."""
    return eac.embed_audio(torch.from_numpy(clip["heard"].astype(np.float32))[None])[0]


def by_net(eac: Eac, ame, modality: str = "text", *, mu: float | None = None, styles: int | None = None) -> Says:
    """A converter, told by the label as text or by the clip's own audio, at the clip's level or at ``mu``. styles: seed of one style code a
    person (the average style by default)."""
    codes = {emotion: emotion_code(eac, ame, emotion) for emotion in EMOTIONS}

    def says(clip: dict) -> Tensor:
        windows = Windows(eac, clip["heard"].astype(np.float32), len(clip["beta"]), FPS)
        with torch.no_grad():
            code = heard_by(eac, clip) if modality == "audio" else codes[EMOTIONS[clip["emotion"]]]
        style = None
        if styles is not None:
            draw = np.random.default_rng([styles, int(clip["person"])])
            style = torch.from_numpy(draw.normal(size=eac.config["style"]).astype(np.float32))
        return predict(eac, windows, code, float(clip["level"]) if mu is None else mu, style=style)[0].cpu()

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


def lips(made: Tensor, truth: Tensor, moments: np.ndarray | None = None, rest: float = 0.0) -> dict[str, float]:
    """Of two tracks of points (T,68,2): mouth_correlation, mouth_amplitude (deviation over the truth's), lag_ms at which the correlation is
    highest (positive: late), and lmd_true_px256, the mean distance of the 20 mouth points at 256 px.

    With ``moments`` (T,) of :func:`synthface.acting.moments`: the share, in percent, of p, b, m at which lips touch and of open vowels at
    which they are apart (``rest``: the opening of the head's neutral face), and how much wider the mouth is at rest than the truth's,
    percent of the eye distance; NaN where a clip has none.
    """
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
    away = (made - truth)[:, 48:].norm(dim=2).mean()
    found = {
        "mouth_correlation": apart[REACH],
        "mouth_amplitude": float(opening.std() / max(real.std(), 1e-6)),
        "lag_ms": 1000 * lag / FPS,
        "lmd_true_px256": float(away) * 256 / LANDMARK_SIZE,
    }
    if moments is None:
        return found
    eyes = float((truth[:, 36:42].mean(1) - truth[:, 42:48].mean(1)).norm(dim=1).mean())
    said = {
        "closure_pct": 100.0 * (opening[moments == 1] - rest < TOUCH * eyes),
        "apart_pct": 100.0 * (opening[moments == 2] - rest > APART * eyes),
        "silence_opening_pct": 100.0 * (opening - real)[moments == 3] / eyes,
    }
    return found | {name: float(values.mean()) if len(values) else float("nan") for name, values in said.items()}


def acted_scores(says: Says, clips: Iterable[dict], model: FaceModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(one row a clip: :func:`lips` and landmark_px, the mean distance of the 68 points; one row an emotion and level: slope and r of the
    mean movement, away from the neutral face of the same speaker, against the actors', and the share of people whose own movement lies
    nearest to that emotion's truth at that level). Clips in which nobody speaks have no lips but those at rest."""
    rows, moved = [], []
    for clip in clips:
        made, truth = (points(model, clip["alpha"], b) for b in (says(clip), torch.from_numpy(clip["beta"])))
        kind = {"person": clip["person"], "emotion": EMOTIONS[clip["emotion"]], "level": int(clip["level"])}
        scores = lips(made, truth, clip["moments"], at_rest(model, clip["alpha"]))
        if not clip["spoken"]:
            scores |= dict.fromkeys(
                ("mouth_correlation", "mouth_amplitude", "lag_ms"), float("nan")
            )  # nothing to follow
        rows.append(kind | scores | {"landmark_px": float((made - truth).norm(dim=2).mean())})
        moved.append(kind | {"made": made.mean(0).flatten().numpy(), "truth": truth.mean(0).flatten().numpy()})
    return pd.DataFrame(rows), _movement(pd.DataFrame(moved))


def _movement(moved: pd.DataFrame) -> pd.DataFrame:
    calm = {row.person: (row.made, row.truth) for row in moved[moved["emotion"] == "neutral"].itertuples()}
    moved = moved[moved["person"].isin(calm.keys()) & (moved["emotion"] != "neutral")]
    own = {
        kind: [np.stack([getattr(row, n) - calm[row.person][k] for row in part.itertuples()]) for k, n in enumerate(("made", "truth"))]
        for kind, part in moved.groupby(["emotion", "level"])
    }  # fmt: skip
    found = []
    for (emotion, level), (each, true) in own.items():
        made, truth = each.mean(0), true.mean(0)
        wanted = {e: t.mean(0) for (e, v), (_, t) in own.items() if v == level}
        near = [min(wanted, key=lambda e: float(np.linalg.norm(one - wanted[e]))) for one in each]
        row = {"emotion": emotion, "level": level, "slope": made @ truth / (truth @ truth)}
        row |= {"r": np.corrcoef(made, truth)[0, 1], "made_px": np.linalg.norm(made), "true_px": np.linalg.norm(truth)}
        found.append(row | {"nearest": np.mean([n == emotion for n in near]), "people": len(each)})
    return pd.DataFrame(found)


def growth(eac: Eac, ame, clips: Sequence[dict]) -> pd.DataFrame:
    """How far the mean expression, in units of beta, lies from the neutral one of intensity 1 at each of :data:`STEPS`: one row an emotion,
    with ``monotone`` and ``gain``, the last over the first; the first row is of the neutral face, which should stay where it is. The sounds
    are those of ``clips``, in which the truth may be anything."""
    rest = _mean(by_net(eac, ame, mu=1.0), clips, "neutral")
    rows = []
    for emotion in EMOTIONS:
        far = [float((_mean(by_net(eac, ame, mu=mu), clips, emotion) - rest).norm()) for mu in STEPS]
        row: dict = {"emotion": emotion} | {f"mu_{mu:g}": value for mu, value in zip(STEPS, far)}
        rows.append(
            row | {"monotone": bool(np.all(np.diff(far) > 0)), "gain": far[-1] / far[0] if far[0] else float("nan")}
        )
    return pd.DataFrame(rows)


def _mean(says: Says, clips: Sequence[dict], emotion: str) -> Tensor:
    return torch.stack([says(clip | {"emotion": EMOTIONS.index(emotion)}).mean(0) for clip in clips]).mean(0)


def style_variance(eac: Eac, ame, clips: Iterable[dict], model: FaceModel, seed: int) -> float:
    """Variance over people of the mean expression at level 3, 68 points of one head, of the truth's: each person has a drawn style. Mean
    over the emotions."""
    says, shares = by_net(eac, ame, styles=seed), []
    strong = [clip for clip in clips if clip["level"] == 3]
    for emotion in range(1, len(EMOTIONS)):
        part = [clip for clip in strong if clip["emotion"] == emotion]
        if len(part) > 2:
            made, truth = (
                torch.stack([points(model, np.zeros(80, np.float32), b).mean(0) for b in betas])
                for betas in ([says(c) for c in part], [torch.from_numpy(c["beta"]) for c in part])
            )
            shares.append(float(made.var(0).sum() / truth.var(0).sum()))
    return float(np.mean(shares)) if shares else float("nan")


def _nearness(eac: Eac, texts: Tensor, heard: Tensor) -> Tensor:
    """Cosines (N, 8) of e_audio (N, D) with the texts of the emotions (8, D), each less its mean."""
    return F.normalize(heard - eac.emotion_mean, dim=1) @ F.normalize(texts - texts.mean(0), dim=1).T


def probe(
    heard: Sequence[np.ndarray], emotions: Sequence[int], unseen: Sequence[np.ndarray], truth: Sequence[int]
) -> float:
    """Balanced accuracy on ``unseen`` of a logistic regression on mean and deviation of features (F,C) over time, learnt from ``heard``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, others = (
        np.stack([np.r_[x.mean(0), x.std(0)] for x in (one.astype(np.float32) for one in some)])
        for some in (heard, unseen)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500, class_weight="balanced"))
    return _balanced(truth, model.fit(rows, emotions).predict(others))


def _balanced(truth, said) -> float:
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(truth, said))


@torch.no_grad()
def voices_told(eac: Eac, ame, clips: Sequence[dict], known: Sequence[dict]) -> dict[str, float]:
    """What e_audio says of those ``clips`` that are spoken: audio_class_hit, how often it lies nearest to the text of its emotion, all less
    their means; audio_probe_acc, a logistic regression on the mean and deviation of the same features, learnt from ``known``;
    audio_spread_of_text, how far embeddings lie from their mean, of how far the texts do. Emotions weigh alike."""
    clips, known = ([c for c in some if c["spoken"]] for some in (clips, known))
    texts = ame.text(EMOTIONS).float().cpu()
    heard = torch.stack([heard_by(eac, clip) for clip in clips])
    emotions = [int(clip["emotion"]) for clip in clips]
    spread = [float((x - x.mean(0)).norm(dim=1).mean()) for x in (heard, texts)]
    return {
        "audio_class_hit": _balanced(emotions, _nearness(eac, texts, heard).argmax(1).tolist()),
        "audio_probe_acc": probe(
            [c["heard"] for c in known], [c["emotion"] for c in known], [c["heard"] for c in clips], emotions
        ),
        "audio_spread_of_text": spread[0] / spread[1],
    }


@torch.no_grad()
def real_voices(eac: Eac, ame, clips: Sequence[dict], model: FaceModel) -> dict[str, float]:
    """What a converter makes of real voices, ``clips`` of :func:`emolib.corpus.aligned.real_clips`: :func:`lips`' scores, as ravdess_...;
    ravdess_other_sentence, the correlation with the lips of the other sentence by the same actor, which a good net has not; ravdess_acc,
    how often e_audio lies nearest to the text of its emotion, of seven, which weigh alike. No voice here was learnt from."""
    says, rows, others = by_net(eac, ame), [], []
    for clip in clips:
        made, truth = (points(model, clip["alpha"], b) for b in (says(clip), torch.from_numpy(clip["beta"])))
        rows.append(lips(made, truth, clip["moments"], at_rest(model, clip["alpha"])))
        same = ("person", "emotion", "level")
        other = [c for c in clips if c["statement"] != clip["statement"] and all(c[k] == clip[k] for k in same)]
        if other:
            track = points(model, clip["alpha"], torch.from_numpy(other[0]["beta"]))
            count = min(len(track), len(made))
            others.append(correlation(mouth_opening(made[:count]), mouth_opening(track[:count])))
    silent = ["silence_opening_pct"]  # of a face that feels, against a truth that does not
    found = {f"ravdess_{name}": float(value) for name, value in pd.DataFrame(rows).drop(columns=silent).mean().items()}
    known = sorted({int(clip["emotion"]) for clip in clips})
    heard = torch.stack([heard_by(eac, clip) for clip in clips])
    near = _nearness(eac, ame.text(EMOTIONS).float().cpu(), heard)[:, known].argmax(1)
    found["ravdess_acc"] = _balanced([int(clip["emotion"]) for clip in clips], [known[k] for k in near.tolist()])
    return found | {"ravdess_other_sentence": float(np.mean(others)) if others else float("nan")}


def measures(
    eac: Eac, ame, clips: Sequence[dict], known: Sequence[dict], model: FaceModel, seed: int
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """(the few numbers that say how good a converter is on ``clips``, :func:`acted_scores`' movement, :func:`growth`, and its row a clip).

    known: what the probe of :func:`voices_told` learns from. seed: of the styles.
    """
    lips_of, movement = acted_scores(by_net(eac, ame), clips, model)
    spoken = [clip for clip in clips if clip["spoken"]]
    grown = growth(eac, ame, spoken[:: max(1, len(spoken) // 12)])
    strong = movement[movement["level"] == 3]
    found = lips_of.drop(columns=["person", "emotion", "level"]).mean().to_dict()
    found["mouth_correlation_text"] = found.pop("mouth_correlation")
    found |= {"expression_slope_min": strong["slope"].min(), "expression_slope_max": strong["slope"].max()}
    found |= {"expression_r_min": strong["r"].min(), "expression_nearest": strong["nearest"].mean()}
    felt, calm = grown[1:], grown.iloc[0]
    found |= {"intensity_monotone": felt["monotone"].mean(), "intensity_gain_min": felt["gain"].min()}
    found["neutral_drift"] = calm["mu_3"] / felt["mu_3"].mean()
    found["style_variance"] = style_variance(eac, ame, clips, model, seed) if eac.config["style"] else 0.0
    found |= voices_told(eac, ame, clips, known)
    return {name: float(value) for name, value in found.items()}, movement, grown, lips_of
