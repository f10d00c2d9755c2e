"""Description of a published checkpoint: how to recognise its files, and how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
"""Tensors by name."""
Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""(pattern, replacement) as for ``re.sub``; the first pattern that matches the beginning of a name is used."""


@dataclass(frozen=True)
class CheckpointFormat:
    """The checkpoints of one network as its authors publish them.

    Args:
        network: the network's usual name, for messages.
        marker_tensors: names of tensors that together occur in no other network's checkpoint.
        arguments: function (state, arguments stated in the file) -> name and arguments of sordino's constructor. Raises
            ValueError for a stated argument that is unknown, not supported, or contradicts the tensors.
        translate: function from the published state to the state under sordino's names. Raises KeyError for an unknown
            name.
        signature: parameters of the authors' constructor in their order, if files state its arguments.
        not_in_tensors: parameters that cannot be inferred from the tensors; where a file does not state them, the
            values of the published networks are assumed. They have the same name in sordino's constructor.
        classes: full names of the classes that the files pickle along with the tensors; they are never imported.
    """

    network: str
    marker_tensors: tuple[str, ...]
    arguments: Callable[[State, Mapping[str, Any]], tuple[str, dict[str, Any]]]
    translate: Callable[[State], dict[str, Tensor]]
    signature: tuple[str, ...] = ()
    not_in_tensors: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def matches(self, state: State) -> bool:
        """Whether the tensors are named as in this network's checkpoints."""
        return all(name in state for name in self.marker_tensors)


def rename(name: str, rules: Rules) -> str:
    """Replace the beginning of a tensor's name by the first rule that matches it.

    Raises:
        KeyError: no rule matches; a tensor is never skipped.
    """
    for pattern, replacement in rules:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    raise KeyError(name)


def renamed(state: State, rules: Rules) -> dict[str, Tensor]:
    """Return the state under the names that ``rules`` give; errors as in ``rename``."""
    return {rename(name, rules): value for name, value in state.items()}


def count_layers(state: State, prefix: str, suffix: str = "") -> int:
    """Count the different numbers N in tensor names that begin with ``prefix.N`` + ``suffix`` + ``.`` (patterns)."""
    pattern = re.compile(rf"{prefix}\.(\d+){suffix}\.")
    matches = [pattern.match(name) for name in state]
    return len({match[1] for match in matches if match})
