"""What constructors take: by inspection, or read from their source without importing them.

The signature of a constructor is the schema of its section in a recipe. Importing a network, a loss or a method imports
torch, which takes seconds, and its signature stands in the text all the same: catalogues are literal dicts of imported
names, annotations are plain types. So a recipe is checked in a fraction of a second, before anything heavy is loaded.
The tests hold every signature that is read here against the one that ``inspect`` sees.

A class of the user's is read in the same way. Where its text does not say it, as with a dataclass or an annotation from
another package, the class is imported and inspected.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, make_dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from sordino.errors import InputError, did_you_mean
from sordino.files import identity
from sordino.plugins.catalogue import Kind, attribute, target
from sordino.plugins.modules import locate

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sordino"
CATALOGUES: dict[Kind, tuple[str, str]] = {
    "method": ("sordino.distill.methods", "METHODS"),
    "network": ("sordino.models", "MODELS"),
    "loss": ("sordino.losses", "LOSSES"),
    "source": ("sordino.data.sources", "SOURCES"),
}
"""Where the catalogues are whose members take arguments."""
WITHOUT_CONSTRUCTOR = ("Module", "Protocol", "ABC", "object")
"""Bases from other packages that leave a class without arguments."""


class Parameter(NamedTuple):
    """One argument of a constructor."""

    kind: Any
    """Its type, as annotated."""
    required: bool


Signature = Mapping[str, Parameter]
"""Arguments by name; ``*args`` and ``**kwargs`` are left out."""


class Place(NamedTuple):
    """Where a class, a function or a catalogue is defined."""

    module: str
    name: str


def inspected(constructor: Callable[..., Any]) -> Signature:
    """Return what a constructor at hand takes."""
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
    source = _source(module)
    literal = source.values[name]
    if not isinstance(literal, ast.Dict):
        raise TypeError(f"{module}.{name} is no literal dict")
    return {
        ast.literal_eval(key): source.imports.get(value.id, Place(module, value.id)) for key, value in _entries(literal)
    }


def named(kind: Kind, name: str) -> Signature:
    """Read what a member of a catalogue takes: one of sordino's own, of an installed package's, or of the user's.

    Args:
        kind: whose catalogue.
        name: as ``sordino.plugins.catalogue.target`` takes it.

    Raises:
        InputError: no such name, module or object.
    """
    known = catalogue(*CATALOGUES[kind])
    word = target(kind, name, known)
    if word is None:
        return signature(known[name])
    place = Place(*word.split(":"))
    try:
        source = _source(place.module)
        taken, is_function = signature(place), place.name in source.functions
    except _Unreadable:
        found = attribute(word)
        taken, is_function = inspected(found), inspect.isfunction(found)
    # Of a loss that is a function, the first three arguments are the signals.
    return dict(list(taken.items())[3:]) if kind == "loss" and is_function else taken


class _Unreadable(Exception):
    """The text of a module of the user's does not say what was looked for."""


def signature(place: Place) -> Signature:
    """Read what a function, or the constructor of a class, takes; as ``inspected``, without importing it."""
    place = _source(place.module).place(place.name)
    return _signature(_source(place.module), place.name)


@cache
def _signature(source: _Source, name: str) -> Signature:
    if name in source.functions:
        return source.parameters(source.functions[name])
    defined = source.defined(name)
    for node in defined.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            own = source.parameters(node)
            return dict(list(own.items())[1:])  # without self
    for base in defined.bases:
        if isinstance(base, ast.Name) and source.reads(source.place(base.id).module):
            return signature(source.place(base.id))
        if not source.in_package and getattr(base, "attr", getattr(base, "id", "")) not in WITHOUT_CONSTRUCTOR:
            raise _Unreadable
    if defined.decorator_list and not source.in_package:
        raise _Unreadable
    return {}


class _Source:
    """The top-level names of one module, from its text."""

    def __init__(self, module: str, path: Path) -> None:
        self.module, self.path, self.in_package = module, path, _in_package(module)
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.values: dict[str, ast.expr] = {}
        self.imports: dict[str, Place] = {}
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise InputError(path, f"is no Python ({error})") from error
        for node in _statements(tree):
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            self.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            self.classes[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            self.values[node.target.id] = node.value
        elif isinstance(node, ast.Assign):
            self.values |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            holder = "." * node.level + (node.module or "")
            if node.level:
                package = self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]
                holder = resolve_name(holder, package)
            self.imports |= {alias.asname or alias.name: Place(holder, alias.name) for alias in node.names}

    def place(self, name: str) -> Place:
        """Where ``name`` is defined, through as many imports as there are."""
        if name not in self.imports:
            return Place(self.module, name)
        found = self.imports[name]
        return _source(found.module).place(found.name) if self.reads(found.module) else found

    def reads(self, module: str) -> bool:
        """Whether names of ``module`` are read from its text too: of sordino, and of the package of this module."""
        return _in_package(module) or module.partition(".")[0] == self.module.partition(".")[0]

    def defined(self, name: str) -> ast.ClassDef:
        """The class that is called ``name``.

        Raises:
            InputError: the module has nothing of that name.
        """
        if name in self.classes:
            return self.classes[name]
        if self.in_package or name in self.imports or name in self.values or "*" in self.imports or "." in name:
            raise _Unreadable
        hint = did_you_mean(name, [*self.classes, *self.functions])
        raise InputError(f"{self.module}:{name}", f"{self.path} has no {name}", hint=hint)

    def parameters(self, function: ast.FunctionDef) -> Signature:
        """The arguments of a function; of a method, self among them."""
        positional = [*function.args.posonlyargs, *function.args.args]
        optional = {one.arg for one in positional[len(positional) - len(function.args.defaults) :]}
        keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        optional |= {one.arg for one, default in keywords if default is not None}
        every = [*positional, *function.args.kwonlyargs]
        return {one.arg: Parameter(self.type_of(one.annotation), one.arg not in optional) for one in every}

    def type_of(self, annotation: ast.expr | None) -> Any:
        """The type that an annotation stands for, whose names are looked up one by one."""
        if annotation is None:
            return Any
        return eval(compile(ast.Expression(annotation), self.module, "eval"), {"__builtins__": {}}, _Names(self))

    def named(self, name: str) -> Any:
        """The type that a name stands for: an alias, a dataclass, or whatever another package defines."""
        module, name = self.place(name)
        if not self.reads(module):
            if not self.in_package and module.partition(".")[0] not in sys.stdlib_module_names:
                raise _Unreadable  # what it imports is imported with it, from where that is found
            return getattr(importlib.import_module(module), name)
        source = _source(module)
        if name in source.values:
            return source.type_of(source.values[name])
        if name in source.classes:
            return source.group(name)
        if not hasattr(builtins, name):
            raise _Unreadable
        return getattr(builtins, name)

    def group(self, name: str) -> type:
        """A dataclass with the fields of the one that is called ``name``, to check a group of arguments against."""
        fields: list[tuple[str, Any, Any]] = []
        for node in self.classes[name].body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                default = field() if node.value is None else field(default=None)
                fields.append((node.target.id, self.type_of(node.annotation), default))
        return make_dataclass(name, fields, namespace={"__module__": self.module})


class _Names(dict[str, Any]):
    """The names of a module for ``eval``, each looked up when it is met."""

    def __init__(self, source: _Source) -> None:
        super().__init__()
        self.source = source

    def __missing__(self, name: str) -> Any:
        return self.source.named(name)


def _source(module: str) -> _Source:
    """The text of a module, read once as long as its file does not change."""
    if _in_package(module):
        path = ROOT.joinpath(*module.split(".")[1:])
        return _read(module, path / "__init__.py" if path.is_dir() else path.with_suffix(".py"), ())
    origin = locate(module).origin
    if origin is None or not origin.endswith(".py"):
        raise _Unreadable
    return _read(module, Path(origin), identity(origin))


@cache
def _read(module: str, path: Path, _changed: tuple[int, ...]) -> _Source:
    return _Source(module, path)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those below ``if TYPE_CHECKING`` included."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def _entries(literal: ast.Dict) -> Iterator[tuple[ast.expr, ast.Name]]:
    for key, value in zip(literal.keys, literal.values, strict=True):
        if key is None or not isinstance(value, ast.Name):
            raise TypeError("a catalogue holds names and what they are imported as, nothing else")
        yield key, value


def _in_package(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE
