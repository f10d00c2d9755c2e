"""Short-time Fourier transform of a stream: hops of samples to frames of spectrum, and back by overlap-add.

Analysis and synthesis both weight the frames by the square root of a periodic Hann window. With a hop of a half, a
quarter, ... of the window the products of the two weights sum to a constant, so that unchanged spectra give the signal
back (Griffin and Lim, 1984). A hop is complete when all ``window // hop`` frames that contain it are known, so the
output is ``window - hop`` samples later than the input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordino.models.layers.fourier import RealFourier

LOWEST_RATE, HIGHEST_RATE = 8000, 48000
"""Hz between which networks can be made."""


class StreamingStft(nn.Module):
    """Analysis and synthesis of a stream, each with a memory of ``window - hop`` samples that starts with zeros.

    Args:
        window: samples of a frame, an even number.
        hop: samples between two frames; the window is a multiple of it, at least the double.

    Raises:
        ValueError: the window is odd, or no multiple of the hop, or equal to it.
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
        """Centre of the first frame in samples of the input, midway between two; see ``sordino.types.Tap``."""
        return (self.hop - self.delay - 1) / 2

    def memory(self, batch: int) -> Tensor:
        """Return the initial memory of either direction, zeros [B,window-hop]."""
        return self.weights.new_zeros(batch, self.delay)

    def analyse(self, block: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the spectrum of the frames that end in a block.

        Args:
            block: [B,N hop].
            past: the last ``window - hop`` samples before it, [B,window-hop].

        Returns:
            The spectrum [B,2,N,F], and the ``past`` of the next block.
        """
        earlier = self.overlap - 1  # hops of a frame that come before its last one
        hops = torch.cat([past, block], dim=-1).unflatten(-1, (-1, self.hop))
        # Frame n is hops n to n + earlier: part k of all frames is one slice, which ends earlier - k before the end.
        parts = []
        for first in range(self.overlap):
            last = first - earlier
            parts.append(hops[:, first:last] if last else hops[:, first:])
        frames = torch.cat(parts, dim=-1)
        spectrum = torch.stack(self.fourier(frames * self.weights), dim=1)
        return spectrum, _joined([hops[:, index] for index in range(-earlier, 0)])

    def synthesise(self, spectrum: Tensor | tuple[Tensor, Tensor], tail: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the samples that are complete with the frames of a spectrum.

        Args:
            spectrum: [B,2,N,F], or a tuple (real, imaginary), [B,N,F] each.
            tail: sum of the earlier frames over the next ``window - hop`` samples, [B,window-hop].

        Returns:
            The samples [B,N hop], and the ``tail`` for the next spectrum.
        """
        # The squared weights of all frames that overlap sum to overlap / 2.
        weights = self.weights if self.overlap == 2 else self.weights * (2 / self.overlap)
        real, imaginary = spectrum if isinstance(spectrum, tuple) else spectrum.unbind(1)
        *parts, total = (self.fourier.inverse(real, imaginary) * weights).split(self.hop, dim=-1)
        # A tensor that is a single hop is not split: the exported graph has no operator for it then.
        tails = tail.split(self.hop, dim=-1) if len(parts) > 1 else [tail]
        new_tails = []
        # The last part of a frame overlaps the next to last part of the frame after it, and so on to the first part.
        # So the sum moves one frame on at every step; what leaves at the end belongs to the next block.
        for part, old in zip(reversed(parts), reversed(tails), strict=True):
            new_tails.append(total[:, -1])
            total = part + torch.cat([old.unsqueeze(1), total[:, :-1]], dim=1)
        return total.flatten(1), _joined(new_tails[::-1])


def frame(sample_rate: int, seconds: float, window: int | None, hop: int | None, multiple: int = 2) -> tuple[int, int]:
    """Return window and hop in samples: as given, or a window of ``seconds`` and a hop of half of it.

    The window that is not given is the nearest ``multiple``.

    Raises:
        ValueError: a sample rate at which speech cannot be enhanced.
    """
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise ValueError(f"sample_rate is {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {sample_rate}")
    window = multiple * round(seconds * sample_rate / multiple) if window is None else window
    return window, window // 2 if hop is None else hop


def _joined(hops: list[Tensor]) -> Tensor:
    """Concatenate hops [B,hop]; a single one is returned as it is, without an operator in the graph."""
    return hops[0] if len(hops) == 1 else torch.cat(hops, dim=-1)
