"""What counts as a silent reference: an item of noise alone, of which a network is to leave nothing."""

from __future__ import annotations

from torch import Tensor

SILENCE = 1e-12
"""Mean square of a silent signal: -120 dBFS, far below the last bit of 16-bit sound."""


def is_silent(wave: Tensor) -> Tensor:
    """Which items of ``wave`` [B,T] are silent: a boolean [B]."""
    return wave.square().mean(dim=-1) <= SILENCE
