"""The facts of a short-time Fourier transform. Recipes state them, so numpy is imported only where arrays are made.

A frame of ``n_fft`` samples is multiplied by the window before the transform and after its inverse, and frames are
added where they overlap. The sum is divided by that of the squared windows, as ``torch.istft`` does, so what no network
changed comes back as it was, for any window and hop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sordino.errors import InputError, did_you_mean

if TYPE_CHECKING:  # a recipe is read without numpy
    import numpy as np

WINDOWS = ("hann", "sqrt_hann", "hamming", "vorbis", "rectangular")
LONGEST = 1 << 16
"""Samples of a frame."""
FLOOR = 1e-8
"""Below this the squared windows overlap too little to divide by."""


@dataclass(frozen=True)
class Stft:
    """A short-time Fourier transform.

    Args:
        n_fft: samples of a frame.
        hop: samples from one frame to the next.
        window: ``hann`` and ``hamming`` are periodic; ``sqrt_hann`` is the square root of ``hann``; ``vorbis`` is
            sin(pi/2 sin^2(pi (n + 1/2) / win_length)).
        win_length: samples of the window, with zeros on both sides of it, as ``torch.stft`` has it; n_fft when None.

    Raises:
        InputError: a frame or a window that is too long, a hop that leaves gaps, or an unknown window.
    """

    n_fft: int
    hop: int
    window: str = "hann"
    win_length: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop", *(["win_length"] if self.win_length is not None else [])):
            if type(getattr(self, name)) is not int:  # True is an int by its class
                raise InputError(f"stft.{name}", repr(getattr(self, name)), "a number of samples")
        if self.n_fft > LONGEST:
            raise InputError("stft.n_fft", f"{self.n_fft}", f"{LONGEST} samples or fewer")
        if not 0 < self.hop <= self.n_fft:
            raise InputError("stft", f"a hop of {self.hop} with n_fft {self.n_fft}", "a hop from 1 to n_fft")
        if not 0 < self._length <= self.n_fft:
            raise InputError("stft.win_length", f"{self.win_length} with n_fft {self.n_fft}", "1 to n_fft samples")
        if self.window not in WINDOWS:
            hint = did_you_mean(str(self.window), WINDOWS)
            raise InputError("stft.window", repr(self.window), f"one of {', '.join(WINDOWS)}", hint)
        if min(self._overlap()) < FLOOR:
            raise InputError("stft", f"windows {self.window} that leave gaps at a hop of {self.hop}", "a smaller hop")

    @property
    def bins(self) -> int:
        """Frequency bins of a frame."""
        return self.n_fft // 2 + 1

    @property
    def weights(self) -> np.ndarray:
        """The window, float64 [n_fft]."""
        import numpy as np

        return np.array(self._weights())

    @property
    def overlap(self) -> np.ndarray:
        """The sum of the squared windows over one hop, float64 [hop]; the same for every hop of a long signal."""
        import numpy as np

        return np.array(self._overlap())

    @property
    def _length(self) -> int:
        return self.n_fft if self.win_length is None else self.win_length

    def _weights(self) -> list[float]:
        before = (self.n_fft - self._length) // 2
        after = self.n_fft - self._length - before
        return [0.0] * before + [self._weight(place) for place in range(self._length)] + [0.0] * after

    def _weight(self, place: int) -> float:
        cosine = math.cos(2 * math.pi * place / self._length)
        if self.window == "hann":
            return 0.5 - 0.5 * cosine
        if self.window == "sqrt_hann":
            return math.sqrt(0.5 - 0.5 * cosine)
        if self.window == "hamming":
            return 0.54 - 0.46 * cosine
        if self.window == "vorbis":
            return math.sin(0.5 * math.pi * math.sin(math.pi * (place + 0.5) / self._length) ** 2)
        return 1.0

    def _overlap(self) -> list[float]:
        overlap = [0.0] * self.hop
        for place, weight in enumerate(self._weights()):
            overlap[place % self.hop] += weight**2
        return overlap
