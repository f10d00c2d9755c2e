"""Identify the signals that scores belong to: file names are not enough, because two corpora may share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sordino.audio.mix import rms_db
from sordino.json_files import fits
from sordino.types import Item

TOLERANCE_DB = 0.005
"""Levels of the same signals agree within this, on other machines and with other versions of libraries too. Even those
of two signals of white noise, a second long, differ by 0.04 dB."""
FLOOR_DB = -200.0
"""Level of silence, so that it is a number."""


def levels(item: Item) -> list[float]:
    """Return the levels that identify a recording, in dB: of both halves of the noisy and of the clean signal."""
    found = []
    for wave in (item.noisy, item.clean):
        if wave is None:
            continue
        for half in np.array_split(wave[: item.length], 2):
            found.append(round(max(rms_db(half), FLOOR_DB), 4))
    return found


def first_other(metadata: Mapping[str, Any], others: Mapping[str, Any]) -> str | None:
    """Name the first recording of two sets of scores whose signals are not the same.

    Args:
        metadata: of scores.
        others: of other scores. Where either says nothing of a recording, as older versions did, nothing is known.
    """
    other_levels = _levels_in(others)
    for name, mine in _levels_in(metadata).items():
        if name in other_levels and not _same(mine, other_levels[name]):
            return name
    return None


def _levels_in(metadata: Mapping[str, Any]) -> dict[str, list[float]]:
    found = metadata.get("levels", {})
    return found if fits(found, dict[str, list[float]]) else {}


def _same(mine: Sequence[float], other_levels: Sequence[float]) -> bool:
    if len(mine) != len(other_levels):
        return False
    return bool(np.allclose(mine, other_levels, rtol=0, atol=TOLERANCE_DB))
