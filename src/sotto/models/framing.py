"""The short-time Fourier transform of a stream: hops in, frames of spectrum out, and back by overlap-add.

Both ways the frames are weighted by the square root of a periodic Hann window. With a hop of a half, a quarter, ... of
the window the products of the two weights sum to a constant, so that spectra which nothing has changed give the signal
back (Griffin and Lim, 1984). A hop is complete when all ``window // hop`` frames that hold it are known, so the output
lags the input by ``window - hop`` samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sotto.models.fourier import RealFourier


class StreamingStft(nn.Module):
    """Analysis and synthesis of a stream, each with a memory of ``window - hop`` samples that starts with zeros.

    Args:
        window: samples of a frame, an even number.
        hop: samples between two frames, half of the window or a smaller whole fraction of it.

    Raises:
        ValueError: a window that is odd, or that is not a multiple of the hop, at least twice as long.
    """

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        if window < 2 or window % 2 or hop < 1 or window % hop or window == hop:
            raise ValueError(f"window is even and a multiple of hop, at least 2 hops, not window={window}, hop={hop}")
        self.hop, self.delay, self.overlap = hop, window - hop, window // hop
        self.bins = window // 2 + 1
        self.fourier = RealFourier(window)
        self.register_buffer("weights", torch.hann_window(window).sqrt(), persistent=False)
        self.weights: Tensor

    @property
    def centre(self) -> float:
        """The middle of the first frame in samples of the input, which lies between two; see ``sotto.types.Tap``."""
        return (self.hop - self.delay - 1) / 2

    def memory(self, batch: int) -> Tensor:
        """What both directions start from, [B,window-hop]."""
        return self.weights.new_zeros(batch, self.delay)

    def analyse(self, block: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The spectrum [B,2,N,F] of the frames that end in ``block`` [B,N hop], and the samples to remember."""
        samples = torch.cat([past, block], dim=-1)
        hops = samples.unflatten(-1, (-1, self.hop))
        count = hops.shape[1] - self.overlap + 1
        frames = torch.cat([hops[:, first : first + count] for first in range(self.overlap)], dim=-1)
        return self.fourier(frames * self.weights).movedim(-1, 1), samples[:, -self.delay :]

    def synthesise(self, spectrum: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """The samples [B,N hop] that the frames of ``spectrum`` [B,2,N,F] complete, and what they add to later ones."""
        frames = self.fourier.inverse(spectrum.movedim(1, -1)) * (self.weights * (2 / self.overlap))
        parts = frames.split(self.hop, dim=-1)
        after = self.overlap - 1
        # Part k of a frame falls k hops after the frame's first.
        total = sum(F.pad(part, (0, 0, place, after - place)) for place, part in enumerate(parts))
        assert isinstance(total, Tensor)
        old = tail.unflatten(-1, (after, self.hop))
        total = torch.cat([total[:, :after] + old, total[:, after:]], dim=1)
        return total[:, :-after].flatten(1), total[:, -after:].flatten(1)
