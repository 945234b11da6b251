"""Can a stranger tell the emotion that a photograph was asked for? Asked of a net that learnt from photographs of people.

The words of a user go the way of ``talk``: EAC's expression for a voice, as people show it (:mod:`emolib.showing`), on a real portrait.
:class:`emolib.critics.onlooker.Onlooker` looks at moments of it. In no loss, and never shown a drawn person; the amounts in ``showing``
were found with its help on ten other portraits.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from emolib.critics.onlooker import NAMES, load_onlooker
from emolib.face.landmarks import detect
from emolib.media.pictures import to_frames
from emolib.pipeline.photographs import Photograph
from emolib.request import check
from emolib.showing import as_people
from emolib.talker import Talker

LEVELS = (1, 2, 3)
MOMENTS = 5  # of a voice, from a fifth to four fifths of it


def told(
    talker: Talker, shown: Iterable[Photograph], voices: Mapping[str, np.ndarray]
) -> tuple[pd.DataFrame, list[list[np.ndarray]]]:
    """What the onlooker says when the photographs speak with the ``voices`` of each emotion (samples at 16 kHz): a line for each
    photograph, emotion, level and way (``shown`` as people show it; at the highest level also ``acted``, as EAC's drawn actors do), with
    mean shares over the moments by :data:`NAMES`, and ``seen``, the name with the largest. And of each photograph the middle moment of
    each emotion at the highest level, as shown, uint8, its head alone."""
    shown, onlooker, lines, rows = list(shown), load_onlooker(), [], []
    said = {}  # by EAC, which does not know whose face it is
    for emotion, voice in voices.items():
        for level in LEVELS:
            request = check(shown[0].image, voice, emotion, level, Path("told.mp4"), pose="still", blinks=False)
            said[emotion, level] = [x[_moments(len(x))] for x in talker.spoken(request)]
    for photograph in shown:
        landmarks, own, row = detect(photograph.image)[0].landmarks, photograph.portrait.own, []
        for (emotion, level), (beta, sigma) in said.items():
            ways = {"shown": as_people(talker.model, beta, own.beta)} | ({"acted": beta} if level == LEVELS[-1] else {})
            for way, expression in ways.items():
                made = photograph.portrait.frames(own.expand(MOMENTS).replace(beta=expression), sigma)
                frames = np.stack([photograph.alignment.paste(face, photograph.image) for face in to_frames(made)])
                shares = onlooker.named(frames, landmarks).mean(0)
                line = {"photograph": photograph.name, "emotion": emotion, "level": level, "way": way}
                lines.append(line | dict(zip(NAMES, shares)) | {"seen": NAMES[shares.argmax()]})
                if (level, way) == (LEVELS[-1], "shown"):
                    row.append(_head(frames[MOMENTS // 2], landmarks))
        rows.append(row)
    return pd.DataFrame(lines), rows


def _head(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The part of a picture that the head of ``landmarks`` fills."""
    middle, half = landmarks.mean(0), 0.95 * np.ptp(landmarks[:, 1])
    left, top, right, bottom = np.clip([*(middle - half), *(middle + half)], 0, [*frame.shape[1::-1]] * 2).astype(int)
    return frame[top:bottom, left:right]


def _moments(n_frames: int) -> np.ndarray:
    return (np.linspace(0.2, 0.8, MOMENTS) * n_frames).astype(int)


def telling(table: pd.DataFrame) -> dict[str, float]:
    """The keys of 07: of what it has a name for, at full intensity, how much is told (percent) and the share that it gives what was asked;
    the latter also of faces as acted, and per level 1 and 2."""
    known = table[table["emotion"].isin(NAMES)]
    asked = pd.Series([row[row["emotion"]] for _, row in known.iterrows()], index=known.index)
    right = known["seen"] == known["emotion"]
    shown, full = known["way"] == "shown", known["level"] == LEVELS[-1]
    found = {
        "told_pct_photo": 100 * right[shown & full].mean(),
        "told_pct_photo_acted": 100 * right[~shown & full].mean(),
    }
    found |= {f"told_share_photo_{level}": asked[shown & (known["level"] == level)].mean() for level in LEVELS}
    found["told_share_photo_acted"] = asked[~shown & full].mean()
    return {key: float(value) for key, value in found.items()}
