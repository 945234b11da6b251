"""How far faces move with an emotion, drawn people beside real ones: on the true vertices, and as the face net reads the pictures.

The yardstick was measured on three actors of MEAD: talking level-3 clips, mean over time, less the person's neutral clip. Where it is too
small to be sure of, nothing is asked; elsewhere the drawn ratio should lie in :data:`RATIO`.
"""

import numpy as np
import pandas as pd

from emolib.face.arkit import ARKIT
from emolib.face.landmarks import shapes
from emolib.face.loaders import default_path, load_face_model
from synthface.expressions import EMOTIONS, LEVELS, Style, performance
from synthface.heads import HeadSampler
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.speech import Speaker, prosody, utter
from synthface.synth import FPS, Studio, named_rng

# Rise of landmarks, head still, in per cent of the span of the outer eye corners.
MOVES = {
    "inner brow": {"angry": -7.9, "disgusted": -6.6, "fear": 5.6, "surprised": 8.2, "happy": 2.8},
    "upper lid": {"angry": -4.3, "disgusted": -3.5, "fear": 2.3, "sad": -4.6, "surprised": 3.5},
    "lip corner": {"happy": 5.4, "surprised": -5.6, "fear": -3.4, "sad": -1.5, "angry": -0.8},
}
PLACES = {"inner brow": [21, 22], "upper lid": [37, 38, 43, 44], "lip corner": [48, 54]}  # of the 68
# Change of what the face net's shape net reads, both sides together.
SHAPES = {
    "happy": {"mouthSmile": 0.42, "mouthUpperUp": 0.40, "eyeSquint": 0.21},
    "angry": {"eyeSquint": 0.45, "browInnerUp": -0.43, "jawOpen": 0.16},
    "fear": {"browInnerUp": 0.26, "jawOpen": 0.17},
    "surprised": {"browOuterUp": 0.39, "browInnerUp": 0.41, "eyeWide": 0.21, "jawOpen": 0.16},
    "disgusted": {"eyeSquint": 0.36, "mouthUpperUp": 0.27, "mouthStretch": 0.15},
    "sad": {"eyeSquint": 0.41, "browOuterUp": -0.29},
    "contempt": {"mouthUpperUp": 0.22, "eyeSquint": 0.16},
}
SURE_MOVE, SURE_SHAPE = 2.5, 0.15  # of what is asked, in the units above
RATIO = (0.6, 1.5)
SECONDS, SHOTS = 2.4, 8  # of a clip; frames of it that the net reads


def movement(people: int = 16, seed: int = 0) -> pd.DataFrame:
    """Rows of (emotion, level, place, drawn, real): what a talking clip moves, mean over ``people``; ``real`` at level 3 alone."""
    index = load_face_model(default_path()).landmark_index.numpy()
    sampler, rows = HeadSampler(seed), []
    for person in range(people):
        rng = named_rng(seed, "movement", person)
        head, style = sampler.sample(rng), Style.sample(rng)
        points, actions = head.vertices[index].astype(float), head.actions[:, index, 1].astype(float)
        percent = 100 / np.linalg.norm(points[36] - points[45])
        said = _words(head.sex, rng)
        still = _acted("neutral", 1, said, style, seed, person)[0].mean(0) @ actions
        for emotion, level in [(e, i) for e in EMOTIONS[1:] for i in LEVELS]:
            moved = percent * (_acted(emotion, level, said, style, seed, person)[0].mean(0) @ actions - still)
            rows += [(emotion, level, place, moved[at].mean()) for place, at in PLACES.items()]
    table = pd.DataFrame(rows, columns=["emotion", "level", "place", "drawn"])
    table = table.groupby(["emotion", "level", "place"])["drawn"].mean().reset_index()
    real = [MOVES[p].get(e, np.nan) if i == 3 else np.nan for e, i, p in zip(table.emotion, table.level, table.place)]
    return table.assign(real=real)


def read_person(person: int, seed: int = 0, size: int = 256) -> list[tuple[str, str, float, float]]:
    """Rows of (emotion, shape, drawn, real): what the face net reads in one person's talking level-3 clips less the neutral one."""
    studio = Studio(seed, size, SECONDS)
    body, style, _, _ = studio.cast(person)
    said = _words(body.head.sex, named_rng(seed, "movement", person))
    scene = Scene.sample(named_rng(seed, "scene", person), size * SUPERSAMPLE)
    read = {}
    for emotion in EMOTIONS:
        arkit, pose = _acted(emotion, 3 if emotion != "neutral" else 1, said, style, seed, person)
        rng = named_rng(seed, "frame", person)
        pose, _ = studio.framed(body, arkit, pose, rng)
        at = (np.linspace(0.1, 0.9, SHOTS) * (len(arkit) - 1)).astype(int)
        read[emotion] = shapes(photograph(body, scene, arkit[at], pose[at], size, rng)).mean(0)
    return [
        (emotion, name, float((read[emotion] - read["neutral"])[_sides(name)].mean()), real)
        for emotion, asked in SHAPES.items()
        for name, real in asked.items()
    ]


def reading(rows: list[tuple[str, str, float, float]]) -> pd.DataFrame:
    """(emotion, shape, drawn, real) of some people, one row an emotion and shape: their mean."""
    table = pd.DataFrame(rows, columns=["emotion", "shape", "drawn", "real"])
    return table.groupby(["emotion", "shape"]).mean().reset_index()


def compared(table: pd.DataFrame, sure: float) -> dict[str, float]:
    """Of a table of the two above, where the real value is ``sure``: least and largest ratio of drawn to real, share of right signs."""
    asked = table[table["real"].abs() >= sure]
    ratio = asked["drawn"] / asked["real"]
    return {"ratio_min": float(ratio.min()), "ratio_max": float(ratio.max()), "signs_right": float((ratio > 0).mean())}


def _words(sex: float, rng: np.random.Generator) -> list[tuple[str, float, float]]:
    speaker = Speaker.sample(rng, "female" if sex > 0.5 else "male")
    return utter(SECONDS, speaker, prosody("neutral", 1, speaker, rng), rng).visemes


def _acted(emotion: str, level: int, said, style: Style, seed: int, person: int) -> tuple[np.ndarray, np.ndarray]:
    """Actions (T, 52) and pose (T, 6); the same head movement and blinks for every emotion."""
    return performance(emotion, level, said, round(SECONDS * FPS), float(FPS), style, named_rng(seed, "acted", person))


def _sides(name: str) -> list[int]:
    return [i for i, action in enumerate(ARKIT) if action in (name, f"{name}Left", f"{name}Right")]
