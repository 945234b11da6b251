"""Ends that are asked for: Ctrl-C, `kill`, a closed terminal. What is half written is removed on the way out, as after an error."""

import os
import signal
import sys
import threading
from types import FrameType

ASKED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AGAIN = 0.02  # s


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; ``number`` says which."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def _stop(number: int, frame: FrameType | None) -> None:
    if _importing(frame):  # libraries in C++ abort on an exception while they are set up: ask again in a moment
        timer = threading.Timer(AGAIN, os.kill, [os.getpid(), number])
        timer.daemon = True
        timer.start()
        return
    for asked in ASKED:  # a second one must not interrupt the cleaning up
        signal.signal(asked, signal.SIG_IGN)
    raise Stopped(number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def listen() -> None:
    """From here on an end that is asked for is a :class:`Stopped` in the main thread. One that was ignored (nohup) stays so."""
    for asked in ASKED:
        if signal.getsignal(asked) is not signal.SIG_IGN:
            signal.signal(asked, _stop)


def answer(stop: KeyboardInterrupt) -> int:
    """Says that the work ended unfinished; the exit code that shells expect, 128 and the signal's number."""
    said = "" if isinstance(stop, Stopped) else str(stop)
    cause = stop.__context__ if isinstance(stop.__context__, Stopped) else stop
    print(f"emolib: {said or 'stopped; nothing was written'}", file=sys.stderr)
    return 128 + getattr(cause, "number", int(signal.SIGINT))
