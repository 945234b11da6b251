"""The people of the synthetic corpus: a head of :mod:`emolib.face.heads` with skin, eyes, teeth, hair, neck and clothes.

A person is what the 3DMM cannot say: a texture (:mod:`emolib.corpus.paint`), hair (bald, shaved, short, full, bob, long) as
geometry, shoulders in some cloth, and how much light reaches each point.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch

from emolib.corpus.paint import KIND_OF_PART, KINDS, hair_depth, paint, strand_texture
from emolib.face.heads import PARTS, Head, Template, template
from emolib.face.render import rasterize
from emolib.face.skin import sample_skin

# thickness of the shell of hair (dm), how far the curtain hangs below the ear (dm)
_HAIR_SIZE = {
    "bald": (0, 0),
    "shaved": (0, 0),
    "short": (0.05, 0),
    "full": (0.13, 0),
    "bob": (0.12, 0.75),
    "long": (0.1, 1.6),
}


@dataclass(frozen=True, eq=False)
class Person:
    """Geometry (N vertices in all: the V of the head first), and the paint on it. All float32 unless said."""

    head: Head
    vertices: np.ndarray  # (N, 3) neutral, model space
    actions: np.ndarray  # (52, N * 3)
    triangles: np.ndarray  # (F, 3) int32
    uv: np.ndarray  # (Vt, 2)
    uv_triangles: np.ndarray  # (F, 3) int32
    kind: np.ndarray  # (F,) int8, index into KINDS
    follow: np.ndarray  # (N,) 1: moves with the head, 0: with the shoulders
    occlusion: np.ndarray  # (N,) ambient light that arrives, 0..1
    texture: np.ndarray  # (512, 512, 4) linear RGB and shine
    strands: np.ndarray  # (512, 512) brightness of the hair, seen through the uv of its triangles
    wrinkles: np.ndarray  # (512, 512, 5) uint8, see WRINKLES
    crease: float  # how deep this person's wrinkles are
    hair_colour: np.ndarray  # (3,)
    cloth_colour: np.ndarray  # (3,)

    @classmethod
    def create(cls, head: Head, rng: np.random.Generator) -> "Person":
        styles = {True: ("short", "full", "bob", "long", "long"), False: ("bald", "shaved", "short", "short", "full")}
        style = str(rng.choice(styles[head.sex > 0.5]))
        skin = sample_skin(rng, head.sex, head.age, head.ethnicity)
        skin = replace(skin, blemishes=0.4 * skin.blemishes)
        geometry = _Geometry(head, template())
        geometry.add_hair(style, rng)
        geometry.add_body()
        parts = geometry.finish()
        crease = float(np.clip((head.age - 15) / 50, 0.25, 1.1))
        texture, wrinkles = paint(skin, style, crease, rng)
        return cls(
            head=head,
            **parts,
            occlusion=occlusion(parts["vertices"], parts["triangles"], hemisphere(40)),
            texture=texture,
            strands=strand_texture(rng),
            wrinkles=wrinkles,
            crease=crease,
            hair_colour=(skin.hair**2.2).astype(np.float32),
            cloth_colour=(rng.uniform(0.02, 0.6) * rng.dirichlet([3, 3, 3]) * 3).clip(0, 0.8).astype(np.float32),
        )


class _Geometry:
    """Collects the pieces of a person: the head, then hair and body, each with its vertices, motion and triangles."""

    def __init__(self, head: Head, shared: Template):
        self.head, self.shared = head, shared
        teeth = np.isin(shared.part, [PARTS.index("teeth_upper"), PARTS.index("teeth_lower")])
        vertices = head.vertices.copy()
        vertices[np.unique(shared.triangles[teeth]), 2] -= 0.03  # closed lips must hide them, whatever the head
        self.vertices, self.actions = [vertices], [head.actions]
        self.triangles, self.uv, self.uv_triangles = [shared.triangles], [shared.uv], [shared.uv_triangles]
        self.kind = [KIND_OF_PART[shared.part]]
        neck = np.ones(len(shared.vertices), bool)
        neck[shared.triangles[shared.part != PARTS.index("neck")]] = False
        self.follow = [np.where(neck, np.clip((shared.vertices[:, 1] - 5.5) / 0.9, 0, 1), 1.0)]

    def _add(self, vertices, actions, triangles, uv, uv_triangles, kind, follow):
        base, uv_base = sum(map(len, self.vertices)), sum(map(len, self.uv))
        self.vertices.append(vertices), self.actions.append(actions), self.uv.append(uv), self.follow.append(follow)
        self.triangles.append(np.ascontiguousarray(triangles) + base), self.uv_triangles.append(uv_triangles + uv_base)
        self.kind.append(np.full(len(triangles), KINDS.index(kind), np.int8))

    def add_hair(self, style: str, rng: np.random.Generator) -> None:
        thickness, hang = _HAIR_SIZE[style]
        if thickness == 0:
            return
        shared, head = self.shared, self.head
        depth = hair_depth(shared.vertices)
        normals = vertex_normals(head.vertices, shared.triangles)
        bumps = rng.normal(0, 0.35, 3) @ np.sin(shared.vertices @ rng.normal(0, 2.2, (3, 3)) + rng.uniform(0, 6, 3)).T
        rise = np.clip(depth / 0.45, 0, 1) * thickness * (1 + 0.35 * bumps)
        skin = (shared.part == PARTS.index("skin")) | (shared.part == PARTS.index("neck"))
        chosen = skin & (depth[shared.triangles].max(1) > 0.0)
        used, index = np.unique(shared.triangles[chosen], return_inverse=True)
        shell = head.vertices[used] + normals[used] * rise[used, None].clip(0.004)
        triangles = index.reshape(-1, 3).astype(np.int32)
        shell, actions = shell.astype(np.float32), head.actions[:, used]
        self._add(shell, actions, triangles, shared.uv, shared.uv_triangles[chosen], "shell", np.ones(len(used)))
        if hang:
            self._add(*_curtain(head, thickness, hang, rng))

    def add_body(self) -> None:
        """Shoulders, lofted from the open rim of the neck."""
        head, (loop, loop_uv) = self.head, _rim()
        ring, n = head.vertices[loop], len(loop)
        centre = ring.mean(0)
        angle = np.arctan2(ring[:, 0] - centre[0], ring[:, 2] - centre[2])
        rings = [ring, ring]
        for level, drop, wide, deep in (
            (0.4, 0.0, 0.95, 0.62),
            (0.8, 0.1, 1.3, 0.66),
            (1, 0.3, 1.6, 0.7),
            (1, 1, 1.7, 0.8),
        ):
            shape = np.stack([wide * np.sin(angle), 0 * angle, deep * np.cos(angle)], 1) + centre
            shape[:, 1] = (1 - level) * ring[:, 1] + level * (centre[1] - drop)
            rings.append(shape)
        points = np.concatenate(rings).astype(np.float32)
        uv = np.tile(self.shared.uv[loop_uv], (len(rings), 1))
        triangles = _grid(len(rings), n, closed=True)
        still = np.zeros((len(head.actions), len(points), 3), np.float32)
        follow = np.concatenate([self.follow[0][loop], np.zeros(len(points) - n)])
        self._add(points, still, triangles, uv, triangles, "cloth", follow)

    def finish(self) -> dict[str, np.ndarray]:
        return {
            "vertices": np.concatenate(self.vertices).astype(np.float32),
            "actions": np.concatenate(self.actions, axis=1).reshape(len(self.actions[0]), -1).astype(np.float32),
            "triangles": np.concatenate(self.triangles).astype(np.int32),
            "uv": np.concatenate(self.uv).astype(np.float32),
            "uv_triangles": np.concatenate(self.uv_triangles).astype(np.int32),
            "kind": np.concatenate(self.kind),
            "follow": np.concatenate(self.follow).astype(np.float32),
        }


def _grid(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles of a grid of ``rows`` x ``columns`` vertices, int32 (F, 3); ``closed``: the last column meets the first."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    quads = np.stack([a, a + columns, b + columns, b], -1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


@functools.cache
def _rim() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and uv indices of the neck's open edge, in order around the neck."""
    shared = template()
    neck = shared.part == PARTS.index("neck")
    skin = neck | (shared.part == PARTS.index("skin"))
    triangles, uv = shared.triangles[skin], shared.uv_triangles[skin]
    edges = np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)])
    corner = np.concatenate([uv[:, i] for i in range(3)])
    _, index, count = np.unique(np.sort(edges, 1), axis=0, return_index=True, return_counts=True)
    once = index[count == 1]
    once = once[np.isin(edges[once], shared.triangles[neck]).all(1)]
    loop, first = np.unique(edges[once, 0], return_index=True)
    points = shared.vertices[loop]
    order = np.argsort(np.arctan2(points[:, 0], points[:, 2] - points[:, 2].mean()))
    return loop[order], corner[once][first][order]


def _curtain(head: Head, thickness: float, hang: float, rng: np.random.Generator):
    """Hair that hangs from ear height around the back of the head, as the arguments of :meth:`_Geometry._add`."""
    rows, columns = 10, 40
    side = np.abs(head.vertices[:, 0][np.abs(head.vertices[:, 1]) < 0.3]).max()
    back = head.vertices[:, 2].min()
    theta = np.linspace(-1.0, 1.0, columns) * rng.uniform(1.75, 1.95)  # 0 is the nape
    fall = np.linspace(0, 1, rows)[:, None]
    wave = rng.uniform(0.01, 0.05) * np.sin(theta * rng.integers(5, 11) + rng.uniform(0, 6) + 3 * fall)
    front = np.abs(theta / theta[-1]) ** 3
    reach = (
        np.interp(fall[:, 0], [0, 0.15, 0.6, 1], [0.9, 1.04, 1.07, 1.1])[:, None] + wave - 0.3 * front * (1 - fall) ** 3
    )
    x = (side + 0.3 * thickness) * reach * np.sin(theta)
    z = 0.05 - (0.05 - back + 0.4 * thickness) * reach * np.cos(theta)
    y = 0.6 - 0.3 * front - fall * (0.6 - 0.3 * front + hang)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    uv = np.stack(np.broadcast_arrays(0.5 + theta / (2 * np.pi), 0.75 - 0.6 * fall), -1).reshape(-1, 2)
    triangles = _grid(rows, columns, closed=False)[:, ::-1]  # its outside is what light meets
    follow = np.repeat(np.clip(1 - 1.2 * (fall[:, 0] - 0.4), 0.3, 1), columns)
    still = np.zeros((len(head.actions), len(points), 3), np.float32)
    return points.astype(np.float32), still, triangles, uv, triangles, "hair", follow


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3), (F, 3) -> unit normals (V, 3), area-weighted."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(triangles.ravel(), np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], 1)
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def hemisphere(n: int) -> np.ndarray:
    """n directions (n, 3) spread evenly over the sphere's upper front three quarters (Fibonacci lattice)."""
    i = np.arange(n) + 0.5
    y, turn = 1 - 1.5 * i / n, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.sin(turn), y, r * np.cos(turn)], 1)


def occlusion(vertices: np.ndarray, triangles: np.ndarray, directions: np.ndarray, side: int = 144) -> np.ndarray:
    """Cosine-weighted share (N,) of ``directions`` (D, 3) that see each vertex, by a shadow map for each direction."""
    normals = vertex_normals(vertices, triangles)
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for towards in directions:
        right = np.cross([0.0, 1.0, 1e-3], towards)
        right /= np.linalg.norm(right)
        frame = np.stack([right, np.cross(towards, right), towards])
        local = vertices @ frame.T
        screen = np.stack([(local[:, 0] / 4.4 + 0.5) * side, (0.5 - local[:, 1] / 4.4) * side, 100 - local[:, 2]], 1)
        screen = torch.from_numpy(screen.astype(np.float32))[None]
        fragments = rasterize(screen, torch.from_numpy(triangles), side)
        face, bary = fragments.face_id[0].numpy(), fragments.bary[0].numpy()
        depth = np.where(face >= 0, (bary * local[triangles[face], 2]).sum(-1), -1e3)
        x, y = np.clip(screen[0, :, :2].numpy().astype(int), 0, side - 1).T
        weight = np.clip(normals @ towards, 0, 1)
        # hidden within a soft 0.03 to 0.1 dm: a map of this size knows no better
        visible = np.clip(1 - (depth[y, x] - local[:, 2] - 0.03) / 0.07, 0, 1)
        seen += weight * visible
        total += weight
    return (seen / total).astype(np.float32)
