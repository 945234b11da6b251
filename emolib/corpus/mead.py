"""MEAD (Wang et al., ECCV 2020): ``<ID>/video/<view>/<emotion>/level_<k>/<nnn>.mp4``, audio beside it as ``.m4a``.

Copies in the wild are irregular (a part folder before the view, flat file names), so components are matched by what they
say, not by where they stand. Only front views are taken, as in the paper (Sec. 4.1).
"""

import re
from pathlib import Path

from emolib.corpus.takes import Take, visible_files

EMOTION = {
    "neutral": "neutral", "neu": "neutral", "angry": "angry", "ang": "angry", "contempt": "contempt", "con": "contempt",
    "disgusted": "disgusted", "dis": "disgusted", "fear": "fear", "fea": "fear", "happy": "happy", "hap": "happy",
    "sad": "sad", "surprised": "surprised", "sur": "surprised",
}  # fmt: skip
VIEWS = ("front", "down", "top", "left_30", "left_60", "right_30", "right_60")
_ID = re.compile(r"(?:^|[/_])([MW]\d{3})(?=[/_])")
_LEVEL = re.compile(r"(?:^|[/_])level_?(\d)(?=[/_])")
_NUMBER = re.compile(r"(\d{3})$")


def parse(relative: Path) -> tuple[str, str, int, str, str] | None:
    """(identity, emotion, level, number, view) from a path below the corpus folder, or None if it is not a MEAD name."""
    text = relative.with_suffix("").as_posix()
    identity, number = _ID.search(text + "/"), _NUMBER.search(text)
    emotion = next((EMOTION[w] for w in re.split(r"[/_]", text) if w in EMOTION), None)
    level = _LEVEL.search(text + "/") or re.search(r"_([123])_\d{3}$", text)
    if not (identity and number and emotion and level) or not 1 <= int(level[1]) <= 3:
        return None
    view = next((v for v in VIEWS if re.search(rf"(?:^|[/_]){v}(?=[/_])", text)), "front")
    return identity[1], emotion, int(level[1]), number[1], view


def walk(root: Path) -> list[Take]:
    """The front-view takes below ``root``, each with its ``.m4a`` where there is one."""
    audio = {parsed[:4]: p for p in visible_files(root, (".m4a", ".wav")) if (parsed := parse(p.relative_to(root)))}
    takes = []
    for path in visible_files(root, (".mp4",)):
        parsed = parse(path.relative_to(root))
        if parsed and parsed[4] == "front":
            identity, emotion, level, number, _ = parsed
            name = f"{identity}_{emotion}_{level}_{number}"
            takes.append(Take("mead", name, identity, emotion, level, path, audio.get(parsed[:4])))
    return takes
