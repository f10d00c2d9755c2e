"""Outputs of a teacher that methods read: which ones a cache has to store, and in what form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from sordino.distill.base import Method, Reduction

WAVE = "estimate"
"""Name of the estimate among the outputs; features have the names of their taps."""


CLOSE = 2e-3
"""Accepted difference of two outputs of one teacher, as a share of the largest value: twice float16's precision."""


@dataclass(frozen=True)
class Whole:
    """Reduction that keeps a feature or an estimate as it is."""

    def __call__(self, feature: Tensor) -> Tensor:
        return feature


def needs(methods: Iterable[Method]) -> dict[str, Reduction]:
    """Return the outputs that ``methods`` read of a teacher, by name, each with its reduction.

    An output for which two methods declare different reductions is needed whole.
    """
    kept: dict[str, Reduction] = {}
    for method in methods:
        for tap in method.teacher_taps:
            reduction = method.reductions.get(tap, Whole())
            kept[tap] = reduction if kept.get(tap, reduction) == reduction else Whole()
        if method.needs_estimate:
            kept[WAVE] = Whole()
    return kept


def close(before: Tensor, now: Tensor) -> bool:
    """Tell whether two outputs of one teacher for the same speech are equal within ``CLOSE``."""
    if before.shape != now.shape:
        return False
    difference = (before.float() - now.float()).abs().max()
    return bool(difference <= CLOSE * before.float().abs().max())
