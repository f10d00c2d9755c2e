"""Convert samples to and from bytes: PCM of 16, 24 or 32-bit integers or 32-bit floats, little-endian.

Floats are float32 with full scale at +-1; an integer of n bits is the float times 2^(n-1). Torch-free.
"""

from __future__ import annotations

import numpy as np

from sordino.errors import InputError

BITS = {"s16le": 16, "s24le": 24, "s32le": 32, "f32le": 32}
"""Sample type, as ffmpeg names it -> bits."""


def to_float(samples: np.ndarray, where: str) -> np.ndarray:
    """Convert int16, or floats with full scale at 1, to float32 of the same shape.

    Args:
        samples: array of any shape.
        where: name of the samples in an error.

    Raises:
        InputError: another type, or NaN or infinite samples.
    """
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / 2**15
    if not np.issubdtype(samples.dtype, np.floating):
        raise InputError(where, f"values of type {samples.dtype}", "floating point with full scale at 1, or int16")
    if not np.isfinite(samples).all():
        raise InputError(where, "NaN or infinite samples", "finite samples", "repair the recording first")
    return samples.astype(np.float32)


def from_float(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert floats to ``dtype``: floating point, or int16, which is clipped at full scale and does not wrap."""
    if dtype == np.int16:
        return _quantised(samples, 16).astype(np.int16)
    return samples.astype(dtype, copy=False)


def decode(data: bytes, encoding: str, channels: int) -> np.ndarray:
    """Decode interleaved samples to float32 [C,T].

    Args:
        data: a whole number of frames; a frame holds one sample of every channel.
        encoding: a key of ``BITS``.
        channels: C.
    """
    if encoding == "s24le":
        # numpy has no 24-bit integers: the three bytes become the upper ones of four.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4").astype(np.float32) / 2**31
    elif encoding == "f32le":
        samples = np.frombuffer(data, "<f4").astype(np.float32)
    else:
        bits = BITS[encoding]
        samples = np.frombuffer(data, f"<i{bits // 8}").astype(np.float32) / 2 ** (bits - 1)
    return samples.reshape(-1, channels).T


def encode(audio: np.ndarray, encoding: str) -> bytes:
    """Encode floats [C,T] as interleaved samples; ``encoding`` is a key of ``BITS``. Integers clip at full scale."""
    if encoding == "f32le":
        return audio.T.astype("<f4").tobytes()
    whole = _quantised(audio.T, BITS[encoding])
    if encoding == "s24le":
        return whole.astype("<i4", order="C").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return whole.astype(f"<i{BITS[encoding] // 8}").tobytes()


def _quantised(samples: np.ndarray, bits: int) -> np.ndarray:
    """Round to integers of ``bits`` bits, clipped; float64, which holds all of them exactly."""
    full = 2.0 ** (bits - 1)
    return np.clip(np.round(samples.astype(np.float64) * full), -full, full - 1)
