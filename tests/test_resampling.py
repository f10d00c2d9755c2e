"""Sound resampled in pieces: the pieces make up the whole, and the short filter passes and stops what it says."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from helpers.noise import white
from sordino.audio.resampling import ShortFilter, Soxr, open_resampler
from sordino.audio.sound_files import resample


@pytest.mark.parametrize("kind", [Soxr, ShortFilter])
@pytest.mark.parametrize("rates", [(48000, 16000), (16000, 48000), (44100, 16000), (16000, 44100), (8000, 16000)])
def test_pieces_resample_to_the_whole(kind: Any, rates: tuple[int, int]) -> None:
    noisy = white(2, rates[0] // 2, level=0.2)
    whole = None
    for seed in range(3):
        resampler = kind(*rates, 2)
        cuts = np.sort(np.random.default_rng(seed).integers(noisy.shape[1], size=60))
        parts = [resampler.feed(block) for block in np.split(noisy, cuts, axis=1)]
        estimate = np.concatenate([*parts, resampler.flush()], axis=1)
        assert abs(estimate.shape[1] - noisy.shape[1] * rates[1] / rates[0]) < 1
        whole = estimate if whole is None else whole
        np.testing.assert_allclose(estimate, whole, atol=1e-6)
    if kind is Soxr:
        assert whole is not None
        np.testing.assert_allclose(whole, resample(noisy, *rates), atol=1e-6)


@pytest.mark.parametrize(
    "rates",
    [(48000, 16000), (16000, 48000), (16000, 44100), (8000, 16000), (16000, 8000), (48001, 16000), (16000, 44099)],
)
def test_short_filter_passes_and_stops_what_it_says(rates: tuple[int, int]) -> None:
    """Sines against the closed form: the same sine at the other rate below 0.9 of the lower half, nothing above it."""
    lower = min(rates) / 2
    seconds = np.arange(rates[0]) / rates[0], np.arange(rates[1]) / rates[1]
    inner = slice(rates[1] // 10, -rates[1] // 10)
    for share in (0, 0.01, 0.3, 0.7, 0.9):
        before, after = (np.cos(2 * np.pi * share * lower * t + 0.4).astype(np.float32) for t in seconds)
        resampler = ShortFilter(*rates, 1)
        estimate = np.concatenate([resampler.feed(before[None]), resampler.flush()], axis=1)[0]
        assert np.abs(estimate - after)[inner].max() < 2e-4
    if rates[0] > rates[1]:
        before = np.cos(2 * np.pi * 1.01 * lower * seconds[0]).astype(np.float32)
        assert np.abs(ShortFilter(*rates, 1).feed(before[None]))[0, inner].max() < 1e-4


@pytest.mark.parametrize("rates", [(48001, 16000), (999_983, 16000), (16000, 999_983)])
def test_rates_without_a_common_divisor_take_little_memory(rates: tuple[int, int]) -> None:
    tracemalloc.start()
    try:
        resampler = open_resampler(*rates, 1, low_delay=True)
        resampler.feed(white(1, rates[0] // 10, level=0.2))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_equal_rates_are_not_touched() -> None:
    block = white(2, 10, level=0.2)
    resampler = open_resampler(16000, 16000, 2, low_delay=True)
    assert resampler.feed(block) is block
    assert resampler.flush().shape == (2, 0)
    assert resampler.delay_s == 0
