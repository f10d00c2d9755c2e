"""Arguments of constructors: by inspection, or read from their source without importing them.

The signature of a constructor is the schema of its section in a recipe. Importing a network, a loss or a method imports
torch, which takes seconds, and its signature stands in the text all the same: catalogues are literal dicts of imported
names, annotations are plain types. So a recipe is checked in a fraction of a second, before anything heavy is loaded.
The tests hold every signature that is read here against the one that ``inspect`` sees.

A class of the user's is read in the same way. Where its text does not say it, as with a dataclass or an annotation from
another package, the class is imported and inspected.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, get_type_hints

from sordino.errors import InputError
from sordino.experiments.module_text import ModuleText, Parameter, Place, Signature, Unreadable, text_of
from sordino.plugins.catalogue import Kind, attribute, target

CATALOGUES: dict[Kind, tuple[str, str]] = {
    "method": ("sordino.distill.methods", "METHODS"),
    "network": ("sordino.models", "MODELS"),
    "loss": ("sordino.losses", "LOSSES"),
    "source": ("sordino.data.sources", "SOURCES"),
}
"""Where the catalogues are whose members take arguments."""
WITHOUT_CONSTRUCTOR = ("Module", "Protocol", "ABC", "object")
"""Bases from other packages that leave a class without arguments."""


def inspected(constructor: Callable[..., Any]) -> Signature:
    """Return the arguments of a constructor, by inspection."""
    # nn.Module's own constructor, which a loss without arguments has, is (*args, **kwargs).
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    hints = get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    return {
        name: Parameter(hints.get(name, Any), parameter.default is inspect.Parameter.empty)
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind not in variadic
    }


@cache
def catalogue(module: str, name: str) -> Mapping[str, Place]:
    """Read a literal dict of imported names: key -> where its value is imported from.

    Args:
        module: of this package, such as ``sordino.models``.
        name: of the dict, such as ``MODELS``.
    """
    text = text_of(module)
    literal = text.values[name]
    if not isinstance(literal, ast.Dict):
        raise TypeError(f"{module}.{name} is no literal dict")
    return {
        ast.literal_eval(key): text.imports.get(value.id, Place(module, value.id)) for key, value in _entries(literal)
    }


def named(kind: Kind, name: str) -> Signature:
    """Read the arguments of a member of a catalogue: sordino's own, an installed package's, or the user's.

    Args:
        kind: whose catalogue.
        name: as ``sordino.plugins.catalogue.target`` takes it.

    Raises:
        InputError: no such name, module or object; or a method that is a function.
    """
    known = catalogue(*CATALOGUES[kind])
    word = target(kind, name, known)
    if word is None:
        return signature(known[name])
    place = Place(*word.split(":"))
    try:
        text = text_of(place.module)
        taken, is_function = signature(place), place.name in text.functions
    except Unreadable:
        found = attribute(word)
        taken, is_function = inspected(found), inspect.isfunction(found)
    if kind == "method" and is_function:
        raise InputError(f"method {name}", "is a function", "a class derived from sordino.distill.base.Method")
    # Of a loss that is a function, the first three arguments are the signals.
    return dict(list(taken.items())[3:]) if kind == "loss" and is_function else taken


def signature(place: Place) -> Signature:
    """Read the arguments of a function or of a constructor; like ``inspected``, but without importing it."""
    place = text_of(place.module).place(place.name)
    return _signature(text_of(place.module), place.name)


@cache
def _signature(text: ModuleText, name: str) -> Signature:
    if name in text.functions:
        return text.parameters(text.functions[name])
    defined = text.defined(name)
    for node in defined.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            own = text.parameters(node)
            return dict(list(own.items())[1:])  # without self
    for base in defined.bases:
        if isinstance(base, ast.Name) and text.reads(text.place(base.id).module):
            return signature(text.place(base.id))
        if not text.in_package and getattr(base, "attr", getattr(base, "id", "")) not in WITHOUT_CONSTRUCTOR:
            raise Unreadable
    if defined.decorator_list and not text.in_package:
        raise Unreadable
    return {}


def _entries(literal: ast.Dict) -> Iterator[tuple[ast.expr, ast.Name]]:
    for key, value in zip(literal.keys, literal.values, strict=True):
        if key is None or not isinstance(value, ast.Name):
            raise TypeError("a catalogue holds names and what they are imported as, nothing else")
        yield key, value
