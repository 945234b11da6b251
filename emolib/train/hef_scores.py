"""How well a trained generator does on people it has not seen: the table of stage 05."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.face.landmarks import track
from emolib.face.model import Coefficients
from emolib.hef import Hef
from emolib.layers import warp
from emolib.media.pictures import to_frames
from emolib.metrics.image import lpips, psnr, ssim
from emolib.metrics.landmarks import REFERENCE, dynamic_lmd, lmd
from emolib.metrics.protocol import Spread
from emolib.sight import length, look, sight
from emolib.train.hef import Pairs

# What the generator must be better in than its own start.
OVER_MESH = "psnr_db", "lpips", "lmd_dynamic_pct", "mouth_error_px"


ROWS = "hef", "mesh", "warp", "still"


@torch.no_grad()
def hef_scores(hef: Hef, batches: Iterable, against: tuple[str, ...] = ROWS) -> pd.DataFrame:
    """Scores of each batch (the frames of one clip) for the generator, ``hef``, and three rows that it must beat: one line each.

    ``mesh``: its own start, nothing learned: the source moved by the mesh, with what it does not show drawn. ``warp``: the source moved,
    nothing drawn. ``still``: the source. The columns: ``l1``, ``l1_mouth_eyes`` (under the focus map), ``psnr_db``, ``ssim``, ``lpips``
    (see :func:`emolib.metrics.image.lpips_name` for what that is here), and by the face net's landmarks ``lmd_dynamic_pct``
    (:func:`emolib.metrics.landmarks.dynamic_lmd`) and ``mouth_error_px`` (:func:`emolib.metrics.landmarks.lmd`); nan where it sees no face.
    """
    lines, start = [], Hef(**hef.config).to(hef.constant.device).eval()  # whose heads are 0
    for number, batch in enumerate(batches):
        batch = batch.share(hef.constant.device)
        source, truth, focus = batch.source, batch.truth, batch.focus
        rows = {
            "hef": hef.generate(hef.encode_source(source), batch.drive),
            "mesh": start.generate(start.encode_source(source), batch.drive),
            "warp": warp(source, batch.drive.motion),
            "still": source.expand_as(truth),
        }
        real = _landmarks(truth)
        for name in against:
            image = rows[name]
            error = (image - truth).abs()
            line = {"row": name, "batch": number, "identity": batch.identity, "l1": error.mean()}
            line["l1_mouth_eyes"] = (error * focus).sum() / (3 * focus.sum())
            line |= {k: f(image, truth).mean() for k, f in (("psnr_db", psnr), ("ssim", ssim), ("lpips", lpips))}
            seen = _landmarks(image)
            line["lmd_dynamic_pct"] = np.nan if real is None or seen is None else dynamic_lmd(seen, real)
            line["mouth_error_px"] = np.nan if real is None or seen is None else lmd(seen, real, image.shape[-1]).mean()
            lines.append({k: v if isinstance(v, (str, int)) else float(v) for k, v in line.items()})
    return pd.DataFrame(lines)


@torch.no_grad()
def flow_errors(hef: Hef, pairs: Pairs, batches: Iterable) -> pd.DataFrame:
    """Mean distance of flows from the corpus's true ones, in pixels of a 256-pixel crop, where the source shows the surface: a line each
    batch, by region. ``mesh``: M, of the fits; ``hef``: phi_N. Of a corpus without truth, none."""
    lines, scale = [], REFERENCE / 2
    for batch in batches:
        clip, frames, source, first = batch.taken
        try:
            drive, own = (pairs.clips[i].truth() for i in (clip, source))
        except EmolibError:  # a real clip
            continue
        model = replace(pairs.model, mean_shape=torch.from_numpy(own["vertices_neutral"]).float())  # the true head
        drives, own = (
            Coefficients.from_vector(torch.from_numpy(truth["coefficients"]))[at]
            for truth, at in ((drive, frames), (own, [first]))
        )
        drives, own = (c.replace(alpha=torch.zeros_like(c.alpha)) for c in (drives, own))
        found = sight(model, look(model, own, hef.size), drives, hef.size)
        truth, there = found.flow / found.seen.clamp(min=1e-3), found.seen > 0.9
        flow = hef(batch.source, batch.drive).flows[-1]
        for region, where in {"face": there, "mouth_eyes": there & (batch.focus > 0.5)}.items():
            errors = {
                name: length(x - truth)[where].mean() for name, x in (("mesh", batch.drive.motion), ("hef", flow))
            }
            lines.append(
                {"region": region, "identity": batch.identity} | {k: scale * float(v) for k, v in errors.items()}
            )
    return pd.DataFrame(lines, columns=["region", "identity", "mesh", "hef"])


def _landmarks(image: Tensor) -> np.ndarray | None:
    try:
        return track(to_frames(image))
    except EmolibError:
        return None


def over_mesh(scores: pd.DataFrame, seed: int, draws: int = 4000) -> dict[str, float]:
    """``hef`` less ``mesh`` in each of :data:`OVER_MESH` over the same batches, and its 95 % interval over people: _low, _high."""
    mine, start = (scores[scores.row == name].set_index("batch") for name in ("hef", "mesh"))
    spread, found = Spread(mine.identity, seed, draws), {}
    for column in OVER_MESH:
        kind, _, unit = column.rpartition("_")
        name = f"{kind}_over_mesh_{unit}" if kind else f"{column}_over_mesh"
        difference = mine[column] - start[column]
        found[name] = float(difference.mean())
        found[f"{name}_low"], found[f"{name}_high"] = spread.interval(difference)
    return found
