"""Sources of training data: Valentini, DNS, folders of pairs, mixtures made on the fly, shards, synthetic speech."""

from __future__ import annotations

import inspect
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
from sordino.plugins import catalogue

SOURCES: dict[str, type[Source]] = {
    "valentini": Valentini,
    "dns": Dns,
    "pairs": Pairs,
    "mix": Mix,
    "shards": Shards,
    "synthetic": Synthetic,
}
"""Catalogue of sources: name in recipes -> class, whose constructor is the recipe's schema."""
EXPECTED = "a class with the members of sordino.data.base.Source, or a function that returns one"

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

    Args:
        name: a key of ``SOURCES``; a name that an installed package adds; or ``package.module:Class``.
        arguments: of its constructor.

    Raises:
        InputError: there is no such source; the message suggests the nearest name.
    """
    source = catalogue.find("source", name, SOURCES, _makes_source, EXPECTED)(**arguments)
    if not isinstance(source, Source):
        raise InputError(f"source {name}", f"made a {type(source).__name__}", EXPECTED)
    return source


def _makes_source(member: Any) -> bool:
    return inspect.isclass(member) or inspect.isfunction(member)
