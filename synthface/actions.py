"""The template's facial actions, made as large as those of people.

MakeHuman's artists drew brows and lids that move half as far as people's and smiles that lift the corners three times as far. Measured on
talking level-3 clips of three actors of MEAD against their neutral ones (landmarks, per cent of the span of the outer eye corners), the
inner brow rises 8.2 in surprise, falls 7.9 in anger, the upper lid falls 4.3 in anger and rises 3.5 in surprise, a smile lifts the corners
by 5.4 (:mod:`synthface.movement` holds them all and compares). An activation stays in [0, 1]; what one of 1 does is mended here.
"""

import numpy as np

from emolib.face.arkit import ARKIT

# action, without its side: (factors of its displacement to the side, up, to the front; {other action of the same side: share added})
CHANGES: dict[str, tuple[tuple[float, float, float], dict[str, float]]] = {
    "browInnerUp": ((2.2, 2.3, 2.2), {}),
    "browDown": ((2.0, 2.4, 2.0), {}),
    "browOuterUp": ((2.0, 2.2, 2.0), {}),
    "eyeWide": ((1.9, 1.9, 1.9), {}),
    "eyeSquint": ((1.0, 1.0, 1.0), {"eyeBlink": 0.35}),  # the lid tightener narrows the eye from both sides
    "mouthSmile": ((1.1, 0.45, 1.0), {}),
    "mouthPress": ((1.0, 1.0, 1.0), {"mouthFrown": 0.95}),  # lips press without lifting their corners
    "mouthUpperUp": ((1.4, 1.7, 1.4), {"mouthFrown": 0.15}),  # a raised lip leaves its corners
    "mouthDimple": ((1.2, 0.5, 1.0), {}),
    "mouthStretch": ((1.3, 1.0, 1.2), {}),
    "noseSneer": ((1.2, 1.2, 1.2), {}),
    "cheekSquint": ((1.4, 1.5, 1.4), {}),
}


def natural(actions: np.ndarray) -> np.ndarray:
    """Actions (52, V, 3) of the template, in the order of ARKIT, x to the side, y up, z to the front -> as people's, float64."""
    drawn = actions.astype(np.float64)
    out = drawn.copy()
    for i, name in enumerate(ARKIT):
        base, side = next(((name.removesuffix(s), s) for s in ("Left", "Right") if name.endswith(s)), (name, ""))
        factors, others = CHANGES.get(base, ((1.0, 1.0, 1.0), {}))
        out[i] = drawn[i] * factors + sum(share * drawn[ARKIT.index(other + side)] for other, share in others.items())
    return out
