"""``emolib`` and ``python -m emolib``: listens for an end that is asked for before anything that takes time is loaded."""

import sys

from emolib import signals


def main() -> int:
    """Runs the command line; its exit code."""
    try:
        signals.listen()
        from emolib.cli import main as run

        return run()
    except KeyboardInterrupt as stop:
        return signals.answer(stop)


if __name__ == "__main__":
    sys.exit(main())
