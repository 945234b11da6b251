"""Steps B and C of :mod:`emolib.face.fitting`: light gamma and albedo delta of a face whose shape is known, and photometric refinement.

Shading is linear in gamma for a known albedo and in delta for a known light, so B is two ridge regressions in turn; C follows the gradient
of the renderer. Both look at skin below the upper lids only: above, a fringe may hang.
"""

import numpy as np
import torch
from PIL import Image

from emolib.errors import EmolibError
from emolib.face.camera import project, rotation
from emolib.face.exact import one_blas_thread, settled
from emolib.face.model import SIZES, Coefficients, FaceModel
from emolib.face.render import rasterize, render, sh_shade, vertex_normals
from emolib.media.pictures import to_tensor

BETA_WEIGHT = 0.1  # of the prior of beta: who is fitted acts more, and otherwise, than those it was measured on
SIGMA_ACTION = 0.15  # standard deviation of a facial action outside [0, 1]
SIGMA_KNOWN = 0.2  # of alpha and delta around those of the same person's neutral clip
COLOUR_NOISE, LIGHT_SPREAD = 0.06, 0.5  # of a pixel in [0, 1]; of a light coefficient
COLOUR_PIXELS = 3000  # a frame, at most
PHOTOMETRIC_SIDE = 128  # px: larger pictures are refined at this size
PHOTOMETRIC_STEP = {"alpha": 1.0, "beta": 0.5, "delta": 1.0, "gamma": 0.1, "pose": 0.02}  # makes the problem round
INDEPENDENT = 100  # pixels of a face whose colour errors count as independent (neighbours share theirs)


def _bare_skin(model: FaceModel) -> torch.Tensor:
    """Vertices (V,) of facial skin below the upper lids. Above, a fringe may hang, and a brow a little off would be painted away."""
    lids = model.mean_shape[model.landmark_index[[37, 38, 43, 44]], 1].max()
    return model.regions["face"] & (model.mean_shape[:, 1] < lids)


def _skin_pixels(model: FaceModel, image: np.ndarray, coefficients: Coefficients) -> tuple[np.ndarray, ...]:
    """Visible skin of one face: colour (P, 3), mean albedo (P, 3), albedo basis (P, 80, 3), SH basis (P, 9), offset (P,)."""
    size = image.shape[0]
    shape = model.shape(coefficients.alpha, coefficients.beta)
    fragments = rasterize(project(shape, coefficients.pose, size), model.triangles, size)
    corners = model.triangles[fragments.face_id[0].clamp(min=0)]  # (S, S, 3)
    keep = _bare_skin(model)[corners].all(-1) & (fragments.face_id[0] >= 0)
    rows, columns = torch.nonzero(keep, as_tuple=True)
    stride = max(1, -(-len(rows) // COLOUR_PIXELS))
    rows, columns = rows[::stride], columns[::stride]
    if len(rows) < 50:
        raise EmolibError(f"only {len(rows)} pixels of skin are in the picture; expected a whole aligned face")
    corners, bary = corners[rows, columns], fragments.bary[0, rows, columns]
    turned = (vertex_normals(shape, model.triangles) @ rotation(coefficients.pose).transpose(1, 2))[0]
    normals = torch.nn.functional.normalize((turned[corners] * bary[..., None]).sum(1), dim=-1)
    albedo = (model.mean_albedo[corners] * bary[..., None]).sum(1)
    basis = (model.albedo_basis[:, corners] * bary[..., None]).sum(2).transpose(0, 1)
    # Shading is affine in gamma: one probe a coefficient gives the basis of whatever convention the renderer has.
    probes = torch.cat([torch.zeros(1, 9), torch.eye(9)]).to(shape)[:, None].expand(-1, 3, -1).reshape(10, 27)
    shaded = sh_shade(normals.expand(10, -1, -1), torch.ones(10, len(normals), 3).to(shape), probes)[..., 0]
    colour = torch.from_numpy(np.array(image))[rows, columns].double() / 255
    return tuple(x.double().numpy() for x in (colour, albedo, basis, (shaded[1:] - shaded[0]).T, shaded[0]))


@torch.no_grad()
@one_blas_thread()
def fit_colour(
    model: FaceModel,
    frames: np.ndarray,
    coefficients: Coefficients,
    *,
    rounds: int = 3,
    known: Coefficients | None = None,
) -> Coefficients:
    """Step B: one gamma and one delta for frames uint8 (N, S, S, 3) with the geometry of ``coefficients`` (N rows).

    Ridge least squares in turn, with pixels that no skin explains (hair, glasses, shadows) weighted down.
    """
    exact = model.double()
    parts = [_skin_pixels(exact, frame, coefficients[i].double()) for i, frame in enumerate(frames)]
    colour, mean, basis, light_basis, offset = (np.concatenate(part) for part in zip(*parts))
    count = len(colour)
    scale = INDEPENDENT / count / COLOUR_NOISE**2  # from squared error to log posterior
    delta_mean = np.zeros(SIZES["delta"]) if known is None else known.delta[0].double().numpy()
    delta_weight = (1.0 if known is None else SIGMA_KNOWN) ** -2
    delta, weight = delta_mean.copy(), np.ones((count, 3))
    for _ in range(rounds):
        albedo = mean + np.tensordot(basis, delta, ((1,), (0,)))
        gamma, shade = np.empty((3, 9)), np.empty((count, 3))
        for channel in range(3):
            lit = albedo[:, channel, None] * light_basis
            right = lit.T @ (weight[:, channel] * (colour[:, channel] - albedo[:, channel] * offset))
            left = (lit * weight[:, channel, None]).T @ lit * scale + np.eye(9) / LIGHT_SPREAD**2
            gamma[channel] = np.linalg.solve(left, right * scale)
            shade[:, channel] = light_basis @ gamma[channel] + offset
        lit = basis * shade[:, None]  # (P, 80, 3)
        flat = lit.transpose(0, 2, 1).reshape(-1, len(delta))
        scaled = flat * weight.reshape(-1, 1)
        right = scaled.T @ (colour - mean * shade).reshape(-1) * scale + delta_weight * delta_mean
        delta = np.linalg.solve(scaled.T @ flat * scale + delta_weight * np.eye(len(delta)), right)
        error = colour - (mean + np.tensordot(basis, delta, ((1,), (0,)))) * shade
        weight = np.repeat(1.0 / (1.0 + (error**2).mean(1, keepdims=True) / (2 * COLOUR_NOISE) ** 2) ** 2, 3, 1)
    rows = len(coefficients)
    return coefficients.replace(
        delta=torch.from_numpy(settled(delta)).float().expand(rows, -1).clone(),
        gamma=torch.from_numpy(settled(gamma.reshape(-1))).float().expand(rows, -1).clone(),
    )


def refine_photometric(
    model: FaceModel, image: np.ndarray, evidence, coefficients: Coefficients, *, iterations: int = 15
) -> Coefficients:
    """Step C: L-BFGS on all coefficients of one image (S, S, 3): colour of the face, points and priors together.

    evidence: :class:`emolib.face.gauss_newton.Evidence` of this one frame.
    """
    size = min(image.shape[0], PHOTOMETRIC_SIDE)
    small = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    target = to_tensor(np.array(small))[None]
    drift, omega, points = (torch.from_numpy(x).float() for x in (evidence.offset, evidence.precision, evidence.points))
    precision = BETA_WEIGHT * torch.linalg.inv(model.beta_covariance.double()).float()
    index = torch.as_tensor(evidence.index)
    basis = torch.cat([model.id_basis[:, index], model.exp_basis[:, index]]).flatten(1)
    scale = torch.cat([torch.full((size_,), PHOTOMETRIC_STEP[name]) for name, size_ in SIZES.items()])
    start = coefficients.to_vector()
    change = torch.zeros_like(start, requires_grad=True)
    covered = (model.regions["face"] & ~_bare_skin(model))[model.triangles].any(-1)  # (F,): brows and forehead

    def objective() -> torch.Tensor:
        optimiser.zero_grad()
        current = Coefficients.from_vector(start + change * scale)
        rendering = render(model, current, size)
        error = ((rendering.image - target) / COLOUR_NOISE).square().mean(1, keepdim=True)
        robust = error / (1 + error / 8)  # Geman-McClure: what the model cannot explain (hair, glasses) stops pulling
        mask = rendering.mask * ~covered[rendering.face_id.clamp(min=0)][:, None]
        photometric = INDEPENDENT * 3 * (robust * mask).sum() / mask.sum()
        seen = (
            (torch.cat([current.alpha, current.beta], 1) @ basis).unflatten(1, (-1, 3))
            + model.mean_shape[index]
            + drift
        )
        miss = (project(seen, current.pose, 1)[..., :2] - points).flatten()
        actions = current.beta @ model.beta_to_arkit
        outside = (actions - actions.clamp(0, 1)) / SIGMA_ACTION
        prior = current.alpha.square().sum() + current.delta.square().sum()
        apart = current.beta - model.beta_mean
        prior = prior + (apart @ precision * apart).sum()
        prior = prior + (current.gamma / LIGHT_SPREAD).square().sum() + outside.square().sum()
        loss = photometric + miss @ omega @ miss + prior
        loss.backward()
        return loss

    optimiser = torch.optim.LBFGS([change], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")
    optimiser.step(objective)
    return Coefficients.from_vector(start + change.detach() * scale)
