"""Colours of a picture as its profile means them -> sRGB, which screens, videos and our nets expect."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

SAME = 2  # of 255: profiles that agree with sRGB this well are sRGB, whose pixels stay as they are
NAMES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}  # mode of a picture -> colour space of a profile


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_srgb(picture: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """A picture of mode RGB, L, CMYK or LAB as RGB, its ICC ``profile`` (the file's bytes, or None) converted to sRGB.

    A profile that is damaged, or meant for other pictures, is ignored, and ``notes`` says so. Without one, grey and RGB are sRGB.
    """
    if profile:
        try:
            return _converted(picture, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            notes.append(f"the picture's colour profile is damaged or not its own ({error}) and was ignored")
    return picture.convert("RGB")


def _converted(picture: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space
    if picture.mode == "L" and space == "RGB ":  # a colour picture that was made grey and kept its profile
        picture = picture.convert("RGB")
    if NAMES.get(picture.mode) != space:
        raise ValueError(f"it is for {space.strip()}, the picture is {picture.mode}")
    change = ImageCms.buildTransform(
        source,
        _srgb(),
        picture.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if picture.mode in ("RGB", "L"):
        chart = _chart(picture.mode)
        moved = np.asarray(ImageCms.applyTransform(chart, change)).astype(int) - np.asarray(chart.convert("RGB"))
        if np.abs(moved).max() <= SAME:
            return picture.convert("RGB")
    converted = ImageCms.applyTransform(picture, change)
    assert converted is not None  # it is only where the picture is changed in place
    return converted


@functools.cache
def _chart(mode: str) -> Image.Image:
    """Every 16th level of each channel, in every combination."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(levels[None])
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3))
