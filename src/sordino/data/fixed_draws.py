"""Draws of validation items: the same in every run, and even over ratios and kinds of noise."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence

import numpy as np

_VALID_SEED = 5  # any number; fixed, so that every run validates on the same mixtures


def valid_generator(index: int) -> np.random.Generator:
    """Return the generator of a validation item, which is the same in every run."""
    return np.random.default_rng([_VALID_SEED, index])


def evenly_spread(bounds: tuple[float, float], index: int) -> float:
    """Return a value between two bounds for an index: evenly distributed, and unrelated to the order of recordings."""
    # Multiples of the golden ratio modulo 1 are evenly distributed, however many are used.
    share = index * 0.6180339887498949 % 1
    return bounds[0] + (bounds[1] - bounds[0]) * share


def by_kind(kinds: Sequence[str], names: Sequence[str]) -> list[list[int]]:
    """Return the indices of each kind of noise; kinds and members are in the order of their names' CRC-32."""
    members: dict[str, list[int]] = {}
    for index in sorted(range(len(names)), key=lambda index: zlib.crc32(os.fsencode(names[index]))):
        members.setdefault(kinds[index], []).append(index)
    return [members[kind] for kind in sorted(members, key=lambda kind: zlib.crc32(os.fsencode(kind)))]
