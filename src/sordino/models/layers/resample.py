"""Double and halve the sampling rate with a windowed sinc, for DEMUCS, which runs at a multiple of its input's rate.

A point midway between two samples is a convolution with sin(t) / t under a Hann window that extends over ``ZEROS`` zero
crossings on either side. Both functions compute only outputs whose neighbours are all in the input. For a whole signal,
pad it with zeros by ``AROUND_DOUBLE`` or ``AROUND_HALVE``; for a block of a stream, put the end of the last block
before it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ZEROS = 56
AROUND_DOUBLE = (ZEROS - 1, ZEROS)
"""Samples that ``double`` needs before and after those that it doubles."""
AROUND_HALVE = (2 * ZEROS, 2 * ZEROS - 2)
"""Samples that ``halve`` needs before and after those that it halves."""


def sinc_kernel() -> Tensor:
    """Return the weights of the 2 ``ZEROS`` neighbours of a point midway between two samples: [1,1,112]."""
    t = torch.linspace(0.5 - ZEROS, ZEROS - 0.5, 2 * ZEROS, dtype=torch.float64) * torch.pi
    window = torch.hann_window(4 * ZEROS + 1, periodic=False, dtype=torch.float64)[1::2]
    return (torch.sin(t) / t * window).to(torch.get_default_dtype())[None, None]


def double(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the rate, [B,1,55 + N + 56] -> [B,1,2N]: each of the N samples, and the point midway to the next."""
    between = F.conv1d(x, kernel)
    return torch.stack([x[..., ZEROS - 1 : -ZEROS], between], dim=-1).flatten(-2)


def halve(x: Tensor, kernel: Tensor) -> Tensor:
    """Halve the rate, [B,1,112 + 2N + 110] -> [B,1,N]: the mean of each even sample and the odd ones interpolated."""
    even, odd = x[..., ::2], x[..., 1::2]
    return 0.5 * (even[..., ZEROS : 1 - ZEROS] + F.conv1d(odd, kernel))
