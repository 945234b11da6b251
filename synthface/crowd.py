"""The crowd: people of no corpus, drawn in great number, each with every emotion, for the judges to learn from.

Every person is shown twice: as they are, and (:mod:`synthface.randomise`) in a skin, a light and before a camera that nobody has. A judge
of photographs must have seen pictures that differ in all but the expression. Odd numbers are for the judge of EFD, even ones for the nets
that enter losses: these two share nobody.
"""

from dataclasses import dataclass

import numpy as np

from emolib.face.appearance import fit_colour
from emolib.face.exact import product
from emolib.face.model import Coefficients
from synthface.expressions import EMOTIONS, VISEMES, Style, performance
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.randomise import crop_jitter, degrade, randomised, randomised_scene
from synthface.synth import Studio, named_rng

SEED = 1_000_003  # of their heads, looks and acting; no corpus may have it as its own
TAKES, FRAMES = 2, 3  # of each emotion: one as they are, one randomised; frames of each
_LENGTH, _WITHIN = 40, (8, 33)  # frames of a performance, and between which the shown ones lie


@dataclass(frozen=True)
class Sitting:
    """One person of the crowd. images: uint8 (8, TAKES, FRAMES, S, S, 3), in the order of EMOTIONS. levels: (8, TAKES). coefficients:
    (8, TAKES, FRAMES, 257), what the face model can say of them; light and albedo are fitted."""

    images: np.ndarray
    levels: np.ndarray
    coefficients: np.ndarray


def crowd_studio(size: int) -> Studio:
    """A studio for :func:`sit_for_judges` whose crops have ``size`` pixels."""
    return Studio(SEED, size, _LENGTH / 25)


def sit_for_judges(studio: Studio, number: int) -> Sitting:
    """The person ``number`` of the crowd; the same in every process."""
    body, style, _, (alpha, to_beta) = studio.cast(number)
    rng = named_rng(studio.seed, "crowd", number)
    scene = Scene.sample(rng, studio.size * SUPERSAMPLE)
    strange, strange_scene = randomised(body, rng), randomised_scene(scene, rng)
    shown, coefficients, levels = [], [], []
    for emotion in EMOTIONS:
        drawn = rng.permutation([1, 2, 3])[:TAKES] if emotion != "neutral" else np.ones(TAKES, int)
        levels.append(drawn)
        for take, level in enumerate(drawn):
            said = [(str(s), 0.12 * k, 0.12 * (k + 1)) for k, s in enumerate(rng.choice(list(VISEMES), 12))]
            arkit, pose = performance(emotion, int(level), said, _LENGTH, 25.0, style, rng)
            at = np.sort(rng.choice(np.arange(*_WITHIN), FRAMES, replace=False))
            pose, landmarks = studio.framed(body, arkit, pose, rng)
            if take:
                pose = crop_jitter(pose, rng)
            who, where = (strange, strange_scene) if take else (body, scene)
            frames = photograph(who, where, arkit[at], pose[at], studio.size, rng)
            shown.append(degrade(frames, landmarks[at], rng) if take else frames)
            theta = np.zeros((FRAMES, 257), np.float32)
            theta[:, :80], theta[:, 80:144], theta[:, 251:] = alpha, product(arkit[at], to_beta), pose[at]
            coefficients.append(theta)
    images = np.stack(shown).reshape(len(EMOTIONS), TAKES, FRAMES, studio.size, studio.size, 3)
    known = np.stack(coefficients).reshape(len(EMOTIONS), TAKES, FRAMES, 257)
    for take in range(TAKES):  # one light and one skin a take; three frames are enough for colour
        some = slice(0, None, 3)
        fitted = Coefficients.from_vector(_tensor(known[some, take, 0]))
        coloured = fit_colour(studio.model, images[some, take, 0], fitted).to_vector().numpy()
        known[:, take, :, 144:251] = coloured[0, 144:251]
    return Sitting(images, np.stack(levels), known)


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def true_actions(people: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``people`` of the crowd's kind do: ARKit actions (people * 8 * FRAMES, 52) of single frames, and the emotions' numbers.

    Nobody is drawn: they act as :func:`sit_for_judges` lets them, at levels of their own.
    """
    actions, emotions = [], []
    for number in range(people):
        rng = named_rng(SEED, "actions", number)
        style = Style.sample(rng)
        for emotion, name in enumerate(EMOTIONS):
            level = 1 if name == "neutral" else int(rng.integers(1, 4))
            said = [(str(s), 0.12 * k, 0.12 * (k + 1)) for k, s in enumerate(rng.choice(list(VISEMES), 12))]
            arkit, _ = performance(name, level, said, _LENGTH, 25.0, style, rng)
            actions.append(arkit[np.sort(rng.choice(np.arange(*_WITHIN), FRAMES, replace=False))])
            emotions += [emotion] * FRAMES
    return np.concatenate(actions), np.array(emotions)
