"""How much memory processes have held."""

import sys

try:
    import resource
except ImportError:  # Windows does not say
    resource = None  # type: ignore[assignment]

BYTES = 1 if sys.platform == "darwin" else 1024  # of one unit of ru_maxrss


def peak_memory(children: bool = False) -> float:
    """The most memory that this process has held, bytes; nan if unknown. children: or the largest of those that have ended."""
    if resource is None:
        return float("nan")
    asked = [resource.RUSAGE_SELF, *([resource.RUSAGE_CHILDREN] if children else [])]
    return float(max(resource.getrusage(who).ru_maxrss for who in asked) * BYTES)
