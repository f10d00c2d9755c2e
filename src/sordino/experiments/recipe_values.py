"""Values out of YAML, converted to the types that a constructor's signature asks for; every error is collected."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser

from sordino.errors import InputError, did_you_mean, written
from sordino.experiments.signatures import Signature, inspected

T = TypeVar("T")

_EXACT = 2**53
"""Below it, every integer is a floating-point number of its own."""
_WORDS = {
    Any: "a value",
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    NoneType: "null",
}
_COUNTS = {2: "two", 3: "three"}


def construct(where: str, constructor: Callable[..., T], values: Mapping[str, Any], errors: list[str]) -> T | None:
    """Convert ``values`` and call ``constructor`` with them.

    Args:
        where: key of the section, for messages.
        constructor: a class with typed arguments; an InputError of its own is collected too.
        values: its arguments, as YAML gave them.
        errors: what is wrong joins them.

    Returns:
        None if anything was wrong.
    """
    before = len(errors)
    converted = arguments(where, inspected(constructor), values, errors)
    if len(errors) > before:
        return None
    try:
        return constructor(**converted)
    except InputError as error:
        key = error.where if error.where.startswith(f"{where}.") else where
        errors.append(str(InputError(key or error.where, error.found, error.expected, error.hint)))
        return None


def arguments(where: str, signature: Signature, values: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    """Convert ``values`` to the types of ``signature``.

    Args:
        where: key of the section, for messages; empty at the top of a file.
        signature: what may be given, and what must be.
        values: as YAML gave them.
        errors: unknown and missing keys, and values of another type, join them.

    Returns:
        The converted values of the keys that are known.
    """
    prefix = f"{where}." if where else ""
    errors += [unknown(f"{prefix}{key}", signature, str(key)) for key in values if key not in signature]
    for key, parameter in signature.items():
        if parameter.required and key not in values:
            errors.append(f"{prefix}{key}: missing; expected {_in_words(parameter.kind)}")
    converted = {}
    for key, given in values.items():
        if key in signature:
            converted[key] = value(f"{prefix}{key}", given, signature[key].kind, errors)
    return converted


def value(key: str, given: Any, kind: Any, errors: list[str]) -> Any:
    """Convert one value to the type ``kind``; None if it is of another, which joins ``errors``.

    A group of values whose type is a dataclass stays a mapping, which a recipe can be written with.
    """
    kinds = (kind, *get_args(kind))
    if given is None and (type(None) in kinds or kind is Any):
        return None
    if isinstance(given, Mapping):
        for group in kinds:
            if inspect.isclass(group) and is_dataclass(group):
                return arguments(key, inspected(group), given, errors)
    no_number_but_int = int in kinds and float not in kinds and str not in kinds
    if no_number_but_int and isinstance(given, float | str):
        given = _whole(given)
    try:
        if given is not None:  # which the parser takes for left out
            return _parser(kind).parse_object({"value": given}).value
    except (ArgumentError, OverflowError):  # the latter for a whole number that no float holds
        pass
    errors.append(f"{key}: {written(given)}; expected {_expected(kind)}")
    return None


def _expected(kind: Any) -> str:
    """The end of a message on a value of another type: the words among which it chooses, or the type in words."""
    choices = []
    for part in (kind, *get_args(kind)):
        if get_origin(part) is Literal:
            choices += get_args(part)
    if not choices:
        return _in_words(kind)
    listed = ", ".join(map(str, choices))
    if get_origin(kind) in (list, tuple):
        return f"a list out of {listed}"
    return f"one of {listed}"


def _whole(given: float | str) -> Any:
    """Return the integer that a number such as ``1e3``, which YAML takes for a text, or 2.0 states; others as given."""
    try:
        number = float(given)
    except ValueError:
        return given
    if number.is_integer() and abs(number) < _EXACT:
        return int(number)
    return given


def unknown(key: str, names: Iterable[Any], tried: str | None = None) -> str:
    """The message for a key that does not exist, with the nearest one that does.

    Args:
        key: where it was met.
        names: those that exist.
        tried: what was written; ``key`` when left out.
    """
    known = [str(name) for name in names]
    hint = did_you_mean(tried or key, known) or f"there are {', '.join(known) or 'none'}"
    return f"{key}: no such key; {hint}"


@cache
def _parser(kind: Any) -> ArgumentParser:
    """Parser that converts values to one type; made once for each."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    return parser


def _in_words(kind: Any) -> str:
    """A type in the words of a recipe's reader."""
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if kind in _WORDS:
        return _WORDS[kind]
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_in_words, parts)))
    if origin is tuple and len(parts) in _COUNTS and set(parts) <= {int, float}:
        numbers = "numbers" if float in parts else "whole numbers"
        return f"{_COUNTS[len(parts)]} {numbers}, such as {[20 * place for place in range(len(parts))]}"
    if inspect.isclass(origin) and (is_dataclass(origin) or issubclass(origin, Mapping)):
        return "a section"
    if inspect.isclass(origin) and issubclass(origin, Path):
        return "a path"
    return "a list" if inspect.isclass(origin) and issubclass(origin, Sequence) else str(kind)
