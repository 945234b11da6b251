"""Analysis by synthesis, on what the model itself synthesises (truth known) and on a real portrait."""

import functools

import numpy as np
import pytest
import skimage.data
import torch

from emolib.corpus.clips import CorpusWriter
from emolib.corpus.fits import _recipes, fit_corpus
from emolib.errors import EmolibError
from emolib.face.alignment import Alignment, nme
from emolib.face.appearance import fit_colour, refine_photometric
from emolib.face.fitting import Fit, detector_offset, fit_clip, fit_image, seen_landmarks
from emolib.face.gauss_newton import SIGMA_STEP, _Points, _solve, fit_points, from_landmarks
from emolib.face.landmarks import detect
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import render
from emolib.metrics.fits import compare, vertex_error

SIZE = 128


@functools.cache
def model():
    return load_face_model()


def random_faces(count, seed, scale=0.5):
    """One identity in ``count`` expressions and poses."""
    rng = np.random.default_rng(seed)

    def draw(*shape, spread):
        return torch.from_numpy(rng.normal(size=shape) * spread).float()

    actions = torch.from_numpy(rng.uniform(0, 0.5, (count, 52)) * (rng.uniform(size=(count, 52)) < 0.15)).float()
    faces = Coefficients.zeros(count).replace(beta=actions @ model().arkit_to_beta)
    return faces.replace(
        alpha=draw(1, 80, spread=scale).repeat(count, 1),
        delta=draw(1, 80, spread=scale).repeat(count, 1),
        gamma=draw(1, 27, spread=0.1).repeat(count, 1),
        pose=draw(count, 6, spread=0.08),
    )


def landmarks_of(faces, size=SIZE):
    return model().landmarks(faces.alpha, faces.beta, faces.pose, size).numpy().astype(float)


def images_of(faces):
    """Renders on a grey ground, uint8 (T, S, S, 3)."""
    with torch.no_grad():
        rendering = render(model(), faces, SIZE)
    image = torch.where((rendering.face_id >= 0)[:, None], rendering.image, torch.tensor(0.6))
    return (image * 255).round().byte().permute(0, 2, 3, 1).numpy()


def action(name, weight):
    weights = torch.zeros(1, 52)
    weights[0, model().arkit_names.index(name)] = weight
    return weights @ model().arkit_to_beta


def test_points_and_jacobian_agree_with_autograd():
    faces = random_faces(2, 0)

    def reference(x):
        return model().landmarks(x[None, :80], x[None, 80:144], x[None, 144:], 1).flatten()

    screen, jacobian = _Points(model(), model().landmark_index.numpy())(
        faces.alpha[0].numpy(), faces.beta.numpy(), faces.pose.numpy()
    )
    for t in range(2):
        x = torch.cat([faces.alpha[t], faces.beta[t], faces.pose[t]])
        assert np.allclose(screen[t], reference(x).numpy(), atol=1e-5)
        assert np.allclose(jacobian[t], torch.func.jacrev(reference)(x).numpy(), atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_banded_step_is_the_dense_step(count):
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(count, 70, 80))
    own = factor @ factor.transpose(0, 2, 1) + 5000 * np.eye(70)
    mixed, gradient = rng.normal(size=(count, 70, 80)), rng.normal(size=(count, 70))
    alpha_hessian, alpha_gradient = 100 * np.eye(80), rng.normal(size=80)
    dense = np.zeros((count * 70 + 80,) * 2)
    for t in range(count):
        rows = slice(t * 70, t * 70 + 70)
        dense[rows, rows] = own[t]
        dense[rows, count * 70 :], dense[count * 70 :, rows] = mixed[t], mixed[t].T
        if t:
            before = slice(t * 70 - 70, t * 70)
            dense[rows, before] = dense[before, rows] = -np.diag(SIGMA_STEP**-2)
    dense[count * 70 :, count * 70 :] = alpha_hessian
    expected = np.linalg.solve(dense, np.concatenate([gradient.ravel(), alpha_gradient]))
    step, alpha_step = _solve(own, mixed, gradient, alpha_hessian, alpha_gradient)
    assert np.allclose(np.concatenate([step.ravel(), alpha_step]), expected, atol=1e-9)


@pytest.mark.parametrize("count", [1, 6])
def test_landmarks_of_the_model_are_fitted_closely(count):
    faces = random_faces(count, 2)
    truth = landmarks_of(faces)
    fitted = fit_points(model(), from_landmarks(model(), truth, SIZE))
    assert nme(landmarks_of(fitted), truth).max() < 2
    assert (fitted.pose - faces.pose)[:, :3].abs().max() < 0.12
    assert torch.equal(fitted.alpha[0], fitted.alpha[-1])


def test_an_open_mouth_is_an_action_and_not_a_longer_chin():
    person = random_faces(1, 3).replace(beta=torch.zeros(1, 64), pose=torch.zeros(1, 6))
    opened = person.replace(beta=action("jawOpen", 0.7))
    closed_fit, opened_fit = (
        fit_points(model(), from_landmarks(model(), landmarks_of(f), SIZE)) for f in (person, opened)
    )
    weight = (opened_fit.beta @ model().beta_to_arkit)[0, model().arkit_names.index("jawOpen")]
    assert weight > 0.35
    moved = (model().shape(closed_fit.alpha, torch.zeros(1, 64)) - model().shape(opened_fit.alpha, torch.zeros(1, 64)))[
        0
    ]
    assert moved.norm(dim=-1)[model().regions["face"]].mean() < 0.04  # units of about a decimetre
    known = fit_points(model(), from_landmarks(model(), landmarks_of(opened), SIZE), known=closed_fit)
    assert (known.alpha - closed_fit.alpha).norm() < (opened_fit.alpha - closed_fit.alpha).norm()


def test_colour_is_found_given_the_shape():
    faces = random_faces(2, 4)
    images = images_of(faces)
    start = faces.replace(delta=torch.zeros(2, 80), gamma=torch.zeros(2, 27))
    fitted = fit_colour(model(), images, start)
    mask = render(model(), faces, SIZE).mask[:, 0].numpy() > 0
    error = [np.abs(images_of(x).astype(float) - images)[mask].mean() for x in (start, fitted)]
    assert error[1] < 6 and error[1] < error[0] / 2


def test_photometric_steps_lower_the_colour_error_and_keep_the_landmarks():
    faces = random_faces(1, 5)
    image, truth = images_of(faces)[0], landmarks_of(faces)[0]
    evidence = from_landmarks(model(), truth[None], SIZE)
    start = fit_colour(model(), image[None], fit_points(model(), evidence))
    refined = refine_photometric(model(), image, evidence, start, iterations=6)
    mask = render(model(), faces, SIZE).mask[0, 0].numpy() > 0
    error = [np.abs(images_of(x)[0].astype(float) - image)[mask].mean() for x in (start, refined)]
    assert error[1] < error[0]
    assert nme(landmarks_of(refined), truth[None]) < 2


def test_clip_has_one_identity_one_light_and_survives_the_disk(tmp_path):
    faces = random_faces(4, 6)
    fit = fit_clip(model(), images_of(faces), seen_landmarks(model(), faces, SIZE))
    for name in ("alpha", "delta", "gamma"):
        value = getattr(fit.coefficients, name)
        assert torch.equal(value[0], value[-1]) and value.abs().max() > 0
    assert fit.nme.max() < 4  # bare grey renders are neither what the net nor what the detector learnt from
    loaded = Fit.load(fit.save(tmp_path / "clip.npz"))
    assert torch.equal(loaded.coefficients.to_vector(), fit.coefficients.to_vector())
    assert np.allclose(loaded.landmarks, fit.landmarks, atol=1e-4)


def test_real_portrait():
    photo = skimage.data.astronaut()
    landmarks = detect(photo)[0].landmarks
    alignment = Alignment.from_landmarks(landmarks, SIZE)
    crop = alignment.crop(photo)
    fit = fit_image(model(), crop, alignment.points(landmarks), photometric=3)
    assert fit.nme[0] < 4
    assert fit.coefficients.pose[0, :3].abs().max() < 0.35
    with torch.no_grad():
        rendering = render(model(), fit.coefficients, SIZE)
    mask = rendering.mask[0, 0].numpy() > 0
    error = np.abs(rendering.image[0].permute(1, 2, 0).numpy() - crop / 255)[mask]
    assert np.median(error) < 0.08  # the mean counts the fringe


def test_corpus_is_fitted_resumed_and_its_bad_clip_set_aside(tmp_path):
    silence = np.zeros(1600, np.float32)
    writer = CorpusWriter(tmp_path / "clips")
    record = {"corpus": "synth", "split": "train", "identity": "a", "intensity": 1, "text": "", "fps": 25}
    faces = random_faces(3, 7)
    writer.add(record | {"clip_id": "calm", "emotion": "neutral"}, images_of(faces), silence)
    writer.add(record | {"clip_id": "black", "emotion": "happy"}, np.zeros((3, SIZE, SIZE, 3), np.uint8), silence)
    corpus = writer.finish()
    failed = fit_corpus(corpus, tmp_path / "fits", workers=1)
    assert list(failed) == ["black"] and "no face found" in failed["black"]
    assert (tmp_path / "fits" / "quarantine.csv").read_text().startswith("clip_id,reason\nblack,")
    assert len(Fit.load(tmp_path / "fits" / "calm.npz").coefficients) == 3
    before = (tmp_path / "fits" / "calm.npz").stat().st_mtime_ns
    alone = corpus.select(clip_id="calm")
    assert fit_corpus(alone, tmp_path / "fits") == {}
    assert (tmp_path / "fits" / "calm.npz").stat().st_mtime_ns == before
    settings = [_recipes(model(), alone, iterations)["calm"] for iterations in (4, 5)]
    assert settings[0] != settings[1]  # another setting, another fit


def test_vertex_error_ignores_rotation_and_shift_but_not_reflection():
    points = np.random.default_rng(8).normal(size=(2, 20, 3))
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert np.allclose(vertex_error(points @ quarter + 3, points), 0)
    assert vertex_error(points * [1, 1, -1], points).mean() > 0.1
    flat = np.array([[[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]]])
    assert np.allclose(vertex_error(flat * 1.5, flat), np.sqrt(2) / 2)


def test_comparison_with_the_truth_is_zero_for_the_truth():
    faces = random_faces(3, 9)
    truth = {
        "landmarks": landmarks_of(faces),
        "coefficients": faces.to_vector().numpy(),
        "vertices_neutral": model().shape(faces.alpha[:1], torch.zeros(1, 64))[0].numpy(),
        "arkit": (faces.beta @ model().beta_to_arkit).numpy(),
    }
    errors = compare(model(), Fit(faces, landmarks_of(faces), np.zeros(3)), truth, SIZE)
    assert errors.pop("motion_mm") > 0.2
    ones = [errors.pop(n) for n in ("points_slope", "points_r", "actions_slope", "actions_r", "beta_energy")]
    assert ones == pytest.approx([1] * 5, abs=1e-4)
    assert max(errors.values()) < 1e-3
    bigger = compare(model(), Fit(faces.replace(beta=0.5 * faces.beta), landmarks_of(faces), np.zeros(3)), truth, SIZE)
    assert bigger["expression_mm"] == pytest.approx(bigger["motion_mm"] / 2, rel=1e-3)
    assert bigger["points_slope"] == pytest.approx(0.5) and bigger["points_r"] == pytest.approx(1)
    assert bigger["actions_slope"] == pytest.approx(0.5) and bigger["beta_energy"] == pytest.approx(0.25)


def test_detector_and_model_mean_nearly_the_same_points():
    offset = detector_offset(model())
    assert offset.shape == (68, 3) and not offset[:, 2].any()
    assert np.linalg.norm(offset[27:], axis=1).mean() < 0.04  # units; the eyes are about 0.5 apart


def test_a_frame_without_skin_is_refused():
    away = Coefficients.zeros(1).replace(pose=torch.tensor([[0.0, 0.0, 0.0, 8.0, 0.0, 0.0]]))
    with pytest.raises(EmolibError, match="pixels of skin"):
        fit_colour(model(), np.zeros((1, SIZE, SIZE, 3), np.uint8), away)
