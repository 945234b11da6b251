"""The synthetic corpus: emotional talking heads with known truth, every random draw from the seed.

One clip = one person (:mod:`people`) who says a sentence (:mod:`speech`) with an emotion (:mod:`expressions`) before a camera
(:mod:`photo`). Train and test have different people, voices and sentences. The heads are drawn apart from those
behind the face model's PCA. The truth of a clip (:meth:`emolib.corpus.clips.Clip.truth`) holds:

arkit (T, 52) and pose (T, 6); landmarks (T, 68, 2) pixels; vertices_neutral (V, 3) float16; coefficients (T, 257), the best
that the face model can say of the truth (alpha and beta by least squares, delta and gamma 0); phonemes, phoneme_times (P, 2)
s; visemes, viseme_times. Compound and new emotions (expressions.UNSEEN) are in no corpus; a :class:`Studio` makes their
clips too, for the truth of what a model that never saw them should do.
"""

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from emolib.errors import EmolibError
from emolib.face.alignment import Alignment
from emolib.face.arkit import INDEX
from emolib.face.camera import CAMERA, FOCAL, project
from emolib.face.exact import product, settled
from emolib.face.loaders import default_path, load_face_model
from emolib.face.model import FaceModel
from synthface import natural, speech
from synthface.expressions import EMOTIONS, LEVELS, UNSEEN, Style, performance
from synthface.heads import HeadSampler
from synthface.people import Person
from synthface.photo import SUPERSAMPLE, Scene, photograph
from synthface.randomise import crop_jitter, degrade, randomised, randomised_scene

FPS = 25
UNSEEN_PEOPLE = 6  # test people who show unseen emotions too
PAIRS = tuple((e, i) for e in EMOTIONS for i in LEVELS if e != "neutral" or i == 1)  # the 22 of MEAD
# A voice knows the eight emotions; for those of expressions.UNSEEN the nearest of them speaks.
VOICED = {
    "happily surprised": "surprised", "sadly surprised": "sad", "fearfully angry": "angry",
    "angrily disgusted": "disgusted", "hatred": "angry", "awe": "surprised",
}  # fmt: skip
STRANGE = 0.6  # share of the train people that data.randomise changes
VOICES = ("espeak", "natural", "mixed")  # of whom: all espeak's, all natural, or every second person
TEST_EVERY = 4  # one sentence and one voice in four is for test people only


@dataclass(frozen=True)
class ClipSpec:
    """What makes a clip, apart from the seed."""

    split: str  # train, test, or unseen: test people with an emotion of expressions.UNSEEN
    person: int  # from 0
    emotion: str  # a key of expressions.FACS
    intensity: int  # 1 to 3; neutral has 1
    take: int  # from 0, of several clips that are alike but for what is drawn

    @property
    def identity(self) -> str:
        """The person's name, 'S007'."""
        return f"S{self.person:03d}"

    @property
    def clip_id(self) -> str:
        """The clip's name, 'S007_happy_2_00'."""
        return f"{self.identity}_{self.emotion.replace(' ', '-')}_{self.intensity}_{self.take:02d}"


def named_rng(seed: int, *words) -> np.random.Generator:
    """A generator of its own for whatever ``words`` name: the draws of one clip do not depend on which others are made."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, words)).encode())])


def plan(
    train: int,
    test: int,
    seed: int,
    *,
    validation: int = 0,
    clips_per_identity: int = 12,
    test_clips: int | None = None,
    takes: int = 1,
    unseen_emotions: int = 6,
) -> list[ClipSpec]:
    """The clips of a corpus of ``train`` + ``test`` + ``validation`` people, people in order.

    ``test_clips`` of each person of the latter two (as many as of a train person if not given). The first :data:`UNSEEN_PEOPLE` test
    people also show ``unseen_emotions`` that no other split has (split 'unseen').
    """
    specs = []
    splits = ["train"] * train + ["test"] * test + ["validation"] * validation
    for person, split in enumerate(splits):
        rng = named_rng(seed, "plan", person)
        pairs = sorted(_pairs(clips_per_identity if split == "train" else test_clips or clips_per_identity, rng))
        specs += [ClipSpec(split, person, e, i, take) for e, i in pairs for take in range(takes)]
        if split == "test" and person < train + UNSEEN_PEOPLE:
            levels = rng.choice(list(LEVELS), len(UNSEEN)).tolist()
            specs += [ClipSpec("unseen", person, e, i, 0) for e, i in zip(UNSEEN, levels)][:unseen_emotions]
    return specs


def _pairs(n: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """``n`` of PAIRS: every emotion in turn, in an order of this person's own, the level drawn, no pair twice."""
    left = {
        e: [i for i in rng.permutation(list(LEVELS)).tolist() if (e, i) in PAIRS] for e in rng.permutation(EMOTIONS)
    }
    pairs: list[tuple[str, int]] = []
    while len(pairs) < n:
        turn = [str(e) for e in left if left[e]][: n - len(pairs)]
        pairs += [(e, left[e].pop()) for e in turn]
    return pairs


Cast = tuple[Person, Style, speech.Speaker, tuple[np.ndarray, np.ndarray]]  # see Studio.cast


class Studio:
    """Makes clips, one after another; keeps the last person, so specs should come person by person.

    seed: of every draw. size: side of the frames, pixels. seconds: length of every clip. randomise: whether most of the train people
    look like nobody, see :mod:`synthface.randomise`. voices: espeak, natural (the extra ``voices``) or mixed, person by person.
    """

    def __init__(self, seed: int, size: int, seconds: float, randomise: bool = False, voices: str = "espeak"):
        if voices not in VOICES:
            raise EmolibError(f"voices are '{voices}'; expected one of {', '.join(VOICES)}")
        self.voices = voices
        self.seed, self.size, self.seconds, self.frames = seed, size, seconds, round(seconds * FPS)
        self.randomise = randomise  # of train people, see :mod:`synthface.randomise`
        self.sampler, self.model = HeadSampler(seed), load_face_model(default_path())
        self._cast: tuple[int, Cast] | None = None

    def cast(self, person: int, split: str = "train") -> Cast:
        """(Person, Style, Speaker, projection) of the person with this number; the same in every process.

        projection: the head in the face model, alpha (80,), and the map of arkit to beta (52, 64).
        """
        if self._cast is None or self._cast[0] != person:
            rng = named_rng(self.seed, "person", person)
            head = self.sampler.sample(rng)
            body, style = Person.create(head, rng), Style.sample(rng)
            speaker = speech.Speaker.sample(rng, "female" if head.sex > 0.5 else "male")
            while _for_test(speaker.voice) != (split != "train"):
                speaker = speech.Speaker.sample(rng, "female" if head.sex > 0.5 else "male")
            if self.voices == "natural" or (self.voices == "mixed" and person % 2):
                sets = natural.TRAIN if split == "train" else natural.TEST
                own = sets["female" if head.sex > 0.5 else "male"]
                speaker = replace(speaker, voice=str(named_rng(self.seed, "voice", person).choice(own)))
            self._cast = (person, (body, style, speaker, _project_head(self.model, head)))
        return self._cast[1]

    def clip(self, spec: ClipSpec) -> tuple[dict, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """``spec`` -> record (for the index), frames uint8 (T, S, S, 3) at 25 fps, audio float32 (n,) at 16 kHz, truth (see the module)."""
        person, style, speaker, (alpha, to_beta) = self.cast(spec.person, spec.split)
        rng = named_rng(self.seed, "clip", spec.clip_id)
        how = speech.prosody(VOICED.get(spec.emotion, spec.emotion), spec.intensity, speaker, rng)
        spoken = speech.utter(self.seconds, speaker, how, rng, SENTENCES[spec.split != "train"])
        n, fps = self.frames, float(FPS)
        arkit, pose = performance(spec.emotion, spec.intensity, spoken.visemes, n, fps, style, rng)
        # A person looks the same in all clips: a generator must be able to take its colours from another one. Some stay as they are.
        looks = named_rng(self.seed, "looks", spec.person)
        strange = self.randomise and spec.split == "train" and looks.random() < STRANGE
        crop = named_rng(self.seed, "crop", spec.clip_id) if strange else None
        pose, landmarks = self.framed(person, arkit, pose, rng, crop)
        # One person is filmed in one session, as in MEAD: light and background tell who speaks, never with what emotion.
        scene = Scene.sample(named_rng(self.seed, "scene", spec.person), self.size * SUPERSAMPLE)
        if strange:
            person, scene = randomised(person, looks), randomised_scene(scene, looks)
        frames = photograph(person, scene, arkit, pose, self.size, rng)
        if strange:
            frames = degrade(frames, landmarks, looks)
        coefficients = np.zeros((n, 257), np.float32)
        coefficients[:, :80], coefficients[:, 80:144], coefficients[:, 251:] = alpha, product(arkit, to_beta), pose
        truth = {
            "arkit": arkit, "pose": pose, "landmarks": landmarks, "coefficients": coefficients,
            "vertices_neutral": person.head.vertices.astype(np.float16),
        } | _events("phoneme", spoken.phonemes) | _events("viseme", spoken.visemes)  # fmt: skip
        record = {
            "corpus": "synth", "split": spec.split, "clip_id": spec.clip_id, "identity": spec.identity,
            "emotion": spec.emotion, "intensity": spec.intensity, "text": spoken.text, "fps": FPS,
        }  # fmt: skip
        return record, frames, spoken.audio, truth

    def framed(
        self, person: Person, arkit, pose, rng, crop: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves the camera so that the clip is an aligned crop (one alignment a clip, up to 1 % of jitter; more drawn from ``crop``).

        arkit (T, 52), pose (T, 6) -> pose (T, 6), landmarks (T, 68, 2) in pixels of that crop, both float32.
        """
        index = self.model.landmark_index.numpy()
        basis = person.actions.reshape(len(INDEX), -1, 3)[:, index].reshape(len(INDEX), -1)
        points = (person.head.vertices[index].reshape(1, -1) + product(arkit, basis)).reshape(len(arkit), -1, 3)
        points, pose = torch.from_numpy(points), pose.astype(np.float64)
        for _ in range(3):  # the similarity on screen is only nearly one of the pose
            landmarks = settled(project(points, torch.from_numpy(pose), self.size)[..., :2])
            (a, b, _), _ = Alignment.from_landmarks(landmarks, self.size).matrix
            turn, scale, depth = np.arctan2(b, a), np.hypot(a, b), CAMERA - np.median(pose[:, 5])
            pose[:, 2] += turn
            pose[:, 3:5] = pose[:, 3:5] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            pose[:, 5] += depth - depth / scale
            landmarks = settled(project(points, torch.from_numpy(pose), self.size)[..., :2])
            matrix = Alignment.from_landmarks(landmarks, self.size).matrix
            middle = np.median(landmarks.reshape(-1, 2), axis=0)
            shift = matrix[:, :2] @ middle + matrix[:, 2] - middle
            pose[:, 3:5] += shift * [1, -1] * (depth / scale) / (FOCAL * self.size)
        pose[:, 3:] += rng.normal(0, [0.008, 0.008, 0.08])
        if crop is not None:
            pose = crop_jitter(pose, crop)
        pose = settled(pose)
        landmarks = settled(project(points, torch.from_numpy(pose), self.size)[..., :2], 4)
        return pose.astype(np.float32), landmarks.astype(np.float32)


def _events(name: str, events) -> dict[str, np.ndarray]:
    return {
        f"{name}s": np.array([e[0] for e in events]),
        f"{name}_times": np.array([e[1:] for e in events], np.float32).reshape(-1, 2),
    }


def _for_test(text: str) -> bool:
    """Whether a sentence or voice is for test people only."""
    return zlib.crc32(text.encode()) % TEST_EVERY == 0


SENTENCES = {test: tuple(s for s in speech.SENTENCES if _for_test(s) == test) for test in (False, True)}


def _project_head(model: FaceModel, head) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of a head in the face model, over the face: alpha (80,), and arkit -> beta (52, 64)."""
    face = model.regions["face"].numpy()
    id_basis = model.id_basis.double().numpy()[:, face].reshape(80, -1)
    exp_basis = model.exp_basis.double().numpy()[:, face].reshape(64, -1)
    offset = (head.vertices - model.mean_shape.numpy())[face].astype(np.float64).reshape(-1)
    # alpha ~ N(0, 1): a weak prior keeps the components that this head cannot tell apart near 0
    alpha = np.linalg.solve(id_basis @ id_basis.T + 1e-3 * np.eye(80), id_basis @ offset)
    gram = exp_basis @ exp_basis.T
    actions = head.actions[:, face].reshape(len(INDEX), -1).astype(np.float64)
    to_beta = np.linalg.solve(gram + 1e-4 * np.trace(gram) / 64 * np.eye(64), exp_basis @ actions.T).T
    return settled(alpha, 5).astype(np.float32), settled(to_beta, 5).astype(np.float32)
