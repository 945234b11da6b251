"""What lies before a face: hair, glasses, hands, a microphone; seen by a head on the face net.

A face model knows skin alone, and would bend with it what does not bend. The first half of the face net
(:meth:`emolib.face.landmarker.Points.features`), which has seen millions of photographs, stays as it is; a small head on its maps of
32 x 32 and 64 x 64 learns from photographs whose truth is known (:mod:`synthface.covered`). Trained by ``make covers``; the weights are
shipped in ``data/pretrained``.
"""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.face.finding import crop
from emolib.face.landmarker import POINTS_SIZE, TRUNK, FaceNet, load_face_net
from emolib.face.landmarks import PLACE
from emolib.weights import PRETRAINED, load_into, load_weights, save_weights

WEIGHTS = PRETRAINED / "covers.safetensors"
FINE_BLOCKS, FINE, COARSE = (
    9,
    32,
    64,
)  # of the trunk, up to its map of 64 x 64; channels of that map and of the one of 32 x 32
SIDE = 64  # of the answer
CHANNELS = ("covered", "glasses")  # anything before the face; glasses, with what lies behind their lenses


def maps_of(pictures: Tensor, net: FaceNet) -> tuple[Tensor, Tensor]:
    """Aligned crops (n, 3, S, S) in [0, 1] -> the face net's maps (n, 32, 64, 64) and (n, 64, 32, 32) of :func:`place`."""
    size = pictures.shape[-1]
    rois = pictures.new_tensor(PLACE) * pictures.new_tensor([size, size, size, 1])
    seen = crop(pictures, rois.expand(len(pictures), 4), POINTS_SIZE)
    points = net.points
    fine = points.blocks[:FINE_BLOCKS](points.stem_slope(points.stem(F.pad(seen, (0, 1, 0, 1)))))
    return fine, points.blocks[FINE_BLOCKS:TRUNK](fine)


def placed(masks: Tensor) -> Tensor:
    """Masks (n, C, S, S) of aligned crops as the net sees the crops, (n, C, 64, 64)."""
    size = masks.shape[-1]
    rois = masks.new_tensor(PLACE) * masks.new_tensor([size, size, size, 1])
    return F.avg_pool2d(crop(masks, rois.expand(len(masks), 4), 2 * SIDE), 2)


class CoverNet(nn.Module):
    """The face net's maps -> logits (n, 2, 64, 64) of :data:`CHANNELS`."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.config: dict = {"kind": "covers", "width": width}
        self.coarse = nn.Conv2d(COARSE, width, 1)
        self.around = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.fine = nn.Conv2d(FINE, width, 1)
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, len(CHANNELS), 3, padding=1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = self.coarse(coarse)
        for layer in self.around:
            x = x + layer(F.relu(x))
        x = self.fine(fine) + F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(F.relu(x + self.join(F.relu(x))))

    @torch.no_grad()
    def covered(self, pictures: Tensor) -> Tensor:
        """How surely each pixel of aligned crops (n, 3, S, S) in [0, 1] is one of :data:`CHANNELS`: (n, 2, S, S) in [0, 1].
        Beyond what the face net sees of a crop nothing is known of, and 0."""
        seen = self(*maps_of(pictures, load_face_net(device=pictures.device))).sigmoid()
        size = pictures.shape[-1]
        at = (torch.arange(size, device=pictures.device) + 0.5) / size
        across, down = ((at - PLACE[i]) * (2 / PLACE[2]) for i in (0, 1))
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        return F.grid_sample(seen, grid.expand(len(seen), -1, -1, -1), align_corners=False)

    def save(self, path: str | Path) -> Path:
        return save_weights(path, self, self.config, torch.float16)


@functools.cache
def load_cover_net(path: str | Path = WEIGHTS, device: str = "cpu") -> CoverNet:
    """The shipped net, frozen. EmolibError for missing or damaged files."""
    state, config = load_weights(path)
    if config.get("kind") != "covers":
        raise EmolibError(f"{path} holds {config.get('kind', 'something else')}; expected the net of `make covers`")
    return load_into(CoverNet(config["width"]), state, path).to(device)
