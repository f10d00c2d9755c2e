"""RNNoise from the library in the package ``pyrnnoise``.

J.-M. Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", MMSP 2018;
github.com/xiph/rnnoise, BSD-3-Clause; ``pyrnnoise`` of the Python index, Apache-2.0, carries the library with its
weights. It takes 480 samples at 48 kHz at once, as floating point on the scale of 16-bit integers. The package itself
is not imported, as it needs others for files and drawings.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from sordino.errors import InputError

FRAME = 480
SCALE = 32768.0


class RNNoise:
    """The network, opened from the library.

    Args:
        library: the shared library of the package.

    Raises:
        InputError: not a library for this machine, or another one.
    """

    def __init__(self, library: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
            self._library.rnnoise_create.argtypes = [ctypes.c_void_p]
            self._library.rnnoise_create.restype = ctypes.c_void_p
            self._library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
            self._library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
            self._library.rnnoise_process_frame.restype = ctypes.c_float
            frame = self._library.rnnoise_get_frame_size()
        except (OSError, AttributeError) as error:
            raise InputError(library, f"cannot be opened ({error})", "the library of RNNoise") from error
        if frame != FRAME:
            raise InputError(library, f"takes {frame} samples at once", f"{FRAME}, as RNNoise does")

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Enhance noisy float32 [T] at 48 kHz; returns the estimate [T]."""
        frames = (np.pad(noisy, (0, -len(noisy) % FRAME)) * SCALE).astype(np.float32).reshape(-1, FRAME)
        estimate = np.empty_like(frames)
        state = self._library.rnnoise_create(None)
        try:
            for source, target in zip(frames, estimate, strict=True):
                self._library.rnnoise_process_frame(state, target.ctypes.data, source.ctypes.data)
        finally:
            self._library.rnnoise_destroy(state)
        return (estimate.reshape(-1) / SCALE)[: len(noisy)].astype(np.float32)
