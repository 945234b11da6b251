"""The renderer: camera, rasteriser (against a slow reference and between backends), gradients, shading, motion."""

import importlib.util
import math

import numpy as np
import pytest
import torch

from emolib.errors import EmolibError
from emolib.face import camera
from emolib.face import render as r
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def faces():
    """Four random faces, turned and moved."""
    generator = torch.Generator().manual_seed(3)
    c = Coefficients.zeros(4)
    c.alpha, c.beta = torch.randn(4, 80, generator=generator), torch.randn(4, 64, generator=generator)
    c.pose = 0.3 * torch.randn(4, 6, generator=generator)
    return c


def test_projection_by_hand():
    """A point one unit up and right of the origin: 1015/224*size/10 pixels from the centre; closer is larger."""
    screen = camera.project(torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 5.0]]]), torch.zeros(1, 6), 224)
    assert torch.allclose(screen[0, 0], torch.tensor([112 + 101.5, 112 - 101.5, 10.0]))
    assert torch.allclose(screen[0, 1], torch.tensor([112 + 203.0, 112 - 203.0, 5.0]))


@pytest.mark.parametrize(
    ("axis", "point", "turned"),
    [(0, (0, 0, 1), (0, -1, 0)), (1, (0, 0, 1), (1, 0, 0)), (2, (1, 0, 0), (0, 1, 0))],
)
def test_rotation_by_hand(axis, point, turned):
    """Positive pitch looks down, yaw turns to the image's right, roll turns anticlockwise."""
    pose = torch.zeros(1, 6)
    pose[0, axis] = math.pi / 2
    assert torch.allclose(
        camera.rotation(pose)[0] @ torch.tensor(point).float(), torch.tensor(turned).float(), atol=1e-6
    )


def test_rotation_is_rz_ry_rx():
    pose = torch.tensor([[0.3, -0.5, 0.7, 0, 0, 0]])
    parts = []
    for axis in range(3):
        single = torch.zeros(1, 6)
        single[0, axis] = pose[0, axis]
        parts.append(camera.rotation(single)[0])
    assert torch.allclose(camera.rotation(pose)[0], parts[2] @ parts[1] @ parts[0], atol=1e-6)


def test_a_quad_with_vertices_on_pixel_centres_has_no_hole():
    square = torch.tensor([[[2.5, 2.5, 5], [12.5, 2.5, 5], [12.5, 12.5, 5], [2.5, 12.5, 5]]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    for backend in ("numba", "torch"):
        face_id = r.rasterize(square, triangles, 16, backend=backend).face_id[0]
        assert (face_id >= 0).sum() == 11 * 11
        assert (face_id[2:13, 2:13] >= 0).all()


def _reference(screen, triangles, size):
    """Every pixel against every triangle, in float64."""
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), -1)
    best, face_id = np.full((size, size), np.inf), np.full((size, size), -1)
    for f, corners in enumerate(screen[triangles].astype(np.float64)):
        matrix = np.concatenate([corners[:, :2].T, np.ones((1, 3))])
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        weights = np.concatenate([centres, np.ones((size, size, 1))], -1) @ np.linalg.inv(matrix).T
        depth = 1 / (weights @ (1 / corners[:, 2]))
        nearer = (weights >= -1e-6).all(-1) & (depth < best)
        best[nearer], face_id[nearer] = depth[nearer], f
    return face_id


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_against_brute_force(backend):
    """Random triangles that cross and overlap: the same triangle at every pixel but for rounding."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(-5, 45, (120, 1, 2))
    corners = centre + rng.normal(0, 6, (120, 3, 2))
    screen = np.concatenate([corners, rng.uniform(4, 9, (120, 3, 1))], -1).reshape(1, 360, 3).astype(np.float32)
    triangles = np.arange(360).reshape(120, 3)
    found = r.rasterize(torch.from_numpy(screen), torch.from_numpy(triangles), 40, backend=backend).face_id[0].numpy()
    assert (found != _reference(screen[0], triangles, 40)).sum() <= 2


def test_backends_agree_on_faces(model, faces):
    screen = camera.project(model.shape(faces.alpha, faces.beta), faces.pose, 96)
    one = r.rasterize(screen, model.triangles, 96, backend="numba")
    two = r.rasterize(screen, model.triangles, 96, backend="torch")
    assert (one.face_id == two.face_id).float().mean() > 0.9999


def test_compiled_and_torch_gradients_agree(model, faces):
    """The kernels of the CPU and the plain torch that other devices use: same values, same gradients (float64)."""
    screen = camera.project(model.shape(faces.alpha, faces.beta), faces.pose, 48).double()
    face_id = r.rasterize(screen, model.triangles, 48).face_id
    values = model.albedo(faces.delta).double()
    weight = torch.randn(4, 48, 48, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for compiled in (True, False):
        a, b = screen.clone().requires_grad_(), values.clone().requires_grad_()
        if compiled:
            image = r.interpolate(r.rasterize(a, model.triangles, 48), model.triangles, b)
        else:
            fragments = r.Fragments(face_id, r._barycentrics_torch(a, model.triangles, face_id))
            image = r._blend_torch(fragments, model.triangles, b)
        (image * weight).sum().backward()
        results.append((image.detach(), a.grad, b.grad))
    for one, two in zip(*results):
        assert torch.allclose(one, two, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(importlib.util.find_spec("pytorch3d") is None, reason="PyTorch3D is not installed")
@pytest.mark.parametrize("size", [96, 256])
def test_pytorch3d_agrees(model, faces, size):
    """Faces, picture and gradient against PyTorch3D's own rasteriser, barycentrics and interpolation."""
    from pytorch3d.ops import interpolate_face_attributes
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    vertices, triangles = model.shape(faces.alpha, faces.beta)[:1], model.triangles
    colour, pose = model.albedo(faces.delta)[:1], faces.pose[:1]

    def ours(v):
        fragments = r.rasterize(camera.project(v, pose, size), triangles, size)
        return fragments.face_id, r.interpolate(fragments, triangles, colour)

    def theirs(v):
        screen = camera.project(v, pose, size)
        mesh = Meshes(torch.cat([1 - 2 * screen[..., :2] / size, screen[..., 2:]], -1), triangles[None])
        face_id, _, bary, _ = rasterize_meshes(mesh, size, faces_per_pixel=1, perspective_correct=True)
        return face_id[..., 0], interpolate_face_attributes(face_id, bary, colour[0, triangles])[..., 0, :]

    results = []
    for render in (ours, theirs):
        leaf = vertices.clone().requires_grad_()
        face_id, image = render(leaf)
        results.append((face_id, image.detach(), leaf, image))
    same = results[0][0] == results[1][0]
    weight = (
        same[..., None] * torch.linspace(-1, 1, size)[:, None]
    )  # smooth, and no pixel where they see different triangles
    grads = [torch.autograd.grad((image.square() * weight).sum(), leaf)[0] for _, _, leaf, image in results]
    image_error = (results[0][1] - results[1][1])[same].abs().max()
    grad_error = (grads[0] - grads[1]).norm() / grads[1].norm()
    print(
        f"{size} px: {1 - same.float().mean():.1e} of the pixels differ, image {image_error:.1e}, gradient {grad_error:.1e}"
    )
    assert same.float().mean() > 0.999
    assert image_error < 1e-3
    assert grad_error < 0.01
    assert torch.equal(
        r.rasterize(camera.project(vertices, pose, size), triangles, size, backend="pytorch3d").face_id, results[1][0]
    )


def test_unknown_backend_is_refused():
    with pytest.raises(EmolibError, match="opengl"):
        r.rasterize(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]), 8, backend="opengl")


def test_interpolation_is_perspective_correct():
    """A vertex attribute that is linear in space (the vertex' own place) must come back as the pixel's ray hit."""
    vertices = torch.tensor([[[-1.0, -1, -3], [1, -1, 4], [0.3, 1, 0]]], dtype=torch.float64)
    triangles = torch.tensor([[0, 1, 2]])
    fragments = r.rasterize(camera.project(vertices, torch.zeros(1, 6).double(), 64), triangles, 64)
    hit = r.interpolate(fragments, triangles, vertices)
    inside = fragments.face_id[0] >= 0
    again = camera.project(hit[0, inside][None], torch.zeros(1, 6).double(), 64)[0, :, :2]
    rows, columns = torch.nonzero(inside, as_tuple=True)
    assert torch.allclose(again, torch.stack([columns, rows], 1).double() + 0.5, atol=1e-9)
    assert inside.sum() > 100


def test_gradients_of_rasterising_and_interpolating():
    vertices = torch.tensor([[[-1.0, -1, 0], [1, -1, 0.5], [0, 1, -0.5], [1.2, 0.9, 0.2]]], dtype=torch.float64)
    triangles = torch.tensor([[0, 1, 2], [1, 3, 2]])
    colours = torch.rand(1, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def image(v, a):
        screen = camera.project(v, torch.zeros(1, 6).double(), 12)
        return r.interpolate(r.rasterize(screen, triangles, 12), triangles, a)

    assert torch.autograd.gradcheck(image, (vertices.requires_grad_(), colours.requires_grad_()), eps=1e-7, atol=1e-5)


def test_gradients_of_camera_and_shading():
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()  # noqa: E731
    vertices, pose, albedo, gamma = draw(1, 5, 3), draw(1, 6), draw(1, 5, 3), draw(1, 27)
    triangles = torch.tensor([[0, 1, 2], [1, 3, 2], [2, 3, 4]])

    def shaded(v, p, a, g):
        return camera.project(v, p, 10), r.sh_shade(
            r.vertex_normals(v, triangles) @ camera.rotation(p).transpose(1, 2), a, g
        )

    assert torch.autograd.gradcheck(shaded, (vertices, pose, albedo, gamma))


def test_shading_by_hand():
    """gamma = 0: albedo * 0.8 * pi / sqrt(4 pi) whatever the normal; the third band of coefficient 1 lights what looks to +z."""
    normals = torch.tensor([[[0.0, 0, 1], [0, 1, 0], [0, 0, -1]]])
    albedo = torch.full((1, 3, 3), 0.5)
    ambient = 0.5 * 0.8 * math.pi / math.sqrt(4 * math.pi)
    assert torch.allclose(r.sh_shade(normals, albedo, torch.zeros(1, 27)), torch.full((1, 3, 3), ambient))
    gamma = torch.zeros(1, 3, 9)
    gamma[:, 0, 2] = 1  # the red light's z
    shaded = r.sh_shade(normals, albedo, gamma.flatten(1))
    gain = 0.5 * (2 * math.pi / math.sqrt(3)) * math.sqrt(3) / math.sqrt(4 * math.pi)
    assert torch.allclose(shaded[0, :, 0], torch.tensor([ambient + gain, ambient, ambient - gain]), atol=1e-6)
    assert torch.allclose(shaded[0, :, 1], torch.full((3,), ambient))


def test_normals_point_out_of_the_head(model):
    normals = r.vertex_normals(model.mean_shape[None], model.triangles)[0]
    assert normals[model.landmark_index[30], 2] > 0.8  # the tip of the nose looks to the camera


def test_render_covers_the_face_and_the_mask_lies_within(model):
    rendering = r.render(model, Coefficients.zeros(2), 96)
    assert rendering.image.shape == (2, 3, 96, 96) and rendering.mask.shape == (2, 1, 96, 96)
    head = rendering.face_id >= 0
    assert 0.3 < head.float().mean() < 0.8
    assert 0.15 < rendering.mask.mean() < head.float().mean()
    assert (rendering.mask[:, 0].bool() <= head).all()
    assert (rendering.image.permute(0, 2, 3, 1)[~head] == 0).all()
    landmarks = model.landmarks(*[getattr(Coefficients.zeros(1), k) for k in ("alpha", "beta", "pose")], 96)[0].long()
    x, y = landmarks[17:].T  # all but the jaw line, which is the edge
    assert (rendering.mask[0, 0, y, x] == 1).all()


def test_every_coefficient_gets_a_gradient(model, faces):
    leaves = {name: value.clone().requires_grad_() for name, value in vars(faces).items()}
    r.render(model, Coefficients(**leaves), 48).image.square().sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0, name


def test_picture_drawn_in_one_pass_is_the_interpolated_one(model, faces):
    """render's own kernel against rasterize and interpolate: same picture, same gradients, clamped colours among them."""
    screen = camera.project(model.shape(faces.alpha, faces.beta), faces.pose, 48).double()
    colour = 1.6 * model.albedo(faces.delta).double() - 0.3
    weight = torch.randn(4, 3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for fused in (True, False):
        a, b = screen.clone().requires_grad_(), colour.clone().requires_grad_()
        fragments = r.rasterize(a, model.triangles, 48)
        if fused:
            image = r.Draw.apply(a, b, model.triangles, fragments.face_id)
        else:
            image = r.interpolate(fragments, model.triangles, b).clamp(0, 1).permute(0, 3, 1, 2)
        (image * weight).sum().backward()
        results.append((image.detach(), a.grad, b.grad))
    for one, two in zip(*results):
        assert torch.allclose(one, two, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_threads_do_not_matter(model, faces, batch):
    """Bands of one image, or images, a thread: the same picture, the same gradients but for the order of sums."""
    results = []
    before = torch.get_num_threads()
    for threads in (1, 4):
        torch.set_num_threads(threads)
        leaf = faces[:batch].to_vector().requires_grad_()
        rendering = r.render(model, Coefficients.from_vector(leaf), 50)
        rendering.image.square().sum().backward()
        results.append((rendering.face_id, rendering.image.detach(), leaf.grad))
    torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)
    assert (results[0][2] - results[1][2]).norm() < 1e-4 * results[0][2].norm()


def test_motion_of_a_face_to_itself_is_zero(model, faces):
    flow, mask = r.motion(model, faces, faces, 64)
    assert flow.abs().max() < 1e-3  # a thirtieth of a pixel, on slivers at the silhouette
    assert torch.equal(mask[:, 0] > 0, r.render(model, faces, 64).face_id >= 0)


def test_motion_warps_the_source_into_the_drive(model):
    """Sampling the source's rendering along the flow gives the drive's rendering where both show the same surface."""
    source, drive = Coefficients.zeros(1), Coefficients.zeros(3)
    drive.pose[:, 3] = torch.tensor([0.0, 0.1, 0.0])
    drive.pose[1, 1] = 0.05
    drive.beta = 0.5 * torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    flow, mask = r.motion(model, source, drive, 128)
    still, moved = r.render(model, source, 128), r.render(model, drive, 128)
    centre = (torch.arange(128) + 0.5) / 64 - 1
    grid = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1) + flow.permute(0, 2, 3, 1)
    warped = torch.nn.functional.grid_sample(still.image.expand(3, -1, -1, -1), grid, align_corners=False)
    wrong = ((warped - moved.image).abs().mean(1, keepdim=True) * moved.mask).sum() / moved.mask.sum()
    unwarped = ((still.image - moved.image).abs().mean(1, keepdim=True) * moved.mask).sum() / moved.mask.sum()
    assert wrong < 0.5 * unwarped


def test_motion_by_hand(model):
    """A shift of t to the right at depth 10: the source lies 2 * focal * t / 10 / size to the left, everywhere at that depth."""
    source, drive = Coefficients.zeros(1), Coefficients.zeros(1)
    drive.pose[0, 3] = 0.2
    flow, mask = r.motion(model, source, drive, 128)
    depth = 10 - model.mean_shape[model.landmark_index[30], 2]
    x, y = model.landmarks(drive.alpha, drive.beta, drive.pose, 128)[0, 30].long()
    assert abs(flow[0, 0, y, x] + 2 * camera.FOCAL * 0.2 / depth) < 2e-3
    assert flow[0, 1].abs().max() < 1e-3
    assert (flow[mask.expand_as(flow) == 0] == 0).all()
