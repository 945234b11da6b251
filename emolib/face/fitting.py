"""Analysis by synthesis: the coefficients of Eq. 1 (Xu et al. 2023) that explain an image or a clip.

    theta = argmin  |W (l(alpha, beta, p) - l)|^2  +  |M (R(theta) - I)|^2  +  priors          (D3DFR [8], without its network)

Three steps, each the cheapest that does the job:

A. landmarks: Gauss-Newton on (alpha, beta_t, p_t) with the analytic Jacobian of 68 projected points. One alpha serves the clip, beta and p
   are smooth in time: the normal equations are banded over the frames plus one border for alpha, and are solved exactly.
B. colour: light gamma and albedo delta in turn, both linear least squares, on the visible skin of a few frames.
C. photometric (single images): L-BFGS through the differentiable renderer on all coefficients, landmarks kept.

What keeps identity from explaining expression: alpha's prior counts once a *frame* (landmark errors of one face agree from frame to frame,
so more frames are no more evidence), facial actions are pulled into [0, 1], and where an identity has a neutral clip its alpha is the
prior mean of the others (:func:`fit_corpus`).
"""

import csv
import functools
import hashlib
import io
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import solveh_banded
from tqdm import tqdm

from emolib.corpus.clips import Clip, Corpus
from emolib.errors import EmolibError
from emolib.face.appearance import SIGMA_ACTION, SIGMA_KNOWN, fit_colour, refine_photometric
from emolib.face.landmarks import nme, refine, track
from emolib.face.model import SIZES, Coefficients, FaceModel
from emolib.face.render import CAMERA, FOCAL, render
from emolib.stage import write_atomic

N_ID, N_EXP, N_FRAME = SIZES["alpha"], SIZES["beta"], SIZES["beta"] + SIZES["pose"]
JAW = np.arange(17)
GAPS = ((61, 67), (62, 66), (63, 65), (37, 41), (38, 40), (43, 47), (44, 46))  # inner lips and lids: what closes

# The objective is a log posterior with these standard deviations.
SIGMA = 0.006  # of a landmark, in image sides (about 2 % of the inter-ocular distance)
SIGMA_JAW = (2.0, 6.0)  # times SIGMA: across the contour, along it (contour points slide with pose and shape)
SIGMA_GAP = 0.6  # times SIGMA: of the opening of lips and lids; the errors of two lips cancel
SIGMA_BETA = 1.0  # of an expression coefficient
SIGMA_POSE = np.array([0.5, 0.7, 0.5, 3.0, 3.0, 4.0])  # rad, model units
SIGMA_STEP = np.concatenate([np.full(N_EXP, 0.6), [0.04, 0.04, 0.04, 0.05, 0.05, 0.1]])  # change from frame to frame


@dataclass(frozen=True)
class Fit:
    """T fitted frames: ``coefficients`` (T rows), the ``landmarks`` (T, 68, 2) they were fitted to, ``nme`` (T,) in percent."""

    coefficients: Coefficients
    landmarks: np.ndarray
    nme: np.ndarray

    def save(self, path: str | Path, **more: float | str) -> Path:
        """One npz that :meth:`Coefficients.load` reads, with landmarks, nme and ``more`` beside; whole or not at all."""
        arrays = {name: getattr(self.coefficients, name).numpy() for name in SIZES}
        content = io.BytesIO()
        np.savez_compressed(content, **arrays, landmarks=self.landmarks.astype(np.float32), nme=self.nme, **more)
        return write_atomic(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Fit":
        coefficients = Coefficients.load(path)
        with np.load(path) as arrays:
            return cls(coefficients, arrays["landmarks"], arrays["nme"])


def _rotations(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = Rz(roll) Ry(yaw) Rx(pitch) (T, 3, 3) of angles (T, 3), and its derivatives (T, 3 angles, 3, 3)."""
    c, s, o, l = np.cos(angles), np.sin(angles), np.zeros(len(angles)), np.ones(len(angles))

    def stack(*rows):
        return np.stack(rows, -1).reshape(-1, 3, 3)

    x = stack(l, o, o, o, c[:, 0], -s[:, 0], o, s[:, 0], c[:, 0])
    y = stack(c[:, 1], o, s[:, 1], o, l, o, -s[:, 1], o, c[:, 1])
    z = stack(c[:, 2], -s[:, 2], o, s[:, 2], c[:, 2], o, o, o, l)
    dx = stack(o, o, o, o, -s[:, 0], -c[:, 0], o, c[:, 0], -s[:, 0])
    dy = stack(-s[:, 1], o, c[:, 1], o, o, o, -c[:, 1], o, -s[:, 1])
    dz = stack(-s[:, 2], -c[:, 2], o, c[:, 2], -s[:, 2], o, o, o, o)
    return z @ y @ x, np.stack([z @ y @ dx, z @ dy @ x, dz @ y @ x], 1)


@functools.lru_cache(maxsize=2)
@torch.no_grad()
def detector_offset(model: FaceModel, *, faces: int = 16, size: int = 256) -> np.ndarray:
    """Where the landmark predictor sees the model's points, relative to where they are: (68, 3) model units, z = 0.

    A detector has its own idea of a brow's edge or a lip's rim. Measured on renders of random faces of the model itself (fixed seed),
    from the front, and averaged, so that the fit does not explain this difference as expression.
    """
    rng = np.random.default_rng(0)
    actions = rng.uniform(0, 0.5, (faces, 52)) * (rng.uniform(size=(faces, 52)) < 0.1)
    light = torch.zeros(3, 9)
    light[:, :3] = torch.tensor([-0.1, -0.1, 0.15])  # soft, from above and the front
    drawn = Coefficients.zeros(faces).replace(
        alpha=torch.from_numpy(rng.normal(0, 0.7, (faces, N_ID))).float(),
        beta=torch.from_numpy(actions).float() @ model.arkit_to_beta,
        delta=torch.from_numpy(rng.normal(0, 0.7, (faces, SIZES["delta"]))).float(),
        gamma=light.flatten().expand(faces, -1),
    )
    truth = model.landmarks(drawn.alpha, drawn.beta, drawn.pose, size).numpy().astype(float)
    rendering = render(model, drawn, size)
    images = torch.where((rendering.face_id >= 0)[:, None], rendering.image, torch.tensor(0.6))
    images = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    seen = np.stack([refine(image, points) for image, points in zip(images, truth)])
    pixels = np.median(seen - truth, axis=0)  # (68, 2)
    return np.column_stack([pixels * [1, -1] * CAMERA / (FOCAL * size), np.zeros(68)])


class _Points:
    """The 68 landmarks as the detector sees them, as a function of (alpha, beta, p), with their Jacobian; float64, in image sides."""

    def __init__(self, model: FaceModel, offset: np.ndarray | float = 0.0):
        index = model.landmark_index
        self.mean = model.mean_shape[index].double().cpu().numpy() + offset
        self.basis = torch.cat([model.id_basis[:, index], model.exp_basis[:, index]]).double().cpu().numpy()

    def __call__(self, alpha, beta, pose) -> tuple[np.ndarray, np.ndarray]:
        """alpha (80,), beta (T, 64), pose (T, 6) -> points (T, 136), Jacobian (T, 136, 80 + 64 + 6)."""
        count = len(beta)
        weights = np.concatenate([np.broadcast_to(alpha, (count, N_ID)), beta], 1)
        points = self.mean + np.tensordot(weights, self.basis, 1)  # (T, 68, 3)
        turn, derivative = _rotations(pose[:, :3])
        seen = points @ turn.transpose(0, 2, 1) + pose[:, None, 3:]
        depth = CAMERA - seen[..., 2]
        screen = np.stack([0.5 + FOCAL * seen[..., 0] / depth, 0.5 - FOCAL * seen[..., 1] / depth], -1)
        camera = np.zeros((count, 68, 2, 3))  # d(u, v) / d(seen)
        camera[..., 0, 0] = FOCAL / depth
        camera[..., 1, 1] = -FOCAL / depth
        camera[..., 2] = (screen - 0.5) / depth[..., None]
        jacobian = np.empty((count, 68, 2, N_ID + N_FRAME))
        turned = camera @ turn[:, None]
        # (T, 68, 2, 3) x (144, 68, 3): as 68 matrix products
        flat = turned.transpose(1, 0, 2, 3).reshape(68, -1, 3) @ self.basis.transpose(1, 2, 0)
        jacobian[..., : N_ID + N_EXP] = flat.reshape(68, count, 2, -1).transpose(1, 0, 2, 3)
        moved = np.einsum("tkij,tnj->tnik", derivative, points)  # (T, 68, 3, 3 angles)
        jacobian[..., -6:-3] = camera @ moved
        jacobian[..., -3:] = camera
        return screen.reshape(count, 136), jacobian.reshape(count, 136, -1)


def _precision(landmarks: np.ndarray) -> np.ndarray:
    """The inverse covariance (136, 136) of landmark errors, for points (68, 2) in image sides."""
    blocks = np.tile(np.eye(2), (68, 1, 1))
    along = np.gradient(landmarks[JAW], axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    blocks[JAW] = sum(np.einsum("ni,nj->nij", axis, axis) / sigma**2 for axis, sigma in zip((across, along), SIGMA_JAW))
    precision = np.zeros((68, 2, 68, 2))
    precision[np.arange(68), :, np.arange(68), :] = blocks
    for upper, lower in GAPS:
        for i in range(2):
            both = [upper, lower]
            precision[np.ix_(both, [i], both, [i])] += (np.array([[1, -1], [-1, 1]]) / SIGMA_GAP**2)[:, None, :, None]
    return precision.reshape(136, 136) / SIGMA**2


def fit_landmarks(
    model: FaceModel,
    landmarks: np.ndarray,
    size: int,
    *,
    iterations: int = 4,
    known: Coefficients | None = None,
    offset: np.ndarray | float = 0.0,
) -> Coefficients:
    """Step A: alpha (one), beta and p (T) from landmarks (T, 68, 2) in pixels of frames of side ``size``.

    ``known``: coefficients of the same person, whose alpha becomes the prior mean. ``offset``: of detected landmarks from the model's own,
    :func:`detector_offset`. delta and gamma are left at zero.
    """
    count, points = len(landmarks), _Points(model, offset)
    target = landmarks.reshape(count, 136) / size
    omega = _precision(np.median(landmarks, axis=0) / size)
    alpha_mean = np.zeros(N_ID) if known is None else known.alpha[0].double().numpy()
    alpha_weight = count / (1.0 if known is None else SIGMA_KNOWN) ** 2
    to_action = model.beta_to_arkit.double().cpu().numpy()  # (64, 52)
    alpha, frame = alpha_mean.copy(), np.zeros((count, N_FRAME))
    for _ in range(iterations):
        beta, pose = frame[:, :N_EXP], frame[:, N_EXP:]
        screen, jacobian = points(alpha, beta, pose)
        weighted = jacobian.transpose(0, 2, 1) @ omega  # (T, 150, 136)
        hessian = weighted @ jacobian
        gradient = (weighted @ (target - screen)[..., None])[..., 0]
        alpha_gradient = gradient[:, :N_ID].sum(0) + alpha_weight * (alpha_mean - alpha)
        alpha_hessian = hessian[:, :N_ID, :N_ID].sum(0) + alpha_weight * np.eye(N_ID)
        own, own_gradient = hessian[:, N_ID:, N_ID:].copy(), gradient[:, N_ID:].copy()
        _add_priors(own, own_gradient, frame, to_action)
        step, alpha_step = _solve(own, hessian[:, N_ID:, :N_ID], own_gradient, alpha_hessian, alpha_gradient)
        frame, alpha = frame + step, alpha + alpha_step
    fitted = Coefficients.zeros(count)
    return fitted.replace(
        alpha=torch.from_numpy(alpha).float().repeat(count, 1),
        beta=torch.from_numpy(frame[:, :N_EXP]).float(),
        pose=torch.from_numpy(frame[:, N_EXP:]).float(),
    )


def _add_priors(hessian: np.ndarray, gradient: np.ndarray, frame: np.ndarray, to_action: np.ndarray) -> None:
    """Adds, in place, the priors of (beta_t, p_t): unit scale, actions in [0, 1], small change between frames."""
    weight = np.concatenate([np.full(N_EXP, SIGMA_BETA**-2), SIGMA_POSE**-2])
    actions = frame[:, :N_EXP] @ to_action  # (T, 52)
    outside = actions - np.clip(actions, 0.0, 1.0)
    active = to_action * (outside != 0)[:, None] / SIGMA_ACTION  # (T, 64, 52)
    hessian[:, :N_EXP, :N_EXP] += active @ active.transpose(0, 2, 1)
    gradient[:, :N_EXP] -= (active @ outside[..., None])[..., 0] / SIGMA_ACTION
    smooth = SIGMA_STEP**-2
    change = np.diff(frame, axis=0) * smooth
    gradient -= frame * weight
    gradient[:-1] += change
    gradient[1:] -= change
    neighbours = np.full(len(frame), 2.0)
    neighbours[[0, -1]] = 1.0 if len(frame) > 1 else 0.0
    diagonal = np.arange(N_FRAME)
    hessian[:, diagonal, diagonal] += weight + neighbours[:, None] * smooth


def _solve(own, mixed, gradient, alpha_hessian, alpha_gradient) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss-Newton step of the frames (T, 70) and of alpha (80,).

    own (T, 70, 70): the frames' blocks, linked to their neighbours by the smoothness prior (a diagonal, so the matrix has
    half bandwidth 70); mixed (T, 70, 80): their coupling with alpha, removed by a Schur complement.
    """
    count, n = gradient.shape
    band = np.zeros((n + 1, count, n))
    for d in range(n):
        band[d, :, : n - d] = np.diagonal(own, -d, 1, 2)
    band[n, :-1] = -(SIGMA_STEP**-2)
    band = band.reshape(n + 1, -1)[: count * n]
    border = mixed.reshape(count * n, -1)
    right = np.column_stack([border, gradient.reshape(-1)])
    solved = solveh_banded(band, right, lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)
    schur = alpha_hessian - border.T @ solved[:, :-1]
    alpha_step = np.linalg.solve(schur, alpha_gradient - border.T @ solved[:, -1])
    return (solved[:, -1] - solved[:, :-1] @ alpha_step).reshape(count, n), alpha_step


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
    the displacement alone, and ``motion_mm``, how far the true expression is from rest.
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
    return {
        "nme_pct": float(nme(points, truth["landmarks"]).mean()),
        "detected_nme_pct": float(nme(fit.landmarks, truth["landmarks"]).mean()),
    } | {name: float(error.mean()) * model.mm_per_unit for name, error in units.items()}


def seen_landmarks(model: FaceModel, coefficients: Coefficients, size: int) -> np.ndarray:
    """Where the detector should see the landmarks (T, 68, 2) of fitted faces: the model's own, and :func:`detector_offset`."""
    points = _Points(model, detector_offset(model))
    alpha, beta, pose = (x.double().numpy() for x in (coefficients.alpha, coefficients.beta, coefficients.pose))
    return (
        np.concatenate([points(a, b[None], p[None])[0] for a, b, p in zip(alpha, beta, pose)]).reshape(-1, 68, 2) * size
    )


def _finish(model: FaceModel, coefficients: Coefficients, landmarks: np.ndarray, size: int) -> Fit:
    return Fit(coefficients, landmarks, nme(seen_landmarks(model, coefficients, size), landmarks))


def fit_image(
    model: FaceModel,
    image: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    iterations: int = 4,
    photometric: int = 15,
) -> Fit:
    """The coefficients (one row) of an aligned crop, uint8 (S, S, 3); landmarks (68, 2) in its pixels are found if not given.

    Raises :class:`EmolibError` if no face is found.
    """
    landmarks = track(image[None]) if landmarks is None else np.asarray(landmarks, float).reshape(1, 68, 2)
    size = image.shape[0]
    coefficients = fit_landmarks(model, landmarks, size, iterations=iterations, offset=detector_offset(model))
    coefficients = fit_colour(model, image[None], coefficients)
    if photometric:
        precision, offset = _precision(landmarks[0] / size), detector_offset(model)
        coefficients = refine_photometric(
            model, image, landmarks[0], coefficients, precision, offset=offset, iterations=photometric
        )
    return _finish(model, coefficients, landmarks, size)


def fit_clip(
    model: FaceModel,
    frames: np.ndarray,
    landmarks: np.ndarray | None = None,
    *,
    iterations: int = 4,
    known: Coefficients | None = None,
) -> Fit:
    """The coefficients of a clip of aligned crops, uint8 (T, S, S, 3): one alpha, delta and gamma, smooth beta and p.

    landmarks: (T, 68, 2), tracked if not given. known: a fit of the same person, e.g. of a neutral clip, as prior of identity and
    albedo. Raises :class:`EmolibError` if no frame shows a face.
    """
    if landmarks is None:
        landmarks = track(frames)
    offset = detector_offset(model)
    coefficients = fit_landmarks(model, landmarks, frames.shape[1], iterations=iterations, known=known, offset=offset)
    count = len(frames)
    shown = np.unique(np.linspace(0, count - 1, 5).round().astype(int)[1:4])  # three inner frames are enough for colour
    coloured = fit_colour(model, frames[shown], coefficients[shown.tolist()], known=known)
    coefficients = coefficients.replace(
        delta=coloured.delta[:1].repeat(count, 1), gamma=coloured.gamma[:1].repeat(count, 1)
    )
    return _finish(model, coefficients, landmarks, frames.shape[1])


_worker: dict = {}  # the face model of a worker process


def _start_worker() -> None:
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    _worker["limits"] = threadpool_limits(1)
    _worker["model"] = FaceModel.load()


def _fit_one(clip: Clip, out: Path, known: Path | None, iterations: int, recipe: str) -> tuple[str, str]:
    """Fits one clip into ``out``; returns its id and, if it cannot be fitted, the reason."""
    begin = time.perf_counter()
    try:
        prior = Coefficients.load(known)[:1] if known and known.is_file() else None
        fit = fit_clip(_worker["model"], clip.frames(), iterations=iterations, known=prior)
    except EmolibError as error:
        return clip.clip_id, str(error)
    fit.save(out, recipe=recipe, seconds=time.perf_counter() - begin)
    return clip.clip_id, ""


def _hash(*parts: bytes | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()[:16]


def _recipes(model: FaceModel, corpus: Corpus, iterations: int) -> dict[str, tuple[str, str]]:
    """clip_id -> (recipe: a hash of all that its fit depends on, clip_id of the neutral clip behind it or "")."""
    modules = ("landmarks", "model", "render", "appearance", "fitting")
    code = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in modules]
    tensors = [v.cpu().numpy().tobytes() for v in vars(model).values() if isinstance(v, torch.Tensor)]
    tensors += [model.regions["face"].cpu().numpy().tobytes()]
    base = _hash(*code, *tensors, str(iterations))
    neutral: dict[str, str] = {}
    for clip in corpus:
        if clip.emotion == "neutral":
            neutral.setdefault(clip.identity, clip.clip_id)
    own = {clip.clip_id: _hash(base, (clip.root / f"{clip.clip_id}.mp4").read_bytes()) for clip in corpus}
    recipes = {}
    for clip in corpus:
        known = neutral.get(clip.identity, "")
        known = "" if known == clip.clip_id else known
        recipes[clip.clip_id] = (_hash(own[clip.clip_id], own.get(known, "")), known)
    return recipes


def _is_fitted(path: Path, recipe: str) -> bool:
    if not path.is_file():
        return False
    with np.load(path) as arrays:
        return "recipe" in arrays and str(arrays["recipe"]) == recipe


def fit_corpus(corpus: Corpus, out: str | Path, *, iterations: int = 4, workers: int = 2) -> dict[str, str]:
    """Fits every clip of ``corpus`` into ``out/<clip_id>.npz`` (see :meth:`Fit.save`); returns {clip_id: reason} of those that fail.

    First one neutral clip of each identity, then the others with it as prior. A clip is skipped if it was fitted before from the
    same video, model, code and settings. Failures are listed in ``out/quarantine.csv``.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    recipes = _recipes(FaceModel.load(), corpus, iterations)  # loading builds the model, once, where it is missing
    todo = [clip for clip in corpus if not _is_fitted(out / f"{clip.clip_id}.npz", recipes[clip.clip_id][0])]
    references = {known for _, known in recipes.values() if known}
    first = [clip for clip in todo if clip.clip_id in references]
    rest = [clip for clip in todo if clip.clip_id not in references]
    failed: dict[str, str] = {}
    if todo:
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_start_worker) as pool,
            tqdm(total=len(todo), desc="fitting", unit="clip") as bar,
        ):
            for clips in (first, rest):
                jobs = []
                for clip in clips:
                    recipe, known = recipes[clip.clip_id]
                    path, prior = out / f"{clip.clip_id}.npz", out / f"{known}.npz" if known else None
                    path.unlink(missing_ok=True)
                    jobs.append(pool.submit(_fit_one, clip, path, prior, iterations, recipe))
                for job in as_completed(jobs):
                    clip_id, reason = job.result()
                    if reason:
                        failed[clip_id] = reason
                    bar.update()
    table = io.StringIO()
    csv.writer(table).writerows([("clip_id", "reason"), *sorted(failed.items())])
    write_atomic(out / "quarantine.csv", table.getvalue())
    return failed
