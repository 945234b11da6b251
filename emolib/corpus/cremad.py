"""CREMA-D (Cao et al., IEEE TAC 2014): ``<1001..1091>_<sentence>_<emotion>_<level>.(flv|mp4|wav|mp3)``."""

import re
from pathlib import Path

from emolib.corpus.takes import Take, visible_files

EMOTION = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVEL = {"LO": 1, "MD": 2, "HI": 3, "XX": 2}  # XX: not specified
BROKEN = ("1076_MTI_SAD_XX", "1076_MTI_NEU_XX", "1064_TIE_SAD_XX")
SENTENCE = {
    "IEO": "It's eleven o'clock.", "TIE": "That is exactly what happened.", "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.", "TAI": "The airplane is almost full.", "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.", "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.", "ITS": "I think I've seen this before.", "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}  # fmt: skip
_NAME = re.compile(r"^(1\d{3})_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})$")


def parse(stem: str) -> tuple[str, str, str, int] | None:
    """(actor, sentence code, emotion, level) of a file's name, or None; neutral is level 1 whatever the name says."""
    match = _NAME.match(stem)
    if not match or match[2] not in SENTENCE or match[3] not in EMOTION or match[4] not in LEVEL:
        return None
    emotion = EMOTION[match[3]]
    return match[1], match[2], emotion, 1 if emotion == "neutral" else LEVEL[match[4]]


def walk(root: Path) -> list[Take]:
    """The takes below ``root``, less the three known to be broken."""
    audio = {p.stem: p for p in visible_files(root, (".wav", ".mp3"))}
    video = {p.stem: p for p in visible_files(root, (".flv", ".mp4"))}
    takes = []
    for stem in sorted(audio | video):
        parsed = parse(stem)
        if parsed and stem not in BROKEN:
            actor, sentence, emotion, level = parsed
            takes.append(
                Take("cremad", stem, actor, emotion, level, video.get(stem), audio.get(stem), SENTENCE[sentence])
            )
    return takes
