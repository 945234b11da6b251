"""Makes one small clip and its fit and prints a hash of each part: the same on every machine. ``python tests/one_clip.py FOLDER``"""

import hashlib
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from emolib.corpus.clips import CorpusWriter
from emolib.corpus.fits import fit_corpus
from emolib.face.model import SIZES
from emolib.fingerprint import file_digest
from synthface.synth import ClipSpec, Studio

SPECS = ClipSpec("train", 0, "happy", 2, 0), ClipSpec("train", 1, "surprised", 3, 0)


def arrays_digest(arrays: dict) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def main(folder: Path) -> dict[str, str]:
    plain, strange = Studio(7, 96, 0.6), Studio(7, 96, 0.6, randomise=True)
    record, frames, audio, truth = plain.clip(SPECS[0])
    writer = CorpusWriter(folder / "clips")
    writer.add(record, frames, audio, truth)
    corpus = writer.finish()
    fit_corpus(corpus, folder / "fits", workers=1)
    with np.load(folder / "fits" / f"{corpus[0].clip_id}.npz") as fit:
        fitted = {name: fit[name] for name in (*SIZES, "landmarks", "nme")}
    assert corpus[0].fps == Fraction(25)
    return {
        "frames": arrays_digest({"frames": frames}),
        "sound": arrays_digest({"audio": audio}),
        "truth": arrays_digest(truth),
        "strange": arrays_digest({"frames": strange.clip(SPECS[1])[1]}),
        "mp4": file_digest(folder / "clips" / f"{corpus[0].clip_id}.mp4")[:16],
        "fit": arrays_digest(fitted),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
