"""DEMUCS: its claims, the authors' figures, their checkpoints, and that a stream of it is the network as a whole."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from helpers import reference
from helpers.exports import export
from helpers.noise import noise
from sordino import models
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.evaluation import cost
from sordino.models import demucs as demucs_file
from sordino.models.demucs import Demucs
from sordino.models.layers.resample import AROUND_DOUBLE, AROUND_HALVE, ZEROS, double, halve, sinc_kernel

REFERENCE = json.loads((Path(__file__).parent / "data" / "demucs.json").read_text())
S4, S2 = "demucs/H8-U4-S4-causal", "demucs/H8-U2-S2-causal"
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


# Claims


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


# The resampler


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


# Published checkpoints


def package(case: str, **changes: Any) -> dict[str, Any]:
    """What the authors' packages hold beside ``class``."""
    return {
        "args": (),
        "kwargs": REFERENCE[case]["config"] | changes,
        "state": reference.state(REFERENCE[case]["keys"]),
    }


def save(content: dict[str, Any], path: Path, zipped: bool = True) -> Path:
    """Save a package with a class of the authors' name, which nobody can import afterwards."""
    module = ModuleType("denoiser.demucs")
    module.Demucs = type("Demucs", (nn.Module,), {"__module__": module.__name__})  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "denoiser", ModuleType("denoiser"))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save({"class": module.Demucs, **content}, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("case", REFERENCE)
def test_published_weights_give_the_published_output(case: str, tmp_path: Path) -> None:
    network = models.load(save(package(case), tmp_path / "published.th"))
    figures, config = REFERENCE[case], REFERENCE[case]["config"]
    expected = {"hidden": 8, "depth": 5, "kernel": 8, "stride": 4, "resample": 4, "growth": 2, **config}
    assert (network.name, network.arguments) == ("demucs", {**expected, "normalisation": "item"})
    with torch.no_grad():
        estimate = network(reference.waves())
    sampled = estimate[:, figures["output_index"]]
    assert torch.allclose(sampled, torch.tensor(figures["output"]), rtol=0, atol=1e-5)
    assert estimate.square().mean(-1).sqrt().tolist() == pytest.approx(figures["output_rms"], abs=1e-5)


@pytest.mark.parametrize("case", [S4, "demucs/H8-U4-S4-noncausal"])
def test_a_bare_state_is_read_off_its_shapes(case: str, tmp_path: Path) -> None:
    torch.save(reference.state(REFERENCE[case]["keys"]), tmp_path / "bare.th")
    with pytest.warns(UserWarning, match="does not state"):
        bare = models.load(tmp_path / "bare.th")
    assert bare.arguments == models.load(save(package(case), tmp_path / "package.th")).arguments


def test_every_argument_but_stride_and_rate_is_read_off_the_shapes(tmp_path: Path) -> None:
    network = Demucs(hidden=3, depth=4, kernel=6, growth=3)
    state = {
        name.replace("latent.", "lstm.")
        .replace(".down.", ".0.")
        .replace(".mix.", ".2." if name.startswith("encoder") else ".0.")
        .replace(".up.", ".2."): value
        for name, value in network.state_dict().items()
    }
    torch.save({"model": {"state": state}, "optimizer": {}}, tmp_path / "wrapped.th")
    with pytest.warns(UserWarning, match="does not state"):
        loaded = models.load(tmp_path / "wrapped.th")
    assert loaded.arguments == network.arguments
    assert torch.equal(loaded(noise(1, 900, seed=1)), network(noise(1, 900, seed=1)))


@pytest.mark.parametrize("inside", [False, True])
def test_arguments_stated_without_a_class_are_followed(inside: bool, tmp_path: Path) -> None:
    content = package(S2)
    del content["args"]
    torch.save({"model": content, "args": {"lr": 3e-4}} if inside else content, tmp_path / "plain.th")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = models.load(tmp_path / "plain.th")
        assert network.arguments == models.load(save(package(S2), tmp_path / "package.th")).arguments
    assert (network.arguments["stride"], network.arguments["resample"]) == (2, 2)
    with torch.no_grad():
        sampled = network(reference.waves())[:, REFERENCE[S2]["output_index"]]
    assert torch.allclose(sampled, torch.tensor(REFERENCE[S2]["output"]), rtol=0, atol=1e-5)


def test_what_is_assumed_of_a_state_that_says_nothing_is_reported(tmp_path: Path) -> None:
    state = package(S2)["state"]
    torch.save(state, tmp_path / "bare.th")
    with pytest.warns(UserWarning, match="does not state stride and resample.*taken for stride=4, resample=4"):
        assert models.load(tmp_path / "bare.th").arguments["stride"] == 4
    torch.save({"state": state, "kwargs": {"stride": 2}}, tmp_path / "half.th")
    with pytest.warns(UserWarning, match="does not state resample.*taken for resample=4"):
        assert models.load(tmp_path / "half.th").arguments["stride"] == 2


def test_arguments_may_be_stated_by_position(tmp_path: Path) -> None:
    content = package(S2) | {"args": (1, 1, 8, 5, 8, 2), "kwargs": {"resample": 2, "rescale": 0.1}}
    arguments = models.load(save(content, tmp_path / "package.th")).arguments
    assert (arguments["stride"], arguments["resample"]) == (2, 2)


def test_files_of_before_torch_1_6_open_when_they_hold_tensors_alone(tmp_path: Path) -> None:
    path = tmp_path / "old.th"
    torch.save(package(S4)["state"], path, _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match="does not state"):
        assert models.load(path).arguments["hidden"] == 8
    # In that format a class brings its source code along, which torch opens on trust only.
    with pytest.raises(InputError, match="cannot be opened as weights alone"):
        models.load(save(package(S4), path, zipped=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 0.1}, "a DEMUCS with an unknown argument, dropout=0.1"),
        ({"chin": 2}, "chin=2, where only 1 can be built"),
        ({"glu": False}, "glu=False"),
        ({"hidden": 16}, "hidden=16 beside tensors of a network with hidden=8"),
        ({"hidden": torch.zeros(2)}, "hidden is a Tensor"),
        ({"glu": torch.ones(2)}, "where only True can be built"),
        ({"causal": False}, "causal=False beside tensors of a network with causal=True"),
        ({"kernel_size": 6}, "kernel_size=6 beside"),
        ({"depth": 4}, "depth=4 beside"),
        ({"growth": 3}, "growth=3 beside"),
        ({"stride": 9}, "kernel >= stride"),
    ],
)
def test_arguments_that_cannot_be_followed_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(package(S4, **changes), tmp_path / "package.th")
    with pytest.raises(InputError, match=message):
        models.load(path)
    torch.save(package(S4, **changes), path)
    with pytest.raises(InputError, match=message):
        models.load(path)


def test_wrong_states_are_refused(tmp_path: Path) -> None:
    state, path = package(S4)["state"], tmp_path / "wrong.th"
    first = "encoder.0.0.weight"
    for wrong, message in (
        ({**state, "encoder.0.7.weight": torch.zeros(1)}, "unknown name"),
        ({name: value for name, value in state.items() if name != "decoder.4.2.bias"}, "lacks decoder.4.up.bias"),
        ({**state, first: torch.zeros(3)}, "a DEMUCS with"),
        ({**state, "lstm.lstm.weight_hh_l0": torch.zeros(())}, "a tensor of a shape that no DEMUCS has"),
        ({**state, first: "text"}, "no checkpoint of a network"),
    ):
        torch.save(wrong, path)
        with pytest.raises(InputError, match=message):
            models.load(path)
    save(package(S4) | {"args": tuple(range(99))}, path)
    with pytest.raises(InputError, match="99 arguments"):
        models.load(path)


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


class Instance:
    """Pickles as an instance of the authors' class, made with an argument."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return sys.modules["denoiser.demucs"].Demucs, ("argument",)


def test_a_package_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    for secret in (Bomb(tmp_path / "ran"), Instance()):
        path = save(package(S4) | {"training": secret}, tmp_path / "bomb.th")
        with pytest.raises(InputError, match="cannot be opened as weights alone"):
            models.load(path)
    assert not (tmp_path / "ran").exists()


# Streaming


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


# Taps and export


def test_taps_of_a_depth_have_its_width() -> None:
    network = Demucs(hidden=3, depth=3, growth=2)
    feats = observe(network, noise(2, 1000, seed=1), network.taps).feats
    widths = {name: feature.shape[1] for name, feature in feats.items()}
    assert {widths[f"encoder.{layer}"] for layer in (1, 2, 3)} == {3, 6, 12}
    assert [widths[f"decoder.{layer}"] for layer in (1, 2, 3)] == [1, 3, 6]
    assert feats["latent"].shape == feats["encoder.3"].shape


@pytest.mark.parametrize("name", ["demucs", "demucs-both-ways"])
def test_exported_its_lstm_is_two_operators(name: str, kept: Path) -> None:
    operators = [node.op_type for node in onnx.load(export(name, kept).path).graph.node]
    assert operators.count("LSTM") == 2
    assert {"Loop", "Scan", "If"}.isdisjoint(operators)
