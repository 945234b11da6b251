"""A real corpus from its owner's folder to clips: walk, decode, detect, align, crop, resample, write, index.

What cannot be used is listed with its reason in ``quarantine.csv`` beside the index. Works take by take, so memory does not
grow with the corpus; takes already prepared are kept when it is run again.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from emolib.corpus import cremad, mead, ravdess
from emolib.corpus.clips import Corpus, CorpusWriter
from emolib.corpus.takes import Take
from emolib.errors import EmolibError
from emolib.media.audio import load_audio
from emolib.media.video import iter_video, video_info

WALKERS = {"mead": mead.walk, "ravdess": ravdess.walk, "cremad": cremad.walk}
FPS = Fraction(25)
_LFS = b"version https://git-lfs"


def walk(name: str, root: str | Path) -> list[Take]:
    """The takes of corpus ``name`` (a key of WALKERS) below ``root``. EmolibError if there are none."""
    root = Path(root)
    if not str(root) or not root.is_dir():
        raise EmolibError(f"no folder '{root}' for corpus {name}; set data.root to where its owner's files lie")
    takes = WALKERS[name](root)
    if not takes:
        raise EmolibError(f"no {name} recordings below {root}; expected the file names its owner gives them")
    return takes


def split_of(identities: list[str], train: int, test: int, seed: int) -> dict[str, str]:
    """identity -> 'train' or 'test': ``train`` random ones to train, up to ``test`` of the rest to test (Sec. 4.1)."""
    order = np.random.default_rng(seed).permutation(sorted(identities))
    return {i: "train" for i in order[:train]} | {i: "test" for i in order[train : train + test]}


def resampled_indices(n_frames: int, fps: Fraction, target: Fraction = FPS) -> np.ndarray:
    """For each frame at ``target`` fps the frame of the ``fps`` video that is shown at its mid-time."""
    n = int(n_frames * target / fps)
    times = [(Fraction(i) + Fraction(1, 2)) / target for i in range(n)]
    return np.array([min(int(t * fps), n_frames - 1) for t in times], dtype=int)


def aligned_frames(path: Path, size: int) -> np.ndarray:
    """The video's face as uint8 (T, size, size, 3) at 25 fps, one alignment for the clip (median of nine looks)."""
    from emolib.face.landmarks import Alignment, detect

    if path.read_bytes()[: len(_LFS)] == _LFS:
        raise EmolibError(f"{path} is a Git LFS pointer, not a video; run `git lfs pull` in the corpus")
    info = video_info(path)
    indices = resampled_indices(info.n_frames, info.fps)
    looks = set(np.linspace(0, info.n_frames - 1, 9).astype(int).tolist())
    found = []
    for i, frame in enumerate(iter_video(path)):
        if i in looks:
            try:
                found.append(detect(frame)[0].landmarks)
            except EmolibError:
                continue
    if len(found) < 5:
        raise EmolibError(f"a face in only {len(found)} of 9 frames of {path}; expected one in most")
    alignment = Alignment.from_landmarks(np.median(found, axis=0), size)
    crops, counts = [], np.bincount(indices, minlength=info.n_frames)
    for frame, count in zip(iter_video(path), counts):
        crops += [alignment.crop(frame)] * int(count) if count else []
    return np.stack(crops)


def prepare_take(take: Take, split: str, writer: CorpusWriter, size: int) -> None:
    """Writes one take as a clip. EmolibError says why it cannot be used."""
    if take.video is None:
        raise EmolibError(f"{take.clip_id} has sound only; a clip needs a face")
    audio = load_audio(take.audio or take.video)
    frames = aligned_frames(take.video, size)
    record = {"corpus": take.corpus, "split": split, "clip_id": take.clip_id, "identity": take.identity}
    record |= {"emotion": take.emotion, "intensity": take.intensity, "text": take.text, "fps": str(FPS)}
    writer.add(record, frames, audio[: round(len(frames) / float(FPS) * 16000)])


def prepare(
    name: str,
    root: str | Path,
    folder: str | Path,
    *,
    size: int,
    train: int,
    test: int,
    seed: int,
    fingerprint: str = "",
) -> Corpus:
    """Prepares corpus ``name`` from ``root`` into ``folder``; returns it. EmolibError if nothing could be used."""
    takes = walk(name, root)
    split = split_of(sorted({t.identity for t in takes}), train, test, seed)
    takes = [t for t in takes if t.identity in split]
    writer, refused = CorpusWriter(folder, fingerprint), []
    for take in tqdm(takes, desc=f"prepare {name}", mininterval=5):
        if take.clip_id not in writer:
            try:
                prepare_take(take, split[take.identity], writer, size)
            except EmolibError as error:
                refused.append({"clip_id": take.clip_id, "reason": str(error)})
    pd.DataFrame(refused, columns=["clip_id", "reason"]).to_csv(Path(folder) / "quarantine.csv", index=False)
    if len(refused) == len(takes):
        raise EmolibError(f"none of {len(takes)} {name} recordings could be used, e.g. {refused[0]['reason']}")
    return writer.finish()
