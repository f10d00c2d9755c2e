"""How late a stream is: to the sample, with resampling no better than it reports, and timed by blocks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import sordino
from docs_pages import blocks_of, read, section
from helpers.corpora import RATE
from helpers.streams import Identity, Smoother, partition, streamed
from sordino.inference.engine import Engine
from sordino.inference.streamer import REMEMBERED, Streamer


def test_low_delay_is_near_enhance_in_its_band() -> None:
    rng = np.random.default_rng(0)
    for rate in (8000, 48000):
        t = np.arange(rate) / rate
        hertz = rng.uniform(50, 0.44 * min(rate, RATE), (20, 1))
        noisy = 0.02 * np.cos(2 * np.pi * hertz * t + hertz).sum(axis=0)
        estimate = streamed(Streamer(Smoother(), rate), noisy, partition(rate, 0, rate // 20))
        inner = slice(rate // 10, -rate // 10)
        assert np.abs(estimate - sordino.enhance(noisy, rate, Smoother()))[inner].max() < 1e-4


def test_timing_counts_blocks() -> None:
    streamer = Streamer(Identity())
    assert streamer.timing is None
    for _ in range(50):
        streamer.feed(np.zeros(320, np.float32))
        streamer.feed(np.zeros(0, np.float32))  # no block
    timing = streamer.timing
    assert timing is not None
    assert timing.blocks == 50
    assert 0 < timing.p50_ms <= timing.p95_ms <= timing.p99_ms <= timing.max_ms
    assert 0 < timing.real_time_factor < 50 * timing.max_ms / 1000
    for _ in range(REMEMBERED):
        streamer.feed(np.zeros(1, np.float32))
    assert len(streamer._spent_s) == REMEMBERED
    assert dataclasses.asdict(streamer.timing or timing)["blocks"] == 50 + REMEMBERED


@pytest.mark.parametrize(("hop", "delay"), [(1, 0), (160, 160), (16, 215), (256, 595)])
def test_latency_at_the_models_rate_is_to_the_sample(hop: int, delay: int) -> None:
    """An impulse that just misses a hop comes out when ``hop + delay`` samples, itself among them, were fed."""
    engine = Identity(hop, delay)
    assert isinstance(engine, Engine)
    streamer = Streamer(engine)
    assert streamer.latency_s == (hop + delay) / RATE
    noisy = np.zeros(20 * (hop + delay), np.float32)
    impulse = 4 * hop + -delay % hop
    noisy[impulse] = 1
    position = 0
    for fed in range(hop, len(noisy), hop):
        ready = streamer.feed(noisy[fed - hop : fed])
        if ready.any():
            assert position + int(ready.argmax()) == impulse
            assert fed - impulse == hop + delay
            return
        position += len(ready)
    pytest.fail("the impulse never came out")


@pytest.mark.parametrize("low_delay", [False, True])
@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_latency_of_resampled_streams_is_no_better_than_reported(rate: int, low_delay: bool) -> None:
    streamer = Streamer(Identity(), rate, low_delay=low_delay)
    returned, late = 0, 0
    for fed in range(1, rate, 7):
        late = max(late, fed - returned)  # the sample after those returned has not come yet
        returned += len(streamer.feed(np.zeros(7, np.float32)))
    # Seven samples at a time, so the claim may look up to two blocks too good.
    assert 0.5 * streamer.latency_s < late / rate <= streamer.latency_s + 14 / rate
    assert streamer.latency_s < (0.036 if low_delay else 0.26)
    if low_delay:
        assert streamer.latency_s == Streamer(Identity(), rate).latency_s


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("block", [441, 480, 64])
def test_the_callback_of_the_docs_gives_as_many_samples_as_it_takes(rate: int, block: int) -> None:
    (example,) = blocks_of(section(read("streaming.md"), "In an audio callback"))
    page: dict[str, Any] = {}
    exec(compile(example.text.replace("48000", str(rate)), "streaming.md", "exec"), page)
    noisy = np.random.default_rng(0).uniform(-0.1, 0.1, rate - rate % block).astype(np.float32)
    held, played = np.empty(block, np.float32), []
    for begin in range(0, len(noisy), block):
        held[:] = noisy[begin : begin + block]  # a sound card reuses its memory
        played.append(page["callback"](held).copy())
        assert len(played[-1]) == block
    late = round(page["streamer"].latency_s * rate) + 2
    estimate = streamed(Streamer(sample_rate=rate), noisy, [slice(0, len(noisy))])
    assert np.abs(np.concatenate(played)[late:] - estimate[:-late]).max() < 1e-5
