"""Faces of people who are in no corpus, each with every emotion: for a judge that shares nobody with those it judges."""

import numpy as np

from synthface.expressions import EMOTIONS, VISEMES, performance
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.synth import Studio, named_rng

FIRST_SITTER = 600_000  # number of the first; no corpus, no portrait of synthface.portraits reaches so far
FRAMES = 3  # of each emotion


def sit(studio: Studio, sitter: int) -> tuple[np.ndarray, np.ndarray]:
    """One person, speaking, with each of EMOTIONS at a level of its own: images uint8 (8, FRAMES, S, S, 3), levels (8,)."""
    person = FIRST_SITTER + sitter
    body, style, _, _ = studio.cast(person)
    rng = named_rng(studio.seed, "sitter", person)
    scene = Scene.sample(rng, studio.size * SUPERSAMPLE)
    images, levels = [], []
    for emotion in EMOTIONS:
        sounds = [name for name in rng.choice(list(VISEMES), 8)]
        said = [(str(sound), 0.12 * k, 0.12 * (k + 1)) for k, sound in enumerate(sounds)]
        level = 1 if emotion == "neutral" else int(rng.integers(1, 4))
        arkit, pose = performance(emotion, level, said, 25, 25.0, style, rng)
        pose, _ = studio.framed(body, arkit, pose, rng)
        at = np.sort(rng.choice(np.arange(5, 20), FRAMES, replace=False))
        images.append(photograph(body, scene, arkit[at], pose[at], studio.size, rng))
        levels.append(level)
    return np.stack(images), np.array(levels)
