"""Any length, any rate, any channels: no seams, exact lengths, and as much of the noise left in as was asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import sordino
from helpers.functions import same
from helpers.noise import tone, white
from helpers.streams import Identity, Smoother, partition, streamed
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.inference.blend import Blend
from sordino.inference.files import enhance_file
from sordino.inference.folders import enhance_folder
from sordino.inference.model import Model
from sordino.inference.streamer import Streamer
from sordino.inference.windows import WINDOW_S, Windows

RATE = 16000
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000)


def silent(noisy: np.ndarray) -> np.ndarray:
    """A model that takes everything out."""
    return np.zeros_like(noisy)


# ---- windows


@pytest.mark.parametrize("kind", [(1.0, 0.2, 0.1), (0.5, 0.0, 0.1), (0.5, 0.1, 0.0), (0.3, 0.1, 0.05)])
@pytest.mark.parametrize("length", [0, 1, 4800, 8000, 8001, 16000, 16001, 50_000])
def test_a_sine_through_windows_is_unchanged(kind: tuple[float, float, float], length: int) -> None:
    noisy = np.stack([tone(4)[:length], tone(4, hertz=200)[:length]])
    for seed in range(3):
        windows = Windows(same, RATE, 2, *kind)
        parts = [windows.feed(noisy[:, block]) for block in partition(length, seed, 3000)]
        estimate = np.concatenate([*parts, windows.flush()], axis=1)
        assert estimate.shape == noisy.shape
        np.testing.assert_allclose(estimate, noisy, atol=1e-6)


def test_what_a_window_makes_of_its_ends_is_left_to_its_neighbours() -> None:
    def ruined(noisy: np.ndarray) -> np.ndarray:
        """Nothing but the inner part is any good."""
        estimate = np.full_like(noisy, np.nan)
        estimate[1600:-1600] = noisy[1600:-1600]
        return estimate

    noisy = white(1, 100_000)
    windows = Windows(ruined, RATE, 1, 1.0, 0.1, 0.05)
    estimate = np.concatenate([windows.feed(noisy), windows.flush()], axis=1)
    # The ends of the whole have no neighbours.
    np.testing.assert_allclose(estimate[:, 1600:-1600], noisy[:, 1600:-1600], atol=1e-6)
    assert np.isnan(estimate[:, [0, -1]]).all()


def test_the_state_of_a_causal_network_is_carried_through_any_length() -> None:
    network = Smoother((0.5, 0.3, -0.2))
    noisy = white(round((WINDOW_S + 5) * RATE))
    by_hand = np.convolve(noisy, [0.5, 0.3, -0.2])[: len(noisy)]
    np.testing.assert_allclose(sordino.enhance(noisy, RATE, network), by_hand, atol=1e-6)
    assert max(length for _, length in network.seen) <= RATE


# ---- strength, high band, rate


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("strength_db", [0.0, 6.0, 20.0])
def test_strength_is_an_attenuation_limit(rate: int, strength_db: float) -> None:
    noisy = white(2, rate)
    estimate = sordino.enhance(noisy, rate, silent, strength_db=strength_db)
    np.testing.assert_allclose(estimate, noisy * 10 ** (-strength_db / 20), atol=1e-7)
    halved = sordino.enhance(noisy, rate, lambda wave: wave / 2)
    limited = sordino.enhance(noisy, rate, lambda wave: wave / 2, strength_db=strength_db)
    left_in = 10 ** (-strength_db / 20)
    np.testing.assert_allclose(limited, halved + left_in * (noisy - halved), atol=1e-6)


def test_the_high_band_is_dropped_or_kept() -> None:
    low, high = tone(1, 48000, hertz=1000), tone(1, 48000, hertz=15000)
    inner = slice(4800, -4800)
    dropped = sordino.enhance(low + high, 48000, same, high_band="drop")
    np.testing.assert_allclose(dropped[inner], low[inner], atol=1e-3)
    kept = sordino.enhance(low + high, 48000, same, high_band="keep")
    np.testing.assert_allclose(kept, low + high, atol=1e-6)
    gone = sordino.enhance(low + high, 48000, silent, high_band="keep")
    np.testing.assert_allclose(gone[inner], high[inner], atol=1e-3)
    half = sordino.enhance(low + high, 48000, silent, high_band="keep", strength_db=20 * np.log10(2))
    np.testing.assert_allclose(half[inner], (high + low / 2)[inner], atol=1e-3)
    # A model that hears everything has no band above it.
    assert not sordino.enhance(low + high, 48000, Model("", 48000, silent), high_band="keep").any()


def test_the_high_band_follows_what_is_taken_out_below_it() -> None:
    noisy = white(2, 48000)
    np.testing.assert_allclose(sordino.enhance(noisy, 48000, same), noisy, atol=1e-6)
    np.testing.assert_allclose(sordino.enhance(noisy, 48000, silent), 0 * noisy, atol=1e-6)
    np.testing.assert_allclose(sordino.enhance(noisy, 48000, lambda wave: wave / 2), noisy / 2, atol=1e-6)
    # What a model adds to the octave raises nothing above it.
    high = tone(1, 48000, hertz=15000)
    louder = sordino.enhance(high + noisy[0], 48000, lambda wave: 2 * wave)
    dropped = sordino.enhance(high + noisy[0], 48000, lambda wave: 2 * wave, high_band="drop")
    np.testing.assert_allclose(louder - dropped, high + noisy[0] - dropped / 2, atol=1e-5)


def test_the_high_band_follows_in_time_and_to_the_limit() -> None:
    """A model that is open for the second half only: the band above it opens and closes with it, in milliseconds."""
    noisy, middle = white(96000), 48000
    opened = np.repeat(np.float32([0, 1]), RATE)
    for strength_db, left_in in ((None, 0.0), (20.0, 0.1)):
        estimate = sordino.enhance(noisy, 48000, lambda wave: wave * opened, strength_db=strength_db)
        np.testing.assert_allclose(estimate[: middle - 480], left_in * noisy[: middle - 480], atol=2e-3)
        np.testing.assert_allclose(estimate[middle + 1440 :], noisy[middle + 1440 :], atol=2e-3)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("low_delay", [False, True])
def test_the_high_band_follows_in_streams_of_any_blocks(rate: int, low_delay: bool) -> None:
    """The gain of every sample is known when the resampler returns it, which is sooner with short filters."""
    noisy = white(2, rate // 4)
    whole, parts = (Streamer(Smoother(), rate, 2, low_delay=low_delay) for _ in range(2))
    estimate = streamed(parts, noisy, partition(rate // 4, 0, rate // 100))
    np.testing.assert_allclose(estimate, streamed(whole, noisy, [slice(None)]), atol=1e-5)
    if not low_delay:
        np.testing.assert_allclose(estimate, sordino.enhance(noisy, rate, Smoother()), atol=1e-5)


def test_without_a_high_band_there_is_nothing_to_follow(tmp_path: Path) -> None:
    noisy = white(8000)
    for rate in (8000, RATE):
        dropped = sordino.enhance(noisy, rate, Smoother(), high_band="drop")
        assert np.array_equal(sordino.enhance(noisy, rate, Smoother()), dropped)
    sound_files.write(tmp_path / "a.wav", white(1, 48000), 48000)
    for high_band in ("follow", "drop"):
        blend = Blend(high_band=high_band, keep_rate=False)
        enhance_file(tmp_path / "a.wav", tmp_path / f"{high_band}.wav", same, blend)
    assert (tmp_path / "follow.wav").read_bytes() == (tmp_path / "drop.wav").read_bytes()


def test_a_strength_may_be_given_as_text() -> None:
    noisy = white(8000)
    assert np.array_equal(
        sordino.enhance(noisy, RATE, same, strength_db="12"),  # pyright: ignore[reportArgumentType]
        sordino.enhance(noisy, RATE, same, strength_db=12),
    )
    assert Blend("12").noisy_share == Blend(12).noisy_share  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("high_band", ["keep", "follow"])
def test_streams_blend_as_files_do(high_band: str) -> None:
    noisy = white(2, 48000)
    options = {"strength_db": 9.0, "high_band": high_band}
    whole = sordino.enhance(noisy, 48000, Smoother(), **options)
    estimate = streamed(Streamer(Smoother(), 48000, 2, low_delay=False, **options), noisy, partition(48000, 0, 2000))
    np.testing.assert_allclose(estimate, whole, atol=1e-5)
    short = streamed(Streamer(Identity(), 48000, 2, **options), noisy, partition(48000, 0, 2000))
    np.testing.assert_allclose(short, noisy, atol=1e-6)


def test_options_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    sound_files.write(tmp_path / "a.wav", tone(0.1), RATE)
    for name, value in (("strength_db", -1.0), ("strength_db", np.nan), ("strength_db", "x"), ("high_band", "both")):
        options, found = {name: value}, "strength" if name == "strength_db" else "high band"
        with pytest.raises(InputError, match=found):
            sordino.enhance(tone(0.1), RATE, same, **options)
        with pytest.raises(InputError, match=found):
            next(enhance_folder(tmp_path, tmp_path / "out", same, Blend(**options)))
    with pytest.raises(InputError, match="model's rate"):
        enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", same, Blend(high_band="keep", keep_rate=False))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_files_stay_at_the_rate_of_the_model_if_asked(tmp_path: Path) -> None:
    sound_files.write(tmp_path / "a.wav", np.stack([tone(2, 48000), tone(2, 48000, hertz=200)]), 48000)
    report = enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", same, Blend(strength_db=3.0, keep_rate=False))
    assert (report["sample_rate"], report["seconds"]) == (RATE, 2.0)
    audio, rate = sound_files.read(tmp_path / "b.wav")
    assert rate == RATE
    np.testing.assert_allclose(audio[0, 400:-400], tone(2)[400:-400], atol=1e-3)


# ---- any length, rate, channels and blocks


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    some.integers(1, 6000),
    some.sampled_from(RATES),
    some.integers(1, 4),
    some.sampled_from(["follow", "drop", "keep"]),
    some.none() | some.floats(0, 60),
    some.sampled_from([np.float32, np.float64, np.int16]),
)
def test_any_sound_comes_back_as_it_was_but_for_its_noise(
    length: int, rate: int, channels: int, high_band: str, strength_db: float | None, dtype: type
) -> None:
    noisy = white(channels, length)
    noisy = (noisy * 2**15).astype(np.int16) if dtype is np.int16 else noisy.astype(dtype)
    estimate = sordino.enhance(noisy, rate, same, high_band=high_band, strength_db=strength_db)
    assert estimate.shape == noisy.shape
    assert estimate.dtype == noisy.dtype
    assert np.isfinite(estimate).all()
    if rate == RATE or high_band == "keep" or (high_band == "follow" and rate > RATE):
        np.testing.assert_allclose(estimate, noisy, atol=1 if dtype is np.int16 else 1e-5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    some.lists(some.integers(0, 900), max_size=12),
    some.sampled_from(RATES),
    some.integers(1, 3),
    some.tuples(some.integers(1, 400), some.integers(0, 400)),
    some.booleans(),
    some.none() | some.floats(0, 60),
)
def test_any_blocks_give_what_the_whole_gives(
    blocks: list[int], rate: int, channels: int, hop_delay: tuple[int, int], low_delay: bool, strength_db: float | None
) -> None:
    noisy, ends = white(channels, sum(blocks)), np.cumsum([0, *blocks])
    options = {"low_delay": low_delay, "strength_db": strength_db}
    apart, at_once = (Streamer(Identity(*hop_delay), rate, channels, **options) for _ in range(2))
    estimate = streamed(apart, noisy, [slice(a, b) for a, b in pairwise(ends)])
    assert estimate.shape == noisy.shape or not blocks
    if blocks:
        np.testing.assert_allclose(estimate, streamed(at_once, noisy, [slice(0, len(noisy[0]))]), atol=1e-5)
    if rate == RATE and blocks:
        np.testing.assert_allclose(estimate, noisy, atol=1e-6)
