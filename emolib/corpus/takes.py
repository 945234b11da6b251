"""What a real corpus's folder holds, before anything is decoded: one :class:`Take` a recording."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Take:
    """A recording as its owner packs it.

    emotion, intensity: in the paper's words (:data:`emolib.params.EMOTIONS`, 1..3). video: None for an audio-only take.
    audio: None where the sound is in the video file. text: the sentence, "" where the corpus does not say.
    """

    corpus: str
    clip_id: str
    identity: str
    emotion: str
    intensity: int
    video: Path | None
    audio: Path | None = None
    text: str = ""


def visible_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below ``root`` with one of ``suffixes`` (any case), sorted, hidden ones left out."""
    return sorted(
        p
        for p in root.rglob("*")
        if p.suffix.lower() in suffixes and not any(part.startswith(".") for part in p.relative_to(root).parts)
    )
