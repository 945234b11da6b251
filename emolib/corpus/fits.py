"""The fits of a whole corpus: every clip, side by side in several processes, kept while nothing that they depend on has changed.

First one neutral clip of each identity, then the others with it as prior of identity and albedo.
"""

import csv
import io
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from emolib.corpus.clips import Clip, Corpus
from emolib.errors import EmolibError
from emolib.face.dense import WEIGHTS
from emolib.face.fitting import fit_clip
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.files import write_atomic
from emolib.fingerprint import file_digest, fingerprint, joined

_worker: dict = {}  # the face model of a worker process


def _start_worker() -> None:
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    _worker["limits"] = threadpool_limits(1)
    _worker["model"] = load_face_model()


def _fit_one(clip: Clip, out: Path, known: Path | None, iterations: int, recipe: str) -> tuple[str, str]:
    """Fits one clip into ``out``; returns its id and, if it cannot be fitted, the reason."""
    begin = time.perf_counter()
    try:
        prior = Coefficients.load(known)[:1] if known and known.is_file() else None
        fit = fit_clip(_worker["model"], clip.frames(), iterations=iterations, known=prior)
    except EmolibError as error:
        return clip.clip_id, str(error)
    fit.save(out, recipe=recipe, seconds=time.perf_counter() - begin)
    return clip.clip_id, ""


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


def _is_fitted(path: Path, recipe: str) -> bool:
    if not path.is_file():
        return False
    with np.load(path) as arrays:
        return "recipe" in arrays and str(arrays["recipe"]) == recipe


def fit_corpus(corpus: Corpus, out: str | Path, *, iterations: int = 4, workers: int = 2) -> dict[str, str]:
    """Fits every clip of ``corpus`` into ``out/<clip_id>.npz`` (see :meth:`Fit.save`); returns {clip_id: reason} of those that fail.

    First one neutral clip of each identity, then the others with it as prior. A clip is skipped if it was fitted before from the
    same video, model, code and settings. Failures are listed in ``out/quarantine.csv``.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    recipes = _recipes(load_face_model(), corpus, iterations)  # loading builds the model, once, where it is missing
    todo = [clip for clip in corpus if not _is_fitted(out / f"{clip.clip_id}.npz", recipes[clip.clip_id][0])]
    references = {known for _, known in recipes.values() if known}
    first = [clip for clip in todo if clip.clip_id in references]
    rest = [clip for clip in todo if clip.clip_id not in references]
    failed: dict[str, str] = {}
    if todo:
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_start_worker) as pool,
            tqdm(total=len(todo), desc="fitting", unit="clip") as bar,
        ):
            for clips in (first, rest):
                jobs = []
                for clip in clips:
                    recipe, known = recipes[clip.clip_id]
                    path, prior = out / f"{clip.clip_id}.npz", out / f"{known}.npz" if known else None
                    path.unlink(missing_ok=True)
                    jobs.append(pool.submit(_fit_one, clip, path, prior, iterations, recipe))
                for job in as_completed(jobs):
                    clip_id, reason = job.result()
                    if reason:
                        failed[clip_id] = reason
                    bar.update()
    table = io.StringIO()
    csv.writer(table).writerows([("clip_id", "reason"), *sorted(failed.items())])
    write_atomic(out / "quarantine.csv", table.getvalue())
    return failed
