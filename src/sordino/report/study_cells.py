"""What a study trains, as its tables call it, and how large that is. Studies are read by it, so it imports nothing."""

from __future__ import annotations

from typing import NamedTuple


class StudyCell(NamedTuple):
    """What was trained: a method, in a scenario. The noisy input and teachers have no scenario."""

    scenario: str
    method: str


class NetworkSize(NamedTuple):
    """What a network takes, whatever its weights."""

    params: float
    flops_paper: float
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
