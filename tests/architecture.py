"""The graph of imports of emolib and synthface, read from their syntax trees, imports inside functions included.

    python tests/architecture.py        prints its counts: circles, upward arrows, lines by room, what `talk` loads

A room is a sub-package of emolib (``face.kernels`` is one of its own), a module at its top, or synthface. :data:`LEVELS` has them from
the bottom up; an arrow (an import) goes down, or aside within a level, never up. :data:`ALLOWED` are the arrows that there may be:
whoever needs a new one adds it there, and a test says whether it goes down. An import of a computed name (emolib.corpus.prepare loads the
reader of its corpus so) is not seen.
"""

import ast
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("emolib", "synthface")

LEVELS = [
    level.split()
    for level in (
        "emolib errors fingerprint emotions",
        "files arguments signals",
        "values",
        "params weights compat prompts lexicon",
        "text_head",
        "words",
        "timeline",
        "media",
        "speech",
        "face.kernels",
        "face",
        "synthface",
        "metrics",
        "layers",
        "critics",
        "hearing",
        "sight",
        "ame eac hef motion showing reenact scene teeth tones eyes",
        "pictured",
        "portrait",
        "request",
        "talker",
        "corpus",
        "train",
        "baselines",
        "pipeline",
        "cli demo",
        "__main__",
    )
]

ALLOWED = {
    "emolib": "",
    "errors": "",
    "files": "errors",
    "arguments": "errors",
    "signals": "",
    "fingerprint": "",
    "emotions": "",
    "params": "errors files prompts values",
    "values": "errors files",
    "weights": "errors files",
    "compat": "",
    "prompts": "errors emotions",
    "lexicon": "",
    "text_head": "errors weights",
    "words": "errors prompts lexicon",
    "timeline": "errors arguments words",
    "media": "errors files",
    "speech": "errors weights media",
    "face.kernels": "fingerprint files",
    "face": "errors files weights media face.kernels",
    "synthface": "errors files media face face.kernels",
    "metrics": "errors emotions compat media speech face",
    "layers": "",
    "critics": "errors files emotions weights compat media speech face metrics layers",
    "ame": "errors emotions weights compat prompts text_head critics",
    "hearing": "errors weights media speech layers",
    "eac": "errors emotions weights media speech hearing layers",
    "sight": "face face.kernels layers",
    "hef": "errors weights face layers sight",
    "scene": "media face layers sight",
    "portrait": "media face hef layers sight scene teeth tones eyes",
    "eyes": "face",
    "tones": "",
    "pictured": "media face critics ame eac",
    "motion": "media face",
    "showing": "face",
    "teeth": "face sight",
    "reenact": "emotions media speech face hearing eac",
    "request": "emolib errors files arguments words timeline media face",
    "talker": "errors weights words timeline request media speech face hearing ame eac hef motion showing portrait pictured",
    "corpus": "errors files fingerprint emotions params media speech face synthface critics",
    "train": "errors files fingerprint emotions weights prompts media speech face metrics layers critics hearing ame eac hef reenact sight "
    "corpus",
    "baselines": "errors emotions weights prompts words media speech face layers critics scene request talker corpus train",
    "pipeline": "errors files fingerprint params weights media face metrics critics hearing ame eac hef portrait scene sight reenact "
    "showing request talker corpus train baselines",
    "__main__": "emolib signals cli",
    "cli": "emolib errors files arguments signals params request media face talker corpus baselines demo",
    "demo": "emotions synthface",
}

LIGHT = ("emolib.train", "emolib.corpus", "emolib.pipeline", "emolib.baselines", "synthface", "accelerate", "dvclive")
"""What a video of one's own portrait and voice does without."""

Graph = Mapping[str, set[str]]


def module_files() -> dict[str, Path]:
    """Module -> its file; a package stands for its ``__init__``."""
    files = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            files[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return files


def imported(tree: ast.AST, module: str, is_package: bool, known: Mapping[str, Path]) -> Iterator[str]:
    """The ``known`` modules that ``tree`` of ``module`` names in imports: of ``from a import b`` a.b if it is one, else a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            above = parts[: len(parts) - node.level + is_package] if node.level else []
            source = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                yield from [name for name in (f"{source}.{alias.name}", source) if name in known][:1]


def modules() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    known = module_files()
    return {
        module: set(imported(ast.parse(path.read_text()), module, path.name == "__init__.py", known))
        for module, path in known.items()
    }


def room(module: str) -> str:
    """'emolib.face.kernels.pixel' -> 'face.kernels', 'emolib.eac' -> 'eac', 'synthface.hair' -> 'synthface'."""
    top, *rest = module.split(".")
    if top != "emolib" or not rest:
        return top
    return "face.kernels" if rest[:2] == ["face", "kernels"] else rest[0]


def folder(module: str) -> str:
    """:func:`room`, but for sub-packages within sub-packages, which are their folder's."""
    return room(module).split(".")[0]


def gathered(graph: Graph, place=room) -> dict[str, set[str]]:
    """The graph of rooms (or of what ``place`` makes of a module) behind one of modules, arrows within a room left out."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, targets in graph.items():
        rooms[place(module)] |= {place(target) for target in targets} - {place(module)}
    return dict(rooms)


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    left = list(graph.get(start, ()))
    while left:
        if (node := left.pop()) not in found:
            found.add(node)
            left += graph.get(node, ())
    return found


def circles(graph: Graph) -> list[list[str]]:
    """Every set of nodes that reach each other, and every node that imports itself."""
    reached = {node: _reached(graph, node) for node in graph}
    return sorted(
        {tuple(sorted(m for m in reached[n] if n in reached.get(m, ()))) for n in graph if n in reached[n]}, key=len
    )


def level(name: str) -> int:
    return next(i for i, rooms in enumerate(LEVELS) if name in rooms)


def upward(graph: Graph) -> list[tuple[str, str]]:
    """(from, to) of every arrow between modules that goes up."""
    return sorted((a, b) for a, targets in graph.items() for b in targets if level(room(b)) > level(room(a)))


def lines() -> dict[str, int]:
    """Lines by room, from the bottom up."""
    count: Counter[str] = Counter()
    for module, path in module_files().items():
        count[room(module)] += len(path.read_text().splitlines())
    return {name: count[name] for rooms in LEVELS for name in rooms if name in count}


def loaded(code: str, *arguments: str) -> list[str]:
    """The modules that a fresh Python has loaded once it has run ``code`` (with ``arguments``)."""
    code += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stderr.splitlines()[-1])


def of(names: list[str], *tops: str) -> list[str]:
    """Those of ``names`` that are one of ``tops`` or lie in it."""
    return [name for name in names if any(name == top or name.startswith(f"{top}.") for top in tops)]


def main() -> None:
    graph = modules()
    print(f"{len(graph)} modules, {sum(map(len, graph.values()))} arrows")
    print(f"{len(circles(graph))} circles among modules, {len(circles(gathered(graph, folder)))} among folders")
    print(f"{len(upward(graph))} upward arrows")
    talk = loaded("import emolib.talker, emolib.cli")
    print(
        f"talk loads {len(of(talk, *PACKAGES))} modules of ours of {len(talk)}, {len(of(talk, *LIGHT))} that it should not"
    )
    for name, count in lines().items():
        print(f"{count:6d} lines {name}")


if __name__ == "__main__":
    main()
