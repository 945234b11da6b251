"""One value of a parameter file: what it may be (metadata of a dataclass field), whether it is, and the file's reading."""

import contextlib
import difflib
import typing
from dataclasses import field
from pathlib import Path

import yaml

from emolib.errors import EmolibError
from emolib.files import read_text


def number(default, low, high, doc, scoring=False, step=1):
    """A field of ``low`` to ``high``, a whole one a multiple of ``step``. scoring: the parameter is for what is measured on
    finished weights; they do not depend on it."""
    return field(default=default, metadata={"low": low, "high": high, "doc": doc, "scoring": scoring, "step": step})


def choice(default, choices, doc, scoring=False):
    """A field that is one of ``choices``. scoring: as of :func:`number`."""
    return field(default=default, metadata={"choices": tuple(choices), "doc": doc, "scoring": scoring})


def text(default, doc):
    """A field that is any text."""
    return field(default=default, metadata={"doc": doc})


def texts(default, doc, **checks):
    """A field that is a list of texts. checks: ``choices`` and ``needed``, what may and what must be among them; ``gap``: each holds
    the gap ``{}`` once."""
    return field(default_factory=lambda: tuple(default), metadata={"doc": doc} | checks)


def closest(name: str, known) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def checked(name: str, value, kind, metadata):
    """``value`` converted to ``kind`` and checked against ``metadata``, or an :class:`EmolibError` that names it."""
    if typing.get_origin(kind) is tuple:
        return _checked_texts(name, value, metadata)
    if kind is float and isinstance(value, str):  # YAML 1.1 takes 2e-4, without a point, for a text
        with contextlib.suppress(ValueError):
            value = float(value)
    right: tuple[type, ...] = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}[kind]
    if not isinstance(value, right) or (isinstance(value, bool) and kind is not bool):
        raise EmolibError(f"parameter {name} is {value!r}; expected a value of type {kind.__name__}")
    if "choices" in metadata and value not in metadata["choices"]:
        raise EmolibError(f"parameter {name} is {value!r}; expected one of {', '.join(map(str, metadata['choices']))}")
    if "low" in metadata and not metadata["low"] <= value <= metadata["high"]:
        raise EmolibError(f"parameter {name} is {value}; expected {metadata['low']} to {metadata['high']}")
    if kind is int and value % metadata.get("step", 1):
        raise EmolibError(f"parameter {name} is {value}; expected a multiple of {metadata['step']}")
    return kind(value)


def _checked_texts(name: str, value, metadata) -> tuple[str, ...]:
    """The same for a list of texts, each once."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value) or not value:
        raise EmolibError(f"parameter {name} is {value!r}; expected a non-empty list of texts")
    if len(set(value)) < len(value):
        raise EmolibError(f"parameter {name} is {value!r}; expected each text once")
    choices, needed = metadata.get("choices"), metadata.get("needed", ())
    for text in value:
        if choices and text not in choices:
            near = closest(text, choices)
            raise EmolibError(f"parameter {name} names {text!r}{near}; expected some of {', '.join(choices)}")
        if metadata.get("gap") and not (text.count("{}") == 1 and not set("{}") & set(text.replace("{}", ""))):
            raise EmolibError(f"parameter {name} has {text!r}; expected the gap {{}} once, where the adjective goes")
    if missing := [text for text in needed if text not in value]:
        raise EmolibError(f"parameter {name} lacks {', '.join(missing)}, which later stages compare; add it")
    return tuple(value)


def read_yaml(path: Path):
    """What a YAML file says, plain data only. :class:`EmolibError` for a file that cannot be read, in one sentence."""
    text = read_text(path, "parameter file", "run from the project's root or write one with --write")
    try:
        values = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise EmolibError(f"{path} is not valid YAML: {said}; mend it or write it anew") from None
    return values


class _Loader(yaml.SafeLoader):
    """Safe, and a key that stands twice is refused, not overwritten."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)
