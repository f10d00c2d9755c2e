"""Cost of one model: its size, its arithmetic, and its speed and memory where they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sordino.evaluation.cost import macs_per_second, paper_flops
from sordino.evaluation.speed import RealTimeFactor
from sordino.models.base import Enhancer, count_parameters


@dataclass(frozen=True)
class Cost:
    """Cost of one model. None stands for what is unknown or was not measured, never for zero."""

    name: str
    arguments: dict[str, Any] | None = None
    """What the network was built from; None where the model is no network of sordino's."""
    parameters: int | None = None
    flops_paper: float | None = None
    """Floating-point operations on 4 s of audio as the MV-AT paper counts them."""
    macs_per_second: float | None = None
    """Multiply-accumulates per second of audio, every operation counted."""
    file_bytes: int | None = None
    """Size of the model's file; None where it is in none."""
    speed: RealTimeFactor | None = None
    peak_memory_bytes: int | None = None


def count(network: Enhancer, seconds: float = 4.0) -> Cost:
    """Count parameters and operations of a network; nothing is timed.

    Args:
        network: left as it is.
        seconds: of audio on which multiply-accumulates are counted; attention costs more of them on longer signals.
    """
    return Cost(
        name=network.name,
        arguments=network.arguments,
        parameters=count_parameters(network),
        flops_paper=paper_flops(network),
        macs_per_second=macs_per_second(network, seconds),
    )
