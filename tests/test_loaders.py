"""Other face models on disk: generated files in the layouts of D3DFR's BFM and of the ICT face kit, and every way to spoil one."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from emolib.errors import EmolibError
from emolib.face import ict, loaders
from emolib.face.arkit import ARKIT
from emolib.face.loaders import default_path, load_face_model
from emolib.face.model import Coefficients
from emolib.face.render import render

KIT = """browDown_L browDown_R browInnerUp_L browInnerUp_R browOuterUp_L browOuterUp_R cheekPuff_L cheekPuff_R cheekSquint_L cheekSquint_R
eyeBlink_L eyeBlink_R eyeLookDown_L eyeLookDown_R eyeLookIn_L eyeLookIn_R eyeLookOut_L eyeLookOut_R eyeLookUp_L eyeLookUp_R eyeSquint_L
eyeSquint_R eyeWide_L eyeWide_R jawForward jawLeft jawOpen jawRight mouthClose mouthDimple_L mouthDimple_R mouthFrown_L mouthFrown_R
mouthFunnel mouthLeft mouthLowerDown_L mouthLowerDown_R mouthPress_L mouthPress_R mouthPucker mouthRight mouthRollLower mouthRollUpper
mouthShrugLower mouthShrugUpper mouthSmile_L mouthSmile_R mouthStretch_L mouthStretch_R mouthUpperUp_L mouthUpperUp_R noseSneer_L
noseSneer_R""".split()  # what the kit says in its vertex_indices.json
TINY = {
    "face": 80,
    "head": 8,
    "mouth": 5,
    "socket": 5,
    "gums": 5,
    "teeth": 5,
    "left eye": 5,
    "right eye": 5,
}  # vertices


def ranges(counts):
    ends = np.cumsum(list(counts.values())).tolist()
    return dict(zip(counts, zip([0, *ends[:-1]], ends)))


@pytest.fixture(scope="module")
def model():
    return load_face_model(default_path())


# BFM09 in D3DFR's layout: the skin of our own head, in decimetres, off centre --------------------------------------------


@pytest.fixture(scope="module")
def matrices(model):
    used = np.flatnonzero(model.regions["skin"].numpy())
    number = np.full(len(model.mean_shape), -1)
    number[used] = np.arange(len(used))
    triangles = number[model.triangles.numpy()]
    front = number[np.flatnonzero(model.regions["face"].numpy())]

    def columns(basis, scale):
        return scale * basis[:, used].flatten(1).T.numpy()

    return {
        "meanshape": 1.25 * model.mean_shape[used].reshape(1, -1).numpy() + np.tile([0.1, 0.2, 0.3], len(used)),
        "meantex": 255 * model.mean_albedo[used].reshape(1, -1).numpy(),
        "idBase": columns(model.id_basis, 1.25),
        "exBase": columns(model.exp_basis, 1.25),
        "texBase": columns(model.albedo_basis, 255),
        "tri": (triangles[(triangles >= 0).all(1)] + 1).astype(np.float32),  # as floats in the real file
        "keypoints": (number[model.landmark_index.numpy()] + 1)[None].astype(np.float32),
        "frontmask2_idx": (front + 1)[:, None].astype(np.float32),
        "skinmask": (np.arange(len(used)) % 3 == 0)[None].astype(np.float32),
        "point_buf": np.ones((len(used), 8)),
        "tri_mask2": np.ones((1, 3)),
    }


@pytest.fixture(scope="module")
def bfm(matrices, tmp_path_factory):
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    savemat(path, matrices)
    return load_face_model(path)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bfm_is_the_mean_plus_the_bases_times_the_coefficients(bfm, matrices, seed):
    rng = np.random.default_rng(seed)
    alpha, beta, delta = rng.normal(size=80), rng.normal(size=64), rng.normal(size=80)
    centred = matrices["meanshape"].reshape(-1, 3) - matrices["meanshape"].reshape(-1, 3).mean(0)
    shape = centred + (matrices["idBase"] @ alpha + matrices["exBase"] @ beta).reshape(-1, 3)
    colour = (matrices["meantex"][0] + matrices["texBase"] @ delta).reshape(-1, 3) / 255
    a, b, d = (torch.from_numpy(x[None]).float() for x in (alpha, beta, delta))
    assert np.allclose(bfm.shape(a, b)[0], shape, atol=1e-5)
    assert np.allclose(bfm.albedo(d)[0], colour.clip(0, 1), atol=1e-5)


def test_bfm_indices_units_and_regions(bfm, matrices):
    assert bfm.landmark_index.tolist() == (matrices["keypoints"][0] - 1).tolist()
    assert bfm.triangles.min() == 0 and bfm.triangles.max() == len(bfm.mean_shape) - 1
    assert torch.equal(bfm.triangles, torch.from_numpy(matrices["tri"]).long() - 1)
    assert bfm.mm_per_unit == 100 and bfm.mean_shape.mean(0).abs().max() < 1e-5
    assert (torch.flatten(bfm.regions["face"].nonzero()) + 1).tolist() == sorted(matrices["frontmask2_idx"][:, 0])
    assert bfm.regions["skin"].tolist() == (matrices["skinmask"][0] > 0.5).tolist()
    assert not any(bfm.regions[name].any() for name in loaders.REGIONS if name not in ("face", "skin", "lips"))
    assert not bfm.arkit_to_beta.any() and not bfm.beta_to_arkit.any() and bfm.arkit_names == tuple(ARKIT)


def test_bfm_lips_are_those_of_the_head_it_was_made_from(bfm, model):
    ours = model.regions["lips"][model.regions["skin"]]
    assert (bfm.regions["lips"] & ours).sum() > 0.7 * (bfm.regions["lips"] | ours).sum()
    assert (
        bfm.regions["lips"][bfm.landmark_index[48:60]].all() and not bfm.regions["lips"][bfm.landmark_index[:48]].any()
    )


def test_inside_is_in_the_outline_and_not_behind_it():
    outline = np.array([[0, 0, 1], [2, 0, 1], [2, 1, 1.5], [0, 1, 1.0]])
    points = np.array([[1, 0.5, 1], [1, 0.5, 0.95], [1, 0.5, 0.8], [3, 0.5, 1], [1, -0.1, 1.0]])
    assert loaders._inside(points, outline).tolist() == [True, True, False, False, False]


def test_bfm_boolean_skinmask(matrices, tmp_path):
    savemat(tmp_path / "m.mat", matrices | {"skinmask": matrices["skinmask"] > 0.5})
    mask = load_face_model(tmp_path / "m.mat").regions["skin"]
    assert mask.tolist() == (matrices["skinmask"][0] > 0.5).tolist()


def test_bfm_uv_runs_left_to_right_and_up(bfm):
    u, v = bfm.uv[bfm.landmark_index].T
    assert 0 <= bfm.uv.min() and bfm.uv.max() <= 1 and torch.equal(bfm.uv_triangles, bfm.triangles)
    assert u[30] == pytest.approx(0.5, abs=0.01) and (u[:17].diff() > 0).all()  # along the jaw
    assert v[8] < v[57] < v[30] < v[36] < v[19]


# The ICT face kit: our own head again, in its parts and in centimetres ----------------------------------------------------


def write_obj(path, vertices, uv=(), polygons=(), uv_polygons=()):
    lines = ["# a comment", "mtllib none.mtl", *("v {:.7g} {:.7g} {:.7g}".format(*row) for row in vertices)]
    lines += ["vt {:.7g} {:.7g}".format(*row) for row in uv] + ["usemtl M_Face"]
    for corners, places in zip(polygons, uv_polygons):
        lines.append("f " + " ".join(f"{a + 1}/{b + 1}" for a, b in zip(corners, places)))
    path.write_text("\n".join(lines) + "\n")


def write_kit(folder, neutral, identities, expressions, mesh, landmarks):
    """neutral (V, 3), identities (80, V, 3), expressions name -> (V, 3): displacements in cm."""
    folder.mkdir()
    write_obj(folder / "generic_neutral_mesh.obj", neutral, *mesh)
    for i, moved in enumerate(identities):
        write_obj(folder / f"identity{i:03d}.obj", neutral + moved)
    for name, moved in expressions.items():
        write_obj(folder / f"{name}.obj", neutral + moved)
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": landmarks}))
    return folder


def quads(triangles):
    """Polygons: two triangles in a row that are the fan of one quad become it again."""
    polygons, i = [], 0
    while i < len(triangles):
        a, b = triangles[i], triangles[i + 1] if i + 1 < len(triangles) else (-1, -1, -1)
        joined = a[0] == b[0] and a[2] == b[1]
        polygons.append([*a, b[2]] if joined else list(a))
        i += 2 if joined else 1
    return polygons


@pytest.fixture(scope="module")
def kit(model, tmp_path_factory):
    """(folder, order (V,) of our vertices in it, identities, expressions); its part ranges hold while the module runs."""
    region = {name: mask.numpy() for name, mask in model.regions.items()}
    left = model.mean_shape[:, 0].numpy() > 0
    region |= {
        "head": region["skin"],
        "left eye": region["eyes"] & left,
        "right eye": region["eyes"],
        "gums": region["tongue"],
    }
    below = model.mean_shape[:, 1].numpy() < model.mean_shape[model.landmark_index[8], 1].item() - 0.06
    region["face"] = region["face"] | region["skin"] & below  # the kit's face goes on to the throat, ours does not
    part = np.full(len(left), -1)
    names = list(ict.ICT_PARTS)
    for name in ("face", "head", "socket", "mouth", "gums", "teeth", "left eye", "right eye"):
        part[(part < 0) & region[name]] = names.index(name)
    assert (part >= 0).all()
    order = np.argsort(part, kind="stable")
    number = np.argsort(order)
    counts = {name: int((part == i).sum()) for i, name in enumerate(names)}
    see_through = np.array([[-2, 3, 14], [2, 3, 14], [2, 4, 14], [-2, 4, 14.0]])  # a pane before the face
    neutral = np.concatenate([model.mean_shape.numpy()[order] / 0.08 + [1, 2, 3], see_through])

    def cm(field):  # (V, 3) units -> (V + 4, 3)
        return np.concatenate([field[order] / 0.08, np.zeros((4, 3))])

    identities = [cm(mode.numpy()) for mode in model.id_basis]
    actions = torch.einsum("ab,bvc->avc", model.arkit_to_beta, model.exp_basis).numpy()
    expressions = {}
    for name in KIT:
        whole = name.replace("_L", "Left").replace("_R", "Right")
        if whole in ARKIT:
            expressions[name] = cm(actions[ARKIT.index(whole)])
        else:
            expressions[name] = cm(actions[ARKIT.index(name[:-2])] * (left == name.endswith("L"))[:, None])
    polygons = [*quads(number[model.triangles.numpy()].tolist()), [len(left) + i for i in range(4)]]
    uv = model.uv.numpy() * [0.9, 1]  # within tile 0
    uv_polygons = [*quads(model.uv_triangles.numpy().tolist()), [0, 1, 2, 3]]
    if [len(p) for p in polygons] != [len(p) for p in uv_polygons]:  # a seam cuts a quad: plain triangles, and the pane
        polygons = [*number[model.triangles.numpy()].tolist(), polygons[-1]]
        uv_polygons = [*model.uv_triangles.numpy().tolist(), uv_polygons[-1]]
    landmarks = number[model.landmark_index.numpy()].tolist()
    folder = tmp_path_factory.mktemp("ict") / "FaceXModel"
    write_kit(folder, neutral, identities, expressions, (uv, polygons, uv_polygons), landmarks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ict, "ICT_PARTS", ranges(counts))
        patch.setattr(ict, "ICT_VERTICES", len(neutral))
        yield load_face_model(folder), order, neutral, identities, expressions, landmarks


def test_kit_is_the_neutral_plus_named_shapes_in_our_units(kit, model):
    ict, order, neutral, identities, expressions, landmarks = kit
    weights = torch.zeros(1, 52)
    given = {"jawOpen": 0.7, "eyeBlinkLeft": 1.0, "mouthRight": 0.4, "browInnerUp": 0.5, "tongueOut": 1.0}
    for name, value in given.items():
        weights[0, ARKIT.index(name)] = value
    alpha = torch.zeros(1, 80)
    alpha[0, 0], alpha[0, 79] = 1.5, -2
    by_hand = neutral + 1.5 * identities[0] - 2 * identities[79] + 0.7 * expressions["jawOpen"]
    by_hand += expressions["eyeBlink_L"] + 0.4 * expressions["mouthRight"]
    by_hand += 0.5 * (expressions["browInnerUp_L"] + expressions["browInnerUp_R"])
    moved = ict.shape(alpha, weights @ ict.arkit_to_beta)[0].numpy()
    shift = model.mean_shape[model.landmark_index].numpy().mean(0) - 0.08 * neutral[landmarks].mean(0)
    assert np.allclose(moved, 0.08 * by_hand[: len(moved)] + shift, atol=1e-4)
    assert ict.mm_per_unit == 125 and np.allclose(ict.mean_shape, model.mean_shape[order], atol=1e-4)


def test_kit_landmarks_parts_and_triangles(kit, model):
    ict, order, neutral, _, _, landmarks = kit
    assert ict.landmark_index.tolist() == landmarks
    assert len(ict.mean_shape) == len(neutral) - 4  # the pane is gone, and its triangles with it
    assert torch.equal(torch.from_numpy(order)[ict.triangles], model.triangles)
    for name in ("eyes", "socket", "mouth", "teeth", "tongue"):  # rims that two parts share are skin in the kit
        ours = model.regions[name][order] & ~model.regions["skin"][order]
        assert torch.equal(ict.regions[name] & ours, ours) and ours.any()
    assert torch.equal(ict.regions["skin"], model.regions["skin"][order])
    for name in ("lips", "ears", "neck", "scalp"):
        assert (ict.regions[name] == model.regions[name][order]).float().mean() > 0.99 and ict.regions[name].any()
    chin = ict.mean_shape[ict.landmark_index[8], 1]
    assert ict.mean_shape[ict.regions["face"], 1].min() > chin - 0.05


def test_kit_takes_the_albedo_of_the_default_model(kit, model):
    ict, order = kit[:2]
    assert (ict.mean_albedo - model.mean_albedo[order]).abs().mean() < 2e-3
    assert (ict.albedo_basis - model.albedo_basis[:, order]).abs().mean() < 1e-3
    assert model.mean_albedo.std() > 0.05  # so an order that is wrong would show


def test_kit_eyes_keep_their_irises_where_they_look_elsewhere(kit, model):
    """An eyeball that sits half a centimetre off still takes the colours of the same places of the ball."""
    order, landmarks = kit[1], np.array(kit[5])
    with np.load(default_path()) as file:
        default = {name: file[name] for name in file.files}
    mean = model.mean_shape[order].double().numpy()
    first, end = ict.ICT_PARTS["left eye"]
    mean[first:end] += [0.04, 0.02, 0]
    near, weights = ict._neighbours(mean, landmarks, default)
    colour = (model.mean_albedo.numpy()[near[first:end]] * weights[first:end, :, None]).sum(1)
    assert np.abs(colour - model.mean_albedo[order[first:end]].numpy()).mean() < 2e-3
    assert np.allclose(weights.sum(1), 1)


def test_kit_uv_tiles_do_not_overlap(kit):
    ict = kit[0]
    u = ict.uv[:, 0]
    left, right = ict.regions["eyes"] & (ict.mean_shape[:, 0] > 0), ict.regions["eyes"] & (ict.mean_shape[:, 0] < 0)
    for mask, tile in ((ict.regions["skin"], 0), (left, 4), (right, 5)):
        corners = u[ict.uv_triangles[mask[ict.triangles].all(1)]]
        assert tile / 6 <= corners.min() and corners.max() <= (tile + 0.95) / 6


def test_kit_shape_names_are_those_of_the_kit():
    assert [name for action in ARKIT for name in ict.ict_shapes(action)] == KIT
    assert ict.ict_shapes("mouthLeft") == ("mouthLeft",) and ict.ict_shapes("tongueOut") == ()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=52, max_size=52))
def test_kit_actions_come_back_exactly(kit, values):
    weights = torch.tensor([values])
    again = weights @ kit[0].arkit_to_beta @ kit[0].beta_to_arkit
    weights[0, ARKIT.index("tongueOut")] = 0
    assert torch.allclose(again, weights, atol=1e-5)


def test_kit_expressions_have_unit_scale(kit):
    """An action of weight 1 is 1 / 0.2 long; the axes are orthogonal, largest first, and the last 11 are empty."""
    ict = kit[0]
    assert ict.arkit_to_beta[ARKIT.index("jawOpen")].norm() == pytest.approx(5, rel=1e-4)
    gram = ict.exp_basis.flatten(1) @ ict.exp_basis.flatten(1).T
    size = gram.diagonal()
    assert (size[:53].diff() <= 1e-6).all() and not size[53:].any() and not ict.beta_to_arkit[53:].any()
    assert (gram - size.diag()).abs().max() < 1e-4 * size[0]


# Both ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bfm", "kit"])
def test_the_face_looks_at_the_camera(name, request):
    other = request.getfixturevalue(name)
    other = other[0] if name == "kit" else other
    x, y, z = other.mean_shape[other.landmark_index].T
    assert z.argmax() == 30 and y[8] == y.min() and y[17:27].min() > y[36:48].max() > y[30] > y[48:60].max()
    assert (x[:8] < 0).all() and (x[9:17] > 0).all()  # landmark 0 is on the left of the image
    rest = Coefficients.zeros(1)
    rendering = render(other, rest, 128)
    points = other.landmarks(rest.alpha, rest.beta, rest.pose, 128)[0]
    assert points.min() > 5 and points.max() < 123
    column, row = points[[27, 28, 29, 30, 33, 51, 57]].long().T  # down the middle of the face
    assert (rendering.mask[0, 0, row, column] == 1).all() and (rendering.image[0, :, row, column] > 0.05).all()


@pytest.mark.parametrize("name", ["bfm", "kit"])
def test_our_own_file_keeps_a_loaded_model(name, request, tmp_path):
    other = request.getfixturevalue(name)
    other = other[0] if name == "kit" else other
    again = load_face_model(other.save(tmp_path / "model.npz"))
    assert torch.equal(again.mean_shape, other.mean_shape) and torch.allclose(
        again.exp_basis, other.exp_basis, atol=1e-4
    )
    assert again.mm_per_unit == other.mm_per_unit and torch.equal(again.triangles, other.triangles)


def test_the_environment_names_the_model(tiny_mat, monkeypatch, tmp_path):
    savemat(tmp_path / "m.mat", tiny_mat)
    monkeypatch.setenv("EMOLIB_FACE_MODEL", str(tmp_path / "m.mat"))
    assert len(load_face_model().mean_shape) == 80 and len(load_face_model(default_path()).mean_shape) > 4000
    monkeypatch.setenv("EMOLIB_FACE_MODEL", "")
    assert len(load_face_model().mean_shape) > 4000
    monkeypatch.setenv("EMOLIB_FACE_MODEL", str(tmp_path / "none.mat"))
    with pytest.raises(EmolibError, match=r"none.mat, which EMOLIB_FACE_MODEL names; expected .* correct or unset"):
        load_face_model()


# What is refused ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    """The arrays of a small sound npz: 70 vertices, 30 triangles, 75 texture coordinates."""
    rng = np.random.default_rng(0)
    bases = {"id_basis": 80, "exp_basis": 64, "albedo_basis": 80}
    return {name: rng.normal(size=(n, 70, 3)).astype(np.float16) for name, n in bases.items()} | {
        "mean_shape": rng.normal(size=(70, 3)),
        "mean_albedo": rng.uniform(size=(70, 3)),
        "triangles": rng.integers(0, 70, (30, 3)).astype(np.int32),
        "landmark_index": np.arange(68),
        "uv": rng.uniform(size=(75, 2)),
        "uv_triangles": rng.integers(0, 75, (30, 3)),
        "arkit_to_beta": rng.normal(size=(52, 64)),
        "beta_to_arkit": rng.normal(size=(64, 52)),
        "arkit_names": np.array(ARKIT),
        "mm_per_unit": np.float32(100),
        **{f"region_{name}": np.zeros(70, bool) for name in loaders.REGIONS},
    }


def changed(array, value, place=(0,)):
    array = np.array(array)
    array[tuple(place)] = value
    return array


def test_a_small_sound_model_loads(tiny, tmp_path):
    np.savez(tmp_path / "m.npz", **tiny)
    model = load_face_model(str(tmp_path / "m.npz"))
    assert model.triangles.dtype == torch.int64 and model.id_basis.dtype == torch.float32
    assert torch.equal(model.triangles, torch.from_numpy(tiny["triangles"]).long()) and model.explained.isnan().all()


@pytest.mark.parametrize("name", loaders.ARRAYS)
def test_npz_arrays_of_another_shape(tiny, tmp_path, name):
    spoilt = np.zeros(3) if name == "mm_per_unit" else np.concatenate([tiny[name], tiny[name]], -1)
    np.savez(tmp_path / "m.npz", **tiny | {name: spoilt})
    with pytest.raises(EmolibError, match=rf"^{name} of .*m.npz is \(.*; expected \(.*: make the file anew$"):
        load_face_model(tmp_path / "m.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name in loaders.ARRAYS if name not in loaders.INDICES])
def test_npz_arrays_that_are_not_finite(tiny, tmp_path, name, value):
    spoilt = np.float32(value) if name == "mm_per_unit" else changed(tiny[name], value, (-1, 0))
    np.savez(tmp_path / "m.npz", **tiny | {name: spoilt})
    with pytest.raises(
        EmolibError, match=rf"^{name} of .*m.npz has \d+ values that are nan or infinite; expected none: make"
    ):
        load_face_model(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("triangles", lambda a: changed(a, 70, (3, 1)), "triangles of .* to 70; expected 0 to 69: make"),
        ("triangles", lambda a: changed(a, -1, (3, 1)), "triangles of .* runs from -1 to .*; expected 0 to 69: make"),
        ("landmark_index", lambda a: a + 3, "landmark_index of .* runs from 3 to 70; expected 0 to 69"),
        ("landmark_index", lambda a: a - 1, "landmark_index of .* runs from -1 to 66; expected 0 to 69"),
        ("landmark_index", lambda a: a[:67], r"landmark_index of .* is \(67,\); expected \(68,\)"),
        ("uv_triangles", lambda a: changed(a, 75, (0, 0)), "uv_triangles of .* to 75; expected 0 to 74"),
        ("uv_triangles", lambda a: changed(a, -9, (0, 0)), "uv_triangles of .* runs from -9"),
        ("uv_triangles", lambda a: a[:29], r"uv_triangles of .* is \(29, 3\); expected \(30, 3\)"),
        ("triangles", lambda a: a[:0], "triangles of .* is empty; expected at least one row"),
        ("triangles", lambda a: a.astype(float), "triangles of .* holds float64; expected whole numbers"),
        ("mean_shape", lambda a: a.astype(str), "mean_shape of .* holds <U.*; expected numbers"),
        ("mean_shape", lambda a: a.sum(), r"mean_shape of .* is \(\); expected \(0, 3\)"),
        ("mean_shape", lambda a: a.astype(object), "it holds Python objects.; expected an npz, make it anew"),
        ("mean_shape", lambda a: 1e300 * (1 + abs(a)), "mean_shape of .* has 210 values that are nan or infinite"),
        ("mean_albedo", lambda a: 255 * a, "mean_albedo of .* runs from .*; expected values in"),
        ("uv", lambda a: a - 0.5, "uv of .* runs from -.*; expected values in"),
        ("mm_per_unit", lambda a: -a, "mm_per_unit of .* is -100; expected a positive number"),
        ("arkit_names", lambda a: a[:51], "arkit_names of .* has 51 names, odd ones tongueOut; expected the 52"),
        ("arkit_names", lambda a: changed(a, "winkBadly"), "odd ones browDownLeft, winkBadly; expected the 52"),
        ("region_face", lambda a: a[:69], r"region_face of .* is \(69,\); expected \(70,\)"),
        ("region_face", lambda a: a.astype(int), "region_face of .* holds int64; expected true or false"),
        ("region_teeth", None, r"region_teeth of .* is missing; expected a mask \(70,\)"),
        ("exp_basis", None, "lacks exp_basis; expected a face model file"),
    ],
)
def test_npz_arrays_that_make_no_sense(tiny, tmp_path, name, spoil, message):
    array = tiny.pop(name)
    np.savez(tmp_path / "m.npz", **tiny | ({name: spoil(array)} if spoil else {}))
    with pytest.raises(EmolibError, match=message):
        load_face_model(tmp_path / "m.npz")


@pytest.fixture
def tiny_mat():
    """A sound BFM file of 80 vertices, as it would be written."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(240, n)) for name, n in (("idBase", 80), ("exBase", 64), ("texBase", 80))} | {
        "meanshape": rng.normal(size=(1, 240)),
        "meantex": rng.uniform(0, 255, (1, 240)),
        "tri": rng.integers(1, 81, (40, 3)),
        "keypoints": np.arange(1, 69)[None],
        "frontmask2_idx": np.arange(1, 60)[:, None],
        "skinmask": np.ones((1, 80)),
    }


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (
            "keypoints",
            lambda a: a - 1,
            "keypoints of .*m.mat runs from 0 to 67; expected 1 to 80: make BFM_model_front.mat anew",
        ),
        ("keypoints", lambda a: a[:, :51], r"keypoints of .* is \(1, 51\); expected \(1, 68\)"),
        ("keypoints", lambda a: a + 0.5, "keypoints of .* holds fractions; expected whole numbers"),
        ("tri", lambda a: changed(a, 81, (0, 0)), "tri of .* to 81; expected 1 to 80"),
        ("tri", lambda a: changed(a, -4, (0, 0)), "tri of .* runs from -4 to .*; expected 1 to 80"),
        ("tri", lambda a: a[:, :2], r"tri of .* is \(40, 2\); expected \(40, 3\)"),
        ("frontmask2_idx", lambda a: a * 2, "frontmask2_idx of .* runs from 2 to 118; expected 1 to 80"),
        ("skinmask", lambda a: a[:, :79], r"skinmask of .* is \(1, 79\); expected \(1, 80\)"),
        ("idBase", lambda a: np.hstack([a, a]), r"idBase of .* is \(240, 160\); expected \(240, 80\)"),
        ("exBase", lambda a: a[:, :29], r"exBase of .* is \(240, 29\); expected \(240, 64\)"),
        ("texBase", lambda a: a[:237], r"texBase of .* is \(237, 80\); expected \(240, 80\)"),
        ("meanshape", lambda a: changed(a, np.nan, (0, 7)), "meanshape of .* has 1 values that are nan or infinite"),
        ("exBase", lambda a: changed(a, np.inf, (5, 7)), "exBase of .* has 1 values that are nan or infinite"),
        ("meantex", lambda a: a * 255, "mean_albedo of .* runs from .*; expected values in"),
        ("meantex", lambda a: "grey", "meantex of .* holds <U4; expected numbers"),
        ("meanshape", None, "lacks meanshape; expected D3DFR's BFM_model_front.mat"),
    ],
)
def test_mat_files_that_make_no_sense(tiny_mat, tmp_path, name, spoil, message):
    array = tiny_mat.pop(name)
    savemat(tmp_path / "m.mat", tiny_mat | ({name: spoil(array)} if spoil else {}))
    with pytest.raises(EmolibError, match=message):
        load_face_model(tmp_path / "m.mat")


def test_mat_files_that_are_none(tmp_path):
    with pytest.raises(EmolibError, match="no face model file at .*none.mat; expected D3DFR's"):
        load_face_model(tmp_path / "none.mat")
    (tmp_path / "text.mat").write_text("not a matrix " * 50)
    with pytest.raises(EmolibError, match="text.mat is not a readable mat file"):
        load_face_model(tmp_path / "text.mat")


@pytest.fixture
def tiny_kit(tmp_path, monkeypatch):
    """A sound kit of 118 vertices that says nothing: noise, and one quad in each part."""
    rng = np.random.default_rng(0)
    parts = ranges(TINY)
    monkeypatch.setattr(ict, "ICT_PARTS", parts)
    monkeypatch.setattr(ict, "ICT_VERTICES", 120)
    polygons = [[first, first + 1, first + 2, first + 3] for first, _ in parts.values()]
    uv = rng.uniform(0, 1, (32, 2))
    mesh = (uv, polygons, np.arange(32).reshape(8, 4).tolist())
    expressions = {name: rng.normal(size=(120, 3)) for name in KIT}
    neutral = 5 * rng.normal(size=(120, 3))
    return write_kit(tmp_path / "kit", neutral, rng.normal(size=(80, 120, 3)), expressions, mesh, list(range(68)))


def test_a_small_sound_kit_loads(tiny_kit):
    model = load_face_model(tiny_kit)
    assert model.mean_shape.shape == (118, 3) and model.triangles[:2].tolist() == [[0, 1, 2], [0, 2, 3]]


def replace_line(path, tag, text):
    lines = path.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(tag))
    path.write_text("\n".join([*lines[:first], *text, *lines[first + 1 :]]))


@pytest.mark.parametrize(
    ("file", "tag", "text", "message"),
    [
        (
            "jawOpen",
            "v ",
            [],
            "jawOpen.obj of .* has 119 vertices; expected 120: fetch the kit's FaceXModel folder anew",
        ),
        (
            "identity079",
            "v ",
            ["v 1 two 3"],
            "identity079.obj is not a readable OBJ .*; expected v, vt and f lines: fetch",
        ),
        (
            "identity079",
            "v ",
            ["v nan 2 3"],
            "identity079.obj of .* has vertices that are nan or infinite; expected numbers: fetch",
        ),
        ("eyeBlink_L", "v ", ["v 1 2"], "eyeBlink_L.obj is not a readable OBJ"),
        ("jawOpen", "v ", ["v inf 2 3"], "jawOpen.obj of .* has vertices that are nan or infinite"),
        (
            "generic_neutral_mesh",
            "v ",
            ["v inf 2 3"],
            "generic_neutral_mesh.obj of .* has vertices that are nan or infinite",
        ),
        (
            "generic_neutral_mesh",
            "f ",
            ["f 1/1 2/2 121/3"],
            "the faces of generic.* runs from 0 to 120; expected 0 to 119",
        ),
        ("generic_neutral_mesh", "f ", ["f 0/1 2/2 3/3"], "the faces of generic.* runs from -1 .*; expected 0 to 119"),
        ("generic_neutral_mesh", "f ", ["f 1/1 2/2 3/33"], "the texture corners of .* to 32; expected 0 to 31"),
        ("generic_neutral_mesh", "f ", ["f 1 2 3"], "generic_neutral_mesh.obj is not a readable OBJ"),
    ],
)
def test_kits_that_make_no_sense(tiny_kit, file, tag, text, message):
    replace_line(tiny_kit / f"{file}.obj", tag, text)
    with pytest.raises(EmolibError, match=message):
        load_face_model(tiny_kit)


def test_kits_that_are_not_whole(tiny_kit, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        EmolibError, match="no file .*generic_neutral_mesh.obj; expected an OBJ of the ICT face kit: fetch"
    ):
        load_face_model(tmp_path / "empty")
    for text, message in [
        ("{", "vertex_indices.json of .* cannot be read"),
        ("{}", "vertex_indices.json of .* cannot be read .KeyError"),
        (
            json.dumps({"idx_to_landmark_verts": [*range(67)]}),
            r"idx_to_landmark_verts of .* is int64 \(67,\); expected 68",
        ),
        (json.dumps({"idx_to_landmark_verts": [*range(67), 90]}), "runs from 0 to 90; expected 0 to 87"),
        (json.dumps({"idx_to_landmark_verts": [*range(67), [1]]}), "vertex_indices.json of .* cannot be read"),
    ]:
        (tiny_kit / "vertex_indices.json").write_text(text)
        with pytest.raises(EmolibError, match=message):
            load_face_model(tiny_kit)
    shutil.rmtree(tmp_path / "empty")
    (tiny_kit / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [*range(68)]}))
    (tiny_kit / "cheekPuff_R.obj").write_text("version https://git-lfs.github.com/spec/v1\nsize 2557558\n")
    with pytest.raises(EmolibError, match="cheekPuff_R.obj of .* has 0 vertices; expected 120"):
        load_face_model(tiny_kit)
    (tiny_kit / "cheekPuff_R.obj").unlink()
    with pytest.raises(EmolibError, match="no file .*cheekPuff_R.obj"):
        load_face_model(tiny_kit)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_obj_polygons_become_fans(data, tmp_path_factory):
    number = st.floats(-1e3, 1e3, width=32)
    vertices = data.draw(st.lists(st.tuples(number, number, number), min_size=6, max_size=9))
    uv = data.draw(st.lists(st.tuples(number, number), min_size=6, max_size=9))
    polygons = data.draw(st.lists(st.permutations(range(6)).map(lambda p: p[: 3 + p[0] % 4]), min_size=1, max_size=5))
    path = tmp_path_factory.getbasetemp() / "fans.obj"
    write_obj(path, vertices, uv, polygons, [[5 - i for i in p] for p in polygons])
    found, found_uv, triangles, uv_triangles = ict.read_obj(path)
    assert np.allclose(found, vertices, rtol=1e-6) and np.allclose(found_uv, uv, rtol=1e-6)
    by_hand = [[p[0], p[i], p[i + 1]] for p in polygons for i in range(1, len(p) - 1)]
    assert triangles.tolist() == by_hand and (uv_triangles == 5 - triangles).all()
