"""Short-time Fourier transforms on arrays, frame by frame, for networks that take spectra. No torch.

The transform is described by ``sordino.inference.graphs.stft.Stft``.
"""

from __future__ import annotations

import numpy as np

from sordino.inference.graphs.stft import Stft


class Frames:
    """One channel on its way through frames: hops of samples in, spectra out, and back.

    Args:
        stft: the transform.

    The samples that ``synthesise`` returns lag those given to ``analyse`` by n_fft - hop. No array is changed in place,
    so a shallow copy is a channel of its own.
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
        total = self._sum + np.fft.irfft(spectrum, self._stft.n_fft) * self._window
        ready = total[:hop] / self._overlap
        self._sum = np.concatenate([total[hop:], np.zeros(hop)])
        return ready
