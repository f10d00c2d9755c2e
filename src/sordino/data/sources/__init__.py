"""Sources of training data: Valentini, DNS, folders of pairs, mixtures made on the fly, shards, synthetic speech."""

from __future__ import annotations

import difflib
from typing import Any

from sordino.data.base import Source
from sordino.data.sources.dns import Dns
from sordino.data.sources.fixed_augmentation import FixedAugmentation
from sordino.data.sources.mix import Mix
from sordino.data.sources.pairs import Pairs
from sordino.data.sources.semi_supervised import SemiSupervised
from sordino.data.sources.shards import Shards
from sordino.data.sources.synthetic import Synthetic
from sordino.data.sources.valentini import Valentini
from sordino.errors import InputError

SOURCES: dict[str, type[Source]] = {
    "valentini": Valentini,
    "dns": Dns,
    "pairs": Pairs,
    "mix": Mix,
    "shards": Shards,
    "synthetic": Synthetic,
}
"""Catalogue of sources: name in recipes -> class, whose constructor is the recipe's schema."""

__all__ = [
    "SOURCES",
    "Dns",
    "FixedAugmentation",
    "Mix",
    "Pairs",
    "SemiSupervised",
    "Shards",
    "Synthetic",
    "Valentini",
    "create",
]


def create(name: str, **arguments: Any) -> Source:
    """Create the source called ``name``.

    Raises:
        InputError: there is no such source; the message suggests the nearest name.
    """
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        raise InputError("data", f"no source is called {name!r}", "one of " + ", ".join(SOURCES), hint)
    return SOURCES[name](**arguments)
