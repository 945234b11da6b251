"""The fits of a whole corpus: every clip, side by side in several processes, kept while nothing that they depend on has changed.

First one neutral clip of each identity, then the others with it as prior of identity and albedo.
"""

import contextlib
import csv
import functools
import io
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from emolib.corpus.clips import Clip, Corpus
from emolib.corpus.workers import each
from emolib.errors import EmolibError
from emolib.face.dense import WEIGHTS
from emolib.face.fitting import fit_clip
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.files import write_atomic
from emolib.fingerprint import file_digest, fingerprint, joined

_model = functools.cache(load_face_model)  # once a worker process


def _fit_one(clip: Clip, out: Path, known: Path | None, iterations: int, recipe: str) -> str:
    """Fits one clip into ``out``; returns "", or the reason why it cannot be fitted."""
    begin = time.perf_counter()
    try:
        prior = Coefficients.load(known)[:1] if known and known.is_file() else None
        fit = fit_clip(_model(), clip.frames(), iterations=iterations, known=prior, drawn=clip.corpus == "synth")
    except EmolibError as error:
        return str(error)
    record = {"recipe": recipe, "seconds": time.perf_counter() - begin}
    out.with_suffix(".json").unlink(missing_ok=True)
    fit.save(out)  # nothing in it but the fit, so equal fits are equal files
    write_atomic(out.with_suffix(".json"), json.dumps(record) + "\n")
    return ""


def _recipes(model: FaceModel, corpus: Corpus, iterations: int) -> dict[str, tuple[str, str]]:
    """clip_id -> (fingerprint of all that its fit depends on, clip_id of the neutral clip behind it or "")."""
    arrays = {name: v.cpu().numpy() for name, v in vars(model).items() if isinstance(v, torch.Tensor)}
    arrays["region_face"] = model.regions["face"].cpu().numpy()
    made = fingerprint(__name__, model=arrays, iterations=iterations, dense=WEIGHTS if WEIGHTS.is_file() else None)
    neutral: dict[str, str] = {}
    for clip in corpus:
        if clip.emotion == "neutral":
            neutral.setdefault(clip.identity, clip.clip_id)
    seen = {clip.clip_id: file_digest(clip.root / f"{clip.clip_id}.mp4") for clip in corpus}
    recipes = {}
    for clip in corpus:
        known = neutral.get(clip.identity, "")
        known = "" if known == clip.clip_id else known
        recipes[clip.clip_id] = (joined(made, seen[clip.clip_id], seen.get(known, "")), known)
    return recipes


def fit_record(path: Path) -> dict:
    """What is known of the fit at ``path``: its ``recipe`` and the ``seconds`` it took; empty if it is not whole."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        if path.is_file():
            return json.loads(path.with_suffix(".json").read_text())
    return {}


def fit_corpus(corpus: Corpus, out: str | Path, *, iterations: int = 4, workers: int = 2) -> dict[str, str]:
    """Fits every clip of ``corpus`` into ``out/<clip_id>.npz`` (see :meth:`Fit.save`); returns {clip_id: reason} of those that fail.

    First one neutral clip of each identity, then the others with it as prior. A clip is skipped if it was fitted before from the
    same video, model, code and settings. Failures are listed in ``out/quarantine.csv``.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    recipes = _recipes(load_face_model(), corpus, iterations)  # loading builds the model, once, where it is missing
    todo = [c for c in corpus if fit_record(out / f"{c.clip_id}.npz").get("recipe") != recipes[c.clip_id][0]]
    references = {known for _, known in recipes.values() if known}
    first = [clip for clip in todo if clip.clip_id in references]
    rest = [clip for clip in todo if clip.clip_id not in references]
    failed: dict[str, str] = {}
    with tqdm(total=len(todo), desc="fitting", unit="clip") as bar:
        for clips in (first, rest):
            jobs = []
            for clip in clips:
                recipe, known = recipes[clip.clip_id]
                path, prior = out / f"{clip.clip_id}.npz", out / f"{known}.npz" if known else None
                path.unlink(missing_ok=True)
                jobs.append((clip, path, prior, iterations, recipe))
            for (clip, *_), fault, died in each(_fit_one, jobs, workers=workers):
                if fault or died:
                    failed[clip.clip_id] = str(fault or died)
                bar.update()
    table = io.StringIO()
    csv.writer(table).writerows([("clip_id", "reason"), *sorted(failed.items())])
    write_atomic(out / "quarantine.csv", table.getvalue())
    return failed
