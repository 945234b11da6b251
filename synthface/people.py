"""The people of the synthetic corpus: a head of :mod:`synthface.heads` with skin, eyes, teeth, hair, neck and clothes.

A person is what the 3DMM cannot say: a texture (:mod:`synthface.paint`), hair (:mod:`synthface.hair`) as geometry,
shoulders in some cloth (:mod:`synthface.clothes`), and how much light reaches each point.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from emolib.face.exact import product
from emolib.face.render import rasterize
from synthface.clothes import fabric, plain, torso
from synthface.hair import STYLES, Hair
from synthface.heads import Head
from synthface.paint import KIND_OF_PART, KINDS, TEXTURE, paint
from synthface.skin import sample_skin
from synthface.template import PARTS, Template, template


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
    fabric: np.ndarray = field(default_factory=plain)  # (128, 128, 3) pattern, times cloth_colour
    style: str = ""  # of the hair, one of hair.STYLES

    @classmethod
    def create(cls, head: Head, rng: np.random.Generator) -> "Person":
        """Dresses ``head``: skin, hair, eyes, teeth and clothes that fit its sex, age and ethnicity, drawn from ``rng``."""
        skin = sample_skin(rng, head.sex, head.age, head.ethnicity)
        hair = Hair.sample(rng, skin, head.sex, head.age, head.ethnicity)
        geometry = _Geometry(head, template())
        geometry.add_hair(hair, rng)
        geometry.add_body(rng)
        parts = geometry.finish()
        crease = float(np.clip((head.age - 15) / 50, 0.25, 1.1))
        texture, wrinkles = paint(skin, head.sex, head.age, hair, crease, rng)
        return cls(
            head=head,
            **parts,
            occlusion=occlusion(parts["vertices"], parts["triangles"], hemisphere(40)),
            texture=texture,
            strands=hair.strand_texture(TEXTURE, rng),
            wrinkles=wrinkles,
            crease=crease,
            hair_colour=hair.colour,
            **fabric(rng),
            style=hair.style,
        )


class _Geometry:
    """Collects the pieces of a person: the head, then hair and body, each with its vertices, motion and triangles."""

    def __init__(self, head: Head, shared: Template):
        self.head, self.shared = head, shared
        teeth = np.isin(shared.part, [PARTS.index("teeth_upper"), PARTS.index("teeth_lower")])
        vertices = head.vertices.copy()
        vertices[np.unique(shared.triangles[teeth]), 2] -= 0.03  # closed lips must hide them, whatever the head
        upper = np.unique(shared.triangles[shared.part == PARTS.index("teeth_upper")])
        vertices[upper, 1] -= 0.018  # an open mouth shows their edge, which MakeHuman hides behind the lip
        self.vertices, self.actions = [vertices], [head.actions]
        self.triangles, self.uv, self.uv_triangles = [shared.triangles], [shared.uv], [shared.uv_triangles]
        self.kind = [KIND_OF_PART[shared.part]]
        neck = np.ones(len(shared.vertices), bool)
        neck[shared.triangles[shared.part != PARTS.index("neck")]] = False
        self.follow = [np.where(neck, np.clip((shared.vertices[:, 1] - 5.5) / 0.9, 0, 1), 1.0)]

    def _add(self, vertices, actions, triangles, uv, uv_triangles, kind, follow):
        base, uv_base = sum(map(len, self.vertices)), sum(map(len, self.uv))
        self.vertices.append(vertices)
        self.actions.append(actions)
        self.uv.append(uv)
        self.follow.append(follow)
        self.triangles.append(np.ascontiguousarray(triangles) + base)
        self.uv_triangles.append(uv_triangles + uv_base)
        self.kind.append(np.full(len(triangles), KINDS.index(kind), np.int8))

    def add_hair(self, hair: Hair, rng: np.random.Generator) -> None:
        thickness, hang = STYLES[hair.style]
        if thickness == 0:
            return
        shared, head = self.shared, self.head
        depth = hair.depth(shared.vertices)
        normals = vertex_normals(head.vertices, shared.triangles)
        skin = (shared.part == PARTS.index("skin")) | (shared.part == PARTS.index("neck"))
        chosen = skin & (depth[shared.triangles].max(1) > -0.05)
        used, index = np.unique(shared.triangles[chosen], return_inverse=True)
        rise = hair.rise(shared.vertices, rng)[used, None].clip(0.004)
        shell = (head.vertices[used] + normals[used] * rise).astype(np.float32)
        triangles = index.reshape(-1, 3).astype(np.int32)
        self._add(
            shell, head.actions[:, used], triangles, shared.uv, shared.uv_triangles[chosen], "shell", np.ones(len(used))
        )
        if hang:
            points, uv, follow, rows = hair.curtain(np.concatenate([self._skin(), shell]), rng)
            triangles = _grid(rows, len(points) // rows, closed=False)[:, ::-1]  # its outside is what light meets
            self._add_still(points, triangles, uv, "hair", follow)

    def add_body(self, rng: np.random.Generator) -> None:
        points, uv, follow, rows = torso(self._skin(), rng)
        self._add_still(points, _grid(rows, len(points) // rows, closed=True)[:, ::-1], uv, "cloth", follow)

    def _skin(self) -> np.ndarray:
        skin = (self.shared.part == PARTS.index("skin")) | (self.shared.part == PARTS.index("neck"))
        return self.head.vertices[np.unique(self.shared.triangles[skin])]

    def _add_still(self, points, triangles, uv, kind: str, follow) -> None:
        """Something that no facial action moves."""
        still = np.zeros((len(self.head.actions), len(points), 3), np.float32)
        self._add(points, still, triangles, uv, triangles, kind, follow)

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


def around(direction: np.ndarray, spread: float, n: int) -> np.ndarray:
    """n unit vectors (n, 3) within ``spread`` of ``direction``: an area light."""
    turn = np.arange(n) * 2.4
    side = np.cross(direction, [0.0, 1.0, 0.1])
    side /= np.linalg.norm(side)
    other = np.cross(direction, side)
    radius = spread * np.sqrt((np.arange(n) + 0.5) / n)[:, None]
    out = direction + radius * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def occlusion(vertices: np.ndarray, triangles: np.ndarray, directions: np.ndarray, side: int = 144) -> np.ndarray:
    """Cosine-weighted share (N,) of ``directions`` (D, 3) that see each vertex, by a shadow map for each direction."""
    normals = vertex_normals(vertices, triangles)
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for towards in directions:
        right = np.cross([0.0, 1.0, 1e-3], towards)
        right /= np.linalg.norm(right)
        frame = np.stack([right, np.cross(towards, right), towards])
        local = product(vertices, frame.T)
        screen = np.stack([(local[:, 0] / 4.4 + 0.5) * side, (0.5 - local[:, 1] / 4.4) * side, 100 - local[:, 2]], 1)
        places = torch.from_numpy(screen.astype(np.float32))[None]
        fragments = rasterize(places, torch.from_numpy(triangles), side)
        face, bary = fragments.face_id[0].numpy(), fragments.bary[0].numpy()
        depth = np.where(face >= 0, (bary * local[triangles[face], 2]).sum(-1), -1e3)
        x, y = np.clip(places[0, :, :2].numpy().astype(int), 0, side - 1).T
        weight = np.clip(product(normals, towards), 0, 1)
        # hidden within a soft 0.03 to 0.1 dm: a map of this size knows no better
        visible = np.clip(1 - (depth[y, x] - local[:, 2] - 0.03) / 0.07, 0, 1)
        seen += weight * visible
        total += weight
    return (seen / total).astype(np.float32)
