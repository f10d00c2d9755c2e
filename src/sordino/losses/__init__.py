"""Losses: tensors in, one value per item out. Nobody here has heard of teachers.

Every loss is called with (reference, estimate, noisy), each [B,T], and returns [B]. Because the reference may be the
clean speech or a teacher's output, any loss serves supervised training and output distillation alike.
"""

from __future__ import annotations

from torch import nn

from sordino.losses.compressed import Compressed
from sordino.losses.perceptual import Perceptual
from sordino.losses.si_sdr import SiSdr
from sordino.losses.snr import Snr
from sordino.losses.time_frequency import TimeFrequency
from sordino.losses.waveform import L1, MultiResolution
from sordino.losses.weighted import Weighted

LOSSES: dict[str, type[nn.Module]] = {
    "weighted": Weighted,
    "multi_resolution": MultiResolution,
    "l1": L1,
    "time_frequency": TimeFrequency,
    "compressed": Compressed,
    "perceptual": Perceptual,
    "si_sdr": SiSdr,
    "snr": Snr,
}
"""The catalogue: name -> class, whose constructor is the recipe's schema."""

__all__ = ["L1", "LOSSES", "Compressed", "MultiResolution", "Perceptual", "SiSdr", "Snr", "TimeFrequency", "Weighted"]
