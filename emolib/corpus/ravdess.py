"""RAVDESS (Livingstone & Russo, PLoS ONE 2018): ``Actor_NN/MM-CC-EE-II-SS-RR-AA.mp4`` (or wav, flac).

The fields: modality (01 audio-video, 02 video, 03 audio), channel (01 speech), emotion, intensity, statement, repetition,
actor. Audio and video of a take differ in the first field only. Copies hold misplaced files: the name is trusted, not the folder.
Five of the wavs are stereo; whatever reads them makes them mono.
"""

import re
from collections import defaultdict
from pathlib import Path

from emolib.corpus.takes import SOUND, VIDEO, Take, largest, visible_files

# 02 'calm' has no counterpart among the paper's eight; it is left out.
EMOTION = {1: "neutral", 3: "happy", 4: "sad", 5: "angry", 6: "fear", 7: "disgusted", 8: "surprised"}
STATEMENT = {1: "Kids are talking by the door.", 2: "Dogs are sitting by the door."}
SOUND_ONLY = (
    "download and unpack the Video_Speech_Actor_*.zip files of RAVDESS (zenodo.org/records/1188976) beside them"
)
_NAME = re.compile(r"^(\d\d)-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$")


def parse(stem: str) -> tuple[int, str, int, int, int, int] | None:
    """(modality, emotion, intensity, statement, repetition, actor) of a speech file's name, or None.

    The corpus has two intensities, normal and strong: levels 1 and 3 of the paper's three. Neutral is normal only.
    """
    match = _NAME.match(stem)
    if not match:
        return None
    modality, emotion, intensity, statement, repetition, actor = map(int, match.groups())
    if modality not in (1, 2, 3) or intensity not in (1, 2) or (emotion == 1 and intensity != 1):
        return None
    if emotion not in EMOTION or statement not in STATEMENT:
        return None
    return modality, EMOTION[emotion], 1 if intensity == 1 else 3, statement, repetition, actor


def why(relative: Path, views: tuple[str, ...] = ("front",)) -> str:
    """Why a recording is part of no take."""
    if parse(relative.stem):
        return "a further copy of a take"
    match = re.match(r"^(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)$", relative.stem)
    if not match:
        return "no name of RAVDESS's: seven numbers of two digits were expected"
    if match[2] == "02":
        return "a song; speech was expected"
    return "calm, which is none of the eight emotions" if match[3] == "02" else "its numbers are not those of RAVDESS"


def walk(root: Path) -> list[Take]:
    """The speech takes below ``root``; an audio-only one has ``video=None``. Of copies the largest counts, once."""
    found: dict[tuple, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in visible_files(root, VIDEO + SOUND):
        parsed = parse(path.stem)
        if parsed:
            found[parsed[1:]][parsed[0]].append(path)
    takes = []
    for (emotion, level, statement, repetition, actor), files in sorted(found.items()):
        name = f"A{actor:02d}_{emotion}_{level}_{statement}{repetition}"
        best = {modality: largest(paths) for modality, paths in files.items()}
        video = best.get(1) or best.get(2)  # the first has sound, the second needs the third's
        text = STATEMENT[statement]
        takes.append(
            Take("ravdess", name, f"A{actor:02d}", emotion, level, video, best.get(3), text, number=str(repetition))
        )
    return takes
