"""Single photographs of many people, each with the true place of points of the face: what the landmark net learns from.

The corpus has few people and many frames of each; a landmark net needs the opposite. Every portrait has its own light, background,
expression and pose; a person is drawn once and photographed a few times. Nobody of the corpus is among them.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from emolib.face.arkit import INDEX
from emolib.face.camera import project
from emolib.face.landmarks import track
from synthface.expressions import EMOTIONS, UNSEEN, VISEMES, performance, random_actions
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.synth import Studio, named_rng

FIRST_PERSON = 100_000  # no corpus has so many
CALIBRATION = 400_000  # number of the first of those on whom the face net's bias is measured
HELD_OUT = 50_000  # number of the first of those that no landmark net is trained on
SHOTS = 16  # photographs of one person
TURN = np.array([0.2, 0.4, 0.12])  # rad: standard deviation of pitch, yaw, roll, of every second photograph
FRAME = np.array([0.05, 0.05, 0.35])  # units: standard deviation of a portrait's frame about the aligned crop


def portraits(studio: Studio, person: int, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SHOTS photographs of one person: images uint8 (n, S, S, 3), the vertices ``index`` (K,) on them (n, K, 2), pixels."""
    body, style, _, _ = studio.cast(person)
    rng = named_rng(studio.seed, "portraits", person)
    basis = body.actions.reshape(len(INDEX), -1, 3)[:, index].reshape(len(INDEX), -1)
    images, points = [], []
    for shot in range(SHOTS):
        arkit, pose = _moment(style, rng)
        if shot % 2:
            arkit = np.maximum(random_actions(rng).astype(np.float32) * (rng.random() < 0.7), 0.5 * arkit)
            pose = pose + np.concatenate([rng.normal(0, TURN), np.zeros(3)]).astype(np.float32)
            pose[:3] = np.clip(pose[:3], [-0.5, -0.85, -0.4], [0.5, 0.85, 0.4])
        arkit, pose = arkit[None], studio.framed(body, arkit[None], pose[None], rng)[0]
        pose[:, 3:] += rng.normal(0, FRAME).astype(np.float32)
        scene = Scene.sample(rng, studio.size * SUPERSAMPLE)
        images.append(photograph(body, scene, arkit, pose, studio.size, rng)[0])
        moved = (body.head.vertices[index].reshape(1, -1) + arkit @ basis).reshape(1, -1, 3).astype(np.float32)
        points.append(project(torch.from_numpy(moved), torch.from_numpy(pose), studio.size)[0, :, :2].numpy())
    return np.stack(images), np.stack(points)


def landmark_bias(seed: int = 0, people: int = 30) -> np.ndarray:
    """(68, 2): where the face net sees the landmarks of drawn people, less where they are, upright, in eye distances; medians."""
    studio, apart = Studio(seed, 128, 1.0), []
    index = studio.model.landmark_index.numpy()
    for person in range(people):
        images, truth = portraits(studio, CALIBRATION + person, index)
        images, truth = images[::2], truth[::2].astype(float)  # every second portrait is a turned one
        seen = track(images, bias=True)
        x, y = np.moveaxis(truth[:, 42:48].mean(1) - truth[:, 36:42].mean(1), -1, 0)
        upright = np.stack([np.stack([x, -y], -1), np.stack([y, x], -1)], -2) / (x**2 + y**2)[:, None, None]
        apart.append((seen - truth) @ upright)
    return np.median(np.concatenate(apart), 0)


def _moment(style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One instant, (52,) actions and (6,) pose, of someone who says something with some emotion."""
    emotion = str(rng.choice([*EMOTIONS, *UNSEEN]))
    sounds = rng.choice(list(VISEMES), 3)
    spoken = [(str(sound), 0.12 * k, 0.12 * (k + 1)) for k, sound in enumerate(sounds, 2)]
    arkit, pose = performance(
        emotion, 1 if emotion == "neutral" else int(rng.integers(1, 4)), spoken, 20, 25.0, style, rng
    )
    moment = int(rng.integers(6, 15))
    return arkit[moment], pose[moment]


def _work(seed: int, size: int, person: int, index: np.ndarray):
    torch.set_num_threads(1)
    if "studio" not in _WORKER:
        _WORKER["studio"] = Studio(seed, size, 1.0)
    return portraits(_WORKER["studio"], FIRST_PERSON + person, index)


_WORKER: dict = {}


def portrait_set(
    people: int, index: np.ndarray, *, size: int, seed: int, workers: int = 2, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """``people`` x SHOTS photographs: images uint8 (N, S, S, 3), points (N, K, 2) float32 in image sides.

    ``first``: number of the first person; the same person looks the same in every set of the same seed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(_work, seed, size, first + person, index) for person in range(people)]
        parts = [job.result() for job in tqdm(jobs, desc="portraits", unit="person", mininterval=5)]
    images, points = (np.concatenate(part) for part in zip(*parts))
    return images, (points / size).astype(np.float32)
