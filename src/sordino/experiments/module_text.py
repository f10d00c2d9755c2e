"""Text of a module: what it defines at its top and what it imports, read without importing it.

Classes, functions, values and imports are looked up by name, through as many modules as it takes. Annotations become
types: those of the modules whose text is read are made from it, all others are imported.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import field, make_dataclass
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from sordino.errors import InputError, did_you_mean
from sordino.files import identity
from sordino.plugins.modules import locate

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
    """Place where a class, a function or a catalogue is defined."""

    module: str
    name: str


class Unreadable(Exception):
    """Error: the text of a user's module does not define what was looked for."""


class ModuleText:
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
        """Find the place where ``name`` is defined, through as many imports as there are."""
        if name not in self.imports:
            return Place(self.module, name)
        found = self.imports[name]
        if not self.reads(found.module):
            return found
        return text_of(found.module).place(found.name)

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
        no_class_here = name in self.imports or name in self.values
        from_elsewhere = "*" in self.imports or "." in name
        if self.in_package or no_class_here or from_elsewhere:
            raise Unreadable
        hint = did_you_mean(name, [*self.classes, *self.functions])
        raise InputError(f"{self.module}:{name}", f"{self.path} has no {name}", hint=hint)

    def parameters(self, function: ast.FunctionDef) -> Signature:
        """The arguments of a function; of a method, self among them."""
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        # The defaults are those of the last positional arguments.
        required = {argument.arg for argument in positional[: len(positional) - len(arguments.defaults)]}
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if default is None:
                required.add(argument.arg)
        signature = {}
        for argument in [*positional, *arguments.kwonlyargs]:
            signature[argument.arg] = Parameter(self.type_of(argument.annotation), argument.arg in required)
        return signature

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
                raise Unreadable  # what it imports is imported with it, from where that is found
            return getattr(importlib.import_module(module), name)
        text = text_of(module)
        if name in text.values:
            return text.type_of(text.values[name])
        if name in text.classes:
            return text.group(name)
        if not hasattr(builtins, name):
            raise Unreadable
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

    def __init__(self, text: ModuleText) -> None:
        super().__init__()
        self.text = text

    def __missing__(self, name: str) -> Any:
        return self.text.named(name)


def text_of(module: str) -> ModuleText:
    """The text of a module, read once as long as its file does not change."""
    if _in_package(module):
        path = ROOT.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return _read(module, file, ())
    origin = locate(module).origin
    if origin is None or not origin.endswith(".py"):
        raise Unreadable
    return _read(module, Path(origin), identity(origin))


@cache
def _read(module: str, path: Path, _changed: tuple[int, ...]) -> ModuleText:
    # The last argument is a part of the cache's key alone: a file that has changed is read again.
    return ModuleText(module, path)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module, those below ``if TYPE_CHECKING`` included."""
    for node in tree.body:
        if isinstance(node, ast.If):
            yield from node.body
        else:
            yield node


def _in_package(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE
