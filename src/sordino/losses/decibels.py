"""What losses in decibels share: the ratio from which an estimate counts as perfect."""

from __future__ import annotations

from torch import nn


class Decibels(nn.Module):
    """Base of ``SiSdr`` and ``Snr``.

    Args:
        max_db: ratio in dB that is as good as perfect.

    Raises:
        ValueError: a ratio that is not above 0.
    """

    def __init__(self, max_db: float = 30.0) -> None:
        super().__init__()
        if max_db <= 0:
            raise ValueError(f"max_db is a positive number of decibels, not {max_db}")
        self.max_db = max_db
