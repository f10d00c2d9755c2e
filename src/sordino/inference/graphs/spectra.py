"""Short-time Fourier transforms on arrays, frame by frame, for networks that take spectra. No torch.

A frame of ``n_fft`` samples is multiplied by the window before the transform and after its inverse, and frames are
added where they overlap. The sum is divided by that of the squared windows, as ``torch.istft`` does, so what no network
changed comes back as it was, for any window and hop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sordino.errors import InputError

Window = Literal["hann", "sqrt_hann", "hamming", "vorbis", "rectangular"]
FLOOR = 1e-8
"""Below this the squared windows overlap too little to divide by."""


@dataclass(frozen=True)
class Stft:
    """A short-time Fourier transform.

    Args:
        n_fft: samples of a frame.
        hop: samples from one frame to the next.
        window: ``hann`` and ``hamming`` are periodic; ``sqrt_hann`` is the square root of ``hann``; ``vorbis`` is
            sin(pi/2 sin^2(pi (n + 1/2) / n_fft)).

    Raises:
        InputError: a hop that leaves gaps, or an unknown window.
    """

    n_fft: int
    hop: int
    window: Window = "hann"

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.n_fft:
            raise InputError("stft", f"a hop of {self.hop} with n_fft {self.n_fft}", "a hop from 1 to n_fft")
        if np.min(self.overlap) < FLOOR:
            raise InputError("stft", f"windows {self.window} that leave gaps at a hop of {self.hop}", "a smaller hop")

    @property
    def bins(self) -> int:
        """Frequency bins of a frame."""
        return self.n_fft // 2 + 1

    @property
    def weights(self) -> np.ndarray:
        """The window, float64 [n_fft]."""
        place = np.arange(self.n_fft)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * place / self.n_fft)
        if self.window == "hann":
            return hann
        if self.window == "sqrt_hann":
            return np.sqrt(hann)
        if self.window == "hamming":
            return 0.54 - 0.46 * np.cos(2 * np.pi * place / self.n_fft)
        if self.window == "vorbis":
            return np.sin(0.5 * np.pi * np.sin(np.pi * (place + 0.5) / self.n_fft) ** 2)
        if self.window == "rectangular":
            return np.ones(self.n_fft)
        raise InputError("stft.window", repr(self.window), "hann, sqrt_hann, hamming, vorbis or rectangular")

    @property
    def overlap(self) -> np.ndarray:
        """The sum of the squared windows over one hop, float64 [hop]; the same for every hop of a long signal."""
        squared = np.pad(self.weights**2, (0, -self.n_fft % self.hop))
        return squared.reshape(-1, self.hop).sum(axis=0)


class Frames:
    """One channel on its way through frames: hops of samples in, spectra out, and back.

    Args:
        stft: the transform.

    The samples that ``synthesise`` returns lag those given to ``analyse`` by n_fft - hop.
    """

    def __init__(self, stft: Stft) -> None:
        self._stft = stft
        self._window = stft.weights
        self._overlap = stft.overlap
        self._noisy = np.zeros(stft.n_fft)
        self._sum = np.zeros(stft.n_fft)

    def analyse(self, samples: np.ndarray) -> np.ndarray:
        """Take the next hop of samples [hop]; return the spectrum [F] of the frame that ends with it."""
        hop = self._stft.hop
        self._noisy = np.concatenate([self._noisy[hop:], samples])
        return np.fft.rfft(self._noisy * self._window)

    def synthesise(self, spectrum: np.ndarray) -> np.ndarray:
        """Take the spectrum [F] of the latest frame; return the hop of samples that no later frame reaches."""
        hop = self._stft.hop
        self._sum += np.fft.irfft(spectrum, self._stft.n_fft) * self._window
        ready = self._sum[:hop] / self._overlap
        self._sum = np.concatenate([self._sum[hop:], np.zeros(hop)])
        return ready
