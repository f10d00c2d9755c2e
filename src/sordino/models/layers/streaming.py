"""Strided layers block by block: how far each signal inside a network lags, and what is kept from block to block.

Frame n of a strided layer shows the input from sample n stride on. So that every block of the input brings a fixed
number of frames at every depth, each signal lags by a fixed number of its own samples: of block t, which holds input
[t hop, (t+1) hop), a signal with ``rate`` samples to a hop gives [t rate - lag, (t+1) rate - lag). What has a negative
index lies before the signal began and must not be heard in what follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sordino.models.layers.resample import AROUND_HALVE, ZEROS


@dataclass(frozen=True)
class Lags:
    """The lags inside an hourglass of strided layers that runs at a multiple of the sampling rate.

    Args:
        hop: samples of input that bring whole frames at every depth.
        doubled: lag before each doubling of the rate, and behind the last.
        encoded: lag at depth 0, 1, ..., on the way down.
        decoded: the same on the way up.
        halved: lag before each halving of the rate, and behind the last, which is the lag of the output.
        reach: how far behind the newest block the layer below depth 0, 1, ... begins to read, in what it reads.
        past: how much of the signal at depth 0, 1, ... is kept, for that layer and for the skip beside it.
        past_halved: the same before each halving.
    """

    hop: int
    doubled: tuple[int, ...]
    encoded: tuple[int, ...]
    decoded: tuple[int, ...]
    halved: tuple[int, ...]
    reach: tuple[int, ...]
    past: tuple[int, ...]
    past_halved: tuple[int, ...]


def lags(kernel: int, stride: int, depth: int, resample: int) -> Lags:
    """Work out the lags; ``resample`` is a power of two, ``kernel`` at least ``stride``."""
    octaves = resample.bit_length() - 1
    inner_hop = math.lcm(stride**depth, resample)
    doubled = [0]
    for _ in range(octaves):
        doubled.append(2 * (doubled[-1] + ZEROS))
    encoded = [doubled[-1]]
    for _ in range(depth):
        encoded.append(_ceil(encoded[-1] + kernel, stride) - 1)
    decoded = [encoded[-1] * stride ** (depth - level) for level in range(depth + 1)]
    halved = [decoded[0]]
    for _ in range(octaves):
        halved.append(_ceil(halved[-1], 2) + ZEROS - 1)
    reach = [stride * after - before for before, after in pairwise(encoded)]
    return Lags(
        hop=inner_hop // resample,
        doubled=tuple(doubled),
        encoded=tuple(encoded),
        decoded=tuple(decoded),
        halved=tuple(halved),
        reach=tuple(reach),
        past=(reach[0], *(late - soon for soon, late in zip(encoded[1:-1], decoded[1:-1], strict=True))),
        past_halved=tuple(2 * after + AROUND_HALVE[0] - before for before, after in pairwise(halved)),
    )


class Memory:
    """A state on its way through a network: its tensors are taken in order, and each is replaced for the next block.

    Args:
        state: first the hops that have passed [B], then what the layers remember, in the order in which they run.
        hops: in the block.
    """

    def __init__(self, state: tuple[Tensor, ...], hops: int) -> None:
        self.passed, self.hops = state[0], hops
        self._old = iter(state[1:])
        self._new = [self.passed + hops]

    def take(self) -> Tensor:
        """What the next layer remembers; ``keep`` follows."""
        return next(self._old)

    def keep(self, value: Tensor) -> None:
        """Remember ``value`` in the place of what was taken."""
        self._new.append(value)

    def behind(self, x: Tensor) -> Tensor:
        """``x`` [...,N] behind what came last [...,M], and the last M of both kept: [...,M + N]."""
        past = self.take()
        joined = torch.cat([past, x], dim=-1)
        self.keep(joined[..., x.shape[-1] :])
        return joined

    def begun(self, x: Tensor, lag: int) -> Tensor:
        """A factor for ``x`` [B,C,N] that is 0 before the signal began and 1 from there on: [B,1,N]."""
        rate = x.shape[-1] // self.hops
        index = (self.passed * rate - lag)[:, None, None] + torch.arange(x.shape[-1], device=x.device)
        return (index >= 0).to(x.dtype)

    @property
    def state(self) -> tuple[Tensor, ...]:
        """What to remember until the next block."""
        return tuple(self._new)


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
