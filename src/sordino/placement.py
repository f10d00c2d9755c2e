"""How tensors are computed: the choice between torch's own operators and faster ones for CPUs, and the precision.
Layers and losses that train slowly on a CPU with torch's own operators have a second, faster formulation there, with
the same results and gradients within rounding. GPUs, autocast and exported graphs get torch's operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from sordino.errors import InputError

_plain: ContextVar[bool] = ContextVar("plain", default=False)


def on_cpu(x: Tensor) -> bool:
    """Whether the formulation for CPUs is to be used for ``x``: on a CPU, outside autocast and outside an export."""
    if torch.compiler.is_exporting() or _plain.get():
        return False
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert half precision to float32, in which losses are computed; float32 and float64 stay."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


@contextmanager
def plain_operators() -> Iterator[None]:
    """Use torch's own operators inside the block, as on a GPU: to compare the two formulations, or to find a fault.

    The backward pass of what was computed inside may run outside.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def demand_first_order() -> None:
    """Refuse, in the backward pass of an operator for CPUs, a gradient of the gradient, which would be 0.

    Raises:
        InputError: the gradient is computed with ``create_graph=True``.
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        found, expected = "the faster operators for CPUs have no gradient of a gradient", "torch's own operators"
        raise InputError("create_graph", found, expected, "compute inside sordino.placement.plain_operators()")
