"""The short-time Fourier transform of a stream: hops in, frames of spectrum out, and back by overlap-add.

Both ways the frames are weighted by the square root of a periodic Hann window. With a hop of a half, a quarter, ... of
the window the products of the two weights sum to a constant, so that spectra which nothing has changed give the signal
back (Griffin and Lim, 1984). A hop is complete when all ``window // hop`` frames that hold it are known, so the output
lags the input by ``window - hop`` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordino.models.layers.fourier import RealFourier


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
        """The middle of the first frame in samples of the input, which lies between two; see ``sordino.types.Tap``."""
        return (self.hop - self.delay - 1) / 2

    def memory(self, batch: int) -> Tensor:
        """What both directions start from, [B,window-hop]."""
        return self.weights.new_zeros(batch, self.delay)

    def analyse(self, block: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The spectrum [B,2,N,F] of the frames that end in ``block`` [B,N hop], and the samples to remember."""
        more = self.overlap - 1
        hops = torch.cat([past, block], dim=-1).unflatten(-1, (-1, self.hop))
        frames = torch.cat([hops[:, first : (first - more) or None] for first in range(self.overlap)], dim=-1)
        spectrum = self.fourier(frames * self.weights).movedim(-1, 1)
        return spectrum, _joined([hops[:, index] for index in range(-more, 0)])

    def synthesise(self, spectrum: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """The samples [B,N hop] that the frames of ``spectrum`` [B,2,N,F] complete, and what they add to later ones."""
        weights = self.weights if self.overlap == 2 else self.weights * (2 / self.overlap)
        *parts, total = (self.fourier.inverse(spectrum.movedim(1, -1)) * weights).split(self.hop, dim=-1)
        tails = tail.split(self.hop, dim=-1) if len(parts) > 1 else [tail]
        kept = []
        # The last part of a frame falls on the next to last part of the frame behind it, and so on to the first.
        for part, old in zip(reversed(parts), reversed(tails), strict=True):
            kept.append(total[:, -1])
            total = part + torch.cat([old.unsqueeze(1), total[:, :-1]], dim=1)
        return total.flatten(1), _joined(kept[::-1])


def _joined(hops: list[Tensor]) -> Tensor:
    return hops[0] if len(hops) == 1 else torch.cat(hops, dim=-1)
