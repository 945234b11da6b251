"""What a face does: emotions as FACS action units, speech as visemes, blinks, gaze and head motion, over one clip.

Everything is an activation in [0, 1] of the 52 ARKit blend shapes (:data:`ARKIT`), one row a frame, and a head pose
(pitch, yaw, roll in rad; tx, ty, tz in dm). Frame ``i`` shows the instant ``(i + 0.5) / fps``.

Sources. Action units of basic and compound emotions, with the share of people that show the optional ones: Du, Tao
and Martinez, "Compound facial expressions of emotion", PNAS 111(15), 2014, Table 1. Contempt, which they do not have:
Matsumoto and Ekman, J. Pers. Soc. Psychol. 87(4), 2004 (AU14 on one side). Amplitudes: ours. Co-articulation: Cohen and
Massaro, "Modeling coarticulation in synthetic visual speech", 1993 (dominance functions). Blink rate: Bentivoglio et
al., Mov. Disord. 12(6), 1997.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from emolib.errors import EmolibError
from emolib.face.arkit import ARKIT, INDEX
from emolib.face.behaviour import about_neck, blinks

# The actions that come in pairs; mouthLeft, mouthRight, jawLeft and jawRight are directions.
LEFT = np.array(
    [name.endswith("Left") and name[:-4] + "Right" in INDEX and name[:-4] not in ("jaw", "mouth") for name in ARKIT]
)
RIGHT = np.array(
    [name.endswith("Right") and name[:-5] + "Left" in INDEX and name[:-5] not in ("jaw", "mouth") for name in ARKIT]
)

# FACS action unit -> blend shapes that make it (a name without a side is both sides).
AU_TO_ARKIT = {
    1: {"browInnerUp": 1.0},  # inner brow raiser
    2: {"browOuterUp": 1.0},  # outer brow raiser
    4: {"browDown": 1.0},  # brow lowerer
    5: {"eyeWide": 1.0},  # upper lid raiser
    6: {"cheekSquint": 1.0, "eyeSquint": 0.4},  # cheek raiser
    7: {"eyeSquint": 1.0},  # lid tightener
    9: {"noseSneer": 1.0},  # nose wrinkler
    10: {"mouthUpperUp": 0.8, "noseSneer": 0.25},  # upper lip raiser
    11: {"noseSneer": 0.3, "mouthUpperUp": 0.25},  # nasolabial deepener
    12: {"mouthSmile": 1.0, "mouthUpperUp": 1.0},  # lip corner puller; a full one bares the upper teeth
    14: {"mouthDimple": 1.0, "mouthSmile": 0.15},  # dimpler
    15: {"mouthFrown": 1.0},  # lip corner depressor
    17: {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.4},  # chin raiser
    20: {"mouthStretch": 1.0},  # lip stretcher
    23: {"mouthPress": 0.6, "mouthRollLower": 0.3, "mouthRollUpper": 0.3},  # lip tightener
    24: {"mouthPress": 1.0, "mouthRollLower": 0.15},  # lip pressor
    25: {"mouthLowerDown": 0.35, "mouthUpperUp": 0.25},  # lips part
    26: {"jawOpen": 0.45},  # jaw drop
    43: {"eyeBlink": 1.0},  # eyes closing
    64: {"eyeLookDown": 1.0},  # eyes down
}

# emotion -> {AU: (amplitude at level 3, share of people who show it)}; share 1 = every one of them. Units and shares are those of the
# row of this name in Table 1 of Du, Tao and Martinez (2014); contempt: Matsumoto and Ekman (2004). What talking actors show beyond
# that (AU 7 in all that is unpleasant, 26 in what is loud, 1 and 2 in joy) and all amplitudes: so that :mod:`synthface.movement` agrees.
FACS: dict[str, dict[int, tuple[float, float]]] = {
    "neutral": {},
    "angry": {4: (1.0, 1), 7: (0.65, 1), 24: (0.7, 1), 10: (0.5, 0.26), 17: (0.5, 0.52), 23: (0.6, 0.29), 26: (0.8, 1)},
    "contempt": {14: (1.0, 1), 12: (0.35, 0.5), 10: (0.9, 1), 7: (0.5, 1)},
    "disgusted": {
        9: (1.0, 1),
        10: (1.0, 1),
        17: (0.5, 1),
        4: (0.5, 0.31),
        24: (0.3, 0.26),
        7: (0.65, 1),
        20: (0.65, 1),
        25: (0.5, 1),
    },
    "fear": {1: (1.0, 1), 4: (0.4, 1), 20: (0.9, 1), 25: (0.6, 1), 2: (0.3, 0.57), 5: (0.9, 0.63), 26: (0.65, 1)},
    "happy": {12: (1.0, 1), 25: (0.7, 1), 6: (0.9, 1), 1: (0.25, 1), 2: (0.25, 1)},
    "sad": {
        4: (0.6, 1),
        15: (0.9, 1),
        1: (0.9, 0.8),
        6: (0.2, 0.5),
        17: (0.6, 0.67),
        43: (0.25, 1),
        64: (0.25, 0.7),
        7: (0.3, 1),
    },
    "surprised": {1: (0.95, 1), 2: (0.7, 1), 25: (0.4, 1), 26: (0.68, 1), 5: (0.85, 1), 15: (0.4, 1)},
    "happily surprised": {1: (0.9, 1), 2: (0.9, 1), 12: (0.8, 1), 25: (0.6, 1), 5: (0.8, 0.64), 26: (0.8, 0.67)},
    "sadly surprised": {1: (1.0, 1), 4: (0.4, 1), 25: (0.4, 1), 26: (0.8, 1), 2: (0.4, 0.27), 6: (0.3, 0.31)},
    "fearfully angry": {4: (1, 1), 20: (0.9, 1), 25: (0.6, 1), 5: (0.7, 0.4), 7: (0.5, 0.39), 10: (0.5, 0.3)},
    "angrily disgusted": {4: (1, 1), 10: (0.9, 1), 17: (0.6, 1), 7: (0.6, 0.6), 9: (0.7, 0.57), 24: (0.5, 0.36)},
    "hatred": {4: (1.0, 1), 10: (0.8, 1), 7: (0.7, 0.57), 9: (0.6, 0.27), 17: (0.5, 0.63), 24: (0.6, 0.37)},
    "awe": {1: (0.8, 1), 2: (0.8, 1), 5: (0.8, 1), 25: (0.5, 1), 4: (0.3, 0.21), 20: (0.3, 0.62), 26: (0.7, 0.56)},
}
EMOTIONS = tuple(FACS)[:8]  # those of every corpus, in the order of their classes
UNSEEN = ("happily surprised", "sadly surprised", "fearfully angry", "angrily disgusted", "hatred", "awe")
LEVELS = {1: 0.4, 2: 0.7, 3: 1.0}
# pitch, yaw, roll (rad) that a full emotion adds: sad heads sink, contemptuous and frightened ones tilt back.
POSTURE = {"angry": (0.06, 0, 0), "contempt": (-0.07, 0.04, 0.05), "fear": (-0.05, 0.03, 0), "sad": (0.09, 0, 0.04)}
ARTICULATION = {"angry": 1.2, "happy": 1.1, "surprised": 1.1, "sad": 0.75, "contempt": 0.85, "disgusted": 0.9}

# Real lips lead the sound by 80 to 120 ms (Chandrasekaran et al., "The natural statistics of audiovisual speech", 2009).
LEAD = 0.1  # s
OPENING = 1.4  # of the visemes below: the 95th percentile of the inner lips' gap is .20 to .35 of the eyes' span in real clips

# The 15 viseme classes of the Oculus / MPEG-4 family: blend shapes; dominance and rate (1/s) of Cohen and Massaro.
VISEMES = {
    "sil": ({}, 0.3, 12.0),
    "PP": ({"mouthPress": 0.35, "mouthRollLower": 0.25, "mouthRollUpper": 0.2}, 2.2, 18.0),
    "FF": ({"mouthRollLower": 0.5, "mouthUpperUp": 0.2, "jawOpen": 0.04}, 1.6, 16.0),
    "TH": ({"jawOpen": 0.12, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1, "tongueOut": 0.25}, 0.9, 14.0),
    "DD": ({"jawOpen": 0.12, "mouthLowerDown": 0.25, "mouthUpperUp": 0.1}, 0.7, 14.0),
    "kk": ({"jawOpen": 0.18, "mouthLowerDown": 0.15}, 0.5, 14.0),
    "CH": ({"mouthFunnel": 0.55, "mouthPucker": 0.2, "jawOpen": 0.08, "mouthLowerDown": 0.15}, 1.2, 12.0),
    "SS": ({"jawOpen": 0.04, "mouthStretch": 0.25, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15}, 1.1, 14.0),
    "nn": ({"jawOpen": 0.1, "mouthLowerDown": 0.15}, 0.6, 14.0),
    "RR": ({"mouthFunnel": 0.35, "mouthPucker": 0.3, "jawOpen": 0.1}, 0.9, 12.0),
    "aa": ({"jawOpen": 0.8, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15}, 1.0, 9.0),
    "E": ({"jawOpen": 0.5, "mouthStretch": 0.2, "mouthSmile": 0.15, "mouthLowerDown": 0.25}, 1.0, 9.0),
    "ih": ({"jawOpen": 0.28, "mouthSmile": 0.25, "mouthStretch": 0.2, "mouthLowerDown": 0.2}, 1.0, 9.0),
    "oh": ({"jawOpen": 0.55, "mouthFunnel": 0.6, "mouthPucker": 0.2}, 1.1, 8.0),
    "ou": ({"jawOpen": 0.16, "mouthPucker": 0.85, "mouthFunnel": 0.35}, 1.2, 8.0),
}
OPENERS = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel", "tongueOut", "mouthShrugUpper")
LIPS = tuple(n for n in ARKIT if n.startswith(("mouth", "jaw", "tongue")))


def row(weights: dict[str, float]) -> np.ndarray:
    """``{"mouthSmile": 0.5, "jawOpen": 1.0}`` -> (52,); a name without a side sets both sides."""
    out = np.zeros(len(ARKIT))
    for name, weight in weights.items():
        for full in (name,) if name in INDEX else (name + "Left", name + "Right"):
            out[INDEX[full]] += weight
    return out


_LIPS = np.array([n in LIPS for n in ARKIT])
_OPENERS = row(dict.fromkeys(OPENERS, 1.0)) > 0
_CORNERS = row({"mouthSmile": 1, "mouthFrown": 1, "mouthDimple": 1}) > 0  # speech leaves the corners to emotion
_ROUNDERS = row({"mouthPucker": 1, "mouthFunnel": 1}) > 0
_SPREADERS = row({"mouthSmile": 1, "mouthStretch": 1}) > 0
_AU = {au: row(weights) for au, weights in AU_TO_ARKIT.items()}
_VISEME_ROWS = {name: row(weights) for name, (weights, _, _) in VISEMES.items()}


@dataclass(frozen=True)
class Style:
    """How one person expresses: ``gain`` (52,) about 1, ``shows`` {(emotion, AU): bool}, contempt's ``side`` (0 left), ``articulation``:
    how far the lips go in speech, 0.75 to 1.3."""

    gain: np.ndarray
    shows: dict
    side: int
    articulation: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Style":
        """Draws a person's way to express: gains of 0.6 to 1.35, a little more on one side, and which optional AUs they use."""
        gain = np.ones(len(ARKIT))
        for au in _AU.values():
            gain *= np.where(au > 0, rng.normal(1.0, 0.12), 1.0)
        skew = rng.normal(0.0, 0.06)  # one half of a face moves more than the other
        gain = np.clip(gain * (1 + skew * LEFT - skew * RIGHT), 0.6, 1.35)
        shows = {(e, au): bool(rng.random() < share) for e, aus in FACS.items() for au, (_, share) in aus.items()}
        return cls(gain, shows, int(rng.integers(2)), float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.3)))


def activation(
    name: str, intensity: float, style: Style | None = None, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Apex of emotion ``name`` (of :data:`FACS`) at ``intensity`` 0..3 (linear between levels) -> (52,) in [0, 1].

    Without ``style``: the average person, optional AUs weighted by how many people show them. With ``rng``: amplitude
    jitter of 7 %. Raises :class:`EmolibError` for an unknown emotion or an intensity out of range.
    """
    if name not in FACS:
        raise EmolibError(f"no emotion '{name}' in the synthetic corpus; expected one of {', '.join(FACS)}")
    if not 0 <= intensity <= 3:
        raise EmolibError(f"intensity is {intensity}; expected 0 to 3")
    level = np.interp(intensity, [0, *LEVELS], [0, *LEVELS.values()])
    out = np.zeros(len(ARKIT))
    for au, (amplitude, share) in FACS[name].items():
        # a person who does not use an optional AU still shows a trace of it
        use = share if style is None else (1.0 if style.shows[name, au] else 0.25)
        jitter = 1.0 if rng is None else rng.normal(1.0, 0.07)
        out += amplitude * use * level * jitter * _AU[au]
    if name == "contempt":
        out *= 1 - 0.9 * (RIGHT if style is None or style.side == 0 else LEFT) * _LIPS
    return np.clip(out if style is None else out * style.gain, 0.0, 1.0)


def random_actions(rng: np.random.Generator) -> np.ndarray:
    """Weights (52,) of a random expression: one to eight actions, mostly with both sides alike."""
    weights = np.zeros(len(ARKIT))
    for action in rng.choice(len(ARKIT), rng.integers(1, 9), replace=False):
        weights[action] = rng.beta(1.2, 1.2)
        name = ARKIT[action]
        other = name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")
        if other != name and other in ARKIT and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            if rng.random() < 0.7:
                weights[ARKIT.index(other)] = weights[action]
    return weights


def envelope(n: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Onset, apex, offset of an emotion -> (n,) in [0, 1]. Starts at 0.6 or more: short windows carry the emotion."""
    t = (np.arange(n) + 0.5) / fps
    end = n / fps
    start, apex, leave = rng.uniform(0.6, 0.85), rng.uniform(0.15, 0.35) * end, rng.uniform(0.7, 0.9) * end
    curve = np.interp(t, [0, apex, leave, end], [start, 1.0, rng.uniform(0.92, 1.0), rng.uniform(0.75, 0.95)])
    curve = gaussian_filter1d(curve, 0.08 * fps, mode="nearest")
    return np.clip(curve + _smooth_noise(n, 1, 0.04, 0.3 * fps, rng)[:, 0], 0.0, 1.0)


def _smooth_noise(n: int, channels: int, sd: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise (n, channels) of standard deviation ``sd``, smooth over ``width`` frames."""
    pad = int(4 * width) + 1
    noise = gaussian_filter1d(rng.normal(size=(n + 2 * pad, channels)), width, axis=0)[pad : pad + n]
    return noise * sd * np.sqrt(2 * np.sqrt(np.pi) * width)


def visemes(phonemes: list[tuple[str, float, float]], n: int, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Viseme events (class, start s, end s) -> ARKit track (n, 52) and lip closure (n,) in [0, 1].

    Each event i pulls with dominance D_i(t) = a_i exp(-r_i |t - c_i|) outside its own span (Cohen and Massaro, 1993,
    Eq. 1) and the track is the D-weighted mean: rounding spreads to its neighbours, bilabials win where they stand.
    Closure is 1 within p, b, m. Raises :class:`EmolibError` for an unknown class.
    """
    rate = 4  # evaluated four times a frame, then averaged: a bilabial of 60 ms must not fall between frames
    t = (np.arange(n * rate) + 0.5) / (fps * rate)
    total, weight, closure = np.zeros((len(t), len(ARKIT))), np.full(len(t), 0.1), np.zeros(len(t))
    for name, start, end in phonemes:
        if name not in VISEMES:
            raise EmolibError(f"no viseme class '{name}'; expected one of {', '.join(VISEMES)}")
        _, strength, speed = VISEMES[name]
        away = np.maximum(0.0, np.abs(t - (start + end) / 2) - (end - start) / 4)
        dominance = strength * np.exp(-speed * away)
        total += dominance[:, None] * _VISEME_ROWS[name]
        weight += dominance
        if name == "PP":
            closure = np.maximum(closure, np.exp(-((away / 0.035) ** 2)))
    track = total / weight[:, None]
    jaw = INDEX["jawOpen"]
    track[:, jaw] = gaussian_filter1d(track[:, jaw], 0.03 * fps * rate)  # the jaw is heavier than the lips
    return track.reshape(n, rate, -1).mean(axis=1), closure.reshape(n, rate).max(axis=1)


def gaze(n: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Eye direction (n, 2) = (right, up) in units of the eyeLook shapes, about -0.5 to 0.5: fixations on the camera, saccades away."""
    out, i = np.zeros((n, 2)), 0
    while i < n:
        length = int(fps * rng.uniform(0.3, 1.2)) + 1
        away = rng.random() < 0.3 and i > 0
        out[i : i + length] = rng.normal(0, [0.22, 0.12]) if away else rng.normal(0, 0.03, 2)
        i += length
    return out


def head_motion(emotion, level, phonemes, n: int, fps: float, rng: np.random.Generator) -> np.ndarray:
    """Pose (n, 6), three angles (pitch, yaw, roll, rad) and a shift (model units, see :mod:`emolib.face.camera`): a resting pose, smooth
    drift, nods on long vowels, the emotion's posture, ``level`` of it (0 to 1); turns about the neck.

    ``phonemes``: [(viseme class, start s, end s)].
    """
    angles = rng.normal(0, [0.05, 0.09, 0.035]) + _smooth_noise(n, 3, 1.0, 0.35 * fps, rng) * [0.025, 0.04, 0.02]
    t = (np.arange(n) + 0.5) / fps
    for name, start, end in phonemes:
        if name in ("aa", "E", "oh", "ou", "ih") and end - start > 0.09 and rng.random() < 0.5:
            angles[:, 0] += rng.uniform(0.015, 0.04) * np.exp(-(((t - (start + end) / 2) / 0.12) ** 2))
    angles += level * np.array(POSTURE.get(emotion, (0.0, 0.0, 0.0)))
    shift = _smooth_noise(n, 3, 0.02, 0.5 * fps, rng)
    return about_neck(angles, shift)


def leakage(emotion: str, n: int, fps: float, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Another emotion that shows for a moment, under a fifth of its full strength -> (n, 52); half of all clips have none.

    Micro-expressions last 40 to 500 ms (Yan et al., "How fast are the leaked facial expressions", J. Nonverbal Behav. 37, 2013).
    """
    other = str(rng.choice([e for e in EMOTIONS if e not in (emotion, "neutral")]))
    when, width, amount = rng.uniform(0, n / fps), rng.uniform(0.06, 0.25), rng.uniform(-0.2, 0.2)
    t = (np.arange(n) + 0.5) / fps
    return max(amount, 0.0) * np.exp(-(((t - when) / width) ** 2))[:, None] * activation(other, 3, style)


def performance(
    emotion, intensity, phonemes, n: int, fps: float, style: Style, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One clip's acting, n frames at ``fps`` -> arkit (n, 52) in [0, 1], pose (n, 6) as in :func:`head_motion`, both float32.

    ``emotion``: a key of :data:`FACS`. ``intensity``: a level, 1 to 3. ``phonemes``: [(viseme class, start s, end s)].
    """
    apex = activation(emotion, intensity, style, rng)
    level = LEVELS[intensity] if emotion != "neutral" else 0.0
    felt = envelope(n, fps, rng)[:, None] * apex * (1 + _smooth_noise(n, len(ARKIT), 0.06, 0.15 * fps, rng))
    felt = np.maximum(felt, leakage(emotion, n, fps, style, rng))
    spoken, closure = visemes([(name, start - LEAD, end - LEAD) for name, start, end in phonemes], n, fps)
    spoken *= OPENING * style.articulation * (1 + level * (ARTICULATION.get(emotion, 1.0) - 1))
    # Lips that speak are less free to feel; rounding and spreading exclude each other; p, b, m close whatever is open.
    speaking = np.clip(2.5 * spoken[:, _LIPS].max(axis=1), 0, 1)[:, None]
    felt = np.where(_LIPS & ~_CORNERS, felt * (1 - 0.35 * speaking), felt)
    smile = felt[:, [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]].mean(1, keepdims=True)
    spoken = np.where(_ROUNDERS, spoken * (1 - 0.5 * smile), spoken)  # nobody smiles broadly and says "oo" as usual
    rounding = np.clip(spoken[:, _ROUNDERS].sum(axis=1), 0, 1)[:, None]
    felt = np.where(_SPREADERS, felt * (1 - 0.3 * rounding), felt)
    arkit = felt + spoken
    arkit = np.where(_OPENERS, arkit * (1 - 0.95 * closure[:, None]), arkit)
    blink, look = blinks(n, fps, rng), gaze(n, fps, rng)
    lids = row({"eyeBlink": 1}) > 0
    arkit = np.where(lids, np.maximum(arkit, blink[:, None]), arkit)
    arkit = np.where(row({"eyeWide": 1, "eyeSquint": 1}) > 0, arkit * (1 - blink[:, None]), arkit)
    for name, value in (
        ("eyeLookOutRight", -look[:, 0]), ("eyeLookInLeft", -look[:, 0]), ("eyeLookUpLeft", look[:, 1]),
        ("eyeLookInRight", look[:, 0]), ("eyeLookOutLeft", look[:, 0]), ("eyeLookUpRight", look[:, 1]),
        ("eyeLookDownLeft", -look[:, 1]), ("eyeLookDownRight", -look[:, 1]),
    ):  # fmt: skip
        arkit[:, INDEX[name]] += np.maximum(value, 0)
    pose = head_motion(emotion, level, phonemes, n, fps, rng)
    return np.clip(arkit, 0, 1).astype(np.float32), pose.astype(np.float32)
