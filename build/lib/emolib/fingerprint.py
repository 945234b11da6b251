"""One answer to "is what is kept still true?": for corpus clips, fits and trained weights alike.

A fingerprint is a hash of

- the values that were read (numbers, texts, names),
- the bytes of the files that went in (a :class:`pathlib.Path` stands for its content, an object with ``digest()`` says its own),
- the code that made the thing: every module of ours in the import closure of its maker, imports inside functions included, as syntax
  trees without docstrings and without the types of arguments (comments and layout are no part of a tree),
- the versions of those libraries of :data:`VERSIONED` that this code imports.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

PACKAGES = ("emolib", "synthface")
VERSIONED = {"torch": "torch", "numba": "numba", "espeakng_loader": "espeakng-loader"}  # module -> distribution


def module_file(module: str) -> Path | None:
    """The file of a module of ours (a package: its ``__init__.py``), without importing it; None for anything else."""
    top, *rest = module.split(".")
    if top not in PACKAGES or (spec := importlib.util.find_spec(top)) is None:
        return None
    path = Path(spec.origin).parent.joinpath(*rest)
    found = [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    return found[0] if found else None


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that ``tree`` imports, anywhere in it. Of ``from a import b`` both a and, if it is one of ours, a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if module_file(f"{node.module}.{alias.name}")
            )


@functools.cache
def _tree(file: Path, changed: float) -> ast.Module:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # a text that stands alone is a docstring, wherever it stands
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _read(file: Path) -> ast.Module:
    return _tree(file, file.stat().st_mtime_ns)


def closure(*modules: str) -> dict[str, Path]:
    """Module -> file of ``modules`` and of all of ours that they import, directly or not, in alphabetical order."""
    found, left = {}, list(modules)
    while left:
        module = left.pop()
        file = module_file(module)
        if file is None or module in found:
            continue
        found[module] = file
        left += imports(_read(file))
        left += [module.rpartition(".")[0]] if "." in module else []  # its package's __init__ runs first
    return dict(sorted(found.items()))


def code(*modules: str) -> str:
    """Hash of the code in the closure of ``modules`` and of the versions of the libraries it needs."""
    digest, libraries = hashlib.sha256(), set()
    for module, file in closure(*modules).items():
        tree = _read(file)
        libraries |= {name.split(".")[0] for name in imports(tree)} & set(VERSIONED)
        digest.update(f"{module}\n{ast.dump(tree)}\n".encode())
    for name in sorted(libraries):
        digest.update(f"{name} {importlib.metadata.version(VERSIONED[name])}\n".encode())
    return digest.hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Hash of a file's bytes, or of a folder's files with their names."""
    path = Path(path)
    if path.is_dir():
        parts = [(str(p.relative_to(path)), file_digest(p)) for p in sorted(path.rglob("*")) if p.is_file()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value):
    """``value`` as what JSON can say, files and arrays by their content."""
    if isinstance(value, Path):
        return {"bytes": file_digest(value)}
    if hasattr(value, "digest"):
        return {"digest": value.digest()}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(), "shape": list(value.shape)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a fingerprint cannot hold {type(value).__name__}; give numbers, texts, paths or arrays")


def fingerprint(made_by: str | Sequence[str], **inputs) -> str:
    """16 hex digits that change when an input, or the code in the closure of the module(s) ``made_by``, does."""
    modules = [made_by] if isinstance(made_by, str) else list(made_by)
    said = json.dumps(_plain(inputs), sort_keys=True)
    return hashlib.sha256(f"{code(*modules)}\n{said}".encode()).hexdigest()[:16]


def joined(*parts: str) -> str:
    """One fingerprint of several, or of digests."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
