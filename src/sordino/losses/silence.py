"""Detection of silent references: items of noise alone, for which a network should return silence."""

from __future__ import annotations

from torch import Tensor

SILENCE = 1e-12
"""Largest mean square of a silent signal: -120 dBFS, far below the last bit of 16-bit samples."""


def is_silent(wave: Tensor) -> Tensor:
    """Return a boolean [B]: which items of ``wave`` [B,T] are silent."""
    return wave.square().mean(dim=-1) <= SILENCE
