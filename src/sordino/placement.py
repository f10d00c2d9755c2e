"""Where torch computes, for what has a formulation of its own for CPUs.

Layers and losses that train slowly on a CPU with torch's own operators have a faster one there, with the same results
and gradients within rounding. GPUs, autocast and exported graphs get torch's operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_plain: ContextVar[bool] = ContextVar("plain", default=False)


def on_cpu(x: Tensor) -> bool:
    """Whether torch computes with ``x`` on a CPU in its own precision: no GPU, no autocast, no graph being exported."""
    if torch.compiler.is_exporting() or _plain.get():
        return False
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


@contextmanager
def plain_operators() -> Iterator[None]:
    """Compute with torch's own operators inside the block, as a GPU does: to compare the two, or to look for a fault.

    The backward pass of what was computed inside may run outside.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)
