"""Merge the bins of a spectrum into bands, and split bands into bins: single bins below 2 kHz, wider bands above.

The idea is Valin's ("A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP 2018); low
bins stay single bins as in GTCRN (Rong et al., ICASSP 2024), where they resolve the pitch. The scale above is the
equivalent rectangular bandwidth of Glasberg and Moore (1990): E(f) = 21.4 log10(1 + 0.00437 f).

Above ``KEPT_HZ`` the centres of the bands are evenly spaced on that scale, and a bin is divided between the bands on
either side of it by linear interpolation. Bands are weighted means of bins; bins are interpolated between bands. So a
constant spectrum stays constant both ways. The weights are fixed and not learnt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KEPT_HZ = 2000.0
"""Frequency below which every bin is a band of its own."""


class Bands(nn.Module):
    """Merges [...,F] bins into [...,K] bands and splits them again.

    Args:
        bins: F, number of bins from 0 Hz to half the sample rate.
        bands: K, number of bands.
        sample_rate: Hz.

    Raises:
        ValueError: fewer bands than bins below ``KEPT_HZ``, or so many that two of them lie within one bin.
    """

    def __init__(self, bins: int, bands: int, sample_rate: int) -> None:
        super().__init__()
        self.kept = round(2 * KEPT_HZ / sample_rate * (bins - 1))
        wide = bands - self.kept
        top = float(_erb(torch.tensor(sample_rate / 2)))
        bottom = float(_erb(torch.tensor(KEPT_HZ)))
        # The first centre is the bin at KEPT_HZ, the last the bin at half the sample rate. Centres count bins from
        # KEPT_HZ on.
        hertz = _hertz(torch.linspace(bottom, top, max(wide, 2), dtype=torch.float64))
        centres = hertz * (2 * (bins - 1) / sample_rate) - self.kept
        if wide < 2 or centres[1] < 1:
            raise ValueError(f"{bins} bins cannot be merged into {bands} bands, of which {self.kept} are single bins")
        # Triangles that reach from the centre of the band before to that of the band after.
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
        """Merge bins into bands: [...,F] -> [...,K]."""
        return torch.cat([spectrum[..., : self.kept], spectrum[..., self.kept :] @ self.merging], dim=-1)

    def split(self, bands: Tensor) -> Tensor:
        """Split bands into bins: [...,K] -> [...,F]."""
        return torch.cat([bands[..., : self.kept], bands[..., self.kept :] @ self.splitting], dim=-1)


def _erb(hertz: Tensor) -> Tensor:
    return 21.4 * torch.log10(1 + 0.00437 * hertz)


def _hertz(erb: Tensor) -> Tensor:
    return (10 ** (erb / 21.4) - 1) / 0.00437
