"""From pictures to their faces with the face net: where they are, 478 points each, 52 shapes, the head's pose.

The detector sees a picture of 128 px and in it faces from a fifth of its side, upright within some 40 degrees. So a picture is looked at
as a whole, then in ever smaller overlapping parts, then turned. What it proposes counts when the point net, on a crop turned upright,
says that it is a face. A crop has the side :data:`ROOM` x the face's box; where the picture ends, its border goes on.

Conventions: points are (x, y[, z]) in pixels of the picture, x right, y down, z away from the camera, pixel centres at + 0.5.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from emolib.errors import EmolibError
from emolib.face.landmarker import DETECTOR_SIZE, POINTS_SIZE, FaceNet, load_face_net

ROOM = 1.5  # side of the crop over the side of the box about the face; what the point net was trained on
SEEN = 0.5  # what the detector proposes, and the presence of a face in its crop, from this probability on
# The detector's own probability on the upright face, mean over three rooms about it: people .78 to .95 (16 px: .8), a face upside
# down up to .73, cats, cups and clouds up to .66.
SURE, ROOMS = 0.76, (2.0, 2.5, 3.0)
DOUBTFUL = 0.6  # what the detector's own upright crop must reach for the point net to look
WEAKER = 0.12  # beside a surer face, one that is less sure by this is a pattern
TURNS = (0.0, 90.0, -90.0, 180.0, 45.0, -45.0, 135.0, -135.0)  # degrees by which a picture is turned until a face shows
FINEST, SMALLEST = 16, 96  # a picture is cut into parts of a 16th of its side at the finest, and of 96 px
SHARPENED = 256  # px: longest side of the picture when it is sharpened, where nothing was found
BATCH, LOOKS = 64, 5
RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)  # corners, of the person

# iBUG's 68 points among the 478: of the candidates the nearest to dlib's on photographs and to the true ones on renderings. Those of the
# jaw lie on the contour as it is seen, as iBUG's do.
JAW = (127, 93, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 323, 356)
BROWS = (46, 53, 52, 65, 55, 285, 295, 282, 283, 276)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
LIPS = (61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91, 78, 82, 13, 312, 308, 317, 14, 87)
IBUG68 = (*JAW, *BROWS, *NOSE, *EYES, *LIPS)


@dataclass(frozen=True)
class Reading:
    """What the net reads of N faces: ``points`` (N, 478, 3) in px, ``presence`` (N,) in [0, 1], ``rois`` (N, 4) that were read."""

    points: Tensor
    presence: Tensor
    rois: Tensor

    @property
    def landmarks(self) -> Tensor:
        """(N, 68, 2), iBUG's order."""
        return self.points[:, list(IBUG68), :2]


def read(frames: Tensor, rois: Tensor, net: FaceNet | None = None) -> Reading:
    """The points of one face a frame. Differentiable in ``frames``.

    Args:
        frames: float (N, 3, H, W) in [0, 1].
        rois: (N, 4): centre x, y and side of the crop in px, its turn in radians (clockwise as seen).
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or rois.shape != (len(frames), 4):
        raise ValueError(f"frames {tuple(frames.shape)} and rois {tuple(rois.shape)}; expected (N, 3, H, W) and (N, 4)")
    net = net or load_face_net(device=frames.device)
    points, logits = net.points(crop(frames, rois, POINTS_SIZE))
    x, y = (points[..., :2] / POINTS_SIZE - 0.5).mul(rois[:, None, 2:3]).unbind(2)
    cos, sin = rois[:, 3:].cos(), rois[:, 3:].sin()
    place = torch.stack([rois[:, :1] + cos * x - sin * y, rois[:, 1:2] + sin * x + cos * y], 2)
    depth = points[..., 2:] / POINTS_SIZE * rois[:, None, 2:3]
    return Reading(torch.cat([place, depth], 2), logits.sigmoid(), rois)


def crop(frames: Tensor, rois: Tensor, side: int) -> Tensor:
    """Squares ``rois`` (N, 4) of ``frames`` (N, 3, H, W) as (N, 3, side, side); shrunk without aliasing, borders go on."""
    shrink = side / float(rois[:, 2].median())
    if shrink < 1:
        size = [max(1, round(n * shrink)) for n in frames.shape[2:]]
        ratio = torch.tensor([size[1] / frames.shape[3], size[0] / frames.shape[2]], device=frames.device)
        frames = F.interpolate(frames, size, mode="bilinear", antialias=True, align_corners=False)
    else:
        ratio = torch.ones(2, device=frames.device)
    height, width = frames.shape[2:]
    steps = (torch.arange(side, device=frames.device) + 0.5) / side - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cos, sin = (f(rois[:, 3])[:, None, None] for f in (torch.cos, torch.sin))
    scale = rois[:, 2, None, None]
    across = (rois[:, 0, None, None] + scale * (cos * x - sin * y)) * ratio[0] / width * 2 - 1
    down = (rois[:, 1, None, None] + scale * (sin * x + cos * y)) * ratio[1] / height * 2 - 1
    return F.grid_sample(frames, torch.stack([across, down], 3), padding_mode="border", align_corners=False)


def rois_of(points: Tensor) -> Tensor:
    """The crops (N, 4) in which to read faces of known points (N, 478, >= 2): upright, :data:`ROOM` x their box."""
    right, left = (points[:, list(eye), :2].mean(1) for eye in (RIGHT_EYE, LEFT_EYE))
    along = left - right
    turn = torch.atan2(along[:, 1], along[:, 0])
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    x, y = points[..., 0], points[..., 1]
    upright = torch.stack([cos * x + sin * y, cos * y - sin * x], 2)
    low, high = upright.amin(1), upright.amax(1)
    middle = (low + high) / 2
    centre = torch.cat([cos * middle[:, :1] - sin * middle[:, 1:], sin * middle[:, :1] + cos * middle[:, 1:]], 1)
    return torch.cat([centre, ROOM * (high - low).amax(1, keepdim=True), turn[:, None]], 1)


@dataclass(frozen=True)
class Found:
    """One face: ``points`` (478, 3) px, ``shapes`` (52,) in [0, 1] by SHAPE_NAMES, ``turn`` in degrees (clockwise as seen; 0 is
    upright), ``score`` in [0, 1], the detector's on the upright face."""

    points: np.ndarray
    shapes: np.ndarray
    turn: float
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the points."""
        return (*self.points[:, :2].min(0).tolist(), *self.points[:, :2].max(0).tolist())

    @property
    def size(self) -> float:
        """px: the longer side of the box about the upright face."""
        return float(rois_of(torch.from_numpy(self.points)[None])[0, 2]) / ROOM

    @property
    def landmarks(self) -> np.ndarray:
        """(68, 2), iBUG's order."""
        return self.points[list(IBUG68), :2]


@torch.no_grad()
def find(image: np.ndarray, *, face: int | None = None, net: FaceNet | None = None) -> list[Found]:
    """The faces of a picture, largest first, at any angle.

    Args:
        image: uint8 RGB (H, W, 3).
        face: picks the n-th largest (1 = largest).

    Raises :class:`EmolibError` if no face is found, or fewer than ``face``.
    """
    net = net or load_face_net()
    found = _search(image, net)
    if not found:
        small, scale = _sharpened(image)
        found = [replace(f, points=f.points / scale) for f in _search(small, net)]
    if not found:
        height, width = image.shape[:2]
        raise EmolibError(
            f"no face found in the {width} x {height} px image; give one that shows a human face from the front"
        )
    found.sort(key=lambda f: -f.size)
    if face is None:
        return found
    if not 1 <= face <= len(found):
        raise EmolibError(f"face {face} was asked for but {len(found)} found; give 1 (the largest) to {len(found)}")
    return found[face - 1 : face]


def _search(image: np.ndarray, net: FaceNet) -> list[Found]:
    """The faces of a picture, in ever smaller parts of it, then turned."""
    height, width = image.shape[:2]
    found: list[Found] = []
    for degrees in TURNS:
        parts, finer = 1, 0
        # One step finer than where the first were found: others may be a little smaller.
        while finer < 2 and (parts == 1 or parts <= min(FINEST, max(height, width) / SMALLEST)):
            proposals = _proposals(image, parts, degrees, net)
            found = _merged(found + _confirmed(image, proposals[_new(proposals, found)], net))
            parts, finer = 2 * parts, finer + bool(found)
        if found:
            break
    return found


def _sharpened(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture at most SHARPENED px long, its edges three times as strong, and its scale: how the detector sees blurred faces."""
    scale = min(1.0, SHARPENED / max(image.shape[:2]))
    size = [max(1, round(n * scale)) for n in image.shape[1::-1]]
    small = Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(small.filter(ImageFilter.UnsharpMask(SHARPENED / 64, 300, 0))), scale


def _proposals(image: np.ndarray, parts: int, degrees: float, net: FaceNet) -> Tensor:
    """Crops (n, 4) that the detector proposes in the picture, turned and cut into ``parts`` x ``parts`` overlapping parts."""
    views, rois = _views(image, parts, degrees)
    proposals: list[Tensor] = []
    for some, places in zip(views.split(BATCH), rois.split(BATCH)):
        logits, boxes = net.detector(some)
        which, anchor = torch.nonzero(logits.sigmoid() > SEEN, as_tuple=True)
        for part in which.unique():
            chosen = anchor[which == part]
            proposals += _clusters(logits[part, chosen].sigmoid(), boxes[part, chosen], places[part])
    return torch.stack(proposals) if proposals else torch.zeros(0, 4)


def _views(image: np.ndarray, parts: int, degrees: float) -> tuple[Tensor, Tensor]:
    """The parts (n, 3, 128, 128) of a turned picture, each half over the next, and the crops (n, 4) that they are."""
    height, width = image.shape[:2]
    scale = DETECTOR_SIZE * parts / max(height, width)
    small = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    if scale < 1:
        size = [max(1, round(n * scale)) for n in (height, width)]
        small = F.interpolate(small, size, mode="bilinear", antialias=True)
    turn = float(np.deg2rad(degrees))
    cos, sin = np.cos(turn), np.sin(turn)
    # Half the sides of the turned picture, in parts' sides, rounded up to half parts.
    reach = np.abs([[cos, sin], [sin, cos]]) @ np.array([width, height]) * scale / DETECTOR_SIZE
    across, down = (max(2, int(np.ceil(2 * n - 1e-6))) for n in reach)
    ratio = small.shape[3] / width
    whole = max(across, down)
    canvas = torch.tensor([[width / 2, height / 2, whole / 2 * DETECTOR_SIZE / scale, 0.0]]) * ratio
    canvas[0, 3] = turn
    picture = crop(small.float() / 255, canvas, whole * DETECTOR_SIZE // 2)[0]
    half = DETECTOR_SIZE // 2
    left, top = (whole - across) * half // 2, (whole - down) * half // 2
    picture = picture[:, top : top + down * half, left : left + across * half]
    views = picture.unfold(1, DETECTOR_SIZE, half).unfold(2, DETECTOR_SIZE, half)
    y, x = torch.meshgrid(*((torch.arange(n - 1) + 1 - n / 2) * half / scale for n in (down, across)), indexing="ij")
    rois = torch.stack([width / 2 + cos * x - sin * y, height / 2 + sin * x + cos * y], 2).reshape(-1, 2)
    rest = torch.tensor([DETECTOR_SIZE / scale, turn]).expand(len(rois), 2)
    return views.permute(1, 2, 0, 3, 4).reshape(-1, 3, DETECTOR_SIZE, DETECTOR_SIZE), torch.cat([rois, rest], 1)


def _clusters(scores: Tensor, boxes: Tensor, view: Tensor) -> list[Tensor]:
    """Boxes (n, 8, 2) of one view that overlap, averaged by their scores, as crops (4,) of the picture."""
    crops = []
    order = scores.argsort(descending=True)
    while len(order):
        overlap = _iou(boxes[order[0], :2], boxes[order, :2])
        same = order[(overlap > 0.3) | (torch.arange(len(order)) == 0)]
        mean = (boxes[same] * scores[same, None, None]).sum(0) / scores[same].sum()
        order = order[~torch.isin(order, same)]
        cos, sin = view[3].cos(), view[3].sin()
        x, y = (mean[0] - 0.5) * view[2]
        along = mean[3] - mean[2]
        turn = view[3] + torch.atan2(along[1], along[0])
        crops.append(
            torch.stack(
                [view[0] + cos * x - sin * y, view[1] + sin * x + cos * y, ROOM * mean[1].max() * view[2], turn]
            )
        )
    return crops


def _iou(one: Tensor, many: Tensor) -> Tensor:
    """Overlap over union of a box (2, 2: centre, size) with boxes (n, 2, 2)."""
    low = torch.maximum(one[0] - one[1] / 2, many[:, 0] - many[:, 1] / 2)
    high = torch.minimum(one[0] + one[1] / 2, many[:, 0] + many[:, 1] / 2)
    shared = (high - low).clamp(min=0).prod(1)
    return shared / (one[1].prod() + many[:, 1].prod(1) - shared)


def _confirmed(image: np.ndarray, proposals: Tensor, net: FaceNet) -> list[Found]:
    """The proposals in which the point net, looking twice, and then the detector see a face."""
    found = []
    inside = ((proposals[:, :2] > 0) & (proposals[:, :2] < torch.tensor(image.shape[1::-1]))).all(1)
    for roi in proposals[inside]:
        region, offset, scale = _region(image, roi)
        local = ((roi - torch.tensor([*offset, 0, 0])) * torch.tensor([scale, scale, scale, 1.0]))[None].float()
        if _score(region, local, net) < DOUBTFUL:
            continue
        for _ in range(LOOKS):
            before, reading = local, read(region, local, net)
            local = rois_of(reading.points)
            settled = float((local - before)[0, :3].abs().max() / local[0, 2]) < 0.02
            if settled or float(reading.presence) < SEEN:
                break
        if float(reading.presence) >= SEEN:
            if (score := _score(region, local, net)) < SURE:
                continue
            points = reading.points[0] / scale
            points[:, :2] += torch.tensor(offset)
            turn = float(torch.rad2deg(torch.remainder(local[0, 3] + torch.pi, 2 * torch.pi) - torch.pi))
            found.append(Found(points.numpy(), net.shapes(upright(reading))[0].numpy(), turn, score))
    return found


def _score(region: Tensor, roi: Tensor, net: FaceNet) -> float:
    """The detector's probability of a face in the middle of a crop (1, 4), upright, mean over :data:`ROOMS`."""
    rooms = torch.cat([torch.cat([roi[:, :2], roi[:, 2:3] * room / ROOM, roi[:, 3:]], 1) for room in ROOMS])
    views = torch.cat([crop(region, room[None], DETECTOR_SIZE) for room in rooms])
    logits, boxes = net.detector(views)
    middle = (boxes[:, :, 0] - 0.5).norm(dim=2) < 0.15
    return float(logits.sigmoid().mul(middle).amax(1).mean())


def _new(proposals: Tensor, found: list[Found]) -> Tensor:
    """(n,) bool: proposals that do not lie on a face that is known, of about its size."""
    new = torch.ones(len(proposals), dtype=torch.bool)
    for face in found:
        centre = torch.from_numpy(face.points[:, :2].mean(0))
        near = (proposals[:, :2] - centre).norm(dim=1) < 0.5 * face.size
        new &= ~(near & (proposals[:, 2] > 0.6 * ROOM * face.size))
    return new


def upright(reading: Reading) -> Tensor:
    """The points (N, 478, 2) of a reading in its crops, as the shape net wants them."""
    turn = reading.rois[:, 3:]
    x, y = (reading.points[..., :2] - reading.rois[:, None, :2]).unbind(2)
    return torch.stack([turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x], 2)


def _region(image: np.ndarray, roi: Tensor) -> tuple[Tensor, tuple[float, float], float]:
    """The part of a picture about a crop, at most twice as fine as the net sees it: (1, 3, h, w), its corner, its scale."""
    half = float(roi[2]) * 1.1
    low = [int(max(0, float(c) - half)) for c in roi[:2]]
    high = [int(min(n, float(c) + half + 1)) for c, n in zip(roi[:2], (image.shape[1], image.shape[0]))]
    part = Image.fromarray(
        np.ascontiguousarray(image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)])
    )
    scale = min(1.0, 2 * POINTS_SIZE / float(roi[2]))
    if scale < 1:
        part = part.resize([max(1, round(n * scale)) for n in part.size], Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(part)).permute(2, 0, 1)[None].float() / 255, (float(low[0]), float(low[1])), scale


def _merged(found: list[Found]) -> list[Found]:
    """Without the weaker of two readings of one face, and without what only looks a little like one beside a surer one."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: -f.score):
        if kept and one.score < kept[0].score - WEAKER:
            break
        centre = one.points[:, :2].mean(0)
        if all(
            np.linalg.norm(centre - other.points[:, :2].mean(0)) > 0.4 * max(one.size, other.size) for other in kept
        ):
            kept.append(one)
    return kept
