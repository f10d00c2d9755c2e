"""Data: corpora, mixing, segments, checks. What a source owes is told in ``base``; batches are made in ``loader``."""

from __future__ import annotations

import difflib
from typing import Any

from sotto.data.base import Lazy, Segments, Source
from sotto.data.dns import Dns
from sotto.data.mix import Mix
from sotto.data.pairs import Pairs
from sotto.data.partly import PartlyLabelled
from sotto.data.repeating import Repeating
from sotto.data.shards import Shards
from sotto.data.synthetic import Synthetic
from sotto.data.valentini import Valentini
from sotto.errors import InputError

SOURCES: dict[str, type[Source]] = {
    "valentini": Valentini,
    "dns": Dns,
    "pairs": Pairs,
    "mix": Mix,
    "shards": Shards,
    "synthetic": Synthetic,
}
"""Every source by the name that recipes call it."""

__all__ = [
    "SOURCES",
    "Dns",
    "Lazy",
    "Mix",
    "Pairs",
    "PartlyLabelled",
    "Repeating",
    "Segments",
    "Shards",
    "Source",
    "Synthetic",
    "Valentini",
    "create",
]


def create(name: str, **arguments: Any) -> Source:
    """Make the source called ``name``.

    Raises:
        InputError: there is no such source; the nearest name is told.
    """
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        raise InputError("data", f"no source is called {name!r}", "one of " + ", ".join(SOURCES), hint)
    return SOURCES[name](**arguments)
