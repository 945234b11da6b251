"""The judges that ship: trained once on people, voices and sentences of no corpus (``scripts/train_judges.py``), frozen, known by hash."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from emolib.files import replacing
from emolib.weights import PRETRAINED, sha256, verify

FILES = (
    PRETRAINED / "judges" / "emotion_loss.safetensors",
    PRETRAINED / "judges" / "emotion_efd.safetensors",
    PRETRAINED / "judges" / "sync.safetensors",
    PRETRAINED / "judges" / "clip.safetensors",
    PRETRAINED / "judges" / "manifest.json",
)
NAMES = tuple(path.stem for path in FILES[:-1])


def ship(folder: str | Path) -> None:
    """Copies the judges into ``folder``, where a stage looks for them. Raises :class:`EmolibError` if one is missing or damaged."""
    verify(FILES[0].parent, [path.name for path in FILES[:-1]])
    for path in FILES[:-1]:
        with replacing(Path(folder) / path.name) as temporary:
            shutil.copyfile(path, temporary)


def hashes(folder: str | Path, names: Sequence[str] = NAMES) -> dict[str, str]:
    """Net -> the first eight digits of its sha256, by which tables name it."""
    return {name: sha256(Path(folder) / f"{name}.safetensors")[:8] for name in names}
