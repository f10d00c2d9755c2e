"""A kind of file that sordino reads from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Mutate = Callable[[Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: for people.
        file: its name in the folder where it is read.
        prepare: write what lies beside it into the folder; returns what makes a damaged file.
        read: all that sordino does with it.
    """

    name: str
    file: str
    prepare: Callable[[Path], Mutate]
    read: Callable[[Path], object]
