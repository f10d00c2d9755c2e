"""Modules of the user's: which of them may be imported, and from where.

A module is imported because the user named it: in a recipe that is run, on the command line, in Python, or by
``trust``. What a checkpoint, a run's folder or a file of scores names is imported only if the user named it too.
Installed packages go first. The folder of a recipe is searched after them, is on Python's path only while a module that
the recipe names is imported, and cannot take the place of an installed module.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sordino.distributed import init_worker
from sordino.errors import InputError
from sordino.plugins.import_string import is_name

named_modules: dict[str, tuple[str, ...]] = {}
"""Module that the user named -> folders in which it is searched after the installed packages."""


class Trusted(NamedTuple):
    """Snapshot of the trusted modules, for ``restore`` in a new process."""

    folders: dict[str, tuple[str, ...]]
    imported: tuple[str, ...]


def trust(code: str | Path) -> None:
    """Allow files to name a module of the user's, as a checkpoint names the class of its network.

    Args:
        code: a module or package, installed or in the working folder, such as ``my_package``; or the path of one, such
            as ``experiments/my_network.py``.
    """
    path = Path(code)
    if path.exists():
        name, folder = path.stem, path.parent
    else:
        name, folder = str(code), Path()
    if not name.isidentifier() and not is_name(f"{name}:x"):
        raise InputError(code, "is no module", "one such as my_package, or the path of a Python file")
    _add(name, folder)


def trust_names(values: Any, *folders: Path) -> None:
    """Trust every module that a recipe, a study or a command names as ``package.module:Class``.

    Args:
        values: what was read: mappings, lists and texts.
        folders: to search for these modules, behind the installed packages.
    """
    for name in _names(values):
        _add(name.partition(":")[0], *folders)


def demand(name: str, where: object) -> None:
    """Refuse a ``package.module:Class`` that only a file names.

    Args:
        name: any name; one of another form is not refused.
        where: the file, for the message.

    Raises:
        InputError: the user has not named its module; the message says how to.
    """
    demand_names([name], where)


def demand_names(values: Any, where: object) -> None:
    """Refuse each ``package.module:Class`` that only a file names; arguments and errors as above.

    The message has all names: one after another would take as many tries.
    """
    names = dict.fromkeys(_names(values))
    strange = [name for name in names if not any(_within(_module(name), one) for one in named_modules)]
    if strange:
        modules = list(dict.fromkeys(map(_module, strange)))
        which = (
            "which is not part of sordino" if len(strange) == 1 else "which are not part of sordino: they are unknown"
        )
        found = f"names {', '.join(strange)}, {which} and was not imported"
        words = " ".join(f"--trust {module}" for module in modules)
        hint = f"if you trust that code, add {words}, or the path of its file; in Python trust={modules[0]!r}"
        raise InputError(where, found, hint=hint)


def trusted() -> Trusted:
    """Return the modules that the user has named so far, for ``restore``."""
    imported = [name for name in named_modules if name in sys.modules]
    return Trusted(dict(named_modules), tuple(imported))


def restore(state: Trusted, imports: bool = False) -> None:
    """Trust the same modules in another process.

    Args:
        state: of the process that started this one.
        imports: whether to import what that one had imported, so that objects of its classes can be unpickled.
    """
    named_modules.update(state.folders)
    if imports:
        for name in state.imported:
            load(name)


def start_worker(state: Trusted) -> None:
    """Set up a worker process of a pool, as ``init_worker`` does, which trusts the same modules."""
    init_worker()
    restore(state)


def locate(module: str) -> ModuleSpec:
    """Find a module without importing it or the packages that hold it.

    Raises:
        InputError: there is none, or the folder of the recipe and an installed package both have one.
    """
    folders = _folders_of(module)
    full, *below = module.split(".")
    with _searched(folders):
        importlib.invalidate_caches()
        spec = _find(full)
    own = PathFinder.find_spec(full, folders) if folders else None
    if spec is not None and own is not None and own.origin is not None and not _same(own.origin, spec.origin):
        found = f"{own.origin} has the name of an installed module ({spec.origin})"
        raise InputError(module, found, "a name of its own")
    for name in below:
        full = f"{full}.{name}"
        places = None if spec is None else spec.submodule_search_locations
        spec = None if places is None else PathFinder.find_spec(full, list(places))
    if spec is None:
        places = " or ".join(["the installed packages", *folders])
        name = module.removesuffix(".py")
        hint = f"write {name}, without .py" if name != module else "install its package, or add --trust and its file"
        raise InputError(module, f"there is no module {module}", f"one in {places}", hint)
    return spec


def load(module: str) -> ModuleType:
    """Import a module; an error inside of it keeps its traceback.

    Raises:
        InputError: there is none, it needs another that is missing, or one of the same name from another folder has
            been imported before.
    """
    known = sys.modules.get(module)
    if known is not None and not _folders_of(module):
        return known
    spec = locate(module)
    if known is not None:
        origin = getattr(known, "__file__", None)
        if spec.origin is not None and origin is not None and not _same(spec.origin, origin):
            hint = "rename one of the two, or use a process for each"
            raise InputError(spec.origin, f"another module {module} is in use, {origin}", hint=hint)
        return known
    try:
        with _searched(_folders_of(module)):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(module, f"needs a module {error.name}, which is not installed") from error


def _add(module: str, *folders: Path) -> None:
    """Trust a module; the folders that were named last are searched first."""
    places = [str(folder.resolve()) for folder in folders]
    named_modules[module] = tuple(dict.fromkeys([*places, *named_modules.get(module, ())]))


def _folders_of(module: str) -> list[str]:
    found: list[str] = []
    for name, folders in named_modules.items():
        if _within(module, name):
            found += [folder for folder in folders if folder not in found]
    return found


def _module(name: str) -> str:
    return name.partition(":")[0]


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _names(values: Any) -> Iterator[str]:
    """Yield every ``package.module:Class`` in nested mappings, lists and texts."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _names(key)
            yield from _names(value)
    elif isinstance(values, str):
        # A term is called loss/NAME or kd/NAME.
        word = values.rpartition("/")[2]
        if is_name(word):
            yield word
    elif isinstance(values, Sequence):
        for value in values:
            yield from _names(value)


@contextmanager
def _searched(folders: Sequence[str]) -> Iterator[None]:
    """Search folders after the installed packages, and the working folder only if it is one of them."""
    before = list(sys.path)
    if folders:
        installed = [place for place in before if place]  # the empty one is the working folder
        sys.path[:] = [*installed, *folders]
    try:
        yield
    finally:
        sys.path[:] = before


def _find(name: str) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            return spec
    return None


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)
