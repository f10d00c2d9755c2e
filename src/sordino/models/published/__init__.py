"""Checkpoints that others published: whose they are, what they hold, and what their tensors are called here.

One file per network, and one entry in ``PUBLISHERS``. The files themselves are opened in ``sordino.models.checkpoint``.
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

PUBLISHERS = (MANNER, DEMUCS, TSTNN)
"""The catalogue of networks whose published checkpoints can be read."""

_WRAPPERS = ("state_dict", "model", "state")


def foreign_classes() -> list[type]:
    """An empty class under the name of every class that published files pickle beside their tensors.

    They stand in for the authors' classes while a file is read, so that none of the authors' code is needed or run.
    """
    names = [name.rpartition(".") for publisher in PUBLISHERS for name in publisher.classes]
    return [type(name, (), {"__module__": module}) for module, _, name in names]


def unwrap(content: Any) -> tuple[Any, Mapping[str, Any]]:
    """Find the tensors in what a published file holds, however deep its authors wrapped them.

    Returns:
        The innermost mapping (or whatever is there in place of one), and the mapping around it, which may state the
        arguments of the network's constructor; empty when there is none.
    """
    package: Mapping[str, Any] = {}
    while isinstance(content, Mapping):
        wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            break
        package, content = content, content[wrapper]
    return content, package


def find(state: Any) -> CheckpointFormat | None:
    """Whose checkpoint this is; None when it is no mapping of tensors, or of a network that is not known here."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    return next((publisher for publisher in PUBLISHERS if publisher.owns(state)), None)


def read(
    publisher: CheckpointFormat, state: State, package: Mapping[str, Any], where: object
) -> tuple[str, dict[str, Any], State]:
    """The network's name, its arguments, and its state under our names.

    Warns where the file, ``where``, leaves open what no tensor tells either.

    Raises:
        ValueError: arguments that our network does not follow, or that contradict the tensors.
        KeyError: a tensor of a name that is not known.
    """
    stated = _stated(publisher, package) if publisher.signature else {}
    name, arguments = publisher.arguments(state, stated)
    unknown = [key for key in publisher.untold if key not in stated]
    if unknown and "class" not in package:  # that class has the default that is taken here
        taken = ", ".join(f"{key}={arguments[key]}" for key in unknown)
        warnings.warn(
            f"{where}: a {publisher.network} that does not state {' and '.join(unknown)}, which no tensor tells:"
            f" taken for {taken}. If it has others, save it as {{'state': ..., 'kwargs': {{'{unknown[0]}': ...}}}}",
            stacklevel=2,
        )
    return name, arguments, publisher.translate(state)


def _stated(publisher: CheckpointFormat, package: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the constructor that a package states, by position and by name, with or without its class.

    ``args`` that are no sequence are something else, such as the options of a training script.
    """
    named, positional = package.get("kwargs"), package.get("args")
    positional = tuple(positional) if isinstance(positional, tuple | list) else ()
    if len(positional) > len(publisher.signature):
        raise ValueError(f"{len(positional)} arguments, where {publisher.network} takes {len(publisher.signature)}")
    return dict(zip(publisher.signature, positional, strict=False)) | dict(named if isinstance(named, Mapping) else {})
