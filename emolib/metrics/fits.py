"""What a fit is worth where the truth is known: points, surface, and how much of the expression it keeps."""

import numpy as np
import torch

from emolib.face import dlib_landmarks
from emolib.face.alignment import interocular, nme
from emolib.face.arkit import ARKIT, INDEX
from emolib.face.fitting import Fit
from emolib.face.gauss_newton import N_EXP, N_ID
from emolib.face.landmarks import shapes, track
from emolib.face.model import FaceModel
from emolib.face.render import composite
from emolib.media.pictures import to_frames, to_tensor
from emolib.metrics.landmarks import INNER, mouth_opening


def vertex_error(fitted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distances (..., V) of vertices (..., V, 3) after the best rotation and shift (Kabsch) of ``fitted`` onto ``truth``."""
    fitted = fitted - fitted.mean(-2, keepdims=True)
    truth = truth - truth.mean(-2, keepdims=True)
    u, _, v = np.linalg.svd(np.swapaxes(fitted, -1, -2) @ truth)
    u[..., :, 2] *= np.sign(np.linalg.det(u @ v))[..., None]  # a rotation, not a reflection
    return np.linalg.norm(fitted @ (u @ v) - truth, axis=-1)


def compare(model: FaceModel, fit: Fit, truth: dict[str, np.ndarray], size: int) -> dict[str, float]:
    """Errors of a fitted clip against what its renderer knew (:meth:`Clip.truth` of a synthetic one), means over the clip.

    Landmarks in percent of the inter-ocular distance: ``nme_pct`` of the fitted model, ``detected_nme_pct`` of the detector. The face's
    surface in mm: ``vertex_mm`` of the moving face, ``neutral_mm`` of the face at rest, both rigidly aligned; ``expression_mm`` of
    the displacement alone, and ``motion_mm``, how far the true expression is from rest. How much of the expression is kept: slope and
    correlation of the 68 points' movement and of the 52 actions, fitted against true; ``beta_energy``, the fitted movement's energy in
    parts of the true one's (each number of beta by how far it moves the face: the last twenty move nothing); and ``opening_px256``, by
    how much the inner lips are fitted too far apart, px of a 256-px crop.
    """
    c, face = fit.coefficients, model.regions["face"].numpy()
    moved = model.exp_basis[:, face].flatten(1)
    true_motion = (
        (torch.from_numpy(truth["coefficients"][:, N_ID : N_ID + N_EXP]) @ moved).numpy().reshape(len(c), -1, 3)
    )
    motion = (c.beta @ moved).numpy().reshape(len(c), -1, 3)
    true_rest = truth["vertices_neutral"].astype(np.float32)[face]
    rest = model.shape(c.alpha[:1], torch.zeros(1, N_EXP))[0].numpy()[face]
    points = model.landmarks(c.alpha, c.beta, c.pose, size).numpy()
    units = {
        "vertex_mm": vertex_error(rest + motion, true_rest + true_motion),
        "neutral_mm": vertex_error(rest, true_rest),
        "expression_mm": np.linalg.norm(motion - true_motion, axis=-1),
        "motion_mm": np.linalg.norm(true_motion, axis=-1),
    }
    true_beta, beta = truth["coefficients"][:, N_ID : N_ID + N_EXP].astype(float), c.beta.double().numpy()
    moves = model.exp_basis[:, model.landmark_index].double().flatten(1).numpy()
    kept = _kept("points", beta @ moves, true_beta @ moves)
    kept |= _kept("actions", beta @ model.beta_to_arkit.double().numpy(), truth["arkit"].astype(float))
    opening = mouth_opening(torch.from_numpy(points)) - mouth_opening(torch.from_numpy(truth["landmarks"]))
    return (
        {
            "nme_pct": float(nme(points, truth["landmarks"]).mean()),
            "detected_nme_pct": float(nme(fit.landmarks, truth["landmarks"]).mean()),
            "beta_energy": float((motion**2).sum() / (true_motion**2).sum()),
            "opening_px256": float(opening.mean()) * 256 / size,
        }
        | {name: float(error.mean()) * model.mm_per_unit for name, error in units.items()}
        | kept
    )


def _kept(name: str, found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Slope through the origin and correlation of ``found`` against ``truth``."""
    slope = float((found * truth).sum() / (truth**2).sum())
    return {f"{name}_slope": slope, f"{name}_r": float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])}


READ = {"smile": "mouthSmile", "open jaw": "jawOpen", "raised brows": "browInnerUp", "closed eyes": "eyeBlink"}


def on_photograph(model: FaceModel, crop: np.ndarray, fit: Fit) -> tuple[dict[str, float], dict[str, float]]:
    """How far a photograph and its fit, blended into it, look the same to those who know no truth: aligned crop uint8 (S, S, 3).

    Distance of the inner landmarks, in percent of the inter-ocular distance, by witness (the jaw line is where no two witnesses agree);
    and :func:`same_reading`.
    """
    shown = to_frames(composite(model, fit.coefficients, to_tensor(crop[None]))[0])
    apart = {}
    for name, witness in (("face net", track), ("dlib", dlib_landmarks.track)):
        there, here = witness(shown)[0], witness(crop[None])[0]
        apart[name] = float(100 * np.linalg.norm(there - here, axis=1)[INNER].mean() / interocular(here))
    return apart, same_reading(shapes(crop[None])[0], shapes(shown)[0])


def same_reading(photograph: np.ndarray, fitted: np.ndarray) -> dict[str, float]:
    """What the shape net reads in a fit less what it reads in its photograph, (52,) each, both sides together."""
    change = np.asarray(fitted, float) - np.asarray(photograph, float)
    return {name: float(change[[INDEX[n] for n in ARKIT if n.startswith(base)]].mean()) for name, base in READ.items()}
