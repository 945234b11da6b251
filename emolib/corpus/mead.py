"""MEAD (Wang et al., ECCV 2020): ``<ID>/video/<view>/<emotion>/level_<k>/<nnn>.mp4``, ``<ID>/audio/<emotion>/level_<k>/<nnn>.m4a``.

Copies in the wild are irregular: the second component may be ``1`` or ``2``, there may be one more, flat file names occur. So
components are matched by what they say, not by where they stand; where two say the same kind of thing, the one nearer to the file
counts. Clip numbers are not sentences: number 3 of two emotions, or of two actors, is not the same text.
"""

import os
import re
from collections import defaultdict
from pathlib import Path

from emolib.corpus.takes import SOUND, VIDEO, VIEWS, Take, largest, size_of, visible_files

EMOTION = {
    "neutral": "neutral", "neu": "neutral", "angry": "angry", "ang": "angry", "contempt": "contempt", "con": "contempt",
    "disgusted": "disgusted", "disgust": "disgusted", "dis": "disgusted", "fear": "fear", "fea": "fear", "happy": "happy",
    "hap": "happy", "sad": "sad", "surprised": "surprised", "surprise": "surprised", "sur": "surprised",
}  # fmt: skip
OFFICIAL_TEST = {"neutral": 10}  # the last takes of a person, emotion and level that test; of every other emotion:
OFFICIAL_TEST_OTHERS = 6
_ID = re.compile(r"(?:^|[/_])([mw]\d{3})(?=[/_])")
_LEVEL = re.compile(r"(?:^|[/_])level_?(\d)(?=[/_])")
_SHORT_LEVEL = re.compile(r"_([123])_\d{3}$")
_NUMBER = re.compile(r"(?:^|[/_])(\d{3})$")


def parse(relative: Path) -> tuple[str, str, int, str, str] | None:
    """(identity, emotion, level, number, view) from a path below the corpus folder, or None if it is not a MEAD name.

    The view is 'front' where the path does not say, as for sound and flat names. Case does not matter.
    """
    text = relative.with_suffix("").as_posix().lower()
    identities, levels = _ID.findall(text + "/"), _LEVEL.findall(text + "/") or _SHORT_LEVEL.findall(text)
    emotions = [EMOTION[word] for word in re.split(r"[/_]", text) if word in EMOTION]
    number = _NUMBER.search(text)
    if not (identities and emotions and levels and number) or not 1 <= int(levels[-1]) <= 3:
        return None
    view = next((v for v in VIEWS if re.search(rf"(?:^|[/_]){v}(?=[/_])", text)), "front")
    return identities[-1].upper(), emotions[-1], int(levels[-1]), number[1], view


def why(relative: Path, views: tuple[str, ...]) -> str:
    """Why a recording is part of no take of ``views``; "" for one of another view."""
    if parsed := parse(relative):
        if relative.suffix.lower() in SOUND:
            return "a sound without a video in the views asked for, or a second one of its take"
        return "a further copy of a take" if parsed[4] in views else ""
    text = relative.with_suffix("").as_posix().lower()
    words = re.split(r"[/_]", text)
    lacking = [
        name
        for name, said in (
            ("a person (M003)", _ID.search(text + "/")),
            ("an emotion", any(word in EMOTION for word in words)),
            ("a level from 1 to 3", _LEVEL.search(text + "/") or _SHORT_LEVEL.search(text)),
            ("a number of three digits", _NUMBER.search(text)),
        )
        if not said
    ]
    return f"no name of MEAD's: it does not say {', '.join(lacking) or 'a level from 1 to 3'}"


def _parsed(root: Path, suffixes: tuple[str, ...]) -> dict[tuple, list[Path]]:
    """What a name says -> the files whose names say it."""
    # The folder of one person is a corpus too; its name is part of what its files are called.
    base = root.parent if re.fullmatch(r"[MWmw]\d{3}", root.name) else root
    found = defaultdict(list)
    for path in visible_files(root, suffixes):
        if parsed := parse(path.relative_to(base)):
            found[parsed].append(path)
    return found


def _nearest(candidates: list[Path], path: Path) -> Path:
    """The one in the folder closest to ``path``'s: where a person's recordings come in parts, sound and picture share one."""
    depth = {c: len(os.path.commonpath([c, path])) for c in candidates}
    return largest(c for c in candidates if depth[c] == max(depth.values()))


def walk(root: Path, views: tuple[str, ...] = ("front",)) -> list[Take]:
    """The takes of ``views`` below ``root`` (default: front, as the paper), each with its ``.m4a`` where there is one.

    clip_id: ``M003_angry_2_014``, with the view at its end unless that is front. Copies of one size count once; files of
    the same name that differ are a fault, as is neutral at a level other than 1.
    """
    root = Path(os.path.abspath(root))
    sounds: dict[tuple, list[Path]] = defaultdict(list)
    for parsed, paths in _parsed(root, SOUND).items():
        sounds[parsed[:4]] += paths
    takes = []
    for (identity, emotion, level, number, view), paths in sorted(_parsed(root, VIDEO).items()):
        if view not in views:
            continue
        name = f"{identity}_{emotion}_{level}_{number}" + (f"_{view}" if view != "front" else "")
        best, sizes = largest(paths), set()
        for path in sorted(paths, key=lambda p: p != best):
            if size_of(path) in sizes:
                continue
            sizes.add(size_of(path))
            fault = (
                "" if path == best else f"a second file of this take, other than {best.relative_to(root).as_posix()}"
            )
            if emotion == "neutral" and level != 1:
                fault = f"neutral at level {level}; MEAD has it at level 1 only"
            sound = sounds.get((identity, emotion, level, number))
            audio = _nearest(sound, path) if sound else None
            takes.append(Take("mead", name, identity, emotion, level, path, audio, number=number, fault=fault))
    return takes


def official_split(takes: list[Take]) -> dict[str, str]:
    """clip_id -> 'train' or 'test', MEAD's own: of every person, emotion and level the last 10 neutral or 6 other takes test.

    All views of a take fall on the same side. People are on both; the paper splits by identity instead (Sec. 4.1).
    """
    numbers = defaultdict(set)
    for take in takes:
        numbers[take.identity, take.emotion, take.intensity].add(take.number)
    last = {
        (*key, number)
        for key, group in numbers.items()
        for number in sorted(group)[-OFFICIAL_TEST.get(key[1], OFFICIAL_TEST_OTHERS) :]
    }
    return {t.clip_id: "test" if (t.identity, t.emotion, t.intensity, t.number) in last else "train" for t in takes}
