"""What a file claims of its network, held against the file: sizes that it cannot fill are refused before they are made.

A file is never much smaller than its weights. So a network that is built from a header may create as many values as the
file has bytes, with room for tables such as windows; each tensor is counted before it takes memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ROOM, TENSORS = 1 << 23, 2_000
"""Values and tensors that a network may create beside its weights."""
_BYTES_OF_A_TENSOR = 16
"""The least that a file needs for the name and the shape of one."""
_FACTORIES: set[Callable[..., Any]] = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye),
    *(torch.arange, torch.linspace, torch.logspace, torch.hann_window, torch.hamming_window, torch.kaiser_window),
}


class AsLargeAs(TorchFunctionMode):
    """Context manager in which this thread creates no more tensors than a file of ``size`` bytes can fill.

    Raises:
        ValueError: it would.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._values, self._tensors = size + ROOM, size // _BYTES_OF_A_TENSOR + TENSORS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            self._count(func(*args, **{**kwargs, "device": "meta"}).numel())  # of a tensor without memory
        elif func is torch.Tensor.outer:
            self._count(args[0].numel() * args[1].numel())
        return func(*args, **kwargs)

    def _count(self, values: int) -> None:
        self._values -= values
        self._tensors -= 1
        if self._values < 0 or self._tensors < 0:
            raise ValueError("sizes that are larger than the file")
