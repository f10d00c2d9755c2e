"""Run an hourglass of strided layers block by block: the delay of every signal inside it, and its memory of the past.

Frame n of a strided layer starts at sample n stride of its input and needs ``kernel`` samples. A layer can therefore
compute a frame only when later samples have arrived, and each signal inside the network is delayed by a number of its
own samples. The delays are chosen such that every block brings the same number of samples at every depth: block t of
the input holds samples [t hop, (t+1) hop), and gives a signal with ``rate`` samples per hop and the delay ``d`` its
samples [t rate - d, (t+1) rate - d). Samples with a negative index lie before the signal. A convolution over the whole
signal pads there with zeros, so a stream sets them to zero too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sordino.models.layers.resample import AROUND_HALVE, ZEROS


@dataclass(frozen=True)
class LayerDelays:
    """Delays inside an hourglass of strided layers that runs at a multiple of the sampling rate, and what it keeps.

    All numbers are samples of the signal that they describe. Depth 0 is the input of the first encoder layer.

    Args:
        hop: samples of the network's input that bring whole frames at every depth.
        upsampled: delay before each doubling of the rate, and after the last.
        encoded: delay at depth 0, 1, ... in the encoder.
        decoded: delay at depth 0, 1, ... in the decoder.
        downsampled: delay before each halving of the rate, and after the last: that of the network's output.
        lookback: how far before the newest block the encoder layer at depth 0, 1, ... starts to read.
        kept: number of past samples at depth 0, 1, ... that are kept, for that layer and for the skip connection.
        kept_downsampled: number of past samples that are kept before each halving.
    """

    hop: int
    upsampled: tuple[int, ...]
    encoded: tuple[int, ...]
    decoded: tuple[int, ...]
    downsampled: tuple[int, ...]
    lookback: tuple[int, ...]
    kept: tuple[int, ...]
    kept_downsampled: tuple[int, ...]


def layer_delays(kernel: int, stride: int, depth: int, resample: int) -> LayerDelays:
    """Compute the delays; ``resample`` is a power of two, ``kernel`` at least ``stride``."""
    octaves = resample.bit_length() - 1
    # Whole frames of the deepest layer, and whole samples at the outer rate.
    inner_hop = math.lcm(stride**depth, resample)
    # The sinc that doubles the rate reads ZEROS later samples; then every sample counts twice.
    upsampled = [0]
    for _ in range(octaves):
        upsampled.append(2 * (upsampled[-1] + ZEROS))
    # Frame n is complete with sample n stride + kernel - 1. Samples up to (t+1) rate - d thus complete the frames up to
    # (t+1) rate / stride - (ceil((d + kernel) / stride) - 1).
    encoded = [upsampled[-1]]
    for _ in range(depth):
        encoded.append(-(-(encoded[-1] + kernel) // stride) - 1)  # rounded up, as below
    # Frame n of a transposed convolution adds to samples from n stride on: those before are complete.
    decoded = [encoded[-1] * stride ** (depth - level) for level in range(depth + 1)]
    # The sinc that halves the rate reads 2 ZEROS - 2 later samples, ZEROS - 1 of the output.
    downsampled = [decoded[0]]
    for _ in range(octaves):
        downsampled.append(-(-downsampled[-1] // 2) + ZEROS - 1)
    # The first new frame of block t starts at sample t rate - stride * after, the block itself at t rate - before.
    lookback = [stride * after - before for before, after in pairwise(encoded)]
    # The decoder adds the encoder's features when it reaches their depth, which is later: they wait in the memory.
    kept = [lookback[0]]
    for early, late in zip(encoded[1:-1], decoded[1:-1], strict=True):
        kept.append(late - early)
    # Halving reads AROUND_HALVE[0] samples before the first of its output, of which each stands for two of its input.
    kept_downsampled = [2 * after + AROUND_HALVE[0] - before for before, after in pairwise(downsampled)]
    return LayerDelays(
        hop=inner_hop // resample,
        upsampled=tuple(upsampled),
        encoded=tuple(encoded),
        decoded=tuple(decoded),
        downsampled=tuple(downsampled),
        lookback=tuple(lookback),
        kept=tuple(kept),
        kept_downsampled=tuple(kept_downsampled),
    )


class StreamState:
    """The state of a stream during one block: layers take their tensors in order and put in those for the next block.

    Args:
        state: first the number of past hops [B], then the layers' tensors, in the order in which the layers run.
        hops: number of hops in the block.
    """

    def __init__(self, state: tuple[Tensor, ...], hops: int) -> None:
        self.passed, self.hops = state[0], hops
        self._old = iter(state[1:])
        self._new = [self.passed + hops]

    def take(self) -> Tensor:
        """Return the tensor that the next layer has kept; a call of ``keep`` must follow."""
        return next(self._old)

    def keep(self, value: Tensor) -> None:
        """Keep ``value`` for the next block in place of the tensor that was taken."""
        self._new.append(value)

    def with_past(self, x: Tensor) -> Tensor:
        """Put the M past samples that were kept before ``x`` [...,N], and keep the last M of both; [...,M + N]."""
        past = self.take()
        joined = torch.cat([past, x], dim=-1)
        self.keep(joined[..., x.shape[-1] :])
        return joined

    def is_inside(self, x: Tensor, delay: int) -> Tensor:
        """Return a factor [B,1,N] for ``x`` [B,C,N]: 0 for samples before the signal began, 1 from there on."""
        rate = x.shape[-1] // self.hops
        index = (self.passed * rate - delay)[:, None, None] + torch.arange(x.shape[-1], device=x.device)
        return (index >= 0).to(x.dtype)

    @property
    def next_state(self) -> tuple[Tensor, ...]:
        """The state to hand to the next block."""
        return tuple(self._new)
