"""Sound as it comes: block by block equals the whole, for any blocks, rates and types."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.corpora import RATE
from helpers.noise import white
from helpers.streams import Identity, Smoother, partition, streamed
from sordino import models
from sordino.errors import InputError
from sordino.inference.engine import open_engine
from sordino.inference.streamer import Streamer


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("length", [0, 1, 23, 24, 61, 5003])
def test_any_partition_gives_the_whole(seed: int, length: int) -> None:
    network = Smoother()
    noisy = white(length, seed=seed, level=0.2)
    blocks = partition(length, seed, 100)
    estimate = streamed(Streamer(network), noisy, blocks)
    by_hand = 0.5 * noisy - 0.3 * np.pad(noisy, (1, 0))[:length] + 0.2 * np.pad(noisy, (2, 0))[:length]
    assert estimate.shape == noisy.shape
    assert estimate.dtype == np.float32
    np.testing.assert_allclose(estimate, by_hand, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampled_streams_equal_enhance(rate: int, channels: int) -> None:
    network = Smoother()
    noisy = white(channels, rate * 2 // 3 + 11, seed=rate, level=0.2)
    for seed in range(3):
        blocks = partition(noisy.shape[1], seed, rate // 30)
        estimate = streamed(Streamer(network, rate, channels, low_delay=False), noisy, blocks)
        np.testing.assert_allclose(estimate, sordino.enhance(noisy, rate, network), atol=1e-5)


class InPlace(Identity):
    """An engine that writes its estimate, half of the block, into the block."""

    def step(self, block: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        block *= 0.5
        return block, state


@pytest.mark.parametrize("size", [480, 960, 1000, 20000])
def test_an_engine_may_change_its_block_in_place(size: int) -> None:
    tone = 0.2 * np.sin(2 * np.pi * 500 / 48000 * np.arange(48000)).astype(np.float32)
    blocks = [slice(start, start + size) for start in range(0, len(tone), size)]
    estimate = streamed(Streamer(InPlace(delay=0), 48000), tone, blocks)
    np.testing.assert_allclose(estimate[9600:38400], 0.5 * tone[9600:38400], atol=2e-3)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_short_streams_keep_their_length(rate: int) -> None:
    for low_delay in (False, True):
        for length in (0, 1, 2, 5, 100):
            streamer = Streamer(Smoother(), rate, low_delay=low_delay)
            assert streamed(streamer, white(length, seed=length, level=0.2), [slice(0, length)]).shape == (length,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.create("unet", width=8, depth=3),
        lambda: models.create("dualpath", width=4, blocks=1, bands=41, window=256, hop=64),
        lambda: models.create("demucs", hidden=4, depth=3, normalisation="running"),
        lambda: models.create("demucs", hidden=4, depth=3, stride=2, resample=2, normalisation="running"),
    ],
    ids=["unet", "dualpath", "demucs-4-4", "demucs-2-2"],
)
def test_networks_block_by_block_equal_themselves(make: Any) -> None:
    torch.manual_seed(0)
    network = make().eval()
    noisy = white(2, 9001, seed=1, level=0.2)
    for seed in range(3):
        estimate = streamed(Streamer(network, RATE, 2), noisy, partition(9001, seed, 400))
        whole = sordino.enhance(noisy, RATE, network)
        assert np.abs(whole).max() > 1e-3
        np.testing.assert_allclose(estimate, whole, atol=1e-5)


def test_types_and_shapes_come_back_as_fed() -> None:
    whole = (white(4000, level=0.2) * 32767).astype(np.int16)
    network = Smoother()
    estimate = streamed(Streamer(network), whole, partition(4000, 0, 200))
    assert estimate.dtype == np.int16
    assert np.abs(estimate.astype(int) - sordino.enhance(whole, RATE, network)).max() <= 1
    swapped = streamed(Streamer(network), whole.astype(">i2"), partition(4000, 0, 200))  # the bytes as RTP sends them
    assert np.array_equal(swapped, estimate)
    streamer = Streamer(network)
    assert streamer.feed(whole.astype(">i2")).dtype == ">i2"
    streamer = Streamer(network)
    assert streamer.feed(np.zeros(100)).dtype == np.float64
    assert streamer.feed(np.zeros((1, 100), np.float32)).shape == (1, 100 - 100 % 24)
    assert streamer.flush().shape[0] == 1
    loud = streamed(Streamer(Smoother((2.0, 0.0, 0.0))), np.full(500, 32767, np.int16), [slice(0, 500)])
    assert loud.min() == loud.max() == 32767  # clipped at full scale, never wrapped around


def test_what_is_no_block_is_refused_and_changes_nothing() -> None:
    noisy = white(2, 1000, level=0.2)
    streamer = Streamer(Smoother(), RATE, 2)
    parts = [streamer.feed(noisy[:, :500])]
    for block, message in (
        (noisy[0], r"\[2, samples\]"),
        (noisy.T, r"shape \(1000, 2\)"),
        (np.full((2, 5), np.nan), "NaN"),
        (np.zeros((2, 5), np.int32), "int32"),
        (np.float32(3), "shape"),
    ):
        with pytest.raises(InputError, match=message):
            streamer.feed(block)
    parts += [streamer.feed(noisy[:, 500:]), streamer.flush()]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), sordino.enhance(noisy, RATE, Smoother()), atol=1e-6)


def test_a_flushed_stream_is_closed_until_reset() -> None:
    streamer = Streamer(Smoother(), 48000)
    noisy = white(5000, level=0.2)
    first = streamed(streamer, noisy, [slice(0, 5000)])
    assert streamer.flush().shape == (0,)
    with pytest.raises(InputError, match=r"was flushed.*reset"):
        streamer.feed(noisy)
    streamer.reset()
    assert streamer.timing is None
    assert np.array_equal(first, streamed(streamer, noisy, [slice(0, 5000)]))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_is_not_copied_but_shares_its_engine(copied: Callable[[Streamer], object]) -> None:
    engine = open_engine("unet-24")
    noisy, other = white(2, 5000, level=0.2)
    first, second = Streamer(engine), Streamer(engine)
    parts = [first.feed(noisy[:2000])]
    second.feed(other)
    with pytest.raises(InputError, match=r"streamer: cannot be copied or pickled; make another Streamer"):
        copied(first)
    parts += [first.feed(noisy[2000:]), first.flush()]
    np.testing.assert_allclose(np.concatenate(parts), sordino.enhance(noisy, RATE, "unet-24"), atol=1e-5)


def test_long_blocks_go_through_in_parts() -> None:
    network = Smoother()
    noisy = white(5 * RATE, level=0.2)
    estimate = streamed(Streamer(network), noisy, [slice(0, 5 * RATE)])
    np.testing.assert_allclose(estimate, sordino.enhance(noisy, RATE, network), atol=1e-6)
    assert max(length for _, length in network.seen) <= RATE


def test_what_cannot_stream_says_so(tmp_path: Path) -> None:
    manner = models.create("manner-s", hidden=2, depth=3)
    models.save(manner, tmp_path / "manner.safetensors")
    whole = models.create("demucs", hidden=4, depth=3)
    with pytest.raises(
        InputError, match=r"cannot run block by block.*; expected a student that ships and can, dualpath"
    ):
        Streamer("manner-s-1.5gf")
    for model in (manner, tmp_path / "manner.safetensors", whole, np.tanh, "numpy:tanh", sordino.enhance):
        with pytest.raises(InputError, match=r"cannot run block by block.*; expected .*a causal unet, or demucs"):
            Streamer(model)
    for wrong, message in (
        ({"sample_rate": 0}, "sample rate of 0 Hz"),
        ({"channels": 0}, "0 channels"),
        ({"channels": 1.5}, "channels: 1.5; expected a whole number"),
        ({"threads": 0}, "threads: 0; expected 1 or more"),
        ({"threads": "x"}, "threads: 'x'; expected a whole number"),
        ({"threads": 1e9}, r"threads: 1000000000\.0; expected 1024 at most"),
        ({"threads": 10**400}, "threads: 1000.*; expected a whole number"),
        ({"strength_db": "x"}, "strength: 'x'; expected 0 dB or more"),
        ({"strength_db": [12]}, r"strength: \[12\]; expected 0 dB or more"),
    ):
        with pytest.raises(InputError, match=message):
            Streamer(Smoother(), **wrong)
    with pytest.raises(InputError, match="no such model"):
        Streamer("nowhere.safetensors")
    with pytest.raises(InputError, match="model: a int; expected a name"):
        Streamer(3)


def test_networks_that_the_refusal_names_can() -> None:
    assert models.create("unet").streams
    assert models.create("demucs", hidden=2, depth=2, normalisation="running").streams


def test_threads_are_left_alone_unless_given() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        Streamer(Smoother())
        assert torch.get_num_threads() == 2
        Streamer(Smoother(), threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
