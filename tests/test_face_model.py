"""The 3DMM and its coefficients: round trips, layout, statistics, landmarks, heads, skins, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT
from emolib.face.geometry import umeyama
from emolib.face.loaders import load_face_model
from emolib.face.model import SIZES, Coefficients
from synthface.heads import HeadSampler, macro_weights
from synthface.skin import REGIONS, Anatomy, albedo, sample_skin, skin_tone


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def sampler():
    return HeadSampler(0)


def random_coefficients(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Coefficients(**{name: torch.randn(n, size, generator=generator) for name, size in SIZES.items()})


def test_vector_layout_and_round_trip():
    c = random_coefficients(3)
    vector = c.to_vector()
    assert vector.shape == (3, 257)
    assert torch.equal(vector[:, 80:144], c.beta) and torch.equal(vector[:, 251:], c.pose)
    again = Coefficients.from_vector(vector)
    assert all(torch.equal(getattr(again, name), getattr(c, name)) for name in SIZES)


def test_coefficients_file_round_trip(tmp_path):
    c = random_coefficients(2)
    again = Coefficients.load(c.save(tmp_path / "c.npz"))
    assert torch.equal(again.to_vector(), c.to_vector())


def test_indexing_keeps_the_batch():
    c = random_coefficients(4)
    assert len(c[-1]) == 1 and torch.equal(c[-1].alpha, c.alpha[3:])
    assert len(c[1:3]) == 2 and len(c[[0, 2]]) == 2
    assert torch.equal(Coefficients.cat([c[:1], c[1:]]).to_vector(), c.to_vector())
    assert torch.equal(c[0].expand(5).pose, c.pose[:1].repeat(5, 1))
    with pytest.raises(IndexError):
        c[4]


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="256"):
        Coefficients.from_vector(torch.zeros(1, 256))
    with pytest.raises(ValueError, match="beta"):
        Coefficients.zeros(2).replace(beta=torch.zeros(3, 64))


def test_files_that_are_not_ours(tmp_path):
    with pytest.raises(EmolibError, match="no face model"):
        load_face_model(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a model")
    with pytest.raises(EmolibError, match="not a readable"):
        load_face_model(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", mean_shape=np.zeros((3, 3)))
    with pytest.raises(EmolibError, match="lacks id_basis"):
        load_face_model(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("beta", lambda a: a[:, :63], r"^beta of .*c.npz is \(3, 63\); expected \(3, 64\): fit the pictures anew$"),
        ("pose", lambda a: a[:2], r"pose of .* is \(2, 6\); expected \(3, 6\)"),
        ("alpha", lambda a: a[0], r"alpha of .* is \(80,\); expected \(80, 80\)"),
        ("alpha", lambda a: a[0, 0], r"alpha of .* is \(\); expected \(0, 80\)"),
        (
            "gamma",
            lambda a: np.where(a > 1, np.nan, a),
            r"gamma of .* has \d+ values that are nan or infinite; expected none",
        ),
        ("delta", lambda a: np.where(a > 1, np.inf, a), r"delta of .* has \d+ values that are nan or infinite"),
        ("delta", lambda a: 1e200 * a.astype(float), r"delta of .* has 240 values that are nan or infinite"),
        (
            "alpha",
            lambda a: a.astype(object),
            r"c.npz is not a readable coefficients file \(it holds Python objects\); expected",
        ),
        ("alpha", lambda a: a.astype(str), "alpha of .* holds <U.*; expected numbers"),
        ("pose", lambda a: a.astype(complex), "pose of .* holds complex.*; expected numbers"),
        ("pose", None, "c.npz lacks pose; expected a coefficients file"),
    ],
)
def test_coefficient_files_that_make_no_sense(tmp_path, name, spoil, message):
    arrays = {n: getattr(random_coefficients(3), n).numpy() for n in SIZES}
    array = arrays.pop(name)
    np.savez(tmp_path / "c.npz", **arrays | ({name: spoil(array)} if spoil else {}))
    with pytest.raises(EmolibError, match=message):
        Coefficients.load(tmp_path / "c.npz")


def test_an_array_is_not_a_coefficients_file(tmp_path):
    np.save(tmp_path / "c.npy", np.zeros((2, 257)))
    with pytest.raises(EmolibError, match="c.npy is not a readable coefficients file"):
        Coefficients.load(tmp_path / "c.npy")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_coefficient_files_are_refused_or_harmless(tmp_path_factory, data):
    """Whatever byte flips, or wherever the file ends: an EmolibError, or (where the byte means nothing) the numbers that were saved."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    saved = random_coefficients(1)
    content = bytearray(saved.save(path).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        # The headers of the zip stand at both ends; the numbers between are covered by checksums.
        place = data.draw(st.integers(0, 299) | st.integers(-600, -1) | st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        again = Coefficients.load(path)
    except EmolibError as error:
        assert "damaged.npz" in str(error) and "expected" in str(error)
    else:
        assert torch.equal(again.to_vector(), saved.to_vector())


def test_model_file_round_trip(model, tmp_path):
    path = model.save(tmp_path / "model.npz")
    again = load_face_model(path)
    assert path.stat().st_size < 16e6
    assert torch.equal(again.mean_shape, model.mean_shape) and torch.equal(again.id_basis, model.id_basis)
    assert torch.equal(again.triangles, model.triangles) and again.arkit_names == model.arkit_names
    assert again.regions.keys() == model.regions.keys() and again.mm_per_unit == model.mm_per_unit


def test_shapes_and_dtypes(model):
    v = len(model.mean_shape)
    assert model.id_basis.shape == (80, v, 3) and model.exp_basis.shape == (64, v, 3)
    assert model.albedo_basis.shape == (80, v, 3) and model.landmark_index.shape == (68,)
    assert 5000 <= len(model.triangles) <= 10000
    assert model.triangles.min() == 0 and model.triangles.max() == v - 1
    assert model.uv_triangles.shape == model.triangles.shape and 0 <= model.uv.min() <= model.uv.max() <= 1
    assert all(mask.shape == (v,) and mask.dtype == torch.bool and mask.any() for mask in model.regions.values())


def test_shape_is_equation_1(model):
    c = random_coefficients(2)
    expected = model.mean_shape + torch.einsum("bk,kvi->bvi", c.alpha, model.id_basis)
    expected = expected + torch.einsum("bk,kvi->bvi", c.beta, model.exp_basis)
    assert torch.allclose(model.shape(c.alpha, c.beta), expected, atol=1e-4)
    assert torch.equal(model.shape(torch.zeros(1, 80), torch.zeros(1, 64))[0], model.mean_shape)


def test_albedo_stays_in_range(model):
    colours = model.albedo(3 * random_coefficients(4).delta)
    assert colours.min() >= 0 and colours.max() <= 1


def test_landmarks_are_the_projected_vertices(model):
    from emolib.face.camera import project

    c = random_coefficients(2)
    pose = 0.2 * c.pose
    full = project(model.shape(c.alpha, c.beta), pose, 200)[:, model.landmark_index, :2]
    assert torch.allclose(model.landmarks(c.alpha, c.beta, pose, 200), full, atol=1e-2)


def test_landmarks_lie_where_their_names_say(model):
    points = model.mean_shape[model.landmark_index]
    x, y, z = points.T
    assert (x[:8] < 0).all() and (x[9:17] > 0).all() and x[8].abs() < 1e-3
    assert y[17:27].min() > y[36:48].max() > y[27:36].max() - 0.1 > y[48:68].max() > y[8]
    assert z[30] == z.max()  # the tip of the nose is foremost
    mirror = points[[16, 26, 45, 54, 64]] * torch.tensor([-1.0, 1, 1])
    assert torch.allclose(points[[0, 17, 36, 48, 60]], mirror, atol=1e-3)
    assert y[[37, 38]].min() > y[[40, 41]].max() and y[[50, 51, 52]].min() > y[[56, 57, 58]].max()
    assert model.regions["lips"][model.landmark_index[48:60]].all()


def test_actions_round_trip_through_beta(model):
    """Moderate weights come back through the expression basis, apart from actions that all but cancel or double each other."""
    weights = 0.5 * torch.eye(52)
    again = weights @ model.arkit_to_beta @ model.beta_to_arkit
    assert (again - weights).abs().mean() < 0.01
    assert again.diagonal().mean() > 0.45


@pytest.mark.parametrize(
    ("action", "upper", "lower", "sign"),
    [("jawOpen", 62, 66, 1), ("eyeBlinkLeft", 43, 47, -1), ("eyeBlinkRight", 38, 40, -1)],
)
def test_actions_move_the_right_landmarks(model, action, upper, lower, sign):
    weights = torch.zeros(1, 52)
    weights[0, model.arkit_names.index(action)] = 1
    shape = model.shape(torch.zeros(1, 80), weights @ model.arkit_to_beta)[0]
    a, b = model.landmark_index[[upper, lower]]
    change = (shape[a] - shape[b])[1] - (model.mean_shape[a] - model.mean_shape[b])[1]
    assert sign * change > 0.04


def test_new_heads_lie_near_the_span_of_the_model(model, sampler):
    """Heads that the PCA has not seen: 80 components explain nearly all of their difference from the mean."""
    heads = np.stack([sampler.sample(np.random.default_rng(10_000 + i), actions=False).vertices for i in range(12)])
    difference = (torch.from_numpy(heads) - model.mean_shape).flatten(1)
    basis = model.id_basis.flatten(1)
    alpha = torch.linalg.lstsq(basis.T, difference.T).solution
    explained = 1 - (difference - alpha.T @ basis).square().sum() / difference.square().sum()
    assert explained > 0.97
    assert 0.5 < alpha.square().mean().sqrt() < 1.5


def test_heads_are_reproducible_and_move_in_their_own_way(sampler):
    one, same, other = (sampler.sample(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.vertices, same.vertices) and np.array_equal(one.actions, same.actions)
    assert one.actions.shape == (52, *one.vertices.shape) and one.actions.dtype == np.float32
    smile = ARKIT.index("mouthSmileLeft")
    assert np.abs(one.actions[smile] - other.actions[smile]).max() > 0.005
    assert abs(sum(one.ethnicity) - 1) < 1e-6 and 20 <= one.age <= 75 and 0 <= one.sex <= 1


def test_macro_weights_against_anny(sampler):
    """The blend weights of the macro targets, against anny's own function."""
    phenotype = pytest.importorskip("anny.models.phenotype")
    from anny.models.model_data import PHENOTYPE_VARIATIONS

    values = {"gender": 0.3, "age": 0.8, "muscle": 0.4, "weight": 0.7, "height": 0.2, "proportions": 0.6}
    values |= {"african": 0.2, "asian": 0.5, "caucasian": 0.1}
    keys = sampler.template.macro_keys
    columns = [label for labels in PHENOTYPE_VARIATIONS.values() for label in labels]
    mask = torch.tensor([[float(label in str(key).split("-")) for label in columns] for key in keys])
    theirs = phenotype.phenotype_blendshape_weights(
        torch.tensor([list(values.values())]),
        list(values),
        phenotype.make_phenotype_anchors(torch.float32),
        mask,
        False,
    )
    assert np.allclose(macro_weights(keys, values), theirs[0].numpy(), atol=1e-6)


def test_similarity_recovers_a_known_one():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    scale, found, shift = umeyama(points, 1.7 * points @ rotation.T + [1, -2, 3])
    assert scale == pytest.approx(1.7) and np.allclose(found, rotation) and np.allclose(shift, [1, -2, 3])


def test_skin_is_reproducible_and_in_range(model):
    weights = np.zeros((len(model.mean_shape), len(REGIONS)), np.float32)
    weights[:, REGIONS.index("lips")] = model.regions["lips"].numpy()
    weights[:, REGIONS.index("eyes")] = model.regions["eyes"].numpy()
    mean = model.mean_shape.numpy()
    anatomy = Anatomy.of(mean, model.landmark_index.numpy(), weights)
    skins = [sample_skin(np.random.default_rng(seed), 0.0, 40.0, (0, 0, 1)) for seed in (5, 5, 6)]
    one, same, other = (albedo(skin, mean, weights, anatomy) for skin in skins)
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.shape == mean.shape and one.min() >= 0 and one.max() <= 1
    lips, forehead = one[model.regions["lips"]].mean(0), one[model.landmark_index[27]]
    assert lips[1] / lips[0] < forehead[1] / forehead[0]  # lips are redder


def test_more_melanin_is_darker_and_more_blood_is_redder():
    fair, dark, flushed = skin_tone(0.2, 0.3), skin_tone(1.2, 0.3), skin_tone(0.2, 0.6)
    assert (dark < fair).all()
    assert flushed[0] / flushed[1] > fair[0] / fair[1]
