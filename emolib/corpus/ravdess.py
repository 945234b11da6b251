"""RAVDESS (Livingstone & Russo, PLoS ONE 2018): ``Actor_NN/MM-CC-EE-II-SS-RR-AA.mp4`` (or wav, flac).

The fields: modality (01 audio-video, 02 video, 03 audio), channel (01 speech), emotion, intensity, statement, repetition,
actor. Audio and video of a take differ in the first field only. Copies hold misplaced files: the name is trusted, not the folder.
"""

import re
from pathlib import Path

from emolib.corpus.takes import Take, visible_files

# 02 'calm' has no counterpart among the paper's eight; it is left out.
EMOTION = {1: "neutral", 3: "happy", 4: "sad", 5: "angry", 6: "fear", 7: "disgusted", 8: "surprised"}
STATEMENT = {1: "Kids are talking by the door.", 2: "Dogs are sitting by the door."}
_NAME = re.compile(r"^(\d\d)-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$")


def parse(stem: str) -> tuple[int, str, int, int, int, int] | None:
    """(modality, emotion, intensity, statement, repetition, actor) of a speech file's name, or None.

    The corpus has two intensities, normal and strong: levels 1 and 3 of the paper's three.
    """
    match = _NAME.match(stem)
    if not match:
        return None
    modality, emotion, intensity, statement, repetition, actor = map(int, match.groups())
    if emotion not in EMOTION or intensity not in (1, 2) or statement not in STATEMENT:
        return None
    return modality, EMOTION[emotion], 1 if intensity == 1 else 3, statement, repetition, actor


def walk(root: Path) -> list[Take]:
    """The speech takes below ``root``; an audio-only one has ``video=None``. Duplicate copies count once."""
    found: dict[tuple, dict[int, Path]] = {}
    for path in visible_files(root, (".mp4", ".wav", ".flac")):
        parsed = parse(path.stem)
        if parsed:
            found.setdefault(parsed[1:], {}).setdefault(parsed[0], path)
    return [
        Take(
            "ravdess",
            f"A{actor:02d}_{emotion}_{level}_{statement}{repetition}",
            f"A{actor:02d}",
            emotion,
            level,
            files.get(1) or files.get(2),
            files.get(3),
            STATEMENT[statement],
        )
        for (emotion, level, statement, repetition, actor), files in sorted(found.items())
    ]
