"""What a source shows of what a drive asks: the mesh's motion, and what it uncovers.

The mesh of the 3DMM knows both faces, so it knows for every pixel of the drive where that point of the surface lies in the source
*and whether the source shows it*: a point that lies behind what the source's depth buffer holds (teeth behind lips, the lid of an open
eye, the far cheek of a turned head) cannot be taken from the photograph. Neither can one that the source shows so obliquely that its
few pixels would be stretched to a smear. Both are ``hidden``: there a generator starts from the rendering, elsewhere from the photograph.
Everything is drawn at twice the side (up to :data:`FINEST` pixels) and averaged, so that lids and lips have no staircase.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.face.arkit import ARKIT
from emolib.face.camera import move, to_screen
from emolib.face.kernels import sight as kernel
from emolib.face.kernels.pixel import zbuffer
from emolib.face.model import Coefficients, FaceModel
from emolib.face.render import Fragments, interpolate, rasterize, sh_shade, vertex_normals
from emolib.layers import up, warp

FINEST = 1024  # px: the largest side at which a mesh is drawn
FAR = 99.0  # depth where nothing is drawn
STRETCH = 5.0  # a triangle that covers so many times its area in the source is not seen well enough
MOUTH, EYES = ("mouth", "teeth", "tongue"), ("socket", "eyes")  # regions of a model that lips and lids cover
# Of the side: how far a fit's lips and lids may be off, and lashes reach; px: at which that is looked at.
RIM, RIM_SIDE = 0.018, 256
REACH = 8  # blocks a side at the coarsest level of the motion's continuation
LIGHT_SIDE = 32  # px: at which the light of a photograph is compared with its rendering's
LIGHT_RANGE = 0.7  # of its logarithm
LASHES, LONG = 0.75, 0.012  # how much darker than skin; units that they reach over the edge of an upper lid
LID = 0.02  # units: what comes down so far in a blink is one
UNDER_LIDS = 0.85  # of what the model, which knows no shadow of lids and lashes, draws of the eyes
INNER_LIPS = slice(60, 68)  # of the 68 landmarks
# Units by which upper teeth hang lower than the model's, whose edge ends at the lip's: people show 2 to 3 mm.
BARED = 0.035
BEFORE_TEETH = 0.03  # units of the opened lips before what is deepest of them
GAMMA = 2.2  # of a picture: shares of light are not shares of brightness
FROM_WALLS = 0.15  # share of the light that reaches every place in the mouth from its walls
MOVED = 0.02  # of half the side: from where on a mouth that moves shows another inside
ALIKE = (0.35, 0.7)  # logarithm: what differs less from what is drawn is the same thing, what differs more is another


class View(NamedTuple):
    """A source, drawn once for all its frames. Build it with :func:`look`."""

    coefficients: Coefficients  # 1 row
    places: Tensor  # (1,V,3) vertices on a screen of side 1, and their depth
    depth: Tensor  # (F,F) of what the source shows, FAR where that is no mesh
    opening: Tensor  # (2,r,r) what lies within RIM of mouth, eyes or background; the mouth's opening itself
    image: Tensor  # (1,3,S,S) its rendering


class Sight(NamedTuple):
    """Frames of a drive, seen from one source; shares are of a pixel's area, in [0, 1]."""

    rendering: Tensor  # (B,3,S,S)
    flow: Tensor  # (B,2,S,S) backward flow of the mesh in the units of grid_sample, times ``seen``
    mask: Tensor  # (B,1,S,S) share that is mesh
    seen: Tensor  # (B,1,S,S) share that the source shows
    hidden: Tensor  # (B,1,S,S) share that it does not
    inside: Tensor  # (B,1,S,S) share that is the mouth's inside

    def reduced(self, size: int) -> "Sight":
        """The same at a smaller side, which divides this one."""
        return Sight(*(F.avg_pool2d(x, x.shape[-1] // size) for x in self))

    def motion(self) -> Tensor:
        """The flow (B,2,S,S), continued over what is hidden and beyond the mesh."""
        trusted = (self.seen > 0.3).float()
        return extend(self.flow / self.seen.clamp(min=1e-3), trusted)


def _fine(size: int) -> int:
    return max(size, min(2 * size, FINEST))


@torch.no_grad()
def look(model: FaceModel, source: Coefficients, size: int) -> View:
    """The view of ``source`` (1 row) for frames of side ``size``."""
    if len(source) != 1:
        raise ValueError(f"{len(source)} sources; expected one")
    fine = _fine(size)
    shape = bared(model, source)
    moved = move(shape, source.pose)
    places = to_screen(moved, fine)
    fragments = rasterize(places, model.triangles, fine)
    colours = _colours(model, source, shape, moved)
    drawn = interpolate(fragments, model.triangles, torch.cat([places[..., 2:], colours], 2))
    depth = torch.where(fragments.face_id >= 0, drawn[..., 0], FAR)[0]
    unit = places / places.new_tensor([fine, fine, 1])
    image = F.avg_pool2d(drawn[..., 1:].permute(0, 3, 1, 2), fine // size)
    return View(source, unit, depth, _openings(kinds(model), fragments.face_id)[0], image)


def _openings(kind: Tensor, face_id: Tensor) -> Tensor:
    """face_id (B,F,F) -> (B,2,r,r): what lies within :data:`RIM` of mouth, eyes or background, and the mouth's inside; in [0, 1]."""
    step = max(1, face_id.shape[-1] // RIM_SIDE)
    shown = face_id[:, step // 2 :: step, step // 2 :: step][:, None]
    of = kind[shown]
    reach = max(1, round(RIM * of.shape[-1]))
    rim = ((of >= kernel.MOUTH) | (shown < 0)).float()
    for along in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        rim = F.max_pool2d(rim, along, 1, tuple(n // 2 for n in along))
    return _smooth(torch.cat([rim, (of == kernel.MOUTH).float()], 1))


@torch.no_grad()
def sight(model: FaceModel, view: View, target: Coefficients, size: int) -> Sight:
    """What the source of ``view`` shows of the frames ``target`` (B rows), in the source's own skin and light."""
    fine = view.depth.shape[-1]
    own = view.coefficients.expand(len(target))
    shape = bared(model, target)
    moved = move(shape, target.pose)
    screen = to_screen(moved, fine)
    on_cpu = screen.device.type == "cpu"
    fragments = None if on_cpu else rasterize(screen, model.triangles, fine)
    face_id = zbuffer(screen, model.triangles, fine) if fragments is None else fragments.face_id
    here = _openings(kinds(model), face_id)
    stretched = _stretched(view.places, screen / fine, model.triangles)
    rest = view.places[0], _colours(model, own, shape, moved), view.depth, view.opening, here, stretched
    if fragments is None:
        found = kernel.layers(size, model.triangles, kinds(model), screen, face_id, *rest)
    else:
        found = layers_torch(size, model.triangles, kinds(model), fragments, *rest)
    rendering, flow, *shares = found.split([3, 2, 1, 1, 1, 1], 1)
    mask, seen, hidden, inside = shares
    if size >= 256:
        hidden = _smooth(F.max_pool2d(hidden, 3, 1, 1), size // 64 + 1)  # an edge as soft as at 128
    return Sight(rendering, flow, mask, seen, hidden, inside)


def _colours(model: FaceModel, own: Coefficients, shape: Tensor, moved: Tensor) -> Tensor:
    """Colours (B,V,3) in [0, 1] of the vertices ``shape``, ``moved`` (B,V,3): R(theta)'s, but of mouth and eyes grey in light, and of the
    mouth's inside what comes in between the lips."""
    normals = vertex_normals(moved, model.triangles)
    albedo = model.albedo(own.delta) * (1 - LASHES * lashes(model))[:, None]
    grey = own.gamma.unflatten(1, (3, 9)).mean(1).repeat(1, 3)  # its colour is the skin's, of which teeth know nothing
    mouth, eyes = (torch.stack([model.regions[name] for name in names]).any(0)[:, None] for names in (MOUTH, EYES))
    inside = sh_shade(normals, albedo, grey)
    inside = inside * torch.where(mouth, light_within(model, shape), UNDER_LIDS)
    return torch.where(mouth | eyes, inside, sh_shade(normals, albedo, own.gamma)).clamp(0, 1)


@functools.lru_cache(maxsize=2)
def lashes(model: FaceModel) -> Tensor:
    """(V,) in [0, 1]: how much the edge of the upper lids, where facial skin that comes down in a blink ends, is lashes."""
    points = model.mean_shape[:, :2]
    skin, other = (points.new_zeros(len(points), dtype=torch.bool) for _ in range(2))
    for mark, kind in (skin, kernel.SKIN), (other, kernel.OTHER):
        mark[model.triangles[kinds(model)[:-1] == kind].flatten()] = True
    lid = skin & (acted(model, "eyeBlinkLeft", "eyeBlinkRight")[:, 1] < -LID)
    away = torch.cdist(points, points[lid & other]).amin(1)
    return lid * torch.exp(-((away / LONG) ** 2))


def acted(model: FaceModel, *actions: str) -> Tensor:
    """How the vertices move (V,3) when ARKit ``actions`` are done in full."""
    beta = model.arkit_to_beta[[ARKIT.index(name) for name in actions]].sum(0)
    return (beta @ model.exp_basis.flatten(1)).unflatten(0, (-1, 3))


@functools.lru_cache(maxsize=2)
def _hanging(model: FaceModel) -> Tensor:
    """(V,3): the upper teeth, those that stay when the jaw opens, lower by :data:`BARED`."""
    upper = model.regions["teeth"] & (acted(model, "jawOpen").norm(dim=1) < 1e-3)
    return upper[:, None] * model.mean_shape.new_tensor([0.0, -BARED, 0.0])


def bared(model: FaceModel, face: Coefficients) -> Tensor:
    """The shape (B,V,3), with upper teeth as people show them."""
    return model.shape(face.alpha, face.beta) + _hanging(model)


def light_within(model: FaceModel, shape: Tensor) -> Tensor:
    """How bright the vertices (B,V,3), before the head moves, look if light comes through the opened lips alone: (B,V,1) in [0, 1].
    The opening is a rectangle before them; its solid angle, of the half-space's, is the light that comes in; some comes from the walls.
    """
    lips, (x, y, z) = shape[:, model.landmark_index[INNER_LIPS]], shape.split(1, 2)
    high, low = (lips[:, [a, a + 1, a + 2], 1].mean(1) for a in (1, 5))
    depth = (lips[:, [2, 6], 2].mean(1)[:, None, None] + BEFORE_TEETH - z).clamp(min=0.01)

    def corner(at: Tensor, up: Tensor) -> Tensor:
        across, along = at[:, None, None] - x, up[:, None, None] - y
        return torch.atan(across * along / (depth * (across**2 + along**2 + depth**2).sqrt()))

    left, right = lips[:, 0, 0], lips[:, 4, 0]
    angle = corner(right, high) - corner(left, high) - corner(right, low) + corner(left, low)
    return torch.lerp((angle / (2 * math.pi)).clamp(0, 1), angle.new_ones(()), FROM_WALLS) ** (1 / GAMMA)


def layers_torch(
    size: int, triangles: Tensor, kind: Tensor, fragments: Fragments, places: Tensor, colour: Tensor, depth: Tensor, opening: Tensor,
    here: Tensor, stretched: Tensor,
) -> Tensor:  # fmt: skip
    """The layers of :class:`Sight` (B,9,S,S), on any device; compiled for the CPU in :mod:`emolib.face.kernels.sight`.

    kind (F+1,) of each triangle; of the source: places (V,3), depth (F,F), opening (2,r,r), see
    :class:`View`; colour (B,V,3); here (B,2,r,r): rims and thickness of the openings in the drive; stretched (B,F).
    """
    face_id = fragments.face_id
    batch, fine = len(face_id), face_id.shape[-1]
    drawn = interpolate(fragments, triangles, torch.cat([places.expand(batch, -1, -1), colour], 2))
    at, mesh, of = 2 * drawn[..., :2] - 1, face_id >= 0, kind[face_id]
    inside, eyes = mesh & (of == kernel.MOUTH), mesh & (of == kernel.EYES)
    nearest = F.grid_sample(depth.expand(batch, 1, -1, -1), at, mode="nearest", align_corners=False)[:, 0]
    behind = drawn[..., 2] - nearest > torch.where(eyes, kernel.BEHIND_LIDS, kernel.BEHIND)
    behind |= torch.gather(stretched, 1, face_id.clamp(min=0).flatten(1)).view_as(mesh)
    rim, mouth = F.grid_sample(
        opening.expand(batch, -1, -1, -1), at, padding_mode="border", align_corners=False
    ).unbind(1)
    rim_here, thick = F.interpolate(here, (fine, fine), mode="bilinear", align_corners=False).unbind(1)
    # Skin at a rim, where a fit a pixel off takes teeth for lips, lashes for lids, a wall for a cheek; if it is there still, it may be.
    behind |= (rim > 0.5) & (rim_here < 0.5) & (of == kernel.SKIN)
    # Of the mouth's inside a fit, which sees lips alone, knows little: what the photograph has there is looked at, see `unlike`.
    behind = torch.where(inside, mouth < kernel.OPEN, behind)
    slit = inside & (thick < 0.5)  # between lips that touch: theirs
    hidden = mesh & behind & ~slit & (of != kernel.OTHER)
    seen = (mesh & ~slit & (inside | ~behind))[..., None]
    centre = (torch.arange(fine, device=at.device) + 0.5) * (2 / fine) - 1
    rest = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1)
    layers = [drawn[..., 3:], (at - rest) * seen, mesh[..., None], seen, hidden[..., None], inside[..., None]]
    return F.avg_pool2d(torch.cat(layers, -1).permute(0, 3, 1, 2), fine // size)


@functools.lru_cache(maxsize=2)
def kinds(model: FaceModel) -> Tensor:
    """(F + 1,) uint8: what each triangle is of, facial skin, mouth, eyes or other; last, for -1, other."""
    mouth, eyes = (
        torch.stack([model.regions[n] for n in names]).any(0)[model.triangles].all(1) for names in (MOUTH, EYES)
    )
    inside = mouth * kernel.MOUTH + eyes * kernel.EYES
    face = model.regions["face"][model.triangles].all(1) * kernel.SKIN
    return F.pad(torch.where(inside > 0, inside, face), (0, 1)).to(torch.uint8)


def _stretched(source: Tensor, target: Tensor, triangles: Tensor) -> Tensor:
    """(B, F) bool: triangles larger on the target's screen (B,V,3) than :data:`STRETCH` times what they are on the source's (1,V,3)."""

    def area(places: Tensor) -> Tensor:
        a, b, c = places[:, triangles, :2].unbind(2)
        return (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]

    there, here = area(source), area(target)
    # One that is turned away in the source has no area there.
    return here.abs() > STRETCH * (there * here.sign()).clamp(min=0)


def extend(flow: Tensor, mask: Tensor) -> Tensor:
    """Continues flow (B,2,S,S) beyond mask (B,1,S,S) by pull-push: means of ever larger blocks fill what finer ones lack.
    An eighth of the side around the mask (hair, neck) moves along; beyond, the flow fades to 0."""
    levels = [(flow * mask, mask)]
    while levels[-1][0].shape[-1] > REACH:
        flow, mask = (F.avg_pool2d(x, 2) for x in levels[-1])
        levels.append((flow, mask))
    flow, mask = (F.avg_pool2d(x, 3, stride=1, padding=1) for x in levels[-1])
    levels.append((flow, mask))
    filled = torch.zeros_like(levels[-1][0])
    for value, weight in reversed(levels):
        coarser = up(filled) if value.shape[-1] > filled.shape[-1] else filled
        trust = (4 * weight).clamp(max=1)  # a block that the mesh covers by a quarter speaks for itself
        filled = trust * value / weight.clamp(min=1e-6) + (1 - trust) * coarser
    return filled


class Drive(NamedTuple):
    """What is asked of a batch of frames. Build it with :func:`make_drive`."""

    rendering: Tensor  # (B,3,S,S) I_rd
    moved: Tensor  # (B,3,S,S) the source's own rendering, warped onto the drive: differs from I_rd where light or sight does
    motion: Tensor  # (B,2,S,S) M, backward flow of the mesh, continued beyond it
    mask: Tensor  # (B,1,S,S) where the mesh is
    hidden: Tensor  # (B,1,S,S) what the source does not show of it
    inside: Tensor  # (B,1,S,S) what is the mouth's inside
    style: Tensor  # (B,257+C) the input of Eq. 7


def make_drive(
    model: FaceModel, source: Coefficients, target: Coefficients, sigma: Tensor, size: int, beta: Tensor | None = None
) -> Drive:
    """What a :class:`emolib.hef.Hef` needs to know of the frames ``target`` (B) of the person ``source`` (1 row).
    Skin and light (delta, gamma) are the source's, as in Eq. 7; shape, expression and pose are the target's own.
    sigma: sigma_hat (1|B, C). beta (B, 64): that of Eq. 7 where it is not the target's, see :mod:`emolib.train.hef`.
    """
    batch = len(target)
    if len(source) != 1 or sigma.ndim != 2 or len(sigma) not in (1, batch):
        raise ValueError(
            f"{len(source)} sources, {len(target)} targets and sigma {tuple(sigma.shape)}; expected one source and sigma (1 or {batch}, C)"
        )
    if beta is not None and beta.shape != target.beta.shape:
        raise ValueError(f"beta is {tuple(beta.shape)}; expected {tuple(target.beta.shape)}, one row a target")
    view = look(model, source, size)
    return drive_of(view.image, sight(model, view, target, size), style(source, target, sigma, beta))


def style(source: Coefficients, target: Coefficients, sigma: Tensor, beta: Tensor | None = None) -> Tensor:
    """The input of Eq. 7, (B, 257 + C)."""
    own, beta = source.expand(len(target)), target.beta if beta is None else beta
    return torch.cat([own.alpha, beta, own.delta, own.gamma, target.pose, sigma.to(beta).expand(len(target), -1)], 1)


def drive_of(image: Tensor, seen: Sight, style: Tensor) -> Drive:
    """image (1,3,S,S): the source's rendering."""
    motion = seen.motion()
    return Drive(seen.rendering, warp(image, motion) * seen.mask, motion, seen.mask, seen.hidden, seen.inside, style)


def relight(picture: Tensor, drive: Drive) -> Tensor:
    """How much brighter the photograph is than its rendering, as a logarithm (B,3,32,32), smooth, where the drive has it.
    picture (1|B,3,S,S). What the source shows tells it; over what it does not, the surroundings' is continued.
    """
    side = min(LIGHT_SIDE, picture.shape[-1])
    weight = drive.mask * (1 - drive.hidden) * (1 - drive.inside) * (drive.moved.amin(1, keepdim=True) > 0.05)
    ratio = (warp(picture, drive.motion) + 0.03).log() - (drive.moved + 0.03).log()
    parts = [ratio.clamp(-LIGHT_RANGE, LIGHT_RANGE) * weight, weight]
    for _ in range(2):
        parts = [_smooth(F.interpolate(x, (side, side), mode="area")) for x in parts]
    total, share = parts
    return total / share.clamp(min=1e-3) * (20 * share).clamp(max=1)


def _smooth(x: Tensor, kernel: int = 3) -> Tensor:
    pad = kernel // 2
    return F.avg_pool2d(F.pad(x, (pad, pad, pad, pad), mode="replicate"), kernel, 1)


def drawn(rendering: Tensor, inside: Tensor, light: Tensor) -> Tensor:
    """A rendering (B,3,S,S) in the light of the photograph, see :func:`relight`; the mouth's inside (B,1,S,S) is lit by its grey."""
    light = F.interpolate(light, rendering.shape[-2:], mode="bilinear", align_corners=False)
    grey = light.mean(1, keepdim=True).clamp(max=0).expand_as(light)
    return (rendering * torch.lerp(light, grey, inside).exp()).clamp(0, 1)


def length(flow: Tensor) -> Tensor:
    """(B,2,S,S) -> (B,1,S,S); many times faster than a norm over the channels."""
    x, y = flow.split(1, 1)
    return (x * x + y * y).sqrt()


def unlike(picture: Tensor, painted: Tensor, motion: Tensor, inside: Tensor, hidden: Tensor) -> Tensor:
    """``hidden`` (B,1,S,S), and what of the mouth's inside has moved and looks in the warped picture (B,3,S,S) unlike what is drawn
    there: a cavity where the photograph has teeth."""
    same, other = ALIKE
    ratio = ((picture.mean(1, keepdim=True) + 0.05) / (painted.mean(1, keepdim=True) + 0.05)).log().abs()
    other_thing = ((ratio - same) / (other - same)).clamp(0, 1) * (length(motion) / MOVED).clamp(max=1)
    return torch.maximum(hidden, inside * other_thing)
