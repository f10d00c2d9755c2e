"""Recipes: YAML that is checked, whole, against the constructors that it will call.

A recipe's sections are the project's nouns::

    base: valentini.yaml          # another recipe that this one changes; beside it, or one that ships
    title: MANNER-S-1.5GF + MV-AT
    out: runs/manner-s-1.5gf-mvat
    data: {name: valentini, root: data/valentini}
    model: {name: manner-s, hidden: 12, depth: 3}
    teacher: {checkpoint: runs/manner-b/best.safetensors}
    loss: {weighted: {}}
    distill: {mvat: {norm: l1}}
    weights: {kd/mvat: 1.0}
    train: {epochs: 350, batch_size: 4}
    paper: {table: 1, row: MANNER-S-1.5GF + MV-AT}

Under ``model``, ``data`` and each entry of ``loss`` and ``distill`` stand the arguments of the constructor of that
name, so their signature is the schema. Every error of a recipe is told at once, with the nearest valid name.

A recipe says only how it differs from its base. Sections merge key by key; null takes away a section, or an entry of
``loss``, ``distill`` or ``weights``; a section that names another constructor keeps none of the base's arguments; and
``title``, ``out`` and ``paper``, which say whose run it is, are never inherited.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from sotto.data import SOURCES
from sotto.distill import METHODS
from sotto.errors import InputError
from sotto.losses import LOSSES
from sotto.models import MODELS
from sotto.shelf import RECIPES, recipes
from sotto.train import Settings


@dataclass(frozen=True)
class Teacher:
    """Where the teacher comes from.

    Args:
        checkpoint: a network that sotto trained (.safetensors) or a published checkpoint.
    """

    checkpoint: str


@dataclass(frozen=True)
class Paper:
    """The published row that this recipe reproduces.

    Args:
        table: its table.
        row: its model, as the table names it.
    """

    table: int
    row: str


_NAMED: dict[str, Mapping[str, Callable[..., Any]]] = {"model": MODELS, "data": SOURCES}
_PARTS: dict[str, Mapping[str, Callable[..., Any]]] = {"loss": LOSSES, "distill": METHODS}
_PLAIN: dict[str, Callable[..., Any]] = {"train": Settings, "teacher": Teacher, "paper": Paper}
_TEXTS = ("title", "out")
_OWN = (*_TEXTS, "paper")
KEYS = (*_TEXTS, *_NAMED, *_PARTS, *_PLAIN, "weights")


def read(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe, follow its ``base``, apply the overrides and check everything.

    Args:
        recipe: a YAML file, the name of a shipped recipe, or the recipe itself.
        overrides: ``key=value`` with dots between the levels of the key: ``train.steps=100``. Together they are laid
            over the recipe as a recipe is over its base.

    Returns:
        The recipe with all values of the right type, without defaults that it does not state.

    Raises:
        InputError: no such recipe, no YAML, or errors in it, all of which the message tells.
    """
    where = str(recipe) if isinstance(recipe, (str, Path)) else "recipe"
    values = _load(recipe) if isinstance(recipe, (str, Path)) else _based(deepcopy(dict(recipe)), ())
    checked, errors = _check(_merge(values, _changes(overrides)))
    if errors:
        raise InputError(where, "; ".join(errors))
    return checked


def _load(recipe: str | Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = _find(recipe, seen[-1].parent if seen else Path())
    if path.resolve() in seen:
        raise InputError(recipe, "its base leads back to itself")
    try:
        values = _parse(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise InputError(path, "not a text file", "a recipe in YAML") from error
    if not isinstance(values, dict):
        raise InputError(path, "no recipe", "keys and values in YAML")
    return _based(values, (*seen, path.resolve()))


def _based(values: dict[str, Any], seen: tuple[Path, ...]) -> dict[str, Any]:
    """``values`` laid over the recipe that their ``base`` names, if they have one."""
    base = values.pop("base", None)
    if base is None:
        return values
    inherited = {key: value for key, value in _load(str(base), seen).items() if key not in _OWN}
    return _merge(inherited, values)


def _find(recipe: str | Path, beside: Path) -> Path:
    """The file of a recipe: beside the one that names it, at the path given, or among those that ship."""
    name = str(recipe)
    candidates = [beside / name, Path(name), Path(str(RECIPES / name)), Path(str(RECIPES / f"{name}.yaml"))]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    near = difflib.get_close_matches(name, recipes(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else "sotto train --help lists those that ship"
    raise InputError(recipe, "no such recipe", "a YAML file or the name of a shipped recipe", hint)


def _parse(text: str, where: object) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(where, f"not YAML ({' '.join(str(error).split())})") from error


def _changes(overrides: Sequence[str]) -> dict[str, Any]:
    """The overrides as one mapping, so that their order plays no part where one of them names a constructor."""
    changes: dict[str, Any] = {}
    for override in overrides:
        key, sign, text = override.partition("=")
        *sections, last = key.split(".")
        if not sign or not last:
            raise InputError(override, "no override", "key=value, such as train.steps=100")
        values = changes
        for section in sections:
            inner = values.get(section)
            values[section] = inner if isinstance(inner, dict) else {}
            values = values[section]
        values[last] = _parse(text, override)
    return changes


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, mapping by mapping; see the top of this file.

    An argument that is null is set to None, which its default need not be.
    """
    merged = dict(base)
    removable = not within or (len(within) == 1 and within[0] in (*_PARTS, "weights"))
    for key, value in changes.items():
        mine = merged.get(key)
        if value is None and removable and (key in merged or not within):
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(mine, Mapping) and value.get("name") in (None, mine.get("name")):
            merged[key] = _merge(mine, value, (*within, key))
        else:
            merged[key] = deepcopy(value)
    return merged


def _check(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Every value converted to its type, and every error found on the way."""
    errors: list[str] = []
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in KEYS:
            errors.append(_unknown(str(key), ("base", *KEYS)))
        elif key in _TEXTS:
            checked[key] = str(value)
        elif not isinstance(value, Mapping):
            errors.append(f"{key}: {value!r} is no section; expected keys and values below it")
        elif key in _NAMED:
            checked[key] = _named(key, value, errors)
        elif key in _PARTS:
            checked[key] = {name: _part(key, name, inner, errors) for name, inner in value.items()}
        elif key in _PLAIN:
            checked[key] = _arguments(key, _PLAIN[key], value, errors)
        else:
            checked[key] = {name: _value(f"weights.{name}", number, float, errors) for name, number in value.items()}
    errors += [f"{key}: missing; expected a section" for key in ("model", "data") if key not in values]
    return checked, errors


def _named(key: str, value: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    arguments = dict(value)
    name = str(arguments.pop("name", ""))
    if not name:
        errors.append(f"{key}.name: missing; expected one of {', '.join(_NAMED[key])}")
    elif name not in _NAMED[key]:
        errors.append(_unknown(f"{key}.name: {name}", _NAMED[key], name))
    else:
        return {"name": name, **_arguments(key, _NAMED[key][name], arguments, errors)}
    return {}


def _part(key: str, name: str, value: Any, errors: list[str]) -> dict[str, Any]:
    if name not in _PARTS[key]:
        errors.append(_unknown(f"{key}.{name}", _PARTS[key], str(name)))
    elif not isinstance(value, Mapping):
        errors.append(f"{key}.{name}: {value!r} is no section; expected arguments below it, or {{}} for its defaults")
    else:
        return _arguments(f"{key}.{name}", _PARTS[key][name], value, errors)
    return {}


def _arguments(
    prefix: str, constructor: Callable[..., Any], values: Mapping[str, Any], errors: list[str]
) -> dict[str, Any]:
    """Check ``values`` against the signature of ``constructor``."""
    # nn.Module's own constructor, which a loss without arguments has, is (*args, **kwargs).
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(constructor).parameters
    parameters = {key: parameter for key, parameter in signature.items() if parameter.kind not in variadic}
    hints = get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    known = [key for key in values if key in parameters]
    errors += [_unknown(f"{prefix}.{key}", parameters, str(key)) for key in values if key not in parameters]
    errors += [
        f"{prefix}.{key}: missing; expected a {getattr(hints[key], '__name__', hints[key])}"
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in values
    ]
    return {key: _value(f"{prefix}.{key}", values[key], hints[key], errors) for key in known}


def _value(key: str, value: Any, kind: Any, errors: list[str]) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError:
        errors.append(f"{key}: {value!r} is no {getattr(kind, '__name__', None) if inspect.isclass(kind) else kind}")
        return None


def _unknown(key: str, names: Any, tried: str | None = None) -> str:
    near = difflib.get_close_matches(tried or key, list(names), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"{key}: no such {'name' if ':' in key else 'key'}; {hint}"
