"""What a real corpus's folder holds, before anything is decoded: one :class:`Take` a recording.

Imports nothing heavy: a request is checked (:func:`check_request`) before anything else is loaded.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from emolib.errors import EmolibError
from emolib.params import CORPORA, SPLITS, VIEWS

VIDEO = (".mp4", ".mov", ".mkv", ".avi", ".flv", ".webm", ".m4v", ".mpg", ".wmv")
SOUND = (".m4a", ".wav", ".aac", ".flac", ".mp3", ".ogg", ".opus")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Take:
    """A recording as its owner packs it.

    emotion, intensity: in the paper's words (:data:`emolib.emotions.EMOTIONS`, 1..3). video: None for an audio-only take.
    audio: a sound file of its own, None where there is none. text: the sentence, "" where the corpus does not say.
    number: the recording's number in its emotion and level, "" where the corpus has none. fault: why it cannot be used,
    as far as the names tell.
    """

    corpus: str
    clip_id: str
    identity: str
    emotion: str
    intensity: int
    video: Path | None
    audio: Path | None = None
    text: str = ""
    number: str = ""
    fault: str = ""


def visible_files(root: Path, suffixes: tuple[str, ...], refused: list[Path] | None = None) -> list[Path]:
    """Files below ``root`` with one of ``suffixes`` (lower case; any case matches), sorted, hidden ones left out.

    Linked folders are entered (corpora are often spread over disks), each folder once; links to nothing count as files. Folders that
    one may not enter are added to ``refused``.
    """
    found, seen = [], set()

    def closed(error: OSError) -> None:
        if refused is not None and error.filename:
            refused.append(Path(error.filename))

    for folder, folders, names in os.walk(root, onerror=closed, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [
            Path(folder, n) for n in names if not n.startswith(".") and os.path.splitext(n)[1].lower() in suffixes
        ]
    return sorted(found)


def size_of(path: Path) -> int:
    """Bytes of a file; -1 of a link to nothing and of what cannot be asked."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def largest(paths: Iterable[Path]) -> Path:
    """The copy to trust: a truncated copy, an empty one and a Git LFS pointer are smaller than the whole file."""
    return max(paths, key=size_of)


def strays(root: Path, takes: Iterable[Take], why: Callable[[Path], str]) -> list[tuple[Path, str]]:
    """Recordings below ``root`` that are part of no take, each with the reason; folders that one may not enter among them.

    why: what a file's path below ``root`` has to say for itself; "" for one that is known and was not asked for.
    """
    root, refused = Path(os.path.abspath(root)), list[Path]()
    used = {path for take in takes for path in (take.video, take.audio)}
    files = visible_files(root, VIDEO + SOUND, refused)
    found = [(path, why(path.relative_to(root))) for path in files if path not in used]
    closed = [(path, "a folder that one may not enter; change its permissions") for path in refused]
    return sorted([(path, reason) for path, reason in found if reason] + closed)


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is what Git LFS leaves in the place of one that was not downloaded."""
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def check_request(
    name: str, root: str | Path, folder: str | Path, *, size: int, train: int | None, test: int | None,
    workers: int | None, split: str, views: tuple[str, ...],
) -> None:  # fmt: skip
    """EmolibError for the first thing that is wrong with a call of :func:`emolib.corpus.prepare.prepare`. Writes nothing."""
    if name not in CORPORA:
        raise EmolibError(f"no corpus '{name}'; expected one of {', '.join(CORPORA)}")
    if not str(root) or not Path(root).is_dir():
        raise EmolibError(f"no folder '{root}'; give the one that holds {name} as its owner packs it (data.root)")
    if not (isinstance(size, int) and 64 <= size <= 1024 and size % 2 == 0):
        raise EmolibError(f"size is {size}; expected an even number from 64 to 1024 px")
    if (train is not None and train < 1) or (test is not None and test < 0):
        raise EmolibError(
            f"train is {train}, test is {test}; expected at least 1 identity to train on, at least 0 to test"
        )
    if workers is not None and workers < 1:
        raise EmolibError(f"workers is {workers}; expected at least 1 process")
    if split not in SPLITS:
        raise EmolibError(f"no split '{split}'; expected one of {', '.join(SPLITS)}")
    if split == "official" and name != "mead":
        raise EmolibError(f"{name} has no official split (only mead has); split it by identity")
    unknown = [v for v in views if v not in VIEWS]
    if unknown or not views:
        raise EmolibError(f"no view '{', '.join(unknown)}'; expected some of {', '.join(VIEWS)}")
    if name != "mead" and tuple(views) != ("front",):
        raise EmolibError(f"{name} was filmed from the front only; views are for mead")
    _check_folder(Path(root), Path(folder))


def _check_folder(root: Path, folder: Path) -> None:
    """Clips are named like recordings, and what is no clip is removed from their folder: it must be theirs alone."""
    if not str(folder):
        raise EmolibError("no folder for the clips; give one")
    out, source = folder.resolve(), root.resolve()
    if out == source or source in out.parents or out in source.parents:
        raise EmolibError(f"the clips' folder {folder} and the corpus {root} lie in one another; choose another output")
    parent = out
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise EmolibError(f"cannot write {folder}: {parent} is not a folder that can be written; choose another output")
    if out.is_dir() and not (out / "clips.jsonl").is_file():
        foreign = [p.name for p in out.iterdir() if p.suffix in (".mp4", ".wav", ".npz") and not p.name.startswith(".")]
        if foreign:
            raise EmolibError(
                f"{folder} holds files that are not clips, e.g. {min(foreign)}; choose an empty output folder"
            )
