"""Pictures: files and arrays to uint8 RGB, uint8 frames to float tensors and back, resizing.

Arrays are uint8 (..., H, W, 3) RGB; tensors are float (..., 3, H, W) in [0, 1].
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError

from emolib.errors import EmolibError

MIN_SIDE = 32


def load_image(path: str | Path) -> np.ndarray:
    """Any image Pillow reads as uint8 (H, W, 3) RGB: EXIF rotation applied, alpha over white, 16 bit scaled to 8.

    Raises :class:`EmolibError` if there is no such file, it is not an image, or a side is under 32 px.
    """
    path = Path(path)
    if not path.is_file():
        raise EmolibError(f"no image at {path}; expected a picture file, check the path")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except UnidentifiedImageError:
        raise EmolibError(f"{path} is not an image that Pillow reads; give a PNG, JPEG, WebP or similar") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EmolibError(f"{path} cannot be read as an image ({error}); give a whole, reasonably sized one") from None
    image = to_rgb8(picture)
    if min(image.shape[:2]) < MIN_SIDE:
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise EmolibError(f"{path} is {size} px; expected at least {MIN_SIDE} px a side, give a larger picture")
    return image


def to_rgb8(picture: Image.Image | np.ndarray) -> np.ndarray:
    """A Pillow image or an array of any of the usual kinds as uint8 RGB.

    Arrays may be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16, or float in [0, 1].
    """
    if isinstance(picture, np.ndarray):
        pixels = picture
    elif picture.mode.startswith(("I", "F")):
        pixels = np.asarray(picture).astype(np.float64)
        top = 1.0 if pixels.max(initial=0) <= 1.0 else 255.0 if pixels.max() <= 255 else 65535.0
        pixels = pixels / top
    else:
        transparent = "A" in picture.getbands() or "transparency" in picture.info
        pixels = np.asarray(picture.convert("RGBA" if transparent else "RGB"))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise EmolibError(f"the image has shape {pixels.shape}; expected (H, W), (H, W, 3) or (H, W, 4)")
    top = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(pixels.dtype, 1.0)
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    pixels = np.clip(pixels.astype(np.float32) / top, 0.0, 1.0)
    if pixels.shape[2] == 4:
        pixels = pixels[..., :3] * pixels[..., 3:] + (1.0 - pixels[..., 3:])
    return np.round(np.broadcast_to(pixels, (*pixels.shape[:2], 3)) * 255.0).astype(np.uint8)


def to_tensor(frames: np.ndarray | torch.Tensor) -> torch.Tensor:
    """uint8 (..., H, W, 3) -> float (..., 3, H, W) in [0, 1], on the device it is on."""
    frames = (
        frames if isinstance(frames, torch.Tensor) else torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    )
    return frames.movedim(-1, -3).float() / 255


def to_frames(images: torch.Tensor) -> np.ndarray:
    """float (..., 3, H, W), clamped to [0, 1] -> uint8 (..., H, W, 3)."""
    return (images.detach().clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1).cpu().numpy()


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, size, size), bilinear and without aliasing; as it is where it has that size."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
