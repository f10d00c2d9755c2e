"""Checkpoints published by the networks' authors: recognise them, find their arguments, rename their tensors.

A network has one file here and one entry in ``FORMATS``. The files themselves are opened in
``sordino.models.checkpoint``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sordino.models.published.checkpoint_format import CheckpointFormat, State
from sordino.models.published.demucs import DEMUCS
from sordino.models.published.manner import MANNER
from sordino.models.published.tstnn import TSTNN

FORMATS = (MANNER, DEMUCS, TSTNN)
"""Catalogue of the published checkpoints that can be read."""

_WRAPPERS = ("state_dict", "model", "state")
"""Keys under which authors store the tensors in a dict."""
DEEPEST = 8
"""Dicts inside each other."""


def foreign_classes() -> list[type]:
    """Make an empty class for every class that published files pickle along with their tensors.

    The empty classes replace the authors' while a file is read, so that the authors' code is neither needed nor run.
    """
    classes = []
    for form in FORMATS:
        for full_name in form.classes:
            module, _, name = full_name.rpartition(".")
            classes.append(type(name, (), {"__module__": module}))
    return classes


def unwrap(content: Any) -> tuple[Any, Mapping[str, Any]]:
    """Find the tensors in the content of a published file, which may be wrapped in several dicts.

    Returns:
        The innermost mapping (or whatever object is in its place), and the mapping around it, which may state the
        arguments of the network's constructor; an empty one if there is none.
    """
    package: Mapping[str, Any] = {}
    for _ in range(DEEPEST):  # one may lie in itself
        if not isinstance(content, Mapping):
            break
        wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            break
        package, content = content, content[wrapper]
    return content, package


def find(state: Any) -> CheckpointFormat | None:
    """Return the format of a checkpoint; None if it is no mapping of tensors, or belongs to an unknown network."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    return next((form for form in FORMATS if form.matches(state)), None)


def read(
    form: CheckpointFormat, state: State, package: Mapping[str, Any], where: object
) -> tuple[str, dict[str, Any], State]:
    """Return the network's name, its arguments, and its state under sordino's names.

    Warns if an argument is neither stated in the file ``where`` nor visible in its tensors.

    Raises:
        ValueError: arguments that sordino's network does not support, or that contradict the tensors; tensors of
            other shapes than such networks have.
        KeyError: a tensor of an unknown name.
    """
    stated = _stated(form, package) if form.signature else {}
    try:
        name, arguments = form.arguments(state, stated)
    except (ArithmeticError, IndexError) as error:  # a scalar where a matrix belongs, or one of no rows
        raise ValueError(f"a tensor of a shape that no {form.network} has") from error
    unknown = [key for key in form.not_in_tensors if key not in stated]
    # A package that names its class without arguments has the class's defaults, which are also assumed here.
    if unknown and "class" not in package:
        assumed = ", ".join(f"{key}={arguments[key]}" for key in unknown)
        warnings.warn(
            f"{where}: a {form.network} that does not state {' and '.join(unknown)}, which its tensors do not show:"
            f" taken for {assumed}. If it has others, save it as {{'state': ..., 'kwargs': {{'{unknown[0]}': ...}}}}",
            stacklevel=2,
        )
    return name, arguments, form.translate(state)


def _stated(form: CheckpointFormat, package: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that a package states in ``args`` and ``kwargs``, by name.

    ``args`` that is no sequence is something else, such as the options of a training script.
    """
    named, positional = package.get("kwargs"), package.get("args")
    if not isinstance(positional, tuple | list):
        positional = ()
    if len(positional) > len(form.signature):
        raise ValueError(f"{len(positional)} arguments, where {form.network} takes {len(form.signature)}")
    stated = dict(zip(form.signature, positional, strict=False))
    return stated | dict(named) if isinstance(named, Mapping) else stated
