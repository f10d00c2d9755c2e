"""What constructors take: by inspection, or read from their source without importing them.

The signature of a constructor is the schema of its section in a recipe. Importing a network, a loss or a method imports
torch, which takes seconds, and its signature stands in the text all the same: catalogues are literal dicts of imported
names, annotations are plain types. So a recipe is checked in a fraction of a second, before anything heavy is loaded.
The tests hold every signature that is read here against the one that ``inspect`` sees.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sordino"


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
        name: Parameter(hints[name], parameter.default is inspect.Parameter.empty)
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


@cache
def signature(place: Place) -> Signature:
    """Read what a function, or the constructor of a class, takes; as ``inspected``, without importing it."""
    place = _source(place.module).place(place.name)
    source = _source(place.module)
    if place.name in source.functions:
        return source.parameters(source.functions[place.name])
    defined = source.classes[place.name]
    for node in defined.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            own = source.parameters(node)
            return dict(list(own.items())[1:])  # without self
    for base in defined.bases:
        if isinstance(base, ast.Name) and _is_ours(source.place(base.id).module):
            return signature(source.place(base.id))
    return {}


class _Source:
    """The top-level names of one module, from its text."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.values: dict[str, ast.expr] = {}
        self.imports: dict[str, Place] = {}
        path = ROOT.joinpath(*module.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in _statements(ast.parse(path.read_text("utf-8"))):
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
        elif isinstance(node, ast.ImportFrom) and node.module:
            self.imports |= {alias.asname or alias.name: Place(node.module, alias.name) for alias in node.names}

    def place(self, name: str) -> Place:
        """Where ``name`` is defined, through as many imports as there are."""
        if name not in self.imports:
            return Place(self.module, name)
        found = self.imports[name]
        return _source(found.module).place(found.name) if _is_ours(found.module) else found

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
        if not _is_ours(module):
            return getattr(importlib.import_module(module), name)
        source = _source(module)
        if name in source.values:
            return source.type_of(source.values[name])
        if name in source.classes:
            return source.group(name)
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


_source = cache(_Source)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those below ``if TYPE_CHECKING`` included."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def _entries(literal: ast.Dict) -> Iterator[tuple[ast.expr, ast.Name]]:
    for key, value in zip(literal.keys, literal.values, strict=True):
        if key is None or not isinstance(value, ast.Name):
            raise TypeError("a catalogue holds names and what they are imported as, nothing else")
        yield key, value


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE
