"""JSON files, whose content is checked against the type that the reader expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from sordino.errors import InputError
from sordino.files import read_text, write_text

DEEPEST = 64
"""Lists inside lists that are read."""
T = TypeVar("T")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is an error, as JSON has no such value."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path, kind: type[T], expected: str, hint: str = "") -> T:
    """Read JSON of a known shape; NaN is an error, as in ``write_json``.

    Args:
        path: of the file.
        kind: what it holds; see ``fits``.
        expected: its name, without an article.
        hint: for the message.

    Raises:
        InputError: it is no JSON, or holds something else.
        OSError: it cannot be opened.
    """
    value = parse_json(path, read_text(path), expected, hint)
    if not fits(value, kind):
        raise InputError(path, f"is no {expected}", hint=hint)
    return value


def parse_json(where: object, text: str, expected: str, hint: str = "", finite: bool = True) -> Any:
    """Parse JSON; ``where`` names it in an error, and NaN is one unless ``finite`` is False. Errors as above."""
    try:
        value = json.loads(text, parse_constant=_no_number if finite else None)
        if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
            raise ValueError(f"more than {DEEPEST} lists inside each other")
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"not readable as JSON ({error})", f"the {expected}", hint) from error
    return value


def fits(value: Any, kind: Any) -> bool:
    """Tell whether plain values have a type: numbers, texts, lists, tuples, unions, mappings, and classes with fields.

    A class with fields, such as a TypedDict or a dataclass, stands for a mapping that has these and no others but
    those that have a default. A float may be whole; neither kind of number is a bool.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is list:
        return isinstance(value, list) and all(fits(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, inner[1]) for one in value.values())
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(inner) and all(map(fits, value, inner))
    if origin is Literal:
        return value in inner
    if inner:
        return any(fits(value, one) for one in inner)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and abs(value) < 2**63
    if isinstance(kind, type) and kind not in (dict, list):
        fields = get_type_hints(kind)
        if fields:
            return _fits_fields(value, kind, fields)
    return isinstance(value, kind)


def _fits_fields(value: Any, kind: type, fields: dict[str, Any]) -> bool:
    """Tell whether a value is a mapping that has the fields of a class and no others but those that have a default."""
    if not isinstance(value, dict):
        return False
    needed = {name for name in fields if not hasattr(kind, name)}
    if not needed <= value.keys() <= fields.keys():
        return False
    return all(fits(value[name], fields[name]) for name in value)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _is_deep(value: Any) -> bool:
    """Return whether lists and mappings are nested deeper than ``DEEPEST``."""
    level = [value]
    for _ in range(DEEPEST):
        below = []
        for holder in level:
            if isinstance(holder, dict):
                below += holder.values()
            elif isinstance(holder, list):
                below += holder
        level = below
    return any(isinstance(one, dict | list) for one in level)
