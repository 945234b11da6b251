"""A real corpus from its owner's folder to clips: walk, split, then take by take (:mod:`convert`) through dask, and the index.

What cannot be used is listed with its reason in ``quarantine.csv`` beside the index. A worker writes the clips that it makes and sends
back one line, so memory does not grow with the corpus. Killed at any time and run again it goes on where it was: whole clips are
kept, what was quarantined is tried again.
"""

import functools
import importlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from tqdm import tqdm

from emolib.corpus.clips import JOURNAL, Corpus, CorpusWriter, journal
from emolib.corpus.convert import FPS, aligned_frames, convert, fault_of, reason_of
from emolib.corpus.takes import Take, check_request, strays
from emolib.corpus.workers import each
from emolib.errors import EmolibError
from emolib.files import write_atomic
from emolib.fingerprint import fingerprint

__all__ = ["aligned_frames", "prepare", "split_of", "splits", "summary", "walk"]
QUARANTINE = "quarantine.csv"


def adapter_of(name: str) -> ModuleType:
    """The module that knows the corpus ``name``, loaded by its name: another corpus's adapter is nobody's dependency."""
    return importlib.import_module(f"emolib.corpus.{name}")


def walk(name: str, root: str | Path, views: tuple[str, ...] = ("front",)) -> list[Take]:
    """The takes of corpus ``name`` below ``root``; ``views`` are MEAD's. EmolibError if there are none."""
    root = Path(root)
    if not str(root) or not root.is_dir():
        raise EmolibError(f"no folder '{root}'; give the one that holds {name} as its owner packs it (data.root)")
    adapter = adapter_of(name)
    takes = adapter.walk(root, views) if name == "mead" else adapter.walk(root)
    if not takes:
        raise EmolibError(f"no {name} recordings below {root}; expected the file names its owner gives them")
    return takes


def split_of(identities: list[str], train: int | None, test: int | None, seed: int) -> dict[str, str]:
    """identity -> 'train' or 'test': ``train`` random ones to train, up to ``test`` of the rest to test (Sec. 4.1).

    train None: three in four, as the paper's 36 of 48. test None: all the rest. EmolibError if one side would be empty.
    """
    n = len(identities)
    train = max(1, n * 3 // 4) if train is None else train
    if n < train + (1 if test else 0):
        raise EmolibError(
            f"{n} identities with usable names; {train} to train on and {test} to test were asked for, ask for fewer"
        )
    order = np.random.default_rng(seed).permutation(sorted(identities)).tolist()
    tests = order[train:] if test is None else order[train : train + test]
    return {i: "train" for i in order[:train]} | {i: "test" for i in tests}


def splits(takes: list[Take], by: str, train: int | None, test: int | None, seed: int) -> dict[str, str]:
    """clip_id -> 'train' or 'test' of those takes that are used.

    by 'identity': see :func:`split_of`. by 'official' (MEAD): see :func:`mead.official_split`; of each side the takes of its
    first ``train`` or ``test`` identities, in order of their names (None: all).
    """
    identities = sorted({t.identity for t in takes})
    if by == "identity":
        side = split_of(identities, train, test, seed)
        return {t.clip_id: side[t.identity] for t in takes if t.identity in side}
    kept = {"train": set(identities[:train]), "test": set(identities[:test])}
    official = adapter_of("mead").official_split(takes)
    return {t.clip_id: official[t.clip_id] for t in takes if t.identity in kept[official[t.clip_id]]}


def _settle_journal(folder: Path, fingerprint: str, split: dict[str, str]) -> None:
    """Whole clips of earlier runs stay, on the side where they are now; those that are not asked for any more go.

    The side is a word in the index, no pixel: another number of people, or more of them on disk, costs no new clips. Were it
    kept from before, one person might end on both sides.
    """
    lines = []
    for entry in journal(folder):
        clip_id = entry["record"]["clip_id"]
        if entry["fingerprint"] == fingerprint and clip_id in split:
            entry["record"]["split"] = split[clip_id]
            lines.append(json.dumps(entry, sort_keys=True) + "\n")
    write_atomic(folder / JOURNAL, "".join(lines))


@dataclass(frozen=True)
class _Job:
    """What every take of a run shares; ``run`` is another in every call, so no worker trusts what it knew of an older one."""

    folder: str
    fingerprint: str
    size: int
    run: str


@functools.lru_cache(maxsize=1)
def _writer(job: _Job) -> CorpusWriter:
    return CorpusWriter(job.folder, job.fingerprint)


def _make(take: Take, split: str, job: _Job) -> str:
    """Writes one take as a clip; "", or the reason why it cannot be used. What is wrong with the output folder is raised."""
    try:
        frames, audio = convert(take, job.size)
    except Exception as error:  # one of ten thousand files must not end the run, whatever it does to the decoder
        return reason_of(error, take)
    record: dict = {"corpus": take.corpus, "split": split, "clip_id": take.clip_id, "identity": take.identity}
    record |= {"emotion": take.emotion, "intensity": take.intensity, "text": take.text, "fps": str(FPS)}
    try:
        _writer(job).add(record, frames, audio)
    except OSError as error:
        raise EmolibError(f"cannot write {job.folder}: {error.strerror or error}; choose another output") from None
    return ""


def prepare(
    name: str,
    root: str | Path,
    folder: str | Path,
    *,
    size: int,
    train: int | None,
    test: int | None,
    seed: int,
    split: str = "identity",
    views: tuple[str, ...] = ("front",),
    workers: int | None = None,
    progress: bool = True,
) -> Corpus:
    """Prepares corpus ``name`` from ``root`` into ``folder``; returns it.

    Args:
        size: side of the aligned crops, px, even, 64 to 1024.
        train, test: identities of each side; None: three in four, the rest.
        split: 'identity' (the paper's) or 'official' (MEAD only), see :func:`splits`.
        views: of MEAD's cameras; other corpora have 'front' only.
        workers: processes on this machine, default one a core; 1: in this process, without dask. With the environment's
            DASK_SCHEDULER_ADDRESS set, the workers of that cluster (which must see both folders) unless this is 1.
            A script that asks for processes needs `if __name__ == "__main__":`, as ever with multiprocessing.

    Raises :class:`EmolibError` if an argument is wrong, nothing could be used, or the folder cannot be written.
    """
    check_request(name, root, folder, size=size, train=train, test=test, workers=workers, split=split, views=views)
    root, folder = Path(os.path.abspath(root)), Path(os.path.abspath(folder))
    takes = walk(name, root, tuple(views))
    usable = [t for t in takes if not fault_of(t)]
    if all(t.video is None for t in takes):
        advice = adapter_of(name).SOUND_ONLY if name == "ravdess" else "add the corpus's video files"
        raise EmolibError(
            f"all {len(takes)} {name} recordings below {root} are sound only; a clip needs a face, so {advice}"
        )
    if not usable:
        raise EmolibError(f"none of {len(takes)} {name} recordings could be used, e.g. {fault_of(takes[0])}")
    sides = splits(usable, split, train, test, seed)
    people, known = {t.identity for t in usable if t.clip_id in sides}, {t.identity for t in usable}
    faulty = [t for t in takes if fault_of(t) and (t.identity in people or t.identity not in known)]
    mine = fingerprint(["emolib.corpus.convert", "emolib.corpus.clips", f"emolib.corpus.{name}"], size=size)
    refused = [(t, fault_of(t)) for t in faulty]
    adapter = adapter_of(name)
    odd = strays(root, takes, lambda path: adapter.why(path, tuple(views)))
    folder.mkdir(parents=True, exist_ok=True)
    _settle_journal(folder, mine, sides)
    writer, job = CorpusWriter(folder, mine), _Job(str(folder), mine, size, uuid.uuid4().hex)
    asked = [t for t in usable if t.clip_id in sides]
    left = [t for t in asked if t.clip_id not in writer]
    done = each(_make, ((take, sides[take.clip_id], job) for take in left), workers=workers)
    bar = {"desc": f"prepare {name}", "unit": "clip", "mininterval": 5, "disable": not progress}
    try:
        for (take, _, _), fault, died in tqdm(done, total=len(asked), initial=len(asked) - len(left), **bar):
            refused += [(take, fault or died)] if fault or died else []
    finally:
        done.close()
        _save_quarantine(folder, root, refused, odd)
    if len(refused) == len(asked) + len(faulty):
        raise EmolibError(f"none of {len(refused)} {name} recordings could be used, e.g. {refused[0][1]}")
    return writer.finish()


def _save_quarantine(folder: Path, root: Path, refused: list[tuple[Take, str]], odd: list[tuple[Path, str]]) -> None:
    """The takes that cannot be used and, without a clip_id, the recordings that are part of no take."""
    named = [(t.clip_id, t.video or t.audio or root, reason) for t, reason in refused]
    rows = [
        (name, os.path.relpath(str(file), str(root)), why)
        for name, file, why in named + [("", *stray) for stray in odd]
    ]
    table = pd.DataFrame(rows, columns=["clip_id", "file", "reason"]).sort_values(["clip_id", "file"])
    write_atomic(folder / QUARANTINE, table.to_csv(index=False))


def summary(folder: str | Path) -> list[tuple[int, str]]:
    """(how many, an example) of each kind of reason in a prepared folder's quarantine, the most frequent first."""
    table = pd.read_csv(Path(folder) / QUARANTINE, keep_default_na=False)
    kinds: dict[str, list[str]] = {}
    for clip_id, file, reason in table[["clip_id", "file", "reason"]].itertuples(index=False):
        kind = re.sub(r"\d+", "N", reason.replace(Path(file).stem, "").replace(clip_id or " ", " "))
        kinds.setdefault(kind, []).append(reason)
    return sorted(((len(reasons), reasons[0]) for reasons in kinds.values()), key=lambda kind: -kind[0])
