"""Bins of a spectrum merged into bands, fine where pitch is resolved and as wide as the ear's filters above.

The idea is Valin's ("A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP 2018), and
keeping the low bins as they are is that of GTCRN (Rong et al., ICASSP 2024). The scale is the equivalent rectangular
bandwidth of Glasberg and Moore (1990): E(f) = 21.4 log10(1 + 0.00437 f).

Above ``KEPT_HZ`` the centres of the bands lie evenly on that scale, and a bin belongs to the two bands beside it by
linear interpolation. Bands are weighted means of bins; bins are read off the line between bands. So a spectrum that is
constant stays so both ways. The weights are fixed and not learnt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KEPT_HZ = 2000.0
"""Up to here every bin is a band of its own."""


class Bands(nn.Module):
    """[...,F] bins to [...,K] bands and back.

    Args:
        bins: F, from 0 Hz to half the sample rate.
        bands: K.
        sample_rate: Hz.

    Raises:
        ValueError: fewer bands than bins below ``KEPT_HZ``, or so many that two of them fall into one bin.
    """

    def __init__(self, bins: int, bands: int, sample_rate: int) -> None:
        super().__init__()
        self.kept = round(2 * KEPT_HZ / sample_rate * (bins - 1))
        wide = bands - self.kept
        top = float(_erb(torch.tensor(sample_rate / 2)))
        bottom = float(_erb(torch.tensor(KEPT_HZ)))
        # The first centre is the bin at KEPT_HZ itself, the last that at half the sample rate.
        hertz = _hertz(torch.linspace(bottom, top, max(wide, 2), dtype=torch.float64))
        centres = hertz * (2 * (bins - 1) / sample_rate) - self.kept
        if wide < 2 or centres[1] < 1:
            raise ValueError(f"{bins} bins cannot be merged into {bands} bands, of which {self.kept} are single bins")
        distance = (torch.arange(bins - self.kept).unsqueeze(1) - centres).double()
        gaps = centres.diff()
        rising = 1 + distance / torch.cat([gaps[:1], gaps])
        falling = 1 - distance / torch.cat([gaps, gaps[-1:]])
        split = torch.minimum(rising, falling).clamp(min=0).T  # [K-kept,F-kept]; each bin's weights sum to 1
        self.register_buffer("splitting", split.float(), persistent=False)
        self.register_buffer("merging", (split / split.sum(dim=1, keepdim=True)).T.float(), persistent=False)
        self.splitting: Tensor
        self.merging: Tensor

    def merge(self, spectrum: Tensor) -> Tensor:
        """[...,F] -> [...,K]."""
        return torch.cat([spectrum[..., : self.kept], spectrum[..., self.kept :] @ self.merging], dim=-1)

    def split(self, bands: Tensor) -> Tensor:
        """[...,K] -> [...,F]."""
        return torch.cat([bands[..., : self.kept], bands[..., self.kept :] @ self.splitting], dim=-1)


def _erb(hertz: Tensor) -> Tensor:
    return 21.4 * torch.log10(1 + 0.00437 * hertz)


def _hertz(erb: Tensor) -> Tensor:
    return (10 ** (erb / 21.4) - 1) / 0.00437
