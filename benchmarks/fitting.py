"""How fast and how good the fit of a clip is: the banded Gauss-Newton of emolib against L-BFGS through autograd on the same objective.

    python benchmarks/fitting.py            a table
    python benchmarks/fitting.py --json     one JSON object

The clip is rendered by the corpus, of a person nobody was trained on; the points are those the net and the detector see in it. Both solvers
minimise the same sum of squares (points, priors, smoothness); "objective" is what they reach, relative to Gauss-Newton's.
"""

import argparse
import json
import time

import numpy as np
import torch

from emolib.face.alignment import nme
from emolib.face.appearance import BETA_WEIGHT, SIGMA_ACTION
from emolib.face.camera import project
from emolib.face.fitting import dense_net, fit_clip, look
from emolib.face.gauss_newton import N_EXP, SIGMA_POSE, SIGMA_STEP, Evidence, fit_points
from emolib.face.landmarks import track
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from synthface.synth import ClipSpec, Studio


def objective(model: FaceModel, evidence: Evidence, alpha, frame) -> torch.Tensor:
    """The negative log posterior that step A minimises, for alpha (80,) and frames (T, 70); float64."""
    index = torch.as_tensor(evidence.index)
    basis = torch.cat([model.id_basis[:, index], model.exp_basis[:, index]]).double()
    weights = torch.cat([alpha.expand(len(frame), -1), frame[:, :N_EXP]], 1)
    points = model.mean_shape[index].double() + torch.as_tensor(evidence.offset) + torch.tensordot(weights, basis, 1)
    miss = (project(points, frame[:, N_EXP:], 1)[..., :2] - torch.as_tensor(evidence.points)).flatten(1)
    actions = frame[:, :N_EXP] @ model.beta_to_arkit.double()
    outside = (actions - actions.clamp(0, 1)) / SIGMA_ACTION
    apart = frame[:, :N_EXP] - model.beta_mean.double()
    prior = BETA_WEIGHT * (apart @ torch.linalg.inv(model.beta_covariance.double()) * apart).sum()
    prior = prior + (frame[:, N_EXP:] / torch.as_tensor(SIGMA_POSE)).square().sum()
    smooth = (frame.diff(dim=0) / torch.as_tensor(SIGMA_STEP)).square().sum()
    data = torch.einsum("ti,ij,tj->", miss, torch.as_tensor(evidence.precision), miss)
    return data + prior + smooth + outside.square().sum() + len(frame) * alpha.square().sum()


def autograd_fit(model: FaceModel, evidence: Evidence, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(alpha, frames) by L-BFGS."""
    count = len(evidence.points)
    scale = torch.as_tensor(np.concatenate([np.full(N_EXP, 0.5), np.full(6, 0.05)]))
    alpha = torch.zeros(80, dtype=torch.float64, requires_grad=True)
    frame = torch.zeros(count, N_EXP + 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([alpha, frame], max_iter=iterations, history_size=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = objective(model, evidence, alpha, frame * scale)
        loss.backward()
        return loss

    optimizer.step(closure)
    return alpha.detach(), (frame * scale).detach()


def best(work, repeats: int):
    """(result, the least milliseconds of ``repeats`` runs)."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        spent.append(1000 * (time.perf_counter() - start))
    return result, min(spent)


def measure(frames: int, repeats: int) -> dict:
    model = load_face_model()
    _, images, _, truth = Studio(7, 128, frames / 25).clip(ClipSpec("test", 99_000, "happy", 3, 0))
    dense_net(model)  # what is loaded and compiled once is not timed
    look(model, images[:2], drawn=True)
    landmarks, tracking = best(lambda: track(images), repeats)
    (evidence, _), looking = best(lambda: look(model, images, landmarks, drawn=True), repeats)
    fitted, solving = best(lambda: fit_points(model, evidence), repeats)
    whole = best(lambda: fit_clip(model, images, drawn=True), repeats)[1]
    reached = objective(model, evidence, fitted.alpha[0].double(), torch.cat([fitted.beta, fitted.pose], 1).double())

    def error(c: Coefficients) -> float:
        return float(nme(model.landmarks(c.alpha, c.beta, c.pose, 128).numpy(), truth["landmarks"]).mean())

    rows = [
        {
            "solver": "Gauss-Newton, banded",
            "ms_per_frame": solving / frames,
            "ratio": 1.0,
            "objective": 1.0,
            "nme_pct": error(fitted),
        }
    ]
    for iterations in (50, 200):
        (alpha, frame), spent = best(lambda n=iterations: autograd_fit(model, evidence, n), 1)
        other = fitted.replace(
            alpha=alpha.float().expand(frames, -1), beta=frame[:, :N_EXP].float(), pose=frame[:, N_EXP:].float()
        )
        share = float(objective(model, evidence, alpha, frame) / reached)
        rows.append(
            {"solver": f"L-BFGS, {iterations}", "ms_per_frame": spent / frames, "ratio": spent / solving, "objective": share,
             "nme_pct": error(other)}
        )  # fmt: skip
    parts = {"track": tracking, "see": looking, "solve": solving, "fit_clip": whole}
    return {"frames": frames, "rows": rows, "parts_ms_per_frame": {k: v / frames for k, v in parts.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--frames", type=int, default=100, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs")
    arguments = parser.parse_args()
    result = measure(arguments.frames, arguments.repeats)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{'solver':22} {'ms/frame':>9} {'ratio':>7} {'objective':>10} {'NME %':>7}")
    for row in result["rows"]:
        print(
            f"{row['solver']:22} {row['ms_per_frame']:9.2f} {row['ratio']:7.1f} {row['objective']:10.3f} {row['nme_pct']:7.2f}"
        )
    print("ms/frame of the parts: " + ", ".join(f"{k} {v:.1f}" for k, v in result["parts_ms_per_frame"].items()))


if __name__ == "__main__":
    main()
