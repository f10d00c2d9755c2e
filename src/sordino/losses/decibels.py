"""Base class of losses in decibels, with the ratio above which an estimate counts as perfect."""

from __future__ import annotations

from torch import nn


class Decibels(nn.Module):
    """Base class of ``SiSdr`` and ``Snr``.

    Args:
        max_db: ratio in dB that counts as perfect.

    Raises:
        ValueError: ``max_db`` is not above 0.
    """

    def __init__(self, max_db: float = 30.0) -> None:
        super().__init__()
        if not max_db > 0:
            raise ValueError(f"max_db is a positive number of decibels, not {max_db}")
        self.max_db = max_db
