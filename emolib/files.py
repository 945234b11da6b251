"""Files that are whole or not there: written under another name beside their own, then renamed. What may be read, and written over.

A path that is a link is followed: the file it leads to is read or replaced. And where built files are cached.
"""

import contextlib
import errno
import functools
import os
import platform
import stat
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from emolib.errors import EmolibError

LONGEST_NAME = 255  # bytes of a file's name, on all usual file systems
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
_HERE = f"{zlib.crc32(platform.node().encode()):08x}"  # this machine, in the names of temporary files


def cache_folder() -> Path:
    """Where built files are kept: ``$EMOLIB_CACHE``, else ``~/.cache/emolib``."""
    return Path(os.environ.get("EMOLIB_CACHE") or Path.home() / ".cache" / "emolib")


def check_input(path: str | Path, what: str, advice: str) -> Path:
    """``path`` as a file that can be read and is not empty; else :class:`EmolibError`, "no ``what`` at ...; ``advice``"."""
    path = Path(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise EmolibError(f"no {what} at {path}; {advice}") from None
    except (OSError, ValueError) as error:  # a closed folder, a name too long, a null character
        why = getattr(error, "strerror", None) or error
        raise EmolibError(f"no {what} can be read at {_short(path)} ({why}); {advice}") from None
    if stat.S_ISDIR(status.st_mode):
        raise EmolibError(f"no {what} at {path}, which is a folder; {advice}")
    if not stat.S_ISREG(status.st_mode):
        raise EmolibError(f"no {what} at {path}, which is a device or a pipe; {advice}")
    if not os.access(path, os.R_OK):
        raise EmolibError(f"the {what} {path} may not be read; change its permissions")
    if not status.st_size:
        raise EmolibError(f"the {what} {path} is empty (0 bytes); {advice}")
    return path


def read_text(path: str | Path, what: str, advice: str) -> str:
    """A UTF-8 file's text; refusals as of :func:`check_input`."""
    path = check_input(path, what, advice)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise EmolibError(f"the {what} {path} is not a text in UTF-8; {advice}") from None


def check_output(path: str | Path, endings: Iterable[str] = (), inputs: Iterable[object] = ()) -> Path:
    """``path``, or :class:`EmolibError` if no file can or should be written there. Creates nothing.

    endings: those it may have (lower case; any case matches). inputs: what the work reads; paths among them may not be written over.
    """
    path = Path(path)
    endings = tuple(endings)
    if endings and path.suffix.lower() not in endings:
        raise EmolibError(f"the output {_short(path)} does not end in {' or '.join(endings)}; give it such a name")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise EmolibError(
            f"the output's name {_short(path)} has {len(os.fsencode(path.name))} bytes; expected at most {LONGEST_NAME}"
        )
    if os.path.isdir(path):
        raise EmolibError(f"the output {path} is a folder; give the name of a file in it")
    real = _real(path)
    if os.path.exists(real) and not os.path.isfile(real):
        raise EmolibError(f"the output {path} is a device or a pipe; give the name of a file")
    for source in inputs:
        if isinstance(source, str | Path) and _same(real, source):
            raise EmolibError(f"the output {path} is the input {source}, which it would replace; choose another output")
    folder = real.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise EmolibError(f"cannot write {path}: {folder} is not a folder that can be written; choose another output")
    return path


def _short(path: Path) -> str:
    """The path, long names cut."""
    text = str(path)
    return text if len(text) <= 120 else f"{text[:60]}...{text[-40:]}"


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a null character
        raise EmolibError(f"no file can have the name {str(path)!r}; choose another output") from None


def _same(real: Path, source: str | Path) -> bool:
    try:
        return os.path.samefile(real, source)  # hard links too
    except (OSError, ValueError):
        return real == Path(os.path.realpath(source)) if "\0" not in str(source) else False


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which takes ``path``'s place when the block ends well and is removed when it does not.

    The name is no other writer's, be it a process or a thread; the folder is made if need be. What dead processes of this machine left
    there is removed. Raises :class:`EmolibError` if the disk is full.
    """
    path = _real(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent, os.getpid())
    stem = os.fsencode(path.name)[:100].decode(errors="ignore")
    temporary = path.with_name(f".{stem}.{_HERE}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in FULL:
            raise EmolibError(
                f"cannot write {path}: {error.strerror}; free some space or choose another output"
            ) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@functools.lru_cache(maxsize=256)
def _sweep(folder: Path, own: int) -> None:
    """Removes what killed processes of this machine left in a folder; once a process (``own``, its number) and folder."""
    if os.name != "posix":  # elsewhere asking for a process may end it
        return
    for left in folder.glob(f".*.{_HERE}-*-*.tmp"):
        number = left.name.rsplit("-", 2)[1]
        if number.isdecimal() and not _alive(int(number)):
            left.unlink(missing_ok=True)


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Writes ``content`` so that a reader sees the old file or the new one, never half of it; returns the path."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)
