"""Cells of a study's tables: method, scenario, size. It imports nothing, as reading a study needs it."""

from __future__ import annotations

from typing import NamedTuple


class StudyCell(NamedTuple):
    """Cell of a study: a method, in a scenario. The noisy input and teachers have none, unless scenarios differ in
    their test sets."""

    scenario: str
    method: str


class NetworkSize(NamedTuple):
    """Size of a network, whatever its weights."""

    params: float
    flops_paper: float
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
