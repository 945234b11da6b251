"""What the notebooks 01 and 02 look at: faces of the model, fits over their photographs, errors on the face."""

import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from emolib.corpus.clips import Clip, Corpus
from emolib.face.fitting import Fit, seen_landmarks
from emolib.face.gauss_newton import N_EXP, N_ID
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import composite, render
from emolib.media.pictures import to_frames, to_tensor
from emolib.metrics.fits import vertex_error


def first_clip(corpus: Corpus, order: list[str], **columns) -> Clip | None:
    """The clip with these ``columns`` whose person comes first in ``order``; None if there is none."""
    return min(corpus.select(**columns), key=lambda clip: order.index(clip.identity), default=None)


def middle_frame(clip: Clip | None) -> np.ndarray | None:
    """uint8 (S, S, 3): what a clip shows half way; None for none."""
    return None if clip is None else clip.frames([clip.n_frames // 2])[0]


@torch.no_grad()
def show_face(axis: Axes, model: FaceModel, coefficients: Coefficients, size: int, title: str = "") -> None:
    """Draws R(theta) of one face at ``size`` pixels."""
    axis.imshow(to_frames(render(model, coefficients, size).image[0]))
    axis.set_title(title, fontsize=8)
    axis.axis("off")


def with_one(coefficients: Coefficients, name: str, index: int, amount: float) -> Coefficients:
    """One face with number ``index`` of ``name`` (alpha, beta, ...) set to ``amount``."""
    value = getattr(coefficients, name).clone()
    value[0, index] = amount
    return coefficients.replace(**{name: value})


def face_player(model: FaceModel, coefficients: Coefficients, size: int) -> Callable:
    """A function of (action, weight, yaw) that draws the face so, for ``ipywidgets.interact``."""

    def play(action: str, weight: float = 0.8, yaw: float = 0.0) -> None:
        beta = weight * model.arkit_to_beta[model.arkit_names.index(action)][None]
        pose = torch.tensor([[0.0, yaw, 0.0, 0.0, 0.0, 0.0]])
        _, axis = plt.subplots(figsize=(2.6, 2.6))
        show_face(axis, model, coefficients.replace(beta=beta, pose=pose), size, action)
        plt.show()

    return play


@torch.no_grad()
def show_fit(
    axes: list[Axes],
    model: FaceModel,
    frame: np.ndarray,
    coefficients: Coefficients,
    landmarks: np.ndarray,
) -> None:
    """Four pictures of a fit: the photograph uint8 (S, S, 3); landmarks (68, 2) found (green) and fitted (red); I^3d; R(theta)."""
    size = len(frame)
    blended, drawn = composite(model, coefficients, to_tensor(frame[None]))
    for axis, image in zip(axes, (frame, frame, *to_frames(torch.cat([blended, drawn.image])))):
        axis.imshow(image, extent=(0, size, size, 0))
        axis.axis("off")
    axes[1].plot(*landmarks.T, ".", color="lime", markersize=2)
    axes[1].plot(*seen_landmarks(model, coefficients, size)[0].T, ".", color="red", markersize=2)


def error_map(model: FaceModel, clips: list[Clip], fits: Path) -> np.ndarray:
    """Mean distance (V,) in mm of fitted from true vertices at the middle of rendered ``clips``; nan off the face."""
    face, total = model.regions["face"].numpy(), []
    for clip in clips:
        c, truth = Fit.load(fits / f"{clip.clip_id}.npz").coefficients, clip.truth()
        at = slice(clip.n_frames // 2, clip.n_frames // 2 + 1)
        beta = torch.from_numpy(truth["coefficients"][at, N_ID : N_ID + N_EXP])
        true = truth["vertices_neutral"].astype(np.float32) + (beta @ model.exp_basis.flatten(1)).reshape(-1, 3).numpy()
        error = np.full(len(true), np.nan)
        error[face] = vertex_error(model.shape(c.alpha[:1], c.beta[at])[0].numpy()[face], true[face])
        total.append(error * model.mm_per_unit)
    return np.mean(total, 0)


def timed(work: Callable, *arguments, frames: int, **options) -> tuple[object, float]:
    """(what ``work`` gives, milliseconds a frame); a first call, which may compile, is not counted."""
    work(*arguments, **options)
    begin = time.perf_counter()
    result = work(*arguments, **options)
    return result, 1000 * (time.perf_counter() - begin) / frames
