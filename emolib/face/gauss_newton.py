"""Step A of :mod:`emolib.face.fitting`: (alpha, beta_t, p_t) from points seen in the frames, by Gauss-Newton.

    theta = argmin  sum_t |W (l(alpha, beta_t, p_t) - l_t)|^2 + priors

The points are linear in alpha and beta before projection, so the Jacobian is written down. One alpha serves the clip, beta and p are smooth
in time: the normal equations are banded over the frames plus one border for alpha, and are solved exactly.

What keeps identity from explaining expression: alpha's prior counts once a *frame* (errors of one face agree from frame to frame, so
more frames are no more evidence), and facial actions are pulled into [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import block_diag, solveh_banded
from scipy.sparse import csr_array

from emolib.face.appearance import BETA_WEIGHT, SIGMA_ACTION, SIGMA_KNOWN
from emolib.face.camera import CAMERA, FOCAL
from emolib.face.exact import one_blas_thread, settled
from emolib.face.model import SIZES, Coefficients, FaceModel

N_ID, N_EXP, N_FRAME = SIZES["alpha"], SIZES["beta"], SIZES["beta"] + SIZES["pose"]
JAW = np.arange(17)
GAPS = ((61, 67), (62, 66), (63, 65), (37, 41), (38, 40), (43, 47), (44, 46))  # inner lips and lids: what closes

# The objective is a log posterior with these standard deviations.
SIGMA = 0.006  # of a landmark, in image sides (about 2 % of the inter-ocular distance)
SIGMA_JAW = (2.0, 6.0)  # times SIGMA: across the contour, along it (contour points slide with pose and shape)
SIGMA_GAP = 0.6  # times SIGMA: of the opening of lips and lids; the errors of two lips cancel
SIGMA_DENSE = 1.0  # times what the net says of a dense point
SIGMA_POSE = np.array([0.5, 0.7, 0.5, 3.0, 3.0, 4.0])  # rad, model units
SIGMA_STEP = np.concatenate([np.full(N_EXP, 1.5), [0.04, 0.04, 0.04, 0.05, 0.05, 0.1]])  # change from frame to frame


@dataclass(frozen=True)
class Evidence:
    """Where T frames show K points of the face model.

    index (K,): their vertices. points (T, K, 2): in image sides. rows (R, 2K), sparse: they make the errors of one frame's points
    independent, of unit deviation. offset (K, 3): from the vertex to what is seen as it, model units.
    """

    index: np.ndarray
    points: np.ndarray
    rows: csr_array
    offset: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """The inverse covariance (2K, 2K) of one frame's points."""
        return (self.rows.T @ self.rows).toarray()

    @classmethod
    def join(cls, *parts: "Evidence") -> "Evidence":
        """All that several witnesses saw of the same frames."""
        return cls(
            np.concatenate([p.index for p in parts]), np.concatenate([p.points for p in parts], 1),
            csr_array(sparse.block_diag([p.rows for p in parts])), np.concatenate([p.offset for p in parts]),
        )  # fmt: skip

    def weakened(self, factor: float) -> "Evidence":
        """The same with errors ``factor`` times as large."""
        return Evidence(self.index, self.points, self.rows / factor, self.offset)


def from_landmarks(model: FaceModel, landmarks: np.ndarray, size: int, offset: np.ndarray | None = None) -> Evidence:
    """What a 68-point detector says: landmarks (T, 68, 2) in pixels of frames of side ``size``; offset (68, 3), none if not given."""
    points = np.asarray(landmarks, float) / size
    offset = np.zeros((68, 3)) if offset is None else offset
    return Evidence(model.landmark_index.numpy(), points, _rows(np.median(points, axis=0)), offset)


def from_dense(index: np.ndarray, points: np.ndarray, sigma: np.ndarray, size: int) -> Evidence:
    """What the dense net says: points (T, K, 2) and their deviations sigma (T, K) in pixels; the first 68 are the landmarks."""
    spread = SIGMA_DENSE * np.median(sigma, axis=0) / size  # (K,)
    rows = sparse.vstack([sparse.diags_array(np.repeat(1 / spread, 2)), _gaps(spread)])
    return Evidence(np.asarray(index), np.asarray(points, float) / size, csr_array(rows), np.zeros((len(index), 3)))


def _gaps(spread: np.ndarray) -> csr_array:
    """Rows (2 G, 2K) of what closes, for points of deviations ``spread`` (K,) in image sides."""
    rows = sparse.lil_array((2 * len(GAPS), 2 * len(spread)))
    for g, (upper, lower) in enumerate(GAPS):
        weight = 1 / np.sqrt(spread[upper] * spread[lower]) / SIGMA_GAP
        for i in range(2):
            rows[2 * g + i, 2 * upper + i], rows[2 * g + i, 2 * lower + i] = weight, -weight
    return csr_array(rows)


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


class _Points:
    """K vertices as they are seen, as a function of (alpha, beta, p), with their Jacobian; float64, in image sides."""

    def __init__(self, model: FaceModel, index: np.ndarray, offset: np.ndarray | float = 0.0):
        self.mean = model.mean_shape[index].double().cpu().numpy() + offset
        self.basis = torch.cat([model.id_basis[:, index], model.exp_basis[:, index]]).double().cpu().numpy()

    def __call__(self, alpha, beta, pose) -> tuple[np.ndarray, np.ndarray]:
        """alpha (80,), beta (T, 64), pose (T, 6) -> points (T, 2K), Jacobian (T, 2K, 80 + 64 + 6)."""
        count, seen_points = len(beta), len(self.mean)
        weights = np.concatenate([np.broadcast_to(alpha, (count, N_ID)), beta], 1)
        points = self.mean + np.tensordot(weights, self.basis, 1)  # (T, K, 3)
        turn, derivative = _rotations(pose[:, :3])
        seen = points @ turn.transpose(0, 2, 1) + pose[:, None, 3:]
        depth = CAMERA - seen[..., 2]
        screen = np.stack([0.5 + FOCAL * seen[..., 0] / depth, 0.5 - FOCAL * seen[..., 1] / depth], -1)
        camera = np.zeros((count, seen_points, 2, 3))  # d(u, v) / d(seen)
        camera[..., 0, 0] = FOCAL / depth
        camera[..., 1, 1] = -FOCAL / depth
        camera[..., 2] = (screen - 0.5) / depth[..., None]
        jacobian = np.empty((count, seen_points, 2, N_ID + N_FRAME))
        turned = camera @ turn[:, None]
        # (T, K, 2, 3) x (144, K, 3): as K matrix products
        flat = turned.transpose(1, 0, 2, 3).reshape(seen_points, -1, 3) @ self.basis.transpose(1, 2, 0)
        jacobian[..., : N_ID + N_EXP] = flat.reshape(seen_points, count, 2, -1).transpose(1, 0, 2, 3)
        moved = np.einsum("tkij,tnj->tnik", derivative, points)  # (T, K, 3, 3 angles)
        jacobian[..., -6:-3] = camera @ moved
        jacobian[..., -3:] = camera
        return screen.reshape(count, -1), jacobian.reshape(count, 2 * seen_points, -1)


def _rows(landmarks: np.ndarray) -> csr_array:
    """What makes the errors of landmarks independent, for points (68, 2) in image sides."""
    blocks = np.tile(np.eye(2), (68, 1, 1))
    along = np.gradient(landmarks[JAW], axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    blocks[JAW] = np.stack([axis / sigma for axis, sigma in zip((across, along), SIGMA_JAW)], 1)
    return csr_array(sparse.vstack([sparse.block_diag(list(blocks / SIGMA)), _gaps(np.full(68, SIGMA))]))


def model_points(model: FaceModel, coefficients: Coefficients, index, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Where the vertices ``index`` (K,) of T faces should be seen: (T, K, 2) in image sides."""
    points = _Points(model, index, offset)
    alpha, beta, pose = (x.double().numpy() for x in (coefficients.alpha, coefficients.beta, coefficients.pose))
    rows = [points(a, b[None], p[None])[0] for a, b, p in zip(alpha, beta, pose)]
    return np.concatenate(rows).reshape(len(rows), -1, 2)


@one_blas_thread()
def fit_points(
    model: FaceModel, evidence: Evidence, *, iterations: int = 4, known: Coefficients | None = None
) -> Coefficients:
    """alpha (one), beta and p (T rows) from what T frames show; delta and gamma are left at zero.

    ``known``: coefficients of the same person, whose alpha becomes the prior mean.
    """
    count, points = len(evidence.points), _Points(model, evidence.index, evidence.offset)
    target, rows = evidence.points.reshape(count, -1), evidence.rows
    alpha_mean = np.zeros(N_ID) if known is None else known.alpha[0].double().numpy()
    alpha_weight = count / (1.0 if known is None else SIGMA_KNOWN) ** 2
    to_action = model.beta_to_arkit.double().cpu().numpy()  # (64, 52)
    prior = _prior(model)
    alpha, frame = alpha_mean.copy(), np.zeros((count, N_FRAME))
    for _ in range(iterations):
        beta, pose = frame[:, :N_EXP], frame[:, N_EXP:]
        screen, jacobian = points(alpha, beta, pose)
        whole = np.concatenate([jacobian, (target - screen)[..., None]], 2).transpose(1, 0, 2)  # (2K, T, 151)
        white = (rows @ whole.reshape(len(whole), -1)).reshape(-1, *whole.shape[1:]).transpose(1, 0, 2)  # (T, R, 151)
        normal = white[..., :-1].transpose(0, 2, 1) @ white  # (T, 150, 151)
        hessian, gradient = normal[..., :-1], normal[..., -1]
        alpha_gradient = gradient[:, :N_ID].sum(0) + alpha_weight * (alpha_mean - alpha)
        alpha_hessian = hessian[:, :N_ID, :N_ID].sum(0) + alpha_weight * np.eye(N_ID)
        own, own_gradient = hessian[:, N_ID:, N_ID:].copy(), gradient[:, N_ID:].copy()
        _add_priors(own, own_gradient, frame, to_action, prior)
        step, alpha_step = _solve(own, hessian[:, N_ID:, :N_ID], own_gradient, alpha_hessian, alpha_gradient)
        frame, alpha = frame + step, alpha + alpha_step
    fitted = Coefficients.zeros(count)
    return fitted.replace(
        alpha=torch.from_numpy(settled(alpha)).float().repeat(count, 1),
        beta=torch.from_numpy(settled(frame[:, :N_EXP])).float(),
        pose=torch.from_numpy(settled(frame[:, N_EXP:])).float(),
    )


def _prior(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Mean (70,) and precision (70, 70) of (beta, p) of any face."""
    covariance = model.beta_covariance.double().cpu().numpy()
    mean = np.concatenate([model.beta_mean.double().cpu().numpy(), np.zeros(len(SIGMA_POSE))])
    return mean, block_diag(BETA_WEIGHT * np.linalg.inv(covariance), np.diag(SIGMA_POSE**-2))


def _add_priors(
    hessian: np.ndarray,
    gradient: np.ndarray,
    frame: np.ndarray,
    to_action: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray],
) -> None:
    """Adds, in place, the priors of (beta_t, p_t): of any face, actions in [0, 1], small change between frames."""
    mean, precision = prior
    actions = frame[:, :N_EXP] @ to_action  # (T, 52)
    outside = actions - np.clip(actions, 0.0, 1.0)
    active = to_action * (outside != 0)[:, None] / SIGMA_ACTION  # (T, 64, 52)
    hessian[:, :N_EXP, :N_EXP] += active @ active.transpose(0, 2, 1)
    gradient[:, :N_EXP] -= (active @ outside[..., None])[..., 0] / SIGMA_ACTION
    smooth = SIGMA_STEP**-2
    change = np.diff(frame, axis=0) * smooth
    gradient -= (frame - mean) @ precision
    hessian += precision
    gradient[:-1] += change
    gradient[1:] -= change
    neighbours = np.full(len(frame), 2.0)
    neighbours[[0, -1]] = 1.0 if len(frame) > 1 else 0.0
    diagonal = np.arange(N_FRAME)
    hessian[:, diagonal, diagonal] += neighbours[:, None] * smooth


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
