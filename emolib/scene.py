"""What lies before and behind the face in a photograph, and how it moves.

The 3DMM knows skin alone. What lies *before* it (hair, glasses, hands: :mod:`emolib.face.covers`) does not bend with an expression: it goes
with the skull. What lies *behind* the person (:mod:`emolib.face.person`) does not move at all. With B the background, filled where the
person hides it, and a the share of a pixel that is the person, a photograph is I = a P + (1 - a) B, so that its warp T needs only

    T(I) + (1 - T(a)) (B - T(B))

to have its background at rest: no P is estimated, and where nothing moves it is I to the bit. Where surely nobody is it is B itself.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from skimage.filters import apply_hysteresis_threshold
from torch import Tensor

from emolib.face.alignment import Alignment, template
from emolib.face.covers import load_cover_net
from emolib.face.model import Coefficients, FaceModel
from emolib.face.person import SIDE, person_about
from emolib.layers import warp
from emolib.media.pictures import to_tensor
from emolib.sight import FAR, Drive, View, extend, look, sight

AROUND = 1.6  # times the side of a face crop: what the net of persons is shown, which knows people by their shoulders
RIGID_SIDE = 128  # px: at which the skull's motion is drawn, which is smooth
SURELY, MAYBE = 0.5, 0.35  # a cover has a place that is surely one, and reaches as far as it may be one
# Glasses: where their lenses are, half axes about each eye in eye distances, and how much of that must look like glasses; what goes with
# them then, whose rims are thin and seen in parts: two ellipses, of which the inner leaves lids free to blink, and how high it reaches,
# since brows move above. Without glasses, what little looks covered about an eye is paint on it, or its own shadow.
LENSES, GLASSES, EYE_COVERED = (0.4, 0.3), 0.35, 0.6
LIDS, RIMS, BELOW_BROWS = (0.26, 0.1), (0.52, 0.44), -0.28
RIM = 1 / 128  # of the side: so far beyond a cover moves with it, and as far again half
RETREATS = 5  # steps in which skin that would show a cover gives way
NOBODY = 0.05  # surely background: the person's share
FOUND = 0.7  # of the mesh must be somebody, or the net of persons has found none: in a painting, say


class Scene(NamedTuple):
    """A portrait's, at its side R. Build it with :func:`scene_of`."""

    cover: Tensor  # (1,1,R,R) in [0, 1]: how far it moves with the skull
    person: Tensor  # (1,1,R,R) in [0, 1]
    behind: Tensor  # (1,3,R,R) the background, filled where the person hides it
    view: View | None  # for the skull's motion; None where nothing covers the face

    def rigid(self, model: FaceModel, wanted: Coefficients) -> Tensor:
        """The skull's motion (B,2,R,R) to the poses of ``wanted`` (B), backward as :class:`emolib.sight.Drive` has it."""
        assert self.view is not None
        own = self.view.coefficients.expand(len(wanted)).replace(pose=wanted.pose)
        motion = sight(model, self.view, own, self.view.image.shape[-1]).motion()
        return _at_side(motion, self.cover.shape[-1])

    def held(self, motion: Tensor, rigid: Tensor) -> Tensor:
        """How far each pixel (B,1,r,r) goes with the skull and not by ``motion`` (B,2,r,r), the skin's: wholly where it shows a cover that
        moved by ``rigid`` (B,2,r,r); and where skin would show a cover a second time, until it no longer does."""
        cover = _at_side(self.cover, motion.shape[-1])
        share = warp(cover, rigid)
        for _ in range(RETREATS):
            share = (share + warp(cover, torch.lerp(motion, rigid, share)) / RETREATS).clamp(max=1)
        return share

    def at_rest_behind(self, frames: Tensor, motion: Tensor, made_up: Tensor) -> Tensor:
        """``frames`` (B,3,R,R), of a picture warped by ``motion`` (B,2,R,R), with the background at rest. made_up (B,1,R,R): what was
        drawn of the person where the picture shows none."""
        both = torch.cat([self.behind, self.person], 1)
        moved = warp(both, motion)
        share = torch.maximum(moved[:, 3:], made_up)
        mixed = frames + (1 - share) * (self.behind - moved[:, :3])
        return torch.lerp(self.behind, mixed, (share / NOBODY).clamp(max=1))


def under_cover(drive: Drive, rigid: Tensor, scene: Scene) -> Drive:
    """``drive`` where something may cover the face: there the skull's motion ``rigid`` (B,2,R,R) counts, and nothing is drawn."""
    rigid = _at_side(rigid, drive.motion.shape[-1])
    held = scene.held(drive.motion, rigid)
    motion = torch.lerp(drive.motion, rigid, held)
    return drive._replace(motion=motion, hidden=drive.hidden * (1 - held), inside=drive.inside * (1 - held))


def _at_side(x: Tensor, side: int) -> Tensor:
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, (side, side), mode="bilinear", antialias=x.shape[-1] > side, align_corners=False)


def scene_of(model: FaceModel, own: Coefficients, picture: Tensor, image: np.ndarray, alignment: Alignment) -> Scene:
    """Of the face of ``alignment`` in ``image``, uint8 (H, W, 3), whose fit is ``own`` (1 row) and whose crop is ``picture``
    (1, 3, R, R), in [0, 1], both on the device of the answer."""
    device, side = picture.device, alignment.size
    seen = load_cover_net(device=str(device)).covered(_small(picture))
    if worn(seen):
        zone = about_the_eyes(256).to(seen)[None, None]
        cover = torch.maximum(_grown(seen[:, :1], side), F.interpolate(zone, (side, side), mode="bilinear"))
    else:
        cover = _grown(bare_eyed(seen[:, :1]), side)
    wide = to_tensor(np.array(_about(alignment).crop(image))[None]).to(device)
    first = round(SIDE * (1 - 1 / AROUND) / 2)
    person = person_about(wide)[..., first : SIDE - first, first : SIDE - first]
    view = look(model, own, RIGID_SIDE)
    person = somebody(_at_side(person, side), _at_side((view.depth < FAR).float()[None, None], side))
    return Scene(cover, person, filled(picture, (person < NOBODY).float()), view if cover.max() > 0 else None)


def somebody(person: Tensor, mesh: Tensor) -> Tensor:
    """What the net of persons says (1,1,R,R), and what the fit says (1,1,R,R): the head is the person's. Where the net has found nobody,
    all is: nothing is held."""
    if (person * mesh).sum() < FOUND * mesh.sum():
        return torch.ones_like(person)
    return torch.maximum(person, mesh)


def _about(alignment: Alignment) -> Alignment:
    """The crop of :data:`SIDE` pixels about that of ``alignment``, :data:`AROUND` times as wide."""
    matrix = alignment.matrix * (SIDE / AROUND / alignment.size)
    matrix[:, 2] += SIDE / 2 * (1 - 1 / AROUND)
    return Alignment(matrix, SIDE)


def _small(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, max(1, picture.shape[-1] // 256))


def _grown(seen: Tensor, side: int) -> Tensor:
    """(1,1,r,r) how surely something covers the face -> (1,1,R,R) how far it moves with the skull: fully a little beyond its edge."""
    found = apply_hysteresis_threshold(seen[0, 0].cpu().numpy(), MAYBE, SURELY)
    surely = torch.from_numpy(found).to(seen)[None, None]
    reach = max(1, round(RIM * seen.shape[-1]))
    grown = F.max_pool2d(surely, 2 * reach + 1, 1, reach)
    for _ in range(2):
        grown = F.avg_pool2d(F.pad(grown, (reach,) * 4, mode="replicate"), 2 * reach + 1, 1)
    return F.interpolate(grown, (side, side), mode="bilinear", align_corners=False)


def worn(seen: Tensor) -> bool:
    """Whether an aligned crop, of which the net says ``seen`` (1,2,r,r), is of somebody who wears glasses."""
    lenses = _within(_from_eyes(seen.shape[-1]), LENSES).any(0).to(seen.device)
    return float(seen[0, 1][lenses].mean()) > GLASSES


def bare_eyed(cover: Tensor) -> Tensor:
    """``cover`` (1,1,r,r) without what lies about an eye that is mostly free: the net takes eyes made up darkly for covered in part."""
    cover = cover.clone()
    for eye in _within(_from_eyes(cover.shape[-1]), LENSES).to(cover.device):
        if float(cover[0, 0][eye].mean()) < EYE_COVERED:
            cover[0, 0][eye] = 0
    return cover


def about_the_eyes(side: int) -> Tensor:
    """(S, S) in [0, 1]: where glasses sit in an aligned crop, softly."""
    place = _from_eyes(side)
    zone = (_within(place, RIMS) & (place[1] > BELOW_BROWS)).any(0) & ~_within(place, LIDS).any(0)
    reach = max(1, side // 64)
    return F.avg_pool2d(zone.float()[None, None], 2 * reach + 1, 1, reach)[0, 0]


def _from_eyes(side: int) -> Tensor:
    """(2, 2, S, S): x and y of each pixel from each of the two eyes, in eye distances."""
    eyes = torch.from_numpy(template()[:2]).float()
    at = (torch.arange(side) + 0.5) / side
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"))
    return (grid[:, None] - eyes.T[:, :, None, None]) / (eyes[1, 0] - eyes[0, 0])


def _within(place: Tensor, axes: tuple[float, float]) -> Tensor:
    """(2, S, S) bool: within the ellipse of half ``axes`` about each eye."""
    return (place[0] / axes[0]) ** 2 + (place[1] / axes[1]) ** 2 < 1


def filled(picture: Tensor, known: Tensor) -> Tensor:
    """``picture`` (1,3,R,R) where it is ``known`` (1,1,R,R), its surroundings continued elsewhere."""
    mean = (picture * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(known > 0, picture, extend(picture - mean, known) + mean)
