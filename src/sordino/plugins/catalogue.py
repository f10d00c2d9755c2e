"""Names in catalogues: the only place that says what a method, a network, a loss, a metric or a source is called.

A name is one of sordino's own, one that an installed package adds by an entry point, or ``package.module:Class``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from traceback import walk_tb
from typing import Any, Literal

from sordino.errors import InputError, did_you_mean
from sordino.plugins.import_string import FORM, is_name
from sordino.plugins.modules import demand, load

Kind = Literal["method", "network", "loss", "metric", "source"]
KINDS: dict[Kind, str] = {
    "method": "sordino.methods",
    "network": "sordino.models",
    "loss": "sordino.losses",
    "metric": "sordino.metrics",
    "source": "sordino.sources",
}
"""What has a catalogue -> the group of entry points that add to it."""


def target(kind: Kind, name: str, known: Collection[str]) -> str | None:
    """Return what a name stands for, without importing it.

    Args:
        kind: whose catalogue.
        name: one of ``known``, that of an entry point, or ``package.module:Class``.
        known: the names of sordino's own; they win over entry points.

    Returns:
        ``package.module:Class``; None for one of sordino's own.

    Raises:
        InputError: no such name; the nearest one is given.
    """
    added = added_names()[kind]
    if name in known:
        if name in added:
            warnings.warn(f"{kind} {name}: sordino's own is used, not {added[name].value}", stacklevel=2)
        return None
    if name in added:
        return added[name].value
    if is_name(name):
        return name
    names = [*known, *added]
    hint = did_you_mean(name, names)
    expected = "" if hint else f"one of {', '.join(names)}, or package.module:Class"
    raise InputError(f"{kind} {name}", f"no such {kind}", expected, hint)


def find(kind: Kind, name: str, known: Mapping[str, Any], suits: Callable[[Any], bool], expected: str) -> Any:
    """Return the member of a catalogue that the user named.

    Args:
        kind, name: as for ``target``.
        known: the catalogue.
        suits: whether an object from outside can stand in the catalogue.
        expected: what such an object is, for the message.

    Raises:
        InputError: no such name, module or object, or one that does not suit.
    """
    word = target(kind, name, known)
    if word is None:
        return known[name]
    member = attribute(word)
    if not suits(member):
        raise InputError(f"{kind} {name}", f"is {_described(member)}", expected)
    return member


def made(where: str, constructor: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call the constructor of a member.

    Raises:
        InputError: it has no such arguments, or lacks some; it refuses them by a ValueError, which becomes one line
            about ``where``; or it is the user's and raises something else, or leaves out the constructor of its base.
    """
    try:
        inspect.signature(constructor).bind(**arguments)
    except TypeError as error:
        raise InputError(where, str(error)) from error
    try:
        with outside(constructor, ValueError):
            member = constructor(**arguments)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(where, str(error)) from error
    # Of a torch module without it, every use would fail with an error about something else.
    if hasattr(type(member), "register_module") and "_modules" not in vars(member):
        raise InputError(where, "its constructor does not call super().__init__()", hint="let it do so first")
    return member


def is_known(kind: Kind, name: str, known: Collection[str]) -> bool:
    """Return whether a name is one of sordino's own or that of an entry point."""
    return name in known or name in added_names()[kind]


def stored(kind: Kind, name: str, known: Collection[str], where: object) -> None:
    """Refuse a name that a file holds, if it stands for code that neither is installed as a plugin nor was named.

    Raises:
        InputError: no such name, or code that only the file names.
    """
    try:
        word = target(kind, name, known)
    except InputError as error:
        found = f"names a {kind} {name}, which neither sordino nor an installed package has"
        raise InputError(where, found, hint=error.hint or "install the package that adds it") from error
    if word is not None and word not in {one.value for one in added_names()[kind].values()}:
        demand(word, where)


def attribute(word: str) -> Any:
    """Import the object that ``package.module:object`` names; an error inside its module keeps its traceback.

    Raises:
        InputError: not of that form, no such module, or nothing of that name in it.
    """
    if not is_name(word):
        raise InputError(word, "names no function", FORM)
    module, _, name = word.partition(":")
    holder = load(module)
    try:
        return attrgetter(name)(holder)
    except AttributeError as error:
        raise InputError(word, f"{module} has no {name}", FORM, did_you_mean(name, vars(holder))) from error


def function(word: str) -> Callable[..., Any]:
    """Import a function by its name, ``package.module:function`` or ``package.module:object.method``.

    Raises:
        InputError: as ``attribute`` does, or nothing that can be called.
    """
    member = attribute(word)
    if not callable(member):
        raise InputError(word, f"is a {type(member).__name__}", "something that can be called")
    return member


@contextmanager
def blamed(word: str, *expected: type[Exception]) -> Iterator[None]:
    """Context manager around a call of the user's code: what that raises becomes one line that names it.

    Args:
        word: its name.
        expected: errors that the caller handles himself; an ``InputError`` is one anyway.

    Raises:
        InputError: the code raised something else, which is the cause of the error.
    """
    try:
        yield
    except (InputError, *expected):
        raise
    except (Exception, SystemExit) as error:  # the user's code does not end the command
        module = word.partition(":")[0]
        lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == module]
        place = f" (line {lines[-1]} of {module})" if lines else ""
        text = str(error).strip().partition("\n")[0]  # torch and others add pages to it
        found = f"raised {type(error).__name__}{place}"
        raise InputError(word, f"{found}: {text}" if text else found) from error


def outside(member: object, *expected: type[Exception]) -> AbstractContextManager[None]:
    """Context manager around calls of an object: what a class or function of the user's raises becomes one line.

    Args:
        member: the object, its class, or a function.
        expected: as for ``blamed``.
    """
    whole = member.func if isinstance(member, partial) else member
    kind: Any = whole if hasattr(whole, "__qualname__") else type(whole)
    if kind.__module__.partition(".")[0] in ("sordino", "torch"):
        return nullcontext()
    return blamed(f"{kind.__module__}:{kind.__qualname__}", *expected)


@cache
def added_names() -> dict[Kind, dict[str, EntryPoint]]:
    """Return the entry points of installed packages, by kind and name; read once, until ``cache_clear``."""
    every = entry_points()
    return {kind: {one.name: one for one in every.select(group=group)} for kind, group in KINDS.items()}


def _described(member: Any) -> str:
    kind = "a class" if isinstance(member, type) else f"a {type(member).__name__}"
    return f"{kind} {getattr(member, '__qualname__', '')}".rstrip()
