"""Image quality: PSNR, SSIM, LPIPS. Images are float tensors (B, 3, H, W) in [0, 1]; every function gives one value an
image.

PSNR and SSIM (Wang et al. 2004) as Table 1 of Xu et al. names them; LPIPS is Zhang et al. 2018.
"""

import functools

import torch
from torch import Tensor


def _pair(image: Tensor, target: Tensor) -> None:
    if image.shape != target.shape or image.ndim != 4:
        raise ValueError(f"expected two image batches (B, 3, H, W) of one shape, got {image.shape} and {target.shape}")


def psnr(image: Tensor, target: Tensor, ceiling: float = 60.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, (B,); equal images would be infinite and get ``ceiling``, so means stay
    finite.
    """
    _pair(image, target)
    error = (image.double() - target.double()).square().mean((1, 2, 3))
    return (-10 * torch.log10(error.clamp_min(1e-12))).clamp_max(ceiling)


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity, (B,), in [-1, 1]: Gaussian window, sigma 1.5, 11 x 11, K = (0.01, 0.03), mean over
    channels.

    The settings of the original paper, equal to ``skimage.metrics.structural_similarity(..., gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False, data_range=1)``: positions whose window leaves the image are not counted.
    Needs images of at least 11 x 11.
    """
    _pair(image, target)
    if min(image.shape[-2:]) < 11:
        raise ValueError(f"ssim needs images of at least 11 x 11 pixels, got {tuple(image.shape[-2:])}")
    x, y = image.double(), target.double()
    offsets = torch.arange(-5, 6, dtype=torch.double, device=x.device)
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()

    def blur(z: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, 3, H - 10, W - 10)
        for dim in (2, 3):  # sums of shifted images: many times faster on a CPU than a convolution in double precision
            length = z.shape[dim] - 10
            z = sum(w * z.narrow(dim, i, length) for i, w in enumerate(window.tolist()))
        return z

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return value.mean((1, 2, 3))


@functools.cache
def _lpips_net() -> tuple[torch.nn.Module, str]:
    """(the LPIPS network, its honest name). AlexNet's weights are taken from torch's own cache where they lie there."""
    from pathlib import Path

    from emolib.compat import fix_torchvision

    fix_torchvision()
    import lpips as package

    found = list((Path(torch.hub.get_dir()) / "checkpoints").glob("alexnet-owt-*.pth"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a random backbone is still a fixed one: the same numbers in every run
        net = package.LPIPS(net="alex", pretrained=True, pnet_rand=not found, verbose=False)
    return net.eval().requires_grad_(False), "LPIPS" if found else "LPIPS (random backbone)"


def lpips_name() -> str:
    """What :func:`lpips` computes on this machine: "LPIPS", or "LPIPS (random backbone)" where no AlexNet weights
    lie.
    """
    return _lpips_net()[1]


@torch.no_grad()
def lpips(image: Tensor, target: Tensor) -> Tensor:
    """Learned perceptual distance, (B,), lower is closer. See :func:`lpips_name` for what it rests on."""
    _pair(image, target)
    return _lpips_net()[0].to(image.device)(image.float(), target.float(), normalize=True).flatten()
