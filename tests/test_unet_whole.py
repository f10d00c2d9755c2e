"""U-Nets that read the whole recording: their size and cost, and how far they look."""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.noise import noise
from helpers.unets import network
from sordino import models
from sordino.conformance.base import NotClaimed
from sordino.conformance.networks import CHECKS
from sordino.errors import InputError
from sordino.evaluation.cost import macs_per_second, paper_flops
from sordino.models.layers.unet_blocks import GroupedGru
from sordino.models.unet import UNet


def test_one_that_is_not_causal_has_the_size_and_cost_claimed() -> None:
    made = UNet(causal=False)
    assert models.count_parameters(made) == 77_472
    assert macs_per_second(made) / 1e6 == pytest.approx(46.0, rel=0.01)
    assert paper_flops(made) > 1.2 * paper_flops(UNet())  # a third more in every convolution, and twice the GRUs


def test_its_convolutions_look_one_frame_ahead_each() -> None:
    made, noisy = network(width=8, depth=3, groups=2, causal=False), noise(1, 8000, seed=1).requires_grad_()
    with torch.no_grad():
        made.bottleneck.mix.weight[:, 8:].zero_()  # what the backward GRUs say
    (gradient,) = torch.autograd.grad(made(noisy)[0, 4000], noisy)
    reached = gradient[0].nonzero().max().item()
    layers = 2 * 3
    assert 4000 + made.window + (layers - 2) * made.hop < reached < 4000 + made.window + layers * made.hop


def test_its_grus_run_both_ways() -> None:
    torch.manual_seed(0)
    made, both = GroupedGru(4, 3, 1, causal=False), nn.GRU(12, 12, batch_first=True, bidirectional=True)
    for gru, suffix in zip(made.grus, ("", "_reverse"), strict=True):
        for name, weight in gru.named_parameters():
            both.get_parameter(name + suffix).data.copy_(weight)
    x = torch.randn(2, 4, 7, 3)
    with torch.no_grad():
        y, _ = both(x.transpose(1, 2).flatten(2))
        expected = x + made.mix(y.unflatten(-1, (8, 3)).transpose(1, 2))
        assert torch.allclose(made(x, torch.zeros(2, 2, 12))[0], expected, atol=1e-6)


@pytest.mark.parametrize("check", CHECKS)
def test_one_that_is_not_causal_holds_what_a_network_owes(check: str) -> None:
    """The graph takes torch's operators and is compared with the fast path of a CPU."""
    with pytest.raises(NotClaimed) if check == "stream equals whole" else contextlib.nullcontext():
        CHECKS[check](lambda: network(width=8, depth=3, groups=2, causal=False))


def test_one_that_is_not_causal_does_not_stream() -> None:
    made = network(width=8, causal=False)
    assert not made.streams
    assert made.latency_s is None
    with pytest.raises(InputError, match=r"model unet: needs the whole signal .*causal: False.*causal: true"):
        made.step(noise(1, 160, seed=1), ())


def test_a_trained_network_is_made_to_read_the_whole_recording_without_changing_its_estimate() -> None:
    not_causal = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "grow.py"))["not_causal"]
    small, noisy = network(width=8, bottleneck=2), noise(2, 3000, seed=1)
    whole = not_causal(small)
    assert not whole.streams
    assert not whole.training
    with torch.no_grad():
        assert torch.allclose(whole(noisy), small(noisy), atol=1e-6)
    whole(noisy).sum().backward()
    half = whole.bottleneck.mix.weight.grad
    assert half is not None
    assert half[:, 8:].abs().max() > 0  # what runs backward can be learnt from there
    with pytest.raises(ValueError, match="a causal U-Net was expected"):
        not_causal(whole)
