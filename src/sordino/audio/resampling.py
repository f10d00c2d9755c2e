"""Resample a stream block by block; the outputs, joined, are the whole signal resampled.

There are two resamplers. ``Soxr`` gives exactly the samples that files are resampled to, but it filters in long blocks:
between 48 and 16 kHz it delays the signal by up to 38 ms, between 8 and 16 kHz by 117 ms. ``ShortFilter``, a windowed
sinc, delays it by 3.7 and 7.4 ms. It passes everything below 0.9 of half the lower rate and attenuates everything above
that half by 90 dB; its length follows from Kaiser's formulas (J. F. Kaiser, "Nonrecursive digital filter design using
the I0-sinh window function", ISCAS 1974). Torch-free.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Protocol

import numpy as np
import soxr

PASSBAND, STOPBAND_DB = 0.9, 90.0
"""End of the passband as a share of half the lower rate; attenuation above that half in dB."""
_AT_ONCE = 2**20
"""Weights that are gathered together, which bounds the memory for the outputs of one call."""
_ROWS = 1024
"""Rows of weights per sample of the lower rate that are computed; positions between two of them are interpolated. The
error, by the second derivative of a sinc, is at most pi^2 / 24 / 1024^2, or -128 dB."""


class Resampler(Protocol):
    """Interface of both resamplers; arrays are float32 [C,n] in and [C,m] out."""

    delay_s: float
    """Longest time in seconds between feeding a sample and returning it."""

    def feed(self, block: np.ndarray) -> np.ndarray:
        """Take the next block, of any length; return the samples that are ready."""
        ...

    def flush(self) -> np.ndarray:
        """Return the rest of the signal; nothing may be fed afterwards."""
        ...


def open_resampler(rate_in: int, rate_out: int, channels: int, low_delay: bool = False) -> Resampler:
    """Create a resampler for one stream from ``rate_in`` to ``rate_out`` Hz; with equal rates it changes nothing."""
    if rate_in == rate_out:
        return _Unchanged(channels)
    if low_delay:
        return ShortFilter(rate_in, rate_out, channels)
    return Soxr(rate_in, rate_out, channels)


class _Unchanged:
    """Returns what it is fed: the resampler for equal rates."""

    delay_s = 0.0

    def __init__(self, channels: int) -> None:
        self._nothing = np.zeros((channels, 0), np.float32)

    def feed(self, block: np.ndarray) -> np.ndarray:
        return block

    def flush(self) -> np.ndarray:
        return self._nothing


class Soxr:
    """Resampler with soxr's HQ filter, as ``sordino.audio.sound_files.resample`` applies it."""

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
    """Measure soxr's longest delay in seconds: it reports only the delay of the moment."""
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    silence = np.zeros(max(rate_in // 1000, 1), np.float32)
    fed, returned, longest = 0, 0, 0.0
    while fed < rate_in:
        fed += len(silence)
        longest = max(longest, fed / rate_in - returned / rate_out)
        returned += len(stream.resample_chunk(silence))
    return longest


class ShortFilter:
    """Resampler with a sinc under a Kaiser window, which has a short delay.

    Output ``j`` lies at ``t = j rate_in / rate_out`` of the input and is a weighted sum of the ``reach`` samples on
    either side of it. The fractional part of t takes only ``rate_out / gcd`` values, called phases here: each has a row
    of weights. Between rates with hardly a common divisor there are too many, and their weights are interpolated from
    fewer rows. All positions are kept as integers, so that a long stream does not drift.

    Args:
        rate_in: Hz.
        rate_out: Hz.
        channels: C.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        common = math.gcd(rate_in, rate_out)
        self._step, self._phases = rate_in // common, rate_out // common
        self._weights = _weights(self._step, self._phases)
        self._rows, self._reach = len(self._weights) - 1, self._weights.shape[1] // 2
        together = self._phases if self._step == 1 else 1  # outputs that become ready with one input
        self._at_once = max(_AT_ONCE // (2 * self._reach) // together, 1) * together
        # Input samples that later outputs still need; the first outputs need silence before the signal.
        self._recent = np.zeros((channels, self._reach - 1), np.float32)
        self._origin = 1 - self._reach  # position in the input of the first sample of _recent
        self._done = 0  # outputs returned so far
        self.delay_s = (self._reach + 1) / rate_in

    def feed(self, block: np.ndarray) -> np.ndarray:
        self._recent = np.concatenate([self._recent, block], axis=1)
        end = self._origin + self._recent.shape[1]
        # Output j is ready when its last neighbour, floor(t) + reach, has arrived: as long as t < end - reach.
        ready = max(-(-(end - self._reach) * self._phases // self._step), self._done)  # rounded up
        outputs = [block[:, :0]]
        for first in range(self._done, ready, self._at_once):
            outputs.append(self._outputs(first, min(first + self._at_once, ready)))
        self._done = ready
        # Drop the samples before the first neighbour of the next output.
        drop = self._done * self._step // self._phases - self._reach + 1 - self._origin
        self._recent, self._origin = self._recent[:, drop:], self._origin + drop
        return np.concatenate(outputs, axis=1)

    def flush(self) -> np.ndarray:
        return self.feed(np.zeros((len(self._recent), self._reach), np.float32))

    def _outputs(self, first: int, last: int) -> np.ndarray:
        """Compute the outputs ``first`` to ``last - 1``, [C,last-first]."""
        windows = np.lib.stride_tricks.sliding_window_view(self._recent, 2 * self._reach, axis=1)
        if self._step == 1 or self._phases == 1:  # such as 16 and 48 kHz: all phases follow at each position
            start, end = (one * self._step // self._phases - self._reach + 1 - self._origin for one in (first, last))
            return (windows[:, start : end : self._step] @ self._weights[: self._phases].T).reshape(len(windows), -1)
        before, phase = np.divmod(np.arange(first, last) * self._step, self._phases)
        starts, weights = before - self._reach + 1 - self._origin, self._weights_at(phase)
        return np.stack([np.einsum("tk,tk->t", channel[starts], weights) for channel in windows])

    def _weights_at(self, phase: np.ndarray) -> np.ndarray:
        """Return the weights [n, 2 reach] at phases [n]."""
        row, rest = np.divmod(phase * self._rows, self._phases)
        weights = self._weights[row]
        if self._rows < self._phases:
            share = (rest / self._phases).astype(np.float32)[:, None]
            weights += share * (self._weights[row + 1] - weights)
        return weights


@lru_cache(16)
def _weights(step: int, phases: int) -> np.ndarray:
    """Compute the weights [rows + 1, 2 reach] of the neighbours of an output, from one fractional part of 0 to 1.

    There is a row for each phase, or as many as ``_ROWS`` asks for where these are fewer. ``beta`` and the length are
    Kaiser's formulas for the attenuation ``STOPBAND_DB`` and for a transition from ``PASSBAND`` to 1 of half the lower
    rate. Each row sums to 1, so that a constant stays constant.
    """
    slower = min(1.0, phases / step)  # the lower of the two rates over the input's
    beta = 0.1102 * (STOPBAND_DB - 8.7)
    reach = math.ceil((STOPBAND_DB - 7.95) / (14.36 * (1 - PASSBAND)) / slower)
    rows = min(phases, math.ceil(_ROWS * slower))
    distance = np.arange(1 - reach, reach + 1) - np.arange(rows + 1)[:, None] / rows
    cut = slower * (1 + PASSBAND) / 2  # the middle of the transition
    window = np.i0(beta * np.sqrt(np.maximum(1 - (distance / reach) ** 2, 0)))
    weights = np.sinc(cut * distance) * window
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
