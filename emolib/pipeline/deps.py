"""``dvc.yaml`` from the code: what each stage depends on, derived and not remembered.

    python -m emolib.pipeline.deps            says what differs (exit code 1 if anything does)
    python -m emolib.pipeline.deps --write    writes dvc.yaml

A stage's dependencies are its notebook; every module in the import closure of the notebook's cells; the data of the stages that it opens
(``stage.input("NN_name", "variant")``); the shipped weights that this code reads (``PRETRAINED / "name"``, ``stage.released``).
Its parameters are those its cells read: ``stage.params.key`` and ``stage.base.key`` (or of a name assigned from them),
``stage.all.section.key``, ``p.training()`` for all that a training takes, a bare section for all of it. Its outs are what is written below.
"""

import ast
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from emolib.errors import EmolibError
from emolib.files import write_atomic
from emolib.fingerprint import closure, imports
from emolib.params import section_types, trained_by
from emolib.pipeline.release import SOURCES
from emolib.pipeline.stage import project_root

SECTIONS = section_types()
# Matrix stages: one run a variant. Nobody reads the list but DVC, so dropping a variant dirties no other.
VARIANTS = {"04_eac": "eac", "05_hef": "hef"}
CORPUS = "emolib/corpus/${data.corpus}.py"  # the adapter of the corpus in use, which is imported by its name


def cells(notebook: Path) -> ast.Module:
    """The code of a notebook as one syntax tree; lines that only IPython understands are left out."""
    lines = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            lines += [line for line in "".join(cell["source"]).splitlines() if not line.startswith(("%", "!"))]
    return ast.parse("\n".join(lines))


def _chain(node: ast.AST) -> tuple[str, ...]:
    """``a.b.c`` -> ("a", "b", "c"); empty for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _aliases(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Names that stand for ``stage.params`` and the like: name -> chain."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts))
                for name, value in pairs:
                    if isinstance(name, ast.Name) and _chain(value)[:1] == ("stage",):
                        found[name.id] = _chain(value)
    return found


def params_read(tree: ast.Module, section: str) -> list[str]:
    """The parameters that the cells read, e.g. ``base.seed``, sorted."""
    aliases, found = _aliases(tree), set()
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}  # parts of a longer chain
    given = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Assign)}  # an alias reads nothing yet
    given |= {
        id(e)
        for n in ast.walk(tree)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Tuple)
        for e in n.value.elts
    }
    for node in ast.walk(tree):
        chain = _chain(node)
        if not chain or id(node) in inner or isinstance(getattr(node, "ctx", None), ast.Store):
            continue
        chain = (*aliases.get(chain[0], chain[:1]), *chain[1:])
        if chain[:2] == ("stage", "params"):
            chain = (section, *chain[2:])
        elif chain[:2] == ("stage", "base"):
            chain = ("base", *chain[2:])
        elif chain[:2] == ("stage", "all"):
            chain = chain[2:]
        elif chain == ("stage", "face_model"):
            chain = ("base", "face_model")
        else:
            continue
        if not chain or (len(chain) == 1 and id(node) in given):
            continue
        found |= set(_keys(*chain))
    return sorted(found | {"base.face_model"})  # Stage.open reads that one in every stage


def _keys(section: str, key: str = "", *_) -> Iterator[str]:
    if section not in SECTIONS:
        raise EmolibError(f"a notebook reads the parameter section {section!r}; expected one of {', '.join(SECTIONS)}")
    known = [f.name for f in dataclasses.fields(SECTIONS[section])]
    if key == "training":
        yield from (f"{section}.{name}" for name in trained_by(SECTIONS[section]))
    elif key:
        if key not in known:
            raise EmolibError(
                f"a notebook reads {section}.{key}, which is no parameter; {section} has {', '.join(known)}"
            )
        yield f"{section}.{key}"
    else:
        yield from (f"{section}.{name}" for name in known if name != "variants")


def _weights(trees: dict[str, ast.Module]) -> set[str]:
    """The shipped files that a closure reads: ``PRETRAINED / "folder" / "name"``, each part a text or a constant of the module."""
    found = set()
    for tree in trees.values():
        constants = {
            n.targets[0].id: n.value.value
            for n in tree.body
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and isinstance(n.value, ast.Constant)
        }
        divisions = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
        inner = {id(n.left) for n in divisions}
        for node in divisions:
            parts: list[str | None] = []
            left: ast.expr = node
            while id(node) not in inner and isinstance(left, ast.BinOp):
                part = left.right
                known = part.value if isinstance(part, ast.Constant) else constants.get(getattr(part, "id", ""))
                parts.append(known if isinstance(known, str) else None)
                left = left.left
            if parts and _chain(left) == ("PRETRAINED",) and None not in parts:
                found.add("/".join(["data/pretrained", *(part for part in reversed(parts) if part)]))
    return found


def _inputs(tree: ast.Module) -> set[str]:
    """The data of earlier stages: ``stage.input("04_eac", "full")`` -> data/04_eac/full; all variants where it varies."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _chain(node.func) == ("stage", "input"):
            texts = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
            found.add("/".join(["data", *texts]))
        elif _chain(node) == ("stage", "released"):
            found |= {f"data/pretrained/{name}" for name in (*SOURCES, "manifest.json")}
    return {d for d in found if not any(d != other and d.startswith(f"{other}/") for other in found)}


def deps_of(root: Path, notebook: Path) -> list[str]:
    """Everything that the results of a notebook depend on, as paths from ``root``, sorted."""
    tree = cells(notebook)
    files = closure(*imports(tree), "emolib.pipeline.run")
    trees = {module: ast.parse(file.read_text()) for module, file in files.items()}
    found = {str(file.relative_to(root)) for file in files.values()} | _inputs(tree) | _weights(trees)
    if any(module == "emolib.corpus.prepare" for module in files):
        found = {f for f in found if f != "emolib/corpus/synth.py"} | {CORPUS}
    return [f"notebooks/{notebook.name}", *sorted(found)]


def saved(tree: ast.Module) -> list[str]:
    """The tables that the cells save with ``stage.save_table``, in their order."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _chain(n.func) == ("stage", "save_table")]
    names = [call.args[0] for call in sorted(calls, key=lambda c: c.lineno)]
    return [str(name.value) for name in names if isinstance(name, ast.Constant)]


def stage_of(root: Path, notebook: Path) -> dict:
    """The entry of ``dvc.yaml`` for one notebook."""
    name, tree = notebook.stem, cells(notebook)
    variant = "${item.variant}" if name in VARIANTS else ""
    place = f"{name}/{variant}".rstrip("/")
    reports = f"reports/{place}"
    entry: dict = {"matrix": {"variant": f"${{{VARIANTS[name]}.variants}}"}} if name in VARIANTS else {}
    # Curves are an out of what always trains; what trains on demand (judges, where none ship) leaves them beside.
    always = [statement for statement in tree.body if not isinstance(statement, ast.If)]
    calls = {_chain(n.func) for statement in always for n in ast.walk(statement) if isinstance(n, ast.Call)}
    kept = {"cache": False, "persist": True}  # in git; DVC must not remove it before a run that may fail
    plots = [{f"{reports}/figures": kept}] + [{f"{reports}/plots": kept}] * (("stage", "train") in calls)
    tables = [{f"{reports}/{table}.{kind}": kept} for table in saved(tree) for kind in ("csv", "md")]
    measures = {f"{reports}/measures.json": kept}
    return entry | {
        "cmd": f"python -m emolib.pipeline.run {name} {variant}".strip(),
        "deps": deps_of(root, notebook),
        "params": params_read(tree, name.split("_", 1)[1]),
        "outs": [
            {f"data/{place}": {"persist": True}},
            {f"{reports}/{name}.ipynb": {"persist": True}},
            measures,
            *tables,
        ],
        "metrics": [{f"{reports}/metrics.json": kept}],
        "plots": plots,
    }


class _Plain(yaml.SafeDumper):
    """YAML without anchors: the same options are written out wherever they hold."""

    def ignore_aliases(self, data) -> bool:
        return True


def derive(root: Path) -> str:
    """The text of ``dvc.yaml``."""
    stages = {notebook.stem: stage_of(root, notebook) for notebook in sorted((root / "notebooks").glob("*.ipynb"))}
    head = "# Written by `python -m emolib.pipeline.deps --write` from the notebooks and the code they import: do not edit.\n"
    return head + yaml.dump({"stages": stages}, Dumper=_Plain, sort_keys=False, width=140)


def main() -> int:
    root = project_root()
    wanted, path = derive(root), root / "dvc.yaml"
    if "--write" in sys.argv[1:]:
        write_atomic(path, wanted)
        return 0
    if path.read_text() == wanted:
        return 0
    print("dvc.yaml does not follow the code; run `python -m emolib.pipeline.deps --write`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
