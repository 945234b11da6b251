"""One portrait, ready to be moved: HEF at the photograph's own resolution.

The generator works at its own side S; flow, gain and colour of Eqs. 9 and 10 are smooth and need no more, the photograph does. So
Eq. 10 goes on beyond S without a network, on the photograph at its side R = 2^k S:

    W_R = (1 - h_R) T(M_R, I^s_R) + h_R D_R
    I_R = Up(I_N) + Up(gain_N) * (W_R - Up(W_N))

with the mesh's motion M, what it uncovers h and the relit rendering D drawn at R (:mod:`emolib.sight`). Where gain is 1 and colour 0 it is
W_R, and where nothing moves the photograph itself. rho_N, by which Eq. 9 refines the flow, is left out: it makes pictures of drawn people
alike, but is further from their true flow than M is (``flow_error_*`` of 05), and on photographs it drags detail astray. Without the
mesh's motion (the profile ``paper``) there is nothing else, and phi_N takes its place. At R = S the picture is I_N.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.eyes import brightness, shaded
from emolib.face.alignment import Alignment
from emolib.face.fitting import fit_image
from emolib.face.model import Coefficients, FaceModel
from emolib.hef import Hef
from emolib.media.pictures import to_tensor
from emolib.scene import Scene, scene_of, under_cover
from emolib.sight import drawn, drive_of, look, sight, style, unlike
from emolib.teeth import painted_teeth
from emolib.tones import tones_of

LARGEST = 1024  # px: sides beyond are made at this one


def native_side(hef: Hef, side: float) -> int:
    """The side R at which a face crop of ``side`` pixels in its own picture is made: S times a power of two, at most :data:`LARGEST`."""
    chosen = hef.size
    while hef.detail and chosen < side and 2 * chosen <= LARGEST:
        chosen *= 2
    return chosen


def warp_sharp(image: Tensor, flow: Tensor) -> Tensor:
    """:func:`emolib.layers.warp` of an image in [0, 1], bicubic: a photograph that moves between its pixels keeps its detail."""
    side = flow.shape[-1]
    place = (torch.arange(side, device=flow.device) + 0.5) * (2 / side) - 1
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1) + flow.permute(0, 2, 3, 1)
    image = image.expand(len(flow), -1, -1, -1)
    moved = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)  # it overshoots at edges


class Portrait:
    """A photograph and its fit, encoded once for all frames.

    picture (1, 3, R, R) in [0, 1], R = S 2^k of the generator's S; own: the coefficients of its face, 1 row, on the same device.
    Raises ValueError for another size.
    """

    def __init__(self, hef: Hef, model: FaceModel, picture: Tensor, own: Coefficients, scene: Scene | None = None):
        side = picture.shape[-1]
        if picture.shape[:3] != (1, 3, side) or side % hef.size or (side > hef.size and not hef.detail):
            raise ValueError(
                f"the portrait is {tuple(picture.shape)}; expected (1, 3, R, R) with R = {hef.size}, or with ``detail`` a multiple"
            )
        self.hef, self.model, self.picture, self.own, self.side, self.scene = hef, model, picture, own, side, scene
        self.view = look(model, own, side)
        self.tones = tones_of(picture)
        self.bright = brightness(model, own, picture, self.view.image)
        self.image = F.avg_pool2d(self.view.image, side // hef.size)
        with torch.no_grad():
            self.encoded = hef.encode_source(F.avg_pool2d(picture, side // hef.size))

    @torch.no_grad()
    def frames(self, wanted: Coefficients, sigma: Tensor) -> Tensor:
        """Frames (B, 3, R, R) in [0, 1] of the coefficients ``wanted`` (B) and sigma_hat (1|B, C)."""
        fine = sight(self.model, self.view, wanted, self.side)
        drive = drive_of(self.image, fine.reduced(self.hef.size), style(self.own, wanted, sigma))
        covered = self.scene if self.scene is not None and self.scene.view is not None else None
        if covered is not None:
            rigid = covered.rigid(self.model, wanted)
            drive = under_cover(drive, rigid, covered)
        made = self.hef.synthesise(self.encoded, drive)
        if self.side == self.hef.size:
            return self._finished(made.image, made.flows[-1], drive.hidden)
        motion = self._raised(drive.motion if self.hef.mesh_motion else made.flows[-1])
        if self.hef.mesh_motion:
            motion = torch.lerp(motion, fine.flow / fine.seen.clamp(min=1e-3), (2 * fine.seen).clamp(max=1))
        rendering = painted_teeth(self.model, wanted, fine.rendering, fine.inside)
        rendering = shaded(self.model, wanted, rendering, self.bright)
        painted = drawn(rendering, fine.inside, made.light)
        inside, hidden = fine.inside, fine.hidden
        if covered is not None:
            held = covered.held(motion, rigid)
            motion = torch.lerp(motion, rigid, held)
            inside, hidden = inside * (1 - held), hidden * (1 - held)
        moved = warp_sharp(self.picture, motion)
        made_up = unlike(moved, painted, motion, inside, hidden)
        start = torch.lerp(moved, painted, made_up)
        result = self._raised(made.image) + self._raised(made.gain) * (start - self._raised(made.start))
        # What the mesh draws stays as light as drawn, and as sharp: there HEF has learnt how light the mouths of its drawn people are, and
        # softens lashes. Its colours are the photograph's.
        lighter = (start - result).mean(1, keepdim=True)
        return self._finished(result + made_up * lighter, motion, made_up)

    def _finished(self, frames: Tensor, motion: Tensor, made_up: Tensor) -> Tensor:
        if self.tones is not None:
            moved = warp_sharp(self.picture, motion)  # keeps what little colour lightness does not explain
            frames = self.tones.of(frames) + (1 - made_up) * (moved - self.tones.of(moved))
        if self.scene is not None:
            frames = self.scene.at_rest_behind(frames, motion, made_up)
        return frames.clamp(0, 1)

    def _raised(self, x: Tensor) -> Tensor:
        return F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)


def portrait_of(hef: Hef, model: FaceModel, image: np.ndarray, landmarks: np.ndarray) -> tuple[Portrait, Alignment]:
    """The face with ``landmarks`` (68, 2) in ``image``, uint8 (H, W, 3): fitted and ready to be moved, and where it lies in the picture.

    model: on the CPU, where faces are fitted; the portrait is on the generator's device.
    """
    device = hef.constant.device
    small = Alignment.from_landmarks(landmarks, hef.size)
    crop = np.array(small.crop(image))  # PIL lends its own, which torch does not take
    own = fit_image(model, crop, small.points(landmarks)).coefficients.to(device)
    side = native_side(hef, hef.size / np.hypot(*small.matrix[:, 0]))
    alignment = Alignment.from_landmarks(landmarks, side)
    picture = to_tensor(np.array(alignment.crop(image))[None]).to(device)
    model = model if device.type == "cpu" else model.to(device)
    return Portrait(hef, model, picture, own, scene_of(model, own, picture, image, alignment)), alignment


def animate(
    hef: Hef,
    model: FaceModel,
    source: Tensor,
    source_coefficients: Coefficients,
    drive_coefficients: Coefficients,
    sigma: Tensor,
    *,
    batch: int = 8,
) -> Iterator[Tensor]:
    """Yields frames (b, 3, R, R) in [0, 1], ``batch`` at a time: the source moves as ``drive_coefficients`` (T) say.

    source (1, 3, R, R) in [0, 1]; source_coefficients: its own, 1 row; sigma: sigma_hat (T, C), or (1, C) for all frames.
    """
    device = hef.constant.device
    wanted, sigma = drive_coefficients.to(device), sigma.to(device).expand(len(drive_coefficients), -1)
    portrait = Portrait(hef, model.to(device), source.to(device), source_coefficients.to(device))
    for start in range(0, len(wanted), batch):
        yield portrait.frames(wanted[start : start + batch], sigma[start : start + batch])
