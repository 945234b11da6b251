"""Files that are whole or not there: written under another name beside their own, then renamed. And where built ones are cached."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """Where built files are kept: ``$EMOLIB_CACHE``, else ``~/.cache/emolib``."""
    return Path(os.environ.get("EMOLIB_CACHE") or Path.home() / ".cache" / "emolib")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which takes ``path``'s place when the block ends well and is removed when it does not.

    The name is no other writer's, be it a process or a thread; the folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Writes ``content`` so that a reader sees the old file or the new one, never half of it; returns the path."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)
