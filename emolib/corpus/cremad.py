"""CREMA-D (Cao et al., IEEE TAC 2014): ``<1001..1091>_<sentence>_<emotion>_<level>.(flv|mp4|wav|mp3)``.

The repository keeps its media in Git LFS: without `git lfs pull` the files are pointers, which the preparation names as such.
"""

import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from emolib.corpus.takes import SOUND, VIDEO, Take, largest, visible_files
from emolib.errors import EmolibError

EMOTION = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
# XX: the actor was not told how strongly (all sentences but IEO). The middle level is the one that is least wrong about a
# performance which may lie anywhere from 1 to 3.
LEVEL = {"LO": 1, "MD": 2, "HI": 3, "XX": 2}
BROKEN = ("1076_MTI_SAD_XX", "1076_MTI_NEU_XX", "1064_TIE_SAD_XX")
SENTENCE = {
    "IEO": "It's eleven o'clock.", "TIE": "That is exactly what happened.", "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.", "TAI": "The airplane is almost full.", "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.", "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.", "ITS": "I think I've seen this before.", "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}  # fmt: skip
_NAME = re.compile(r"^(10[0-8]\d|109[01])_([A-Z]{3})_([A-Z]{3})_([A-Z]{2})$")


def parse(stem: str) -> tuple[str, str, str, int] | None:
    """(actor, sentence code, emotion, level) of a file's name, or None; neutral is level 1 whatever the name says."""
    match = _NAME.match(stem)
    if not match or match[1] == "1000" or match[2] not in SENTENCE or match[3] not in EMOTION or match[4] not in LEVEL:
        return None
    emotion = EMOTION[match[3]]
    return match[1], match[2], emotion, 1 if emotion == "neutral" else LEVEL[match[4]]


def why(relative: Path, views: tuple[str, ...] = ("front",)) -> str:
    """Why a recording is part of no take."""
    if parse(relative.stem):
        return "a further copy of a take"
    parts = relative.stem.split("_")
    if len(parts) != 4:
        return "no name of CREMA-D's: actor_sentence_emotion_level was expected"
    codes = (("sentence", parts[1], SENTENCE), ("emotion", parts[2], EMOTION), ("level", parts[3], LEVEL))
    odd = [f"{name} '{code}'" for name, code, known in codes if code not in known] or [f"actor '{parts[0]}'"]
    return f"CREMA-D knows no {', no '.join(odd)}"


def walk(root: Path) -> list[Take]:
    """The takes below ``root``; the three that are broken in the corpus itself carry that as their fault."""
    sounds: dict[str, list[Path]] = defaultdict(list)
    videos: dict[str, list[Path]] = defaultdict(list)
    for path in visible_files(root, VIDEO + SOUND):
        (sounds if path.suffix.lower() in SOUND else videos)[path.stem].append(path)
    takes = []
    for stem in sorted(sounds.keys() | videos.keys()):
        if parsed := parse(stem):
            actor, sentence, emotion, level = parsed
            video, audio = (largest(files[stem]) if stem in files else None for files in (videos, sounds))
            fault = "broken in the corpus itself (its owners list it)" if stem in BROKEN else ""
            takes.append(
                Take(
                    "cremad",
                    stem,
                    actor,
                    emotion,
                    level,
                    video,
                    audio,
                    SENTENCE[sentence],
                    number=sentence,
                    fault=fault,
                )
            )
    return takes


def demographics(root: str | Path) -> pd.DataFrame:
    """identity, age (years), sex, race, ethnicity of the actors, from ``VideoDemographics.csv`` at or below ``root``.

    Kept apart from the index of clips, whose columns are those of every corpus. EmolibError if the file is missing or another.
    """
    root = Path(root)
    found = sorted(root.rglob("VideoDemographics.csv"))
    if not found:
        raise EmolibError(f"no VideoDemographics.csv below {root}; it lies beside the media in CREMA-D's repository")
    table = (
        pd.read_csv(found[0], dtype={"ActorID": str}).rename(columns={"ActorID": "identity"}).rename(columns=str.lower)
    )
    lacking = [c for c in ("identity", "age", "sex", "race", "ethnicity") if c not in table]
    if lacking:
        raise EmolibError(f"{found[0]} lacks the columns {', '.join(lacking)}; take the file of CREMA-D's repository")
    return table[["identity", "age", "sex", "race", "ethnicity"]]
