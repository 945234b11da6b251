"""A corpus of four tiny clips with fits, and every training of the pipeline on it, one step each: for tests of what depends on what."""

import functools
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from emolib.baselines.ecg.train_content import ContentTraining
from emolib.baselines.ecg.train_landmarks import LandmarksTraining
from emolib.baselines.ecg.train_texture import TextureTraining
from emolib.corpus.clips import Corpus, CorpusWriter
from emolib.corpus.fits import fit_corpus
from emolib.face.loaders import default_path
from emolib.params import Eac, Hef
from emolib.prompts import TEMPLATES
from emolib.train.ame import ClipTraining
from emolib.train.eac import EacTraining
from emolib.train.emotion import EmotionTraining
from emolib.train.hef import HefTraining
from emolib.train.loop import train
from emolib.train.sync import SyncTraining
from synthface.synth import ClipSpec, Studio

SIZE = 64
SPECS = [ClipSpec("train", person, emotion, 2, 0) for person in (0, 1) for emotion in ("happy", "sad")]
SMALL = {"batch_size": 4, "frames": 8, "dim": 16, "depth": 1, "renders": 2, "render_size": 48, "steps": 1, "keys": 2}
TRAININGS = ("emotion_loss", "emotion_efd", "sync", "clip", "eac", "hef", "content", "landmarks", "texture")
EVERY = (*TRAININGS, "hef_paper")  # whose last flow head has no gradient


@functools.cache
def filmed() -> Studio:
    return Studio(7, SIZE, 0.72)


def build(folder: Path) -> Path:
    """Clips and fits in ``folder``/clips and /fits."""
    writer = CorpusWriter(folder / "clips", "toy")
    for spec in SPECS:
        writer.add(*filmed().clip(spec))
    fit(folder, writer.finish())
    return folder


def fit(folder: Path, corpus: Corpus | None = None, iterations: int = 2) -> None:
    corpus = corpus or Corpus.open(folder / "clips")
    fit_corpus(corpus, folder / "fits", iterations=iterations, workers=1)


def copied(built: Path, folder: Path) -> Path:
    shutil.copytree(built, folder, dirs_exist_ok=True)
    return folder


def trainings(folder: Path, steps: int = 1):
    """(name, a function that makes the training), in the order of the pipeline; later ones read earlier ones' weights."""
    films = Corpus.open(folder / "clips")
    fits = Corpus.open(folder / "clips", folder / "fits")
    weights, face = folder / "weights", default_path()
    shared = {"steps": steps, "seed": 3}
    frames = shared | {
        "corpus": fits,
        "face_model": face,
        "batch_size": 4,
        "lr": 1e-3,
        "frames_per_clip": 2,
        "cache_mb": 64,
    }
    yield "emotion_loss", lambda: EmotionTraining(kind="loss", **frames)
    yield "emotion_efd", lambda: EmotionTraining(kind="efd", **frames)
    yield "sync", lambda: SyncTraining(corpus=films, batch_size=16, lr=1e-3, cache_mb=64, **shared)
    yield "clip", lambda: ClipTraining(templates=TEMPLATES, **frames)
    towers = {"ame": weights / "clip.safetensors", "face_model": face, "corpus": fits, "seed": 3, "variant": "full"}
    yield (
        "eac",
        lambda: EacTraining(
            phi_emo=weights / "emotion_loss.safetensors", **towers, **Eac(**SMALL | {"steps": steps}).training()
        ),
    )
    widths = Hef(steps=steps, batch_size=2, channels=256, channels_max=16, precision="no").training()
    made_for = towers | {"eac": weights / "eac.safetensors", "size": SIZE}
    yield "hef", lambda: HefTraining(**made_for, **widths)
    yield "hef_paper", lambda: HefTraining(**made_for, **widths | {"detail": False, "mesh_motion": False})
    yield "content", lambda: ContentTraining(count=4, batch_size=2, **shared)
    ecg = shared | {"corpus": fits, "face_model": face, "lr": 1e-3, "batch_size": 4}
    content = weights / "content.safetensors"
    yield "landmarks", lambda: LandmarksTraining(content=content, lambda_ver=1.0, lambda_gan=0.5, **ecg)
    terms = {"lambda_rec": 1.0, "lambda_per": 10.0, "lambda_adv": 1.0}
    looks = {"width": 8, "landmark_motion": True, "frames_per_clip": 2, "net": "squeeze"}
    yield "texture", lambda: TextureTraining(**looks, **terms, **ecg)


def run(folder: Path, only: tuple[str, ...] = TRAININGS, steps: int = 1, **options) -> dict[str, int]:
    """Every training (or ``only`` some), and how many steps each made."""
    made = {}
    for name, training in trainings(folder, steps):
        if name in only:
            places = {"checkpoints": folder / "checkpoints" / name, "device": "cpu"}
            made[name] = train(training(), folder / "weights" / f"{name}.safetensors", **places, **options).steps
    return made


def together(folder: str, steps: str) -> None:
    """All trainings as one of several processes that share each batch: ``torchrun tests/toy.py FOLDER STEPS``."""
    dist.init_process_group("gloo")
    run(Path(folder), EVERY, int(steps), log_every=1)
    dist.destroy_process_group()


def all_again(folder: str, steps: str) -> None:
    """Fits and all trainings, in a process that somebody may kill: ``python tests/toy.py --alone FOLDER STEPS``."""
    torch.set_num_threads(1)
    fit(Path(folder))
    run(Path(folder), steps=int(steps), checkpoint_every=2, log_every=1)


if __name__ == "__main__":
    all_again(*sys.argv[2:]) if sys.argv[1] == "--alone" else together(*sys.argv[1:])
