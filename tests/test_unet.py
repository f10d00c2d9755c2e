"""The causal U-Net: its claims, and that frame by frame it is the network that it is as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from helpers.noise import noise
from helpers.unets import network
from sordino import models
from sordino.distill.teachers import observe
from sordino.evaluation.cost import macs_per_second
from sordino.export import to_onnx
from sordino.models.layers.bottleneck import LinearBottleneck
from sordino.models.layers.fourier import COMPRESSION, RealFourier, compress
from sordino.models.layers.onnx_ops import Gru, Lstm
from sordino.models.layers.unet_blocks import Down
from sordino.models.unet import POWER_FLOOR, UNet


@pytest.mark.parametrize(
    ("width", "parameters", "mmacs"), [(24, 43_560, 36.6), (48, 165_456, 116.7), (160, 1_770_080, 1072.0)]
)
def test_size_and_cost_are_those_claimed(width: int, parameters: int, mmacs: float) -> None:
    made = UNet(width)
    assert models.count_parameters(made) == parameters
    assert macs_per_second(made) / 1e6 == pytest.approx(mmacs, rel=0.01)


@pytest.mark.parametrize(("window", "hop", "parameters", "mmacs"), [(512, 256, 82_872, 37.9), (512, 128, 82_872, 75.9)])
def test_longer_windows_have_the_size_and_the_latency_claimed(
    window: int, hop: int, parameters: int, mmacs: float
) -> None:
    made = UNet(window=window, hop=hop)
    assert models.count_parameters(made) == parameters
    assert macs_per_second(made) / 1e6 == pytest.approx(mmacs, rel=0.01)
    assert (made.hop, made.delay, made.latency, made.latency_s) == (hop, 512 - hop, 512, 0.032)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"width": 8, "depth": 1, "groups": 1},
        {"width": 6, "depth": 4, "groups": 2},
        {"width": 8, "bottleneck": 2},
        {"width": 8, "window": 512, "hop": 256},
        {"width": 8, "window": 512, "hop": 128},
        {"width": 8, "window": 320, "hop": 80},
        {"width": 8, "kernel": 5},
        {"width": 8, "kernel": 1},
    ],
)
@pytest.mark.parametrize("length", [1, 159, 160, 161, 320, 4001])
def test_frame_by_frame_it_gives_what_it_gives_as_a_whole(arguments: dict[str, int], length: int) -> None:
    made, noisy = network(**arguments), noise(2, length, seed=1)
    hops = -(-(length + made.delay) // made.hop)
    padded = torch.nn.functional.pad(noisy, (0, hops * made.hop - length))
    with torch.no_grad():
        whole = made(noisy)
        for size in (1, 3):
            state, parts = made.initial_state(2), []
            for block in padded.split(size * made.hop, dim=-1):
                estimate, after = made.step(block, state)
                assert estimate.shape == block.shape
                assert [one.shape for one in after] == [one.shape for one in state]
                parts.append(estimate)
                state = after
            streamed = torch.cat(parts, dim=-1)[:, made.delay : made.delay + length]
            assert torch.allclose(streamed, whole, atol=1e-6)


@pytest.mark.parametrize(("window", "hop"), [(320, 160), (320, 80), (512, 256), (512, 128)])
def test_nothing_depends_on_what_lies_further_ahead_than_the_latency(window: int, hop: int) -> None:
    made, noisy = network(window=window, hop=hop), noise(1, 4800, seed=1).requires_grad_()
    assert made.latency == window
    estimate = made(noisy)
    for place in (0, 1, 159, 160, 1000, 1600, 2399):
        (gradient,) = torch.autograd.grad(estimate[0, place], noisy, retain_graph=True)
        reached = gradient[0].nonzero().max().item()
        assert place < reached < place + made.latency


def test_the_past_reaches_far() -> None:
    made, noisy = network(), noise(1, 4800, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(made(noisy)[0, 4500], noisy)
    assert gradient[0, :800].abs().max() > 0  # a quarter of a second back, through the recurrent bottleneck


@pytest.mark.parametrize(("window", "hop"), [(320, 160), (320, 80), (512, 256), (512, 128)])
def test_a_mask_of_one_gives_the_input_back(window: int, hop: int) -> None:
    made, noisy = network(window=window, hop=hop), noise(2, 3333, seed=1)
    last = made.decoder[-1].conv.conv
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    last.bias = nn.Parameter(torch.tensor([0.5, 0.5, 0.0, 0.0]).atanh())  # real part of even and odd bins, imaginary
    with torch.no_grad():
        assert torch.allclose(made(noisy), noisy, atol=1e-6)


def test_taps_are_every_layer_and_the_latent() -> None:
    made = network(width=8, depth=3, groups=2)
    view = observe(made, noise(2, 1600, seed=1), made.taps)
    bins = {"1": 81, "2": 41, "3": 21}
    expected = {f"encoder.{i}": (2, 8, 11, n) for i, n in bins.items()}
    expected |= {"decoder.1": (2, 2, 11, 161), "decoder.2": (2, 8, 11, 81), "decoder.3": (2, 8, 11, 41)}
    assert {name: tuple(one.shape) for name, one in view.feats.items()} == expected | {"latent": (2, 8, 11, 21)}
    assert torch.equal(view.feats["latent"], view.feats["encoder.3"])


def test_the_first_layer_alone_mixes_its_channels_whatever_the_width() -> None:
    layers = [layer for layer in network(width=3, depth=2, groups=1).encoder if isinstance(layer, Down)]
    assert [layer.conv.conv.groups for layer in layers] == [1, 3]


def test_a_linear_bottleneck_is_a_matrix_for_every_frame_and_frequency() -> None:
    made = network(width=8, depth=3, groups=2, bottleneck=3)
    assert isinstance(made.latent, LinearBottleneck)
    assert models.count_parameters(made) == models.count_parameters(UNet(8, 3, 2)) + 2 * 3 * 8 * 8
    view = observe(made, noise(2, 1600, seed=1), ["encoder.3", "latent", "latent.bottleneck"])
    widen, narrow = (weight[..., 0, 0] for weight in made.latent.parameters())
    assert widen.shape == (24, 8)
    expected = torch.einsum("dc,bcnf->bdnf", narrow @ widen, view.feats["encoder.3"])
    assert torch.equal(view.feats["latent"], view.feats["encoder.3"])
    assert torch.allclose(view.feats["latent.bottleneck"], expected, atol=1e-6)


def test_a_bottleneck_that_changes_nothing_leaves_the_network_as_it_is() -> None:
    plain, made = network(width=8), UNet(8, bottleneck=2).eval()
    assert "latent.bottleneck" not in plain.taps
    half = torch.cat([torch.eye(8), torch.zeros(8, 8)])
    weights = {"latent.0.weight": half, "latent.1.weight": half.T}
    made.load_state_dict(plain.state_dict() | {name: value[..., None, None] for name, value in weights.items()})
    with torch.no_grad():
        assert torch.allclose(made(noise(2, 3000, seed=1)), plain(noise(2, 3000, seed=1)), atol=1e-6)


def test_a_checkpoint_says_whether_there_is_a_bottleneck(tmp_path: Path) -> None:
    for bottleneck in (0, 2):
        made = network(width=8, bottleneck=bottleneck)
        models.save(made, tmp_path / "unet.safetensors")
        loaded = models.load(tmp_path / "unet.safetensors")
        assert loaded.arguments["bottleneck"] == bottleneck
        assert ("latent.bottleneck" in loaded.taps) == bool(bottleneck)
        with torch.no_grad():
            assert torch.equal(loaded(noise(1, 2000, seed=1)), made(noise(1, 2000, seed=1)))


@pytest.mark.parametrize(("window", "hop"), [(512, 256), (512, 128)])
def test_a_checkpoint_says_its_window(tmp_path: Path, window: int, hop: int) -> None:
    made = network(width=8, window=window, hop=hop)
    models.save(made, tmp_path / "unet.safetensors")
    loaded = models.load(tmp_path / "unet.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(noise(1, 2000, seed=1)), made(noise(1, 2000, seed=1)))
    bins = window // 2 + 1
    view = observe(made, noise(2, 16 * hop, seed=1), made.taps)
    assert [view.feats[f"decoder.{i}"].shape[-1] for i in (1, 2)] == [bins, bins // 2 + 1]


def test_compression_keeps_phases_and_bends_magnitudes() -> None:
    spectrum = torch.randn(1, 2, 3, 5, dtype=torch.float64)
    compressed = compress(spectrum, POWER_FLOOR)
    bent = torch.view_as_complex(compressed[:, :2].movedim(1, -1).contiguous())
    given = torch.view_as_complex(spectrum.movedim(1, -1).contiguous())
    assert torch.allclose(bent.angle(), given.angle())
    assert torch.allclose(bent.abs(), given.abs() ** COMPRESSION)
    assert torch.allclose(compressed[:, 2], given.abs() ** COMPRESSION)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_the_usual_window_fits_every_rate(rate: int) -> None:
    network = UNet(width=4, depth=4, sample_rate=rate)
    assert network.window / rate == pytest.approx(0.02, abs=0.0015)
    assert network(torch.zeros(1, 1000)).shape == (1, 1000)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 7},
        {"kernel": 4},
        {"kernel": 0},
        {"window": 320, "hop": 100},
        {"width": 0},
        {"groups": 0},
        {"depth": 0},
        {"depth": 6},
        {"width": 2, "groups": 4},
        {"bottleneck": -1},
        {"depth": 9, "window": 512, "hop": 256},
        {"window": 322, "hop": 161},
        {"hop": 100},
        {"window": 320, "hop": 320},
        {"window": 0, "hop": 0},
    ],
)
def test_arguments_out_of_range_are_reported(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="|".join(arguments)):
        UNet(**arguments)


class Both(models.Enhancer):
    """Recurrent layers and transforms in one exportable network; what it computes means nothing."""

    name, arguments = "both", {}

    def __init__(self) -> None:
        super().__init__()
        self.fourier = RealFourier(32)
        self.gru = Gru(17, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.lstm = Lstm(10, 16, num_layers=2)

    def forward(self, noisy: Tensor) -> Tensor:
        frames = noisy[:, : noisy.shape[-1] // 32 * 32].unflatten(-1, (-1, 32))
        real, imaginary = self.fourier(frames)
        x, memory = self.gru(real, real.new_ones(4, 1, 5))
        x, (hidden, cell) = self.lstm(x.transpose(0, 1))
        mask = torch.nn.functional.pad(x.transpose(0, 1) + hidden.sum() + cell.sum() + memory.sum(), (0, 1))
        return self.fourier.inverse(real * mask, imaginary * mask).flatten(1)


def test_recurrent_layers_and_transforms_are_exported_as_they_are(tmp_path: pytest.TempPathFactory) -> None:
    torch.manual_seed(0)
    signals = [noise(640 * n, seed=n).numpy() for n in (1, 2, 7)]
    path = f"{tmp_path}/both.onnx"
    assert to_onnx(Both(), path, signals).largest_difference < 1e-5
    session = ort.InferenceSession(path)
    assert np.asarray(session.run(None, {"noisy": signals[0][None]})[0]).shape == (1, 640)
