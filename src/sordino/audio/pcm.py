"""Convert samples to and from bytes: PCM of 16, 24 or 32-bit integers or 32-bit floats, little-endian.

Floats are float32 with full scale at +-1; an integer of n bits is the float times 2^(n-1). Torch-free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from sordino.errors import InputError

BITS = {"s16le": 16, "s24le": 24, "s32le": 32, "f32le": 32}
"""Sample type, as ffmpeg names it -> bits."""


MAX_CHANNELS = 64
"""More channels than that are no recording: an array whose axes are exchanged, or a header that lies."""
LOUDEST = 1_000.0
"""A larger peak, 60 dB above full scale, is that of integers which were made floats."""
WERE_INTEGERS = "divide samples that were 16-bit integers by 32768"
"""What to do about a larger peak."""
RATES = (1_000, 1_000_000)
"""Lowest and highest sample rate in Hz that is believed."""


def check_shape(where: object, sample_rate: int, channels: int) -> None:
    """Check that a recording may have this sample rate in Hz and this number of channels.

    Raises:
        InputError: it may not.
    """
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise InputError(where, f"a sample rate of {sample_rate} Hz", f"{RATES[0]:,} to {RATES[1]:,} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(where, f"{channels} channels", f"1 to {MAX_CHANNELS}")


def cut_short(path: object, seconds: float, stated_s: float) -> InputError:
    """Return the error for a recording that ends after ``seconds``, before the length that its header states."""
    expected = f"the {stated_s:.2f} s that its header promises"
    return InputError(path, f"ends after {seconds:.2f} s", expected, "was it cut short? copy or download it again")


def limited(blocks: Iterable[np.ndarray], most: float, where: object) -> Iterator[np.ndarray]:
    """Yield blocks of a recording, which ``where`` names in an error.

    Raises:
        InputError: they hold more than ``most`` samples of all channels.
    """
    count = 0
    for block in blocks:
        count += block.size
        if count > most:
            raise InputError(where, "is too long", f"{most:.0f} samples of all channels at most", "cut it")
        yield block


def whole_rate(sample_rate: object, where: str = "sample_rate") -> int:
    """Return a sample rate in Hz as an int: 48000.0 and "48000" are one, as other programs write them.

    Raises:
        InputError: no whole number.
    """
    return whole_number(sample_rate, where, expected="a whole number of Hz")


def optional_rate(given: object, where: str) -> int | None:
    """Return a sample rate in Hz that a recording may have as an int, and None as it is.

    Raises:
        InputError: no whole number, or a rate that no recording has.
    """
    if given is None:
        return None
    rate = whole_rate(given, where)
    if rate <= 0:
        raise InputError(where, f"{rate} Hz", "a rate above 0")
    check_shape(where, rate, channels=1)
    return rate


def whole_number(
    given: object, where: str, least: float = -math.inf, expected: str = "a whole number", most: float = math.inf
) -> int:
    """Return a number or its text as an int.

    Raises:
        InputError: not whole, below ``least`` or above ``most``.
    """
    try:
        number = float(given)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not number.is_integer():
        raise InputError(where, repr(given), expected)
    if number < least:
        raise InputError(where, repr(given), f"{least:g} or more")
    if number > most:
        raise InputError(where, repr(given), f"{most:g} at most")
    return int(number)


def as_array(samples: Any, where: str) -> np.ndarray:
    """Return samples as a numpy array; a torch tensor, also with a gradient or on a GPU, is one.

    Only bfloat16, which numpy lacks, becomes float32.

    Raises:
        InputError: something that is no array.
    """
    try:
        if hasattr(samples, "detach"):
            samples = samples.detach().cpu()
            samples = (samples.float() if "bfloat16" in str(samples.dtype) else samples).numpy()
        return np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"a {type(samples).__name__} that is no array ({error})"
        raise InputError(where, found, "a numpy array of samples") from error


def to_float(samples: np.ndarray, where: str) -> np.ndarray:
    """Convert int16, or floats with full scale at 1, to float32 of the same shape.

    Args:
        samples: array of any shape and byte order.
        where: name of the samples in an error.

    Raises:
        InputError: another type, NaN or infinite samples, or floats that are integers by their size.
    """
    if _is_int16(samples.dtype):
        return samples.astype(np.float32) / 2**15
    if samples.dtype.kind != "f":
        raise InputError(where, f"values of type {samples.dtype}", "floating point with full scale at 1, or int16")
    peak = float(np.abs(samples).max(initial=0.0))  # NaN if any sample is
    if not math.isfinite(peak):
        raise InputError(where, "NaN or infinite samples", "finite samples", "repair the recording first")
    if peak > LOUDEST:
        raise InputError(where, f"a peak of {peak:g}", "floating point with full scale at 1", WERE_INTEGERS)
    return samples.astype(np.float32)


def one_channel(samples: Any, where: str) -> np.ndarray:
    """Return the samples of one channel, [T], as float32; arguments and errors as in ``as_array`` and ``to_float``.

    Raises:
        InputError: several channels, or another type.
    """
    audio = to_float(as_array(samples, where), where)
    if audio.ndim != 1:
        raise InputError(where, f"an array of shape {audio.shape}", "one channel, of shape [T]")
    return audio


def as_estimate(given: Any, name: str) -> np.ndarray:
    """Return what the model ``name`` gave as a numpy array of floating point; see ``as_array``.

    Raises:
        InputError: no array, or of another type: integers would be taken for samples far beyond full scale.
    """
    estimate = as_array(given, name)
    if estimate.dtype.kind != "f":
        found = "complex numbers" if estimate.dtype.kind == "c" else f"values of type {estimate.dtype}"
        raise InputError(name, f"gave {found}", "samples, floating point with full scale at 1")
    return estimate


def from_float(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert floats to ``dtype``, with its byte order: floating point, or int16, which clips and does not wrap."""
    if _is_int16(dtype):
        return _quantised(samples, 16).astype(dtype)
    return samples.astype(dtype, copy=False)


def _is_int16(dtype: np.dtype) -> bool:
    """Whether a type is int16 of either byte order: RTP sends L16 with the upper byte first."""
    return dtype.newbyteorder("=") == np.int16


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
