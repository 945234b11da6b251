"""Analysis by synthesis: the coefficients of Eq. 1 (Xu et al. 2023) that explain an image or a clip.

    theta = argmin  |W (l(alpha, beta, p) - l)|^2  +  |M (R(theta) - I)|^2  +  priors          (D3DFR [8], without its network)

Three steps, each the cheapest that does the job:

A. points (:mod:`emolib.face.gauss_newton`): alpha, beta_t and p_t from where the frames show 192 vertices, each with how sure that is
   (:mod:`emolib.face.dense`), and the face net's 68 landmarks. On renderings the former are far the better witness, on photographs the
   latter. With a face model that the dense landmarks do not know (BFM), the face net speaks alone.
B. colour: light gamma and albedo delta in turn, both linear least squares, on the visible skin of a few frames.
C. photometric (single images): L-BFGS through the differentiable renderer on all coefficients, landmarks kept.

Where an identity has a neutral clip, its alpha is the prior mean of the others (:mod:`emolib.corpus.fits`).
"""

import functools
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emolib.face.alignment import nme
from emolib.face.appearance import fit_colour, refine_photometric
from emolib.face.camera import CAMERA, FOCAL
from emolib.face.dense import WEIGHTS, DenseNet
from emolib.face.exact import product, settled
from emolib.face.gauss_newton import N_ID, Evidence, fit_points, from_dense, from_landmarks, model_points
from emolib.face.landmarks import ask, landmarks_question, track, tracked, unbiased
from emolib.face.model import SIZES, Coefficients, FaceModel
from emolib.face.render import render
from emolib.files import write_atomic
from emolib.media.pictures import to_frames

# How much wider than they say the errors of two witnesses count, the face net and the dense landmarks.
DRAWN, PHOTOGRAPHED = (8.0, 1.0), (0.6, 6.0)


@dataclass(frozen=True)
class Fit:
    """T fitted frames: ``coefficients`` (T rows), the ``landmarks`` (T, 68, 2) they were fitted to, ``nme`` (T,) in percent."""

    coefficients: Coefficients
    landmarks: np.ndarray
    nme: np.ndarray

    def save(self, path: str | Path) -> Path:
        """One npz that :meth:`Coefficients.load` reads, with landmarks and nme beside; whole or not at all."""
        arrays = {name: getattr(self.coefficients, name).numpy() for name in SIZES}
        content = io.BytesIO()
        np.savez_compressed(content, **arrays, landmarks=self.landmarks.astype(np.float32), nme=self.nme)
        return write_atomic(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Fit":
        coefficients = Coefficients.load(path)
        with np.load(path) as arrays:
            return cls(coefficients, arrays["landmarks"], arrays["nme"])


@functools.lru_cache(maxsize=2)
@torch.no_grad()
def detector_offset(model: FaceModel, *, faces: int = 16, size: int = 256) -> np.ndarray:
    """Where :func:`track` sees the model's points, relative to where they are: (68, 3) model units, z = 0.

    None for the model that ships, whose bias ``track`` takes off. The landmarks of others (BFM, the ICT face kit) are other points:
    measured on renders of random faces of the model itself (fixed seed), from the front.
    """
    if model.landmark_bias.any():
        return np.zeros((68, 3))
    rng = np.random.default_rng(0)
    actions = rng.uniform(0, 0.5, (faces, 52)) * (rng.uniform(size=(faces, 52)) < 0.1)
    light = torch.zeros(3, 9)
    light[:, :3] = torch.tensor([-0.1, -0.1, 0.15])  # soft, from above and the front
    drawn = Coefficients.zeros(faces).replace(
        alpha=torch.from_numpy(rng.normal(0, 0.7, (faces, N_ID))).float(),
        beta=torch.from_numpy(product(actions, model.arkit_to_beta)).float(),
        delta=torch.from_numpy(rng.normal(0, 0.7, (faces, SIZES["delta"]))).float(),
        gamma=light.flatten().expand(faces, -1),
    )
    exact, drawn = model.double(), drawn.double()
    truth = settled(exact.landmarks(drawn.alpha, drawn.beta, drawn.pose, size))
    rendering = render(exact, drawn, size)
    images = torch.where((rendering.face_id >= 0)[:, None], rendering.image, 0.6)
    seen = track(to_frames(images))
    pixels = np.median(seen - truth, axis=0)  # (68, 2)
    return settled(np.column_stack([pixels * [1, -1] * CAMERA / (FOCAL * size), np.zeros(68)]))


def seen_landmarks(model: FaceModel, coefficients: Coefficients, size: int) -> np.ndarray:
    """Where the detector should see the landmarks (T, 68, 2) of fitted faces: the model's own, and :func:`detector_offset`."""
    points = model_points(model, coefficients, model.landmark_index.numpy(), detector_offset(model))
    return points * size


@functools.lru_cache(maxsize=2)
def dense_net(model: FaceModel) -> DenseNet | None:
    """The shipped net if it speaks of this face model, else None."""
    net = DenseNet.load() if WEIGHTS.is_file() else None
    return net if net is not None and net.knows(model) else None


def look(
    model: FaceModel, frames: np.ndarray, landmarks: np.ndarray | None = None, *, drawn: bool = False
) -> tuple[Evidence, np.ndarray]:
    """What aligned crops uint8 (T, S, S, 3) show, and the face net's landmarks (T, 68, 2) in pixels, tracked if not given.

    ``drawn``: the crops are renderings of :mod:`synthface`, which the dense landmarks learnt from: there these are far the better witness.
    On photographs the face net is; it learnt from them, and the dense landmarks, about as far from it as on renderings, only fill in.
    """
    size, net = frames.shape[1], dense_net(model)
    # Both witnesses share the first half of the face net.
    detector = [landmarks_question()] if landmarks is None else []
    answers = ask(frames, *detector, *([net.question()] if net else []))
    if landmarks is None:
        landmarks = unbiased(tracked(answers.pop(0), size))
    landmarks = np.asarray(landmarks, float).reshape(-1, 68, 2)
    detected = from_landmarks(model, landmarks, size, detector_offset(model))
    if net is None:
        return detected, landmarks
    points, sigma = net.read(answers[0], size)
    detector_doubt, dense_doubt = DRAWN if drawn else PHOTOGRAPHED
    dense = from_dense(np.array(net.config["index"]), points, dense_doubt * sigma, size)
    return Evidence.join(detected.weakened(detector_doubt), dense), landmarks


def _finish(model: FaceModel, coefficients: Coefficients, landmarks: np.ndarray, size: int) -> Fit:
    return Fit(
        coefficients, settled(landmarks, 4), settled(nme(seen_landmarks(model, coefficients, size), landmarks), 4)
    )


def fit_image(
    model: FaceModel,
    image: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    iterations: int = 4,
    photometric: int = 15,
    drawn: bool = False,
) -> Fit:
    """The coefficients (one row) of an aligned crop, uint8 (S, S, 3); landmarks (68, 2) in its pixels are found if not given; ``drawn``:
    see :func:`look`.

    Raises :class:`EmolibError` if no face is found.
    """
    evidence, landmarks = look(model, image[None], landmarks, drawn=drawn)
    coefficients = fit_points(model, evidence, iterations=iterations)
    coefficients = fit_colour(model, image[None], coefficients)
    if photometric:
        coefficients = refine_photometric(model, image, evidence, coefficients, iterations=photometric)
    return _finish(model, coefficients, landmarks, image.shape[0])


def fit_clip(
    model: FaceModel,
    frames: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    iterations: int = 4,
    known: Coefficients | None = None,
    drawn: bool = False,
) -> Fit:
    """The coefficients of a clip of aligned crops, uint8 (T, S, S, 3): one alpha, delta and gamma, smooth beta and p.

    landmarks: (T, 68, 2), tracked if not given. known: a fit of the same person, e.g. of a neutral clip, as prior of identity and
    albedo. drawn: see :func:`look`. Raises :class:`EmolibError` if no frame shows a face.
    """
    evidence, landmarks = look(model, frames, landmarks, drawn=drawn)
    coefficients = fit_points(model, evidence, iterations=iterations, known=known)
    count = len(frames)
    shown = np.unique(np.linspace(0, count - 1, 5).round().astype(int)[1:4])  # three inner frames are enough for colour
    coloured = fit_colour(model, frames[shown], coefficients[shown.tolist()], known=known)
    coefficients = coefficients.replace(
        delta=coloured.delta[:1].repeat(count, 1), gamma=coloured.gamma[:1].repeat(count, 1)
    )
    return _finish(model, coefficients, landmarks, frames.shape[1])
