"""Which converter HEF learns with, the tables call ours and people use: the one that ships, of ``make converter``, or stage 04's own."""

import json
from pathlib import Path

from emolib.errors import EmolibError
from emolib.weights import PRETRAINED, verify

FILES = (PRETRAINED / "converter" / "eac.safetensors", PRETRAINED / "converter" / "manifest.json")


def converter_file(choice: str, trained: Path) -> Path:
    """The weights for ``eac.converter``: those that ship, or eac.safetensors in ``trained``, the folder of 04's full variant.

    Raises :class:`EmolibError` if what ships is missing or damaged, or for another choice.
    """
    if choice == "trained":
        return trained / "eac.safetensors"
    if choice != "shipped":
        raise EmolibError(f"eac.converter is '{choice}'; expected shipped or trained")
    verify(FILES[0].parent, [FILES[0].name])
    return FILES[0]


def measured() -> dict[str, float]:
    """What ``make converter`` measured when it made the one that ships, natural voices and the milliseconds of a step among it."""
    return json.loads(FILES[1].read_text())["measured"]
