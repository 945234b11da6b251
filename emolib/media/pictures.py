"""Pictures: files, Pillow images and arrays to uint8 sRGB, uint8 frames to float tensors and back, resizing.

Arrays are uint8 (..., H, W, 3) RGB; tensors are float (..., 3, H, W) in [0, 1].
"""

import math
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, UnidentifiedImageError

from emolib.errors import EmolibError
from emolib.files import check_input
from emolib.media.colour import to_srgb

MIN_SIDE = 32
NARROWEST = 40  # longer side over the shorter: beyond, a face would be a line once the picture is shrunk to be searched
# No reader that runs a program or draws.
FORMATS = tuple("JPEG PNG WEBP GIF BMP TIFF PPM AVIF JPEG2000".split())
WHOLE = 50_000_000  # pixels: larger pictures are reduced, JPEGs while they are read
MOST_JPEG, MOST = 170_000_000, 89_000_000  # pixels: of a JPEG that is decoded reduced, of anything decoded in full
OVERSHOOT = 0.1  # of the range: what resampling leaves beyond its ends

Turn = Image.Transpose
TURNS = dict(
    enumerate(
        (
            Turn.FLIP_LEFT_RIGHT,
            Turn.ROTATE_180,
            Turn.FLIP_TOP_BOTTOM,
            Turn.TRANSPOSE,
            Turn.ROTATE_270,
            Turn.TRANSVERSE,
            Turn.ROTATE_90,
        ),
        start=2,
    )
)  # EXIF orientation -> what undoes it
Source = str | Path | np.ndarray | Image.Image


def load_image(source: Source, notes: list[str] | None = None) -> np.ndarray:
    """A picture file, a Pillow image or an array as uint8 (H, W, 3) sRGB.

    Files may be any of :data:`FORMATS`. The first frame of an animation is taken, the EXIF rotation applied, an embedded colour profile
    (Display P3, Adobe RGB, CMYK, grey) converted, alpha laid over white, 16 bit scaled to 8, and over 50 million pixels reduced.
    For arrays see :func:`to_rgb8`. ``notes`` takes a sentence for each thing done to the picture that a user would want to know.

    Raises :class:`EmolibError` if there is no such file, it is not a picture, is damaged, too large (a JPEG of over 170 million pixels,
    others of over 89 million), has a side under 32 px, or is over 40 times as long as wide.
    """
    notes = [] if notes is None else notes
    if isinstance(source, np.ndarray | Image.Image):
        image, name = to_rgb8(source, notes), "the picture"
    elif isinstance(source, str | Path):
        image, name = _read(Path(source), notes), str(source)
    else:
        raise EmolibError(f"the picture is a {type(source).__name__}; give a file, an array or a Pillow image")
    _check_shape(image.shape[1], image.shape[0], name)
    return image


def _read(path: Path, notes: list[str]) -> np.ndarray:
    check_input(path, "image", "expected a picture file, check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's: of size, odd EXIF, a palette; what matters is a note or an error
            with Image.open(path, formats=FORMATS) as picture:
                _check_header(picture, path)
                return _from_pillow(picture, str(path), notes)
    except UnidentifiedImageError:
        kind = "a HEIC picture" if _is_heic(path) else "not an image"
        raise EmolibError(f"{path} is {kind}, or of a kind that is not read; give a JPEG, PNG, WebP or TIFF") from None
    except Image.DecompressionBombError:
        raise EmolibError(f"{path} has more than {MOST_JPEG // 10**6} million pixels; make it smaller") from None
    except EmolibError:
        raise
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them into
        raise _unreadable(str(path), error) from None


def _unreadable(name: str, error: Exception) -> EmolibError:
    said = " ".join(str(error).split()) or type(error).__name__
    return EmolibError(f"{name} cannot be read as an image ({said}); give a whole, reasonably sized one")


def _check_header(picture: Image.Image, path: Path) -> None:
    _check_shape(picture.width, picture.height, str(path))
    reduced = picture.format in ("JPEG", "MPO") and "progressive" not in picture.info  # those are decoded in full first
    most = MOST_JPEG if reduced else MOST
    if picture.width * picture.height > most:
        raise EmolibError(
            f"{path} is {picture.width} x {picture.height} px; at most {most // 10**6} million pixels are read of such a "
            "file, make it smaller"
        )


def _check_shape(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise EmolibError(
            f"{name} is {width} x {height} px; expected at least {MIN_SIDE} px a side, give a larger picture"
        )
    if max(width, height) > NARROWEST * min(width, height):
        raise EmolibError(f"{name} is {width} x {height} px; no face fits a strip so narrow, crop it to the face")


def _is_heic(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(16)
    return start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")


def to_rgb8(picture: Image.Image | np.ndarray, notes: list[str] | None = None) -> np.ndarray:
    """A Pillow image or an array of any of the usual kinds as uint8 (H, W, 3) sRGB.

    Arrays may be (H, W), (H, W, 1), (H, W, 3), or with alpha (H, W, 2) and (H, W, 4). What a value means is the type's: bool; uint8 0 to
    255; uint16 0 to 65535; other integers 0 to 255; floats 0 to 1, or 0 to 255 where some lie above 2. A tenth of the range beyond the
    ends of floats, as resampling leaves it, is clipped. Raises :class:`EmolibError` for anything else.
    """
    if isinstance(picture, Image.Image):
        return _from_pillow(picture, "the picture", [] if notes is None else notes)
    if picture.ndim == 3 and picture.dtype == np.uint8 and picture.shape[2] == 3:
        return np.ascontiguousarray(picture)
    pixels = picture[..., None] if picture.ndim == 2 else picture
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise EmolibError(f"the image has shape {picture.shape}; expected (H, W), (H, W, 3) or (H, W, 4)")
    pixels = _to_8_bits(pixels)
    if pixels.shape[2] in (2, 4):
        image = Image.fromarray(pixels if pixels.shape[2] == 4 else np.repeat(pixels, [3, 1], axis=2), "RGBA")
        return np.asarray(_over_white(image))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """An array of numbers as uint8, by its type and range as :func:`to_rgb8` says; in bands of rows, so that it takes no more memory."""
    kind, dtype = pixels.dtype.kind, pixels.dtype
    if dtype == np.uint8 or pixels.size == 0:
        return pixels.astype(np.uint8)
    if kind not in "buif":
        raise EmolibError(f"the image is an array of {dtype}; expected uint8, or floats from 0 to 1")
    low, high = float(pixels.min()), float(pixels.max())
    top = 1.0 if kind == "b" else 65535.0 if kind == "u" and dtype.itemsize == 2 else 255.0
    if kind == "f":
        top, slack = (255.0, 255 * OVERSHOOT) if high > 2 else (1.0, OVERSHOOT)
        fits = -slack <= low and high <= top + slack  # False for NaN
    else:
        fits = 0 <= low and high <= top
    if not fits:
        raise EmolibError(
            f"the image is {dtype} from {low:g} to {high:g}; expected 0 to 255, or floats from 0 to 1, scale it to that"
        )
    if top == 65535 and 0 < high <= 255:
        raise EmolibError(
            f"the image is {dtype} up to {high:g} of 65535, which is black; if it means 0 to 255, give uint8"
        )
    out = np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), 256):
        part = pixels[row : row + 256].astype(np.float32)
        out[row : row + 256] = np.round(np.clip(part / np.float32(top), 0.0, 1.0) * 255)
    return out


def _over_white(picture: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, over white."""
    opaque = Image.new("RGB", picture.size, "white")
    opaque.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return opaque


def _from_pillow(picture: Image.Image, name: str, notes: list[str]) -> np.ndarray:
    """The first frame of an open file, or a picture in memory, as uint8 (H, W, 3) sRGB."""
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        notes.append("the file holds several pictures; its first is taken")
    size = picture.size
    times = math.ceil(math.sqrt(picture.width * picture.height / WHOLE))
    if times > 1:
        picture.draft("RGB", (picture.width // times, picture.height // times))
    try:
        picture.load()
        profile = picture.info.get("icc_profile")
        turn = _turn(picture, notes)
        if picture.width * picture.height > WHOLE:
            picture = picture.reduce(times)
        if times > 1:
            notes.append(f"the picture was reduced from {size[0]} x {size[1]} to {picture.width} x {picture.height} px")
        pixels = _deep(picture) if picture.mode.startswith(("I", "F")) else _flat(picture, profile, notes)
    except EmolibError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from None
    return pixels if turn is None else np.array(Image.fromarray(pixels).transpose(turn))


def _turn(picture: Image.Image, notes: list[str]) -> Turn | None:
    """How the picture must be turned to stand as its EXIF data says."""
    try:
        return TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels, which are decoded, may be sound
        notes.append("the picture's EXIF data is damaged and was ignored")
        return None


def _flat(picture: Image.Image, profile: bytes | None, notes: list[str]) -> np.ndarray:
    """An 8-bit picture of any mode as uint8 (H, W, 3): its profile converted, what is transparent over white."""
    clear = "transparency" in picture.info or "a" in picture.mode.lower() and picture.mode != "LAB"
    grey = picture.mode in ("1", "L", "LA", "La")
    if clear:
        whole = picture.convert("RGBA")
        alpha = whole.getchannel("A")
        picture = whole.convert("L" if grey else "RGB")
    elif picture.mode not in ("RGB", "L", "CMYK", "LAB"):
        picture = picture.convert("L" if grey else "RGB")
    picture = to_srgb(picture, profile, notes)
    if clear:
        picture.putalpha(alpha)
        picture = _over_white(picture)
    return np.array(picture)


def _deep(picture: Image.Image) -> np.ndarray:
    """A grey picture of more than 8 bits as uint8 (H, W, 3); 32 bits hold what the format had: 0 to 255 or 0 to 65535."""
    values = np.asarray(picture)
    if values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535:
        if values.dtype.itemsize == 2 or values.max() > 255:
            values = np.round(values / 257.0).astype(np.uint8)
    return to_rgb8(values)


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
