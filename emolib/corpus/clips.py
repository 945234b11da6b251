"""One clip format and one index for every corpus, rendered or real.

    <folder>/<clip_id>.mp4   aligned face crops: all-intra, near-lossless, exact frame rate, no sound
    <folder>/<clip_id>.wav   16 kHz mono
    <folder>/<clip_id>.npz   the truth, where there is one (a rendered corpus)
    <folder>/clips.parquet   the index: COLUMNS, one row a clip

Fitted 3DMM coefficients, which every corpus can have, are kept apart from the truth: ``<coefficients>/<clip_id>.npz``.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from emolib.emotions import EMOTIONS, INTENSITIES
from emolib.errors import EmolibError
from emolib.face.model import Coefficients
from emolib.face.npz import write_npz
from emolib.files import replacing, write_atomic
from emolib.fingerprint import file_digest, joined
from emolib.media.audio import decode_audio, save_wav
from emolib.media.video import VideoWriter, read_video

COLUMNS = ("corpus", "split", "clip_id", "identity", "emotion", "intensity", "text", "fps", "n_frames")
SPLITS = ("train", "validation", "test", "unseen")  # unseen: test people with emotions that are none of EMOTIONS
JOURNAL = "clips.jsonl"


class Clip:
    """One clip. Attributes: those of COLUMNS (``fps`` as an exact Fraction), and ``root``. Files are read when asked for."""

    def __init__(self, record: dict, root: Path, fitted: Path | None = None):
        self.root, self._fitted = root, fitted
        self.corpus: str = record["corpus"]
        self.split: str = record["split"]
        self.clip_id: str = record["clip_id"]
        self.identity: str = record["identity"]
        self.emotion: str = record["emotion"]
        self.intensity = int(record["intensity"])
        self.text: str = record["text"]
        self.fps = Fraction(record["fps"])
        self.n_frames = int(record["n_frames"])

    def __repr__(self) -> str:
        return f"Clip({self.clip_id}, {self.emotion} {self.intensity}, {self.n_frames} frames at {self.fps} fps)"

    def _file(self, suffix: str) -> Path:
        return self.root / f"{self.clip_id}{suffix}"

    def frames(self, indices=None) -> np.ndarray:
        """uint8 (n, S, S, 3) RGB: all frames, or those of ``indices``."""
        return read_video(self._file(".mp4"), indices)

    def audio(self) -> np.ndarray:
        """float32 (n_samples,), 16 kHz."""
        return decode_audio(self._file(".wav"))

    def coefficients(self) -> Coefficients:
        """The fitted 3DMM coefficients, one row a frame. Raises :class:`EmolibError` if the clip was not fitted."""
        path = None if self._fitted is None else self._fitted / f"{self.clip_id}.npz"
        if path is None or not path.is_file():
            raise EmolibError(f"clip {self.clip_id} has no fitted coefficients ({path}); run the stage 02_fitting")
        return Coefficients.load(path)

    def truth(self) -> dict[str, np.ndarray]:
        """What the renderer knew, e.g. 'coefficients' (T, 257), 'landmarks' (T, 68, 2). EmolibError for a real clip."""
        path = self._file(".npz")
        if not path.is_file():
            raise EmolibError(f"clip {self.clip_id} of corpus {self.corpus} has no truth; only rendered clips do")
        with np.load(path) as data:
            return dict(data)


class Corpus:
    """A table of clips; ``select`` narrows it. Use :meth:`open`."""

    def __init__(self, table: pd.DataFrame, root: Path, fitted: Path | None = None):
        self.table, self.root, self._fitted = table.reset_index(drop=True), root, fitted

    @classmethod
    def open(cls, folder: str | Path, coefficients: str | Path | None = None) -> "Corpus":
        """Reads ``folder/clips.parquet``; ``coefficients`` is the folder of fitted ones."""
        folder = Path(folder)
        index = folder / "clips.parquet"
        if not index.is_file():
            raise EmolibError(f"no corpus at {folder} (clips.parquet is missing); run the stage 01_data")
        table = pd.read_parquet(index)
        missing = [c for c in COLUMNS if c not in table]
        if missing:
            raise EmolibError(f"the index {index} lacks the columns {', '.join(missing)}; write it anew")
        return cls(table, folder, Path(coefficients) if coefficients else None)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, i: int) -> Clip:
        return Clip(self.table.iloc[i].to_dict(), self.root, self._fitted)

    def __iter__(self) -> Iterator[Clip]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Corpus({self.root}, {len(self)} clips, {self.table['identity'].nunique()} identities)"

    def fitted(self) -> "Corpus":
        """The clips that have fitted coefficients: the stage 02_fitting sets one aside when no face is found in it."""
        found = [self._fitted is not None and (self._fitted / f"{k}.npz").is_file() for k in self.table["clip_id"]]
        return Corpus(self.table[found], self.root, self._fitted)

    def digest(self) -> str:
        """Changes with any byte of any of these clips: frames, sound, truth, fit, record (see :mod:`emolib.fingerprint`)."""
        lines = []
        for clip in self:
            files = [self.root / f"{clip.clip_id}{suffix}" for suffix in (".mp4", ".wav", ".npz")]
            files += [] if self._fitted is None else [self._fitted / f"{clip.clip_id}.npz"]
            record = {c: str(getattr(clip, c)) for c in COLUMNS}
            lines.append(json.dumps([record, [file_digest(f) if f.is_file() else None for f in files]]))
        return joined(*lines)

    def select(self, **columns) -> "Corpus":
        """Clips whose columns equal a value or are in a list: ``select(split="train", emotion=["happy", "sad"])``."""
        keep = pd.Series(True, index=self.table.index)
        for name, value in columns.items():
            if name not in self.table:
                raise EmolibError(f"a corpus has no column {name}; it has {', '.join(self.table.columns)}")
            keep &= self.table[name].isin([value] if isinstance(value, str | int) else list(value))
        return Corpus(self.table[keep], self.root, self._fitted)


def _checked(record: dict) -> dict:
    """The record with n_frames still open; EmolibError if a field is missing or wrong."""
    lacking = [c for c in COLUMNS if c not in record and c != "n_frames"]
    if lacking:
        raise EmolibError(f"the clip record {record} lacks {', '.join(lacking)}")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", record["clip_id"]):
        raise EmolibError(f"clip_id is {record['clip_id']!r}; expected letters, digits and _ . + - (it names files)")
    if record["split"] not in SPLITS:
        raise EmolibError(f"split is {record['split']!r}; expected one of {', '.join(SPLITS)}")
    if record["emotion"] not in EMOTIONS and record["split"] != "unseen":
        raise EmolibError(f"emotion is {record['emotion']!r}; expected one of {', '.join(EMOTIONS)}")
    if record["intensity"] not in INTENSITIES:
        raise EmolibError(f"intensity is {record['intensity']!r}; expected one of {', '.join(map(str, INTENSITIES))}")
    return {c: record[c] for c in COLUMNS if c != "n_frames"} | {"fps": str(Fraction(record["fps"]))}


def journal(folder: Path) -> Iterator[dict]:
    """The whole lines of a folder's journal, {"fingerprint", "record"}; the one that a killed process did not finish is left out."""
    path = folder / JOURNAL
    for line in path.read_text().splitlines() if path.is_file() else ():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


class CorpusWriter:
    """Writes clips; killed at any moment and started again it keeps the clips that are whole.

        writer = CorpusWriter("data/01_data", fingerprint=stage.fingerprint())
        if clip_id not in writer:
            writer.add({"corpus": "synth", "split": "train", "clip_id": clip_id, ...}, frames, audio, truth)
        corpus = writer.finish()

    fingerprint: identifies the parameters; clips of another one are not kept. Several processes may write (each its own
    writer, different clips) into one folder: a clip counts once its line is in the journal, which is appended last.
    """

    def __init__(self, folder: str | Path, fingerprint: str = ""):
        self.folder, self.fingerprint = Path(folder), fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)
        self._done = self._journal()

    def _journal(self) -> dict[str, dict]:
        records = {}
        for entry in journal(self.folder):
            clip_id = entry["record"]["clip_id"]
            if entry["fingerprint"] == self.fingerprint and (self.folder / f"{clip_id}.mp4").is_file():
                records[clip_id] = entry["record"]
        return records

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._done

    def add(self, record: dict, frames: np.ndarray, audio: np.ndarray, truth: dict | None = None) -> bool:
        """Writes one clip; False if it is already whole.

        record: COLUMNS but n_frames. frames: uint8 (T, S, S, 3), S even. audio: float (n,) at 16 kHz.
        truth: arrays by name.
        """
        record = _checked(record)
        clip_id = record["clip_id"]
        if clip_id in self:
            return False
        if frames.shape[1] % 2 or frames.shape[2] % 2:
            raise EmolibError(f"clip {clip_id} has frames of {frames.shape[2]} x {frames.shape[1]}; sides must be even")
        with VideoWriter(
            self.folder / f"{clip_id}.mp4", Fraction(record["fps"]), (frames.shape[2], frames.shape[1]), lossless=True
        ) as video:
            for frame in frames:
                video.write(frame)
        save_wav(self.folder / f"{clip_id}.wav", audio)
        if truth is not None:
            write_npz(self.folder / f"{clip_id}.npz", truth, compressed=False)
        record["n_frames"] = len(frames)
        line = json.dumps({"fingerprint": self.fingerprint, "record": record}, sort_keys=True)
        with (self.folder / JOURNAL).open("a") as file:
            file.write("\n" * self._torn() + line + "\n")
        self._done[clip_id] = record
        return True

    def _torn(self) -> bool:
        """Whether the journal ends inside a line, which the next one must not continue."""
        path = self.folder / JOURNAL
        return path.is_file() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"

    def finish(self) -> Corpus:
        """Writes the index (ordered by clip_id), removes the files of clips that are not in it, returns the corpus."""
        self._done = self._journal()  # what other processes wrote counts too
        records = [self._done[k] for k in sorted(self._done)]
        if not records:
            raise EmolibError(f"no clips were written to {self.folder}; nothing to index")
        lines = [json.dumps({"fingerprint": self.fingerprint, "record": r}, sort_keys=True) for r in records]
        write_atomic(self.folder / JOURNAL, "\n".join(lines) + "\n")
        table = pd.DataFrame.from_records(records, columns=list(COLUMNS))
        with replacing(self.folder / "clips.parquet") as path:
            table.to_parquet(path, index=False)
        for path in self.folder.iterdir():
            if path.suffix == ".tmp" or (path.suffix in (".mp4", ".wav", ".npz") and path.stem not in self._done):
                path.unlink()
        return Corpus.open(self.folder)
