"""L_p of Eq. 11: LPIPS (Zhang et al. 2018) as a loss, on the backbone that this machine has.

The package ``lpips`` ships its calibrated linear layers, not the ImageNet backbone under them. Where torch's own cache holds the
backbone's weights they are used; elsewhere the backbone keeps seeded random weights: still a multi-scale distance of local
structure (random convolutions are edge and texture filters), not the published metric, and :attr:`Perceptual.name` says so.
The metric of the tables, :func:`emolib.metrics.image.lpips`, is a network apart from this one. :class:`FaceDistance` is a backbone that
has seen faces on every machine.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from emolib.compat import fix_torchvision
from emolib.errors import EmolibError
from emolib.face.landmarker import load_face_net
from emolib.face.landmarks import features_of

BACKBONES = {"alex": "alexnet-owt-*.pth", "squeeze": "squeezenet1_1-*.pth", "vgg": "vgg16-*.pth"}


def seen(net: str) -> bool:
    """Whether this machine has the backbone of ``net`` that has seen ImageNet."""
    return any((Path(torch.hub.get_dir()) / "checkpoints").glob(BACKBONES[net]))


def require_backbones(lpips: str, *nets: str) -> None:
    """Of ``lpips`` "pretrained" (parameter base.lpips): raises :class:`EmolibError` if one of ``nets`` has a random backbone only."""
    lacking = [net for net in nets if lpips == "pretrained" and not seen(net)]
    if lacking:
        raise EmolibError(
            f"base.lpips is pretrained, and {torch.hub.get_dir()}/checkpoints has no {BACKBONES[lacking[0]]}; "
            "put torchvision's weights there, or set base.lpips to any"
        )


class Perceptual(nn.Module):
    """LPIPS distance. ``net``: alex, squeeze or vgg; ``seed``: of a random backbone."""

    def __init__(self, net: str = "alex", seed: int = 0):
        super().__init__()
        if net not in BACKBONES:
            raise EmolibError(f"unknown LPIPS network {net!r}; expected one of {', '.join(BACKBONES)}")
        fix_torchvision()
        import lpips

        found = seen(net)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package calls torchvision as it was years ago
            torch.manual_seed(seed)
            self.distance = lpips.LPIPS(net=net, pnet_rand=not found, verbose=False)
        self.name = f"LPIPS-{net}" + ("" if found else " (random backbone)")
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """image, target (B, 3, H, W) in [0, 1], at least 32 x 32 -> (B,), 0 for equal images; differentiable."""
        return self.distance(image, target, normalize=True).flatten()


class FaceDistance(nn.Module):
    """Distance of what the face net's first half, which has seen photographs of faces, makes of two aligned crops (ours, beside LPIPS).

    As LPIPS without its linear layers: unit length over the channels at each of 32 x 32 places, mean squared difference.
    """

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """image, target (B, 3, S, S) in [0, 1] -> (B,), 0 for equal images, at most 4; differentiable in ``image``."""
        net = load_face_net(device=image.device)
        with torch.autocast(image.device.type, enabled=False):
            a, b = (nn.functional.normalize(features_of(x.float(), net), dim=1) for x in (image, target))
        return (a - b).square().sum(1).mean((1, 2))
