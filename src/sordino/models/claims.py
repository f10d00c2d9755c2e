"""Check of what a file claims about its network: sizes that the file cannot fill are refused before they are allocated.

A file is never much smaller than its weights. So a network that is built from a header may create as many values as the
file has bytes, with room for tables such as windows; each tensor is counted before it takes memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROOM, TENSORS = 1 << 23, 2_000
"""Values and tensors that a network may create beside its weights."""
_BYTES_OF_A_TENSOR = 16
"""The least that a file needs for the name and the shape of one."""


def _of_shape(factory: Callable[..., Tensor]) -> Callable[..., int]:
    return lambda *args, **kwargs: factory(*args, **{**kwargs, "device": "meta"}).numel()  # takes no memory


def _of_range(*given: float, start: float = 0, end: float = 0, step: float = 1, **_: Any) -> int:
    if len(given) == 1:
        end = given[0]
    else:
        start, end, step = (*given, *(start, end, step)[len(given) :])
    return max(0, math.ceil((end - start) / step))


def _of_steps(start: float, end: float, steps: int, **_: Any) -> int:
    return steps


def _of_window(window_length: int, *_: Any, **__: Any) -> int:
    return window_length


def _of_eye(n: int, m: int | None = None, **_: Any) -> int:
    return n * (n if m is None else m)


# Functions that create tensors -> how many values they would create. Tensors without memory would do for all of them,
# but for some of them torch imports its compiler and sympy: 1.5 s of a processor.
_COUNTS: dict[Callable[..., Any], Callable[..., int]] = {
    **{factory: _of_shape(factory) for factory in (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand)},
    torch.randn: _of_shape(torch.rand),
    torch.arange: _of_range,
    **dict.fromkeys((torch.linspace, torch.logspace), _of_steps),
    **dict.fromkeys((torch.hann_window, torch.hamming_window, torch.kaiser_window), _of_window),
    torch.eye: _of_eye,
    torch.Tensor.outer: lambda first, second: first.numel() * second.numel(),
}


def count(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    """Return how many values a call of a torch function would create; None for functions that are not counted."""
    return _COUNTS[func](*args, **kwargs) if func in _COUNTS else None


class SizeLimit(TorchFunctionMode):
    """Context manager in which this thread creates no more tensors than a file of ``size`` bytes can fill.

    Raises:
        ValueError: it would.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._values, self._tensors = size + ROOM, size // _BYTES_OF_A_TENSOR + TENSORS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        values = count(func, args, kwargs)
        if values is not None:
            self._count(values)
        return func(*args, **kwargs)

    def _count(self, values: int) -> None:
        self._values -= values
        self._tensors -= 1
        if self._values < 0 or self._tensors < 0:
            raise ValueError("sizes that are larger than the file")
