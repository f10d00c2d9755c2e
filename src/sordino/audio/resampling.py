"""Resampling of sound that comes in pieces: the pieces that come out are, put together, the whole signal resampled.

Two ways. soxr is what files are resampled with, to the very sample, but it filters in long blocks: between 48 and
16 kHz it holds up to 38 ms back, between 8 and 16 kHz 117 ms. ``ShortFilter``, a windowed sinc, holds 3.7 and 7.4 ms
back. It passes all below 0.9 of the lower rate's half and stops all above the half by 90 dB, for which Kaiser's
formulas give its length (J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function",
ISCAS 1974). Torch-free.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Protocol

import numpy as np
import soxr

PASSBAND, STOPBAND_DB = 0.9, 90.0
_AT_ONCE = 2**12


class Resampler(Protocol):
    """What both ways offer; arrays are float32 [C,n] in and [C,m] out."""

    delay_s: float
    """The most sound that is held back: how long after a sample was fed it comes out at the latest."""

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next piece, of any length; return what is ready."""
        ...

    def flush(self) -> np.ndarray:
        """Return the rest; nothing may be fed afterwards."""
        ...


def open_resampler(rate_in: int, rate_out: int, channels: int, low_delay: bool = False) -> Resampler:
    """A resampler for one stream, from ``rate_in`` to ``rate_out`` Hz; equal rates hand the sound through untouched."""
    if rate_in == rate_out:
        return _Untouched(channels)
    return (ShortFilter if low_delay else Soxr)(rate_in, rate_out, channels)


class _Untouched:
    delay_s = 0.0

    def __init__(self, channels: int) -> None:
        self._nothing = np.zeros((channels, 0), np.float32)

    def feed(self, block: np.ndarray) -> np.ndarray:
        return block

    def flush(self) -> np.ndarray:
        return self._nothing


class Soxr:
    """soxr's HQ filter, as ``sordino.audio.sound_files.resample`` applies it."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self._soxr = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="HQ")
        self._nothing = np.zeros((0, channels), np.float32)
        self.delay_s = _soxr_delay_s(rate_in, rate_out)

    def feed(self, block: np.ndarray) -> np.ndarray:
        return self._soxr.resample_chunk(np.ascontiguousarray(block.T)).T

    def flush(self) -> np.ndarray:
        return self._soxr.resample_chunk(self._nothing, last=True).T


@cache
def _soxr_delay_s(rate_in: int, rate_out: int) -> float:
    """The most that soxr holds back, in seconds: measured, as it says of itself only what it holds at the moment."""
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    silence = np.zeros(max(rate_in // 1000, 1), np.float32)
    fed, given, most = 0, 0, 0.0
    while fed < rate_in:
        fed += len(silence)
        most = max(most, fed / rate_in - given / rate_out)
        given += len(stream.resample_chunk(silence))
    return most


class ShortFilter:
    """A sinc under a Kaiser window, one row of weights for each of the places that a sample can fall between others.

    Output ``j`` lies at ``t = j rate_in / rate_out`` of the input and is the sum of the ``reach`` samples on either
    side of it, weighted. Places are counted in whole numbers, so nothing drifts.

    Args:
        rate_in: Hz.
        rate_out: Hz.
        channels: of the stream.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        common = math.gcd(rate_in, rate_out)
        self._step, self._places = rate_in // common, rate_out // common
        self._weights = _weights(self._step, self._places)
        self._reach = self._weights.shape[1] // 2
        # The first output leans on silence before the signal.
        self._heard = np.zeros((channels, self._reach - 1), np.float32)
        self._origin = 1 - self._reach
        self._done = 0
        self.delay_s = (self._reach + 1) / rate_in

    def feed(self, block: np.ndarray) -> np.ndarray:
        self._heard = np.concatenate([self._heard, block], axis=1)
        end = self._origin + self._heard.shape[1]
        # Output j is ready when its last neighbour, floor(t) + reach, has come.
        ready = max(-(-(end - self._reach) * self._places // self._step), self._done)
        parts = [self._outputs(first, min(first + _AT_ONCE, ready)) for first in range(self._done, ready, _AT_ONCE)]
        self._done = ready
        over = self._done * self._step // self._places - self._reach + 1 - self._origin
        self._heard, self._origin = self._heard[:, over:], self._origin + over
        return np.concatenate([block[:, :0], *parts], axis=1)

    def flush(self) -> np.ndarray:
        return self.feed(np.zeros((len(self._heard), self._reach), np.float32))

    def _outputs(self, first: int, last: int) -> np.ndarray:
        before, place = np.divmod(np.arange(first, last) * self._step, self._places)
        windows = np.lib.stride_tricks.sliding_window_view(self._heard, 2 * self._reach, axis=1)
        starts, weights = before - self._reach + 1 - self._origin, self._weights[place]
        return np.stack([np.einsum("tk,tk->t", channel[starts], weights) for channel in windows])


@cache
def _weights(step: int, places: int) -> np.ndarray:
    """The weights of the 2 reach neighbours of a sample at each place between two others, [places, 2 reach]."""
    slower = min(1.0, places / step)  # the lower rate over that of the input
    beta = 0.1102 * (STOPBAND_DB - 8.7)
    reach = math.ceil((STOPBAND_DB - 7.95) / (14.36 * (1 - PASSBAND)) / slower)
    distance = np.arange(1 - reach, reach + 1) - np.arange(places)[:, None] / places
    cut = slower * (1 + PASSBAND) / 2
    window = np.i0(beta * np.sqrt(np.maximum(1 - (distance / reach) ** 2, 0)))
    weights = np.sinc(cut * distance) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
