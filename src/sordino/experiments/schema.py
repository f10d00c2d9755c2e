"""The sections of a recipe: what may stand in each, and every error that does stand there.

Under ``model``, ``data`` and each entry of ``loss`` and ``distill`` stand the arguments of the constructor of that
name, so their signature is the schema; the other sections, and a ``model`` that has learnt already, are dataclasses,
here or where they are used.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from sordino.data.sources import SOURCES
from sordino.distill.methods import METHODS
from sordino.inference.import_string import FORM
from sordino.inference.resolve import resolve
from sordino.losses import LOSSES
from sordino.models import MODELS
from sordino.training import Balance, Ramp, Settings, Stage


@dataclass(frozen=True)
class Teacher:
    """Where the teacher comes from: one of a checkpoint, an ONNX file and a function.

    Args:
        checkpoint: a network that sordino trained (.safetensors, or the name of a student that ships) or a published
            one; methods can read its features.
        onnx: a graph from noisy [1,T] to estimate [1,T], whoever wrote it; it teaches by its estimate alone.
        callable: ``package.module:function``, from noisy [T] to estimate [T], float32; it does so too.
        sample_rate: Hz at which the function works, or an ONNX file that does not say; 16000 when left out.
        estimate: another model, whose estimate is taught in place of the checkpoint's: a checkpoint, an ONNX file or a
            function.
        cache: folder in which its answers are kept, so that each is computed once.
        draws: with a cache, the variants of each training item; as many epochs pass until the same ones come again.
    """

    checkpoint: str | None = None
    onnx: str | None = None
    callable: str | None = None
    sample_rate: int | None = None
    estimate: str | None = None
    cache: str | None = None
    draws: int = 4


@dataclass(frozen=True)
class Trained:
    """A network that has learnt already and goes on: its size and its weights.

    Args:
        checkpoint: one of sordino's (.safetensors, or the name of a student that ships), or a published one.
    """

    checkpoint: str


@dataclass(frozen=True)
class Unlabelled:
    """Noisy recordings without references, beside the labelled data.

    Args:
        noisy: folder of them.
        share: of the training items that come from it.
    """

    noisy: str
    share: float = 0.5


@dataclass(frozen=True)
class Paper:
    """The published row that this recipe reproduces.

    Args:
        table: its table.
        row: its model, as the table names it.
    """

    table: int
    row: str


NAMED: dict[str, Mapping[str, Callable[..., Any]]] = {"model": MODELS, "data": SOURCES}
PARTS: dict[str, Mapping[str, Callable[..., Any]]] = {"loss": LOSSES, "distill": METHODS}
PLAIN: dict[str, Callable[..., Any]] = {
    "train": Settings,
    "teacher": Teacher,
    "unlabelled": Unlabelled,
    "paper": Paper,
}
TEACHERS = ("checkpoint", "onnx", "callable")
TEXTS = ("title", "out")
OWN = (*TEXTS, "paper")
KEYS = (*TEXTS, *NAMED, *PARTS, *PLAIN, "weights", "stages")


def check(values: Mapping[str, Any], needed: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Every value converted to its type, and every error found on the way; ``needed`` sections must be there."""
    errors: list[str] = []
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in KEYS:
            errors.append(_unknown(str(key), ("base", *KEYS)))
        elif key in TEXTS:
            checked[key] = str(value)
        elif key == "stages":
            checked[key] = _stages(value, errors)
        elif not isinstance(value, Mapping):
            errors.append(f"{key}: {value!r} is no section; expected keys and values below it")
        elif key == "model" and "checkpoint" in value:
            checked[key] = arguments(key, Trained, value, errors)
        elif key in NAMED:
            checked[key] = _named(key, value, errors)
        elif key in PARTS:
            checked[key] = {name: _part(key, name, inner, errors) for name, inner in value.items()}
        elif key in PLAIN:
            checked[key] = arguments(key, PLAIN[key], value, errors)
            errors += _teacher_errors(checked[key]) if key == "teacher" else []
        else:
            checked[key] = _weights(key, value, errors)
    errors += [f"{key}: missing; expected a section" for key in needed if key not in values]
    return checked, errors


def _weights(key: str, values: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    """A number each, or what a balance or a ramp takes."""
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            checked[name] = arguments(f"{key}.{name}", Balance if "balance" in value else Ramp, value, errors)
        else:
            checked[name] = _value(f"{key}.{name}", value, float, errors)
    return checked


def _stages(values: Any, errors: list[str]) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        errors.append(f"stages: {values!r} is no list of sections, such as [{{share: 0.3}}, {{reset: true}}]")
        return []
    stages = [arguments(f"stages.{index}", Stage, value, errors) for index, value in enumerate(values)]
    for index, stage in enumerate(stages):
        if "weights" in stage:
            stage["weights"] = _weights(f"stages.{index}.weights", stage["weights"] or {}, errors)
    return stages


def _teacher_errors(section: Mapping[str, Any]) -> list[str]:
    """What a signature cannot say of a teacher."""
    kinds = [kind for kind in TEACHERS if section.get(kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) + " at once" if kinds else "missing"
        return [f"teacher: {found}; expected one of {', '.join(TEACHERS)}"]
    if "draws" in section and section.get("cache") is None:
        return ["teacher.draws: counts the variants that a cache keeps; expected teacher.cache: FOLDER beside it"]
    kind, value = kinds[0], section[kinds[0]]
    if kind == "checkpoint" and section.get("sample_rate") is not None:
        return ["teacher.sample_rate: a checkpoint knows its own; expected none"]
    if kind != "checkpoint" and section.get("estimate") is not None:
        return [f"teacher.estimate: {kind} shows nothing but its own; expected teacher.checkpoint beside it"]
    found = resolve(value, otherwise="checkpoint").kind
    if kind == "onnx" and found not in ("onnx", "stream"):
        return [f"teacher.onnx: {value!r} is no .onnx file"]
    if kind == "callable" and found != "import":
        return [f"teacher.callable: {value!r} is no {FORM}"]
    return []


def _named(key: str, value: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    given = dict(value)
    name = str(given.pop("name", ""))
    if not name:
        errors.append(f"{key}.name: missing; expected one of {', '.join(NAMED[key])}")
    elif name not in NAMED[key]:
        errors.append(_unknown(f"{key}.name: {name}", NAMED[key], name))
    else:
        return {"name": name, **arguments(key, NAMED[key][name], given, errors)}
    return {}


def _part(key: str, name: str, value: Any, errors: list[str]) -> dict[str, Any]:
    if name not in PARTS[key]:
        errors.append(_unknown(f"{key}.{name}", PARTS[key], str(name)))
    elif not isinstance(value, Mapping):
        errors.append(f"{key}.{name}: {value!r} is no section; expected arguments below it, or {{}} for its defaults")
    else:
        return arguments(f"{key}.{name}", PARTS[key][name], value, errors)
    return {}


def arguments(
    prefix: str, constructor: Callable[..., Any], values: Mapping[str, Any], errors: list[str]
) -> dict[str, Any]:
    """Check ``values`` against the signature of ``constructor``; errors, named from ``prefix`` on, join ``errors``.

    Returns:
        The values with their right types.
    """
    # nn.Module's own constructor, which a loss without arguments has, is (*args, **kwargs).
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(constructor).parameters
    parameters = {key: parameter for key, parameter in signature.items() if parameter.kind not in variadic}
    hints = get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    where = f"{prefix}." if prefix else ""
    errors += [_unknown(f"{where}{key}", parameters, str(key)) for key in values if key not in parameters]
    errors += [
        f"{where}{key}: missing; expected a {getattr(hints[key], '__name__', hints[key])}"
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in values
    ]
    return {key: _value(f"{where}{key}", values[key], hints[key], errors) for key in values if key in parameters}


def _value(key: str, value: Any, kind: Any, errors: list[str]) -> Any:
    group = next((part for part in (kind, *get_args(kind)) if inspect.isclass(part) and is_dataclass(part)), None)
    if group is not None and isinstance(value, Mapping):
        return arguments(key, group, value, errors)  # stays a mapping, which a recipe can be written with
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
