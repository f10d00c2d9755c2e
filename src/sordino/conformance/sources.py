"""Checks of every source of data; its recordings must be there."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np

from sordino.conformance.base import Check, require
from sordino.data.base import Source
from sordino.types import Item

Make = Callable[[], Source]
ITEMS = 3
"""How many items of each kind are looked at."""


def equal(one: Item, other: Item) -> bool:
    """Whether two items are the same, bit for bit: their sound, length, id and speaker."""
    if (one.id, one.speaker, one.length) != (other.id, other.speaker, other.length):
        return False
    if one.clean is None or other.clean is None:
        return one.clean is other.clean and np.array_equal(one.noisy, other.noisy)
    return np.array_equal(one.noisy, other.noisy) and np.array_equal(one.clean, other.clean)


def training(make: Make) -> None:
    """Training items have the length of a segment, and are functions of (seed, epoch, index)."""
    source = make()
    segments, again, other = source.train(0), make().train(0), source.train(1)
    require(len(segments) > 0, "has no training items")
    length = round(source.segment_s * source.sample_rate)
    for index in range(min(ITEMS, len(segments))):
        item = segments[0, index]
        _check(item, source.labels == "all")
        require(len(item.noisy) == length, f"a segment has {len(item.noisy)} samples, and segment_s says {length}")
        require(equal(item, again[0, index]), "an item differs when it is drawn again from the same seed and epoch")
    drawn = [segments[0, 0], segments[1, 0], other[0, 0]]
    require(all(one.noisy.dtype == np.float32 for one in drawn), "an item of another epoch is not float32")
    pickle.loads(pickle.dumps(segments))  # worker processes get them so


def recordings(make: Make) -> None:
    """Recordings for validation and test are the same every time."""
    source, again = make(), make()
    for kind, first, second in (("valid", source.valid(), again.valid()), ("test", source.test(), again.test())):
        require(len(first) == len(second), f"{kind} has {len(first)} recordings, then {len(second)}")
        for index in range(min(ITEMS, len(first))):
            _check(first[index], clean=False)
            require(equal(first[index], second[index]), f"{kind} recording {index} differs the second time")
        ids = [first[index].id for index in range(min(ITEMS, len(first)))]
        require(len(set(ids)) == len(ids), f"two {kind} recordings share an id")


CHECKS: dict[str, Check] = {"training items": training, "validation and test": recordings}
"""Every check of a source by the name that tables show."""


def _check(item: Item, clean: bool) -> None:
    require(item.clean is not None or not clean, f"{item.id} has no clean reference, though labels is all")
    for wave in (item.noisy, *([] if item.clean is None else [item.clean])):
        require(wave.dtype == np.float32 and wave.ndim == 1, f"{item.id} is {wave.dtype} {list(wave.shape)}")
        require(np.isfinite(wave).all(), f"{item.id} is not finite")
        require(wave.shape == item.noisy.shape, f"noisy and clean of {item.id} differ in length")
    require(0 < item.length <= len(item.noisy), f"{item.id} claims {item.length} of {len(item.noisy)} samples")
