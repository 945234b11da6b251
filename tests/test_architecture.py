"""The rooms of the house: no circles, no arrow up, imports inside functions counted."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from emolib.fingerprint import closure, imports, module_file
from emolib.pipeline.stage import project_root

ROOT = project_root(__file__.rsplit("/", 1)[0])
# Floors from the ground up: a room imports only rooms below its own floor. Rooms on one floor know nothing of each other.
FLOORS = [
    {"errors", "files", "emotions", "layers", "compat"},
    {"fingerprint", "weights", "prompts"},
    {"params", "media"},
    {"face"},
    {"metrics", "motion"},
    {"critics"},
    {"ame", "eac", "hef"},
    {"reenact"},
    {"talker", "demo", "corpus"},
    {"train"},
    {"baselines"},
    {"pipeline"},
    {"cli"},
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    for top in ("emolib", "synthface"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def graph() -> dict[str, set[str]]:
    """module -> modules of ours that it imports, anywhere in it."""
    import ast

    found = {}
    for module, path in modules():
        named = {m for m in imports(ast.parse(path.read_text())) if module_file(m) and m != module}
        found[module] = {m for m in named if m not in ("emolib", "synthface")}
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return "synthface" if parts[0] == "synthface" else parts[1] if len(parts) > 1 else "emolib"


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that can reach each other (Tarjan's strongly connected components of more than one node)."""
    import networkx

    whole = networkx.DiGraph([(a, b) for a, bs in edges.items() for b in bs])
    return [sorted(c) for c in networkx.strongly_connected_components(whole) if len(c) > 1]


def test_no_circle_among_modules_nor_among_rooms():
    edges = graph()
    # A package's __init__ imports nothing, so "from package import module" makes no circle through it.
    assert circles(edges) == []
    rooms = defaultdict(set)
    for module, found in edges.items():
        rooms[room(module)] |= {room(m) for m in found} - {room(module)}
    rooms["corpus"].discard("synthface")  # the corpus stage makes clips with it
    rooms["demo"].discard("synthface")
    assert circles(rooms) == []


def test_no_arrow_goes_up():
    up = []
    for module, found in graph().items():
        mine = room(module)
        for other in {room(m) for m in found} - {mine, "synthface", "emolib"}:
            if mine in FLOOR and FLOOR[other] >= FLOOR[mine]:
                up.append(f"{module} -> {other}")
    assert up == []
    assert {room(m) for m, _ in modules()} - {"emolib", "synthface"} == set(FLOOR), "every room has its floor"


def test_synthface_stands_on_the_face_and_media_alone():
    allowed = {"face", "media", "errors", "files"}
    for module, found in graph().items():
        if module.startswith("synthface"):
            assert {room(m) for m in found} - {"synthface"} <= allowed, module
        elif any(m.startswith("synthface") for m in found):
            assert module in ("emolib.corpus.synth", "emolib.demo"), module


def test_talk_loads_no_trainer_and_no_corpus_code():
    code = "import emolib.cli, emolib.talker, sys; emolib.cli.parser(); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    forbidden = (
        "emolib.train",
        "emolib.corpus",
        "emolib.pipeline",
        "emolib.baselines",
        "synthface",
        "accelerate",
        "dvclive",
    )
    assert [m for m in loaded if m.startswith(forbidden)] == []
    assert len([m for m in loaded if m.startswith("emolib")]) < 50


@pytest.mark.parametrize("module", ["emolib.ame", "emolib.eac", "emolib.hef"])
def test_the_systems_know_nothing_of_notebooks_corpora_or_pipelines(module):
    assert not {room(m) for m in closure(module)} & {"pipeline", "corpus", "train", "cli", "params"}


def test_modules_are_short():
    long = {m: n for m, p in modules() if (n := len(p.read_text().splitlines())) > 350}
    assert not long


def main() -> None:
    """Prints the counts: python tests/test_architecture.py"""
    edges, lines = graph(), defaultdict(int)
    for module, path in modules():
        lines[room(module) if Path(path).parent.name != "emolib" else "emolib"] += len(path.read_text().splitlines())
    print(f"{len(edges)} modules, {sum(map(len, edges.values()))} arrows, {len(circles(edges))} circles")
    print(dict(sorted(lines.items(), key=lambda item: -item[1])))
    talk = closure("emolib.talker")
    print(f"talk: {len(talk)} modules, {sum(len(f.read_text().splitlines()) for f in talk.values())} lines")


if __name__ == "__main__":
    main()
