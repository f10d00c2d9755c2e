"""Losses: waveforms in, one value per item out.

Every loss is called with (reference, estimate, noisy), each [B,T], and returns [B]. The reference may be the clean
speech or a teacher's output, so any loss can be used for supervised training and for output distillation; losses do not
know about teachers.
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
"""Catalogue of losses: name -> class, whose constructor is the recipe's schema."""

__all__ = ["L1", "LOSSES", "Compressed", "MultiResolution", "Perceptual", "SiSdr", "Snr", "TimeFrequency", "Weighted"]
