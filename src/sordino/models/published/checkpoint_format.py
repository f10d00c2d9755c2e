"""What has to be known about a network that others published: how to tell its files, and how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
"""Tensors by name."""
Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""(pattern, replacement) as ``re.sub`` takes them; the first pattern that matches the beginning of a name wins."""


@dataclass(frozen=True)
class CheckpointFormat:
    """One network as its authors publish it.

    Args:
        network: what people call it, for messages.
        marks: names of tensors that together no other network's checkpoint has.
        arguments: (state, arguments that the file states) -> the name and the arguments of our constructor. Raises
            ValueError for a stated argument that is not known, that our network does not follow, or that contradicts
            the tensors.
        translate: published state -> state under our names. Raises KeyError for a name that is not known.
        signature: the constructor's parameters in their order, where files state its arguments.
        untold: parameters that no tensor tells; where a file does not state them, those of the published networks are
            assumed. They have the same name in our constructor.
        classes: full names of the classes that its files pickle beside the tensors; they are never imported.
    """

    network: str
    marks: tuple[str, ...]
    arguments: Callable[[State, Mapping[str, Any]], tuple[str, dict[str, Any]]]
    translate: Callable[[State], dict[str, Tensor]]
    signature: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def owns(self, state: State) -> bool:
        """Whether the tensors are named as in this network's checkpoints."""
        return all(mark in state for mark in self.marks)


def rename(name: str, rules: Rules) -> str:
    """Rewrite the beginning of a tensor's name by the first rule that matches it.

    Raises:
        KeyError: no rule does; a tensor is never skipped.
    """
    for pattern, replacement in rules:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    raise KeyError(name)
