"""Aligned crops: the similarity that carries a picture's face into the crop, and back again.

Conventions: images are uint8 RGB (H, W, 3); points are (x, y) in pixels, x right, y down, pixel centres at integer + 0.5.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from emolib.face.geometry import invert, similarity, transform
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # left and right as seen in the picture
NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT = 30, 48, 54


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Eye centres, nose tip and mouth corners (..., 5, 2) of landmarks (..., 68, 2)."""
    eyes = [landmarks[..., eye, :].mean(-2) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, *(landmarks[..., i, :] for i in (NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT))], axis=-2)


def interocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance (...) between the eye centres of landmarks (..., 68, 2), in their unit."""
    return np.linalg.norm(landmarks[..., LEFT_EYE, :].mean(-2) - landmarks[..., RIGHT_EYE, :].mean(-2), axis=-1)


def nme(landmarks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Normalised mean error (...) in percent: mean distance of 68 points over the inter-ocular distance of ``truth``."""
    return 100.0 * np.linalg.norm(landmarks - truth, axis=-1).mean(-1) / interocular(truth)


def warp_affine(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``image`` (H, W[, 3]) under the similarity ``matrix`` as (height, width[, 3]), ``size`` = (width, height).

    Bicubic; shrunk with a Lanczos filter first where the map shrinks, so nothing aliases. Beyond its border the image
    is continued with the border's pixels.
    """
    height, width = image.shape[:2]
    back = invert(matrix)
    corners = transform(back, np.array([[0, 0], [size[0], 0], [0, size[1]], size], float))
    low = np.floor(corners.min(0)).astype(int) - 4
    high = np.ceil(corners.max(0)).astype(int) + 4
    inside_low = np.clip(low, 0, [width - 1, height - 1])
    inside_high = np.clip(high, inside_low + 1, [width, height])
    region = image[inside_low[1] : inside_high[1], inside_low[0] : inside_high[0]]
    pad = [(inside_low[1] - low[1], high[1] - inside_high[1]), (inside_low[0] - low[0], high[0] - inside_high[0])]
    if np.any(pad):
        region = np.pad(region, pad + [(0, 0)] * (image.ndim - 2), mode="edge")
    picture = Image.fromarray(np.ascontiguousarray(region))
    back = back.copy()
    back[:, 2] -= low
    scale = np.hypot(*matrix[:, 0])
    if scale < 1.0:
        shrunk = tuple(int(max(1, round(side * scale))) for side in picture.size)
        back = back * (np.array(shrunk) / picture.size)[:, None]
        picture = picture.resize(shrunk, Image.Resampling.LANCZOS)
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, back.ravel(), Image.Resampling.BICUBIC))


@functools.cache
def template() -> np.ndarray:
    """The five points (5, 2) of the default model's mean face at p = 0, as parts of the crop's side."""
    mean = Coefficients.zeros(1)
    with torch.no_grad():
        landmarks = load_face_model().landmarks(mean.alpha, mean.beta, mean.pose, 256)
    return five_points(landmarks[0].numpy().astype(float)) / 256


@functools.lru_cache(maxsize=8)
def feather(size: int) -> np.ndarray:
    """The blending mask (size, size) in [0, 1]: one over the face, smoothly zero before the crop's border."""
    x, y = np.meshgrid(*(2 * ((np.arange(size) + 0.5) / size - 0.5),) * 2)
    radius = (x**4 + y**4) ** 0.25  # a rounded square
    ramp = np.clip((0.97 - radius) / 0.3, 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


@dataclass(frozen=True, eq=False)
class Alignment:
    """The similarity that carries a picture to the aligned crop of side ``size``, and back.

    ``matrix`` (2, 3) maps picture pixels to crop pixels. One alignment serves a whole clip.
    """

    matrix: np.ndarray
    size: int
    _masks: dict = field(default_factory=dict, repr=False)  # the feathered mask in the picture, by the picture's shape

    @classmethod
    def from_landmarks(cls, landmarks: np.ndarray, size: int) -> "Alignment":
        """From landmarks (68, 2) of a picture, or (T, 68, 2) of a clip (their median is used)."""
        landmarks = np.median(landmarks, axis=0) if np.ndim(landmarks) == 3 else np.asarray(landmarks)
        return cls(similarity(five_points(landmarks), template() * size), size)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The aligned face, uint8 (size, size, 3)."""
        return warp_affine(image, self.matrix, (self.size, self.size))

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the picture in the crop."""
        return transform(self.matrix, points)

    def inverse_points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the crop in the picture."""
        return transform(invert(self.matrix), points)

    def paste(self, frame_crop: np.ndarray, image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """``image`` with ``frame_crop`` back in its place, blended over a wide border; the inverse of :meth:`crop`.

        Args:
            frame_crop: uint8 (size, size, 3).
            image: uint8 (H, W, 3), the picture the alignment was made for, or another frame of it.
            mask: (size, size) in [0, 1], where to take the crop; default :func:`feather`.
        """
        if frame_crop.shape != (self.size, self.size, 3):
            raise ValueError(f"frame_crop has shape {frame_crop.shape}; expected ({self.size}, {self.size}, 3)")
        low, high, to_region = self._region(image.shape)
        if mask is None:
            if image.shape not in self._masks:
                self._masks[image.shape] = self._mask(feather(self.size), to_region, high - low)
            weight = self._masks[image.shape]
        else:
            weight = self._mask(mask, to_region, high - low)
        out = image.copy()
        size = tuple(int(v) for v in high - low)
        face = Image.fromarray(warp_affine(frame_crop, to_region, size))
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        out[rows, columns] = Image.composite(face, Image.fromarray(image[rows, columns]), weight)
        return out

    def _region(self, shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The part of a picture of ``shape`` under the crop: its corners and the map from the crop into it."""
        side = float(self.size)
        corners = self.inverse_points(np.array([[0, 0], [side, 0], [0, side], [side, side]]))
        limit = [shape[1], shape[0]]
        low = np.clip(np.floor(corners.min(0)), 0, limit).astype(int)
        high = np.clip(np.ceil(corners.max(0)), low + 1, np.maximum(limit, low + 1)).astype(int)
        back = invert(self.matrix)
        back[:, 2] -= low
        return low, high, back

    @staticmethod
    def _mask(mask: np.ndarray, to_region: np.ndarray, size: np.ndarray) -> Image.Image:
        weight = np.round(255.0 * np.clip(mask, 0.0, 1.0)).astype(np.uint8)
        return Image.fromarray(warp_affine(np.ascontiguousarray(weight), to_region, tuple(int(v) for v in size)))
