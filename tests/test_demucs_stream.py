"""DEMUCS: a stream of it is the network as a whole, at any stride and rate and in blocks of any length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers import reference
from helpers.noise import noise
from sordino.errors import InputError
from sordino.models import demucs as demucs_file
from sordino.models.demucs import Demucs

# Strides and rates that divide each other in every way: 3 and 4 share nothing, so that a hop has four deepest frames.
STREAMS: list[dict[str, Any]] = [
    {"depth": 5, "stride": 4, "resample": 4},
    {"depth": 5, "stride": 2, "resample": 2},
    {"depth": 3, "stride": 4, "resample": 1},
    {"depth": 2, "stride": 3, "kernel": 5, "resample": 4},
    {"depth": 3, "stride": 2, "kernel": 7, "resample": 2, "growth": 3},
    {"depth": 2, "stride": 3, "kernel": 3, "resample": 2},
]


def strong(**arguments: Any) -> Demucs:
    """A running network whose weights are as large as the reference's: what is wrong inside it shows outside."""
    network = Demucs(**{"hidden": 4, "normalisation": "running", **arguments}).eval()
    network.load_state_dict(reference.state({name: [*value.shape] for name, value in network.state_dict().items()}))
    return network


def streamed(network: Demucs, noisy: Tensor, hops: list[int]) -> Tensor:
    """What ``step`` gives of ``noisy`` and the silence behind it, in blocks of these lengths, over and over."""
    length = noisy.shape[-1]
    whole = math.ceil((length + network.delay) / network.hop) * network.hop
    rest, state, blocks = F.pad(noisy, (0, whole - length)), network.initial_state(len(noisy)), []
    shapes = [value.shape for value in state]
    while rest.shape[-1]:
        size = hops[len(blocks) % len(hops)] * network.hop
        block, state = network.step(rest[:, :size], state)
        assert [value.shape for value in state] == shapes
        blocks.append(block)
        rest = rest[:, size:]
    return torch.cat(blocks, dim=-1)[:, network.delay : network.delay + length]


@pytest.mark.parametrize("arguments", STREAMS, ids=str)
def test_a_stream_in_any_blocks_is_the_whole(arguments: dict[str, Any]) -> None:
    network = strong(**arguments)
    noisy = noise(2, 2001, seed=1) * torch.tensor([[1.0], [0.01]])
    noisy[1, 900:] *= 50
    noisy += 0.05  # what precedes the signal is silence, not the signal's mean
    draws = np.random.default_rng(0)
    with torch.no_grad():
        whole = network(noisy)
        assert whole.std(dim=-1).min() > 1e-4
        for hops in ([1], [10**6], *(draws.integers(1, 9, size=40).tolist() for _ in range(3))):
            assert torch.allclose(streamed(network, noisy, hops), whole, rtol=0, atol=1e-6 * whole.abs().max().item())


@pytest.mark.parametrize("length", [1, 15, 16, 17, 300])
def test_short_signals_stream_too(length: int) -> None:
    network = strong(depth=3, stride=2, resample=2)
    with torch.no_grad():
        noisy = noise(1, length, seed=1)
        assert torch.allclose(streamed(network, noisy, [3]), network(noisy), atol=1e-6)


def test_signals_that_began_at_different_times_go_on_side_by_side() -> None:
    network = strong(depth=2, stride=2, resample=2)
    early, late = noise(1, 40 * network.hop, seed=1), noise(1, 35 * network.hop, seed=2)
    with torch.no_grad():
        _, state = network.step(early[:, : 5 * network.hop], network.initial_state())
        joined = tuple(torch.cat(pair) for pair in zip(state, network.initial_state(), strict=True))
        both, _ = network.step(torch.cat([early[:, 5 * network.hop :], late]), joined)
        alone, _ = network.step(late, network.initial_state())
    assert torch.allclose(both[1:], alone, atol=1e-6)


def test_a_stream_in_double_precision() -> None:
    network = strong(depth=2)
    noisy = noise(1, 20 * network.hop, seed=1)
    with torch.no_grad():
        single, _ = network.step(noisy, network.initial_state())
        network.double()
        exact, _ = network.step(noisy.double(), network.initial_state())
    assert exact.dtype == torch.float64
    assert torch.allclose(exact.float(), single, atol=1e-6)


@pytest.mark.parametrize("arguments", STREAMS[:3], ids=str)
def test_nothing_beyond_the_latency_is_used(arguments: dict[str, Any]) -> None:
    network = strong(**arguments).double()
    noisy = noise(1, 2 * network.latency + 600, seed=1).double().requires_grad_()
    at = network.latency // network.hop * network.hop + 300
    # The last sample that a block completes: of all samples, it waits least for its block to end.
    for sample in (at, at // network.hop * network.hop - network.delay % network.hop - 1):
        (influence,) = torch.autograd.grad(network(noisy)[0, sample], noisy)
        assert influence[0, sample + network.latency :].abs().max() == 0
        assert influence[0, :sample].abs().max() > 0


def test_running_scale_is_the_root_mean_square_so_far() -> None:
    noisy = noise(2, 500, seed=1)
    scale = demucs_file.running_scale(noisy, torch.zeros(2), torch.zeros(2, dtype=torch.float64))[0]
    for sample in (0, 1, 77, 499):
        expected = np.sqrt(np.mean(noisy[:, : sample + 1].double().numpy() ** 2, axis=1))
        assert scale[:, sample].numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("normalisation", ["item", "running"])
def test_the_estimate_scales_with_the_input(normalisation: str) -> None:
    network = strong(depth=3, normalisation=normalisation)
    noisy = noise(2, 2000, seed=1, level=1.0)
    with torch.no_grad():
        one, ten = network(noisy), network(10 * noisy) / 10
    # But for the 1e-3 that keeps silence finite.
    assert torch.allclose(one[:, 200:], ten[:, 200:], atol=2e-3 * one.abs().max().item())


def test_the_running_network_bears_any_length_and_silence() -> None:
    network = strong(depth=2)
    with torch.no_grad():
        for length in (1, 2, 31, 32, 33, 1000):
            assert network(noise(2, length, seed=1)).shape == (2, length)
        quiet = torch.cat([torch.zeros(1, 500), noise(1, 500, seed=1)], dim=-1)
        assert torch.isfinite(network(quiet)).all()
        assert network(torch.zeros(1, 500)).abs().max() == 0


@pytest.mark.parametrize("arguments", [{"normalisation": "item"}, {"causal": False}])
def test_a_network_that_needs_the_whole_signal_refuses_to_stream(arguments: dict[str, Any]) -> None:
    network = Demucs(**{"hidden": 2, "depth": 2, **arguments})
    assert not network.streams
    for ask in (network.initial_state, lambda: network.step(noise(1, 256, seed=1), ())):
        with pytest.raises(InputError, match="build it with normalisation: running, causal: true"):
            ask()


def test_a_block_is_made_of_whole_hops() -> None:
    network = strong(depth=2)
    assert network.streams
    for samples in (0, network.hop + 1):
        with pytest.raises(InputError, match=f"whole hops of {network.hop} samples"):
            network.step(noise(1, samples, seed=1), network.initial_state())
