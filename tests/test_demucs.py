"""DEMUCS: its claims, its resampler, its arguments, its taps, and what an export of it holds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from helpers.exports import export
from helpers.noise import noise
from sordino import models
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.evaluation import cost
from sordino.models import demucs as demucs_file
from sordino.models.demucs import Demucs
from sordino.models.layers.resample import AROUND_DOUBLE, AROUND_HALVE, ZEROS, double, halve, sinc_kernel


@pytest.mark.parametrize(
    ("arguments", "parameters", "gflops"),
    [
        ({"hidden": 48}, 18_867_937, 34.56),
        ({"stride": 2, "resample": 2}, 33_533_569, 388.48),
        ({}, 33_533_569, None),
        ({"causal": False}, 60_813_953, None),
    ],
)
def test_size_and_cost_are_those_claimed(
    arguments: dict[str, Any], parameters: int, gflops: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demucs_file, "rescale", lambda module: None)  # needs values
    with torch.device("meta"):
        network = Demucs(**arguments)
    assert models.count_parameters(network) == parameters
    if gflops is not None:
        assert cost.paper_flops(network) / 1e9 == pytest.approx(gflops, rel=0.01)


@pytest.mark.parametrize(
    ("stride", "resample", "hop", "delay", "milliseconds"), [(4, 4, 256, 595, 53.2), (2, 2, 16, 215, 14.4)]
)
def test_latency_is_that_claimed(stride: int, resample: int, hop: int, delay: int, milliseconds: float) -> None:
    network = Demucs(hidden=2, stride=stride, resample=resample, normalisation="running")
    assert (network.hop, network.delay) == (hop, delay)
    assert network.latency / network.sample_rate * 1000 == pytest.approx(milliseconds, abs=0.05)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_cost_what_their_steps_cost(kind: type[nn.LSTM] | type[nn.GRU], both_ways: bool) -> None:
    class Recurrent(models.Enhancer):
        def __init__(self) -> None:
            super().__init__()
            self.layers = kind(5, 7, num_layers=2, bidirectional=both_ways, batch_first=True)

        def forward(self, noisy: Tensor) -> Tensor:
            return self.layers(noisy.reshape(1, -1, 5))[0][..., 0]

    network = Recurrent()
    products, elements = FlopCounterMode(display=False), cost._ElementCounter()
    with torch.no_grad(), products, elements:  # on meta, PyTorch takes the steps one by one
        network.to("meta")(torch.empty(1, 160, device="meta"))
    one_by_one = products.get_total_flops() / 2 + elements.total
    assert cost.macs_per_second(network, 0.01) == pytest.approx(one_by_one / 0.01)
    assert products.get_total_flops() < cost.paper_flops(network) * 32 / 12800 < 1.5 * products.get_total_flops()


def test_the_point_midway_is_a_windowed_sinc() -> None:
    kernel = sinc_kernel().flatten()
    assert len(kernel) == 2 * ZEROS
    for tap, value in enumerate(kernel.tolist()):
        distance = tap - ZEROS + 0.5  # in samples; the window is 1 in the middle, 0 at ZEROS + 1/2 crossings
        window = 0.5 + 0.5 * math.cos(math.pi * distance / ZEROS)
        assert value == pytest.approx(math.sin(math.pi * distance) / (math.pi * distance) * window, abs=1e-6)


@pytest.mark.parametrize("frequency", [0.0, 100.0, 1333.0, 5000.0, 7000.0])
def test_a_sine_below_nyquist_is_that_sine_at_twice_the_rate(frequency: float) -> None:
    wave = torch.cos(2 * math.pi * frequency / 32000 * torch.arange(8000, dtype=torch.float64) + 0.3)[None, None]
    kernel = sinc_kernel().double()
    doubled = double(F.pad(wave[..., ::2], AROUND_DOUBLE), kernel)
    inside = slice(2 * ZEROS, -2 * ZEROS)  # the ends hear where the signal ends
    assert doubled.shape == wave.shape
    assert torch.allclose(doubled[..., inside], wave[..., inside], atol=1e-3)
    halved = halve(F.pad(wave, AROUND_HALVE), kernel)
    assert torch.allclose(halved[..., ZEROS:-ZEROS], wave[..., ::2][..., ZEROS:-ZEROS], atol=1e-3)


def test_up_and_down_again_is_the_input() -> None:
    spectrum = torch.fft.rfft(noise(2, 1, 4000, seed=1, level=1.0))
    spectrum[..., 1800:] = 0  # below 7.2 of 8 kHz
    wave = torch.fft.irfft(spectrum)
    kernel = sinc_kernel()
    again = halve(F.pad(double(F.pad(wave, AROUND_DOUBLE), kernel), AROUND_HALVE), kernel)
    inside = slice(2 * ZEROS, -2 * ZEROS)
    assert torch.allclose(again[..., inside], wave[..., inside], atol=1e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 0},
        {"depth": 0},
        {"kernel": 3},
        {"stride": 0},
        {"resample": 3},
        {"growth": 0},
        {"normalisation": "block"},
        {"normalisation": "running", "causal": False},
    ],
)
def test_bad_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        models.create("demucs", **wrong)


def test_taps_of_a_depth_have_its_width() -> None:
    network = Demucs(hidden=3, depth=3, growth=2)
    feats = observe(network, noise(2, 1000, seed=1), network.taps).feats
    widths = {name: feature.shape[1] for name, feature in feats.items()}
    assert {widths[f"encoder.{layer}"] for layer in (1, 2, 3)} == {3, 6, 12}
    assert [widths[f"decoder.{layer}"] for layer in (1, 2, 3)] == [1, 3, 6]
    assert feats["latent"].shape == feats["encoder.3"].shape


@pytest.mark.slow  # to export
@pytest.mark.parametrize("name", ["demucs", "demucs-both-ways"])
def test_exported_its_lstm_is_two_operators(name: str, kept: Path) -> None:
    operators = [node.op_type for node in onnx.load(export(name, kept).path).graph.node]
    assert operators.count("LSTM") == 2
    assert {"Loop", "Scan", "If"}.isdisjoint(operators)


def test_resampling_is_bounded_as_no_weight_depends_on_it() -> None:
    with pytest.raises(InputError, match="resample a power of 2 up to 16"):
        models.create("demucs", hidden=2, depth=1, resample=32)
