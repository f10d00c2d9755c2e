"""The formulation for CPUs is torch's own operators, faster: the same outputs, gradients, statistics and weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.noise import noise, precise
from sordino import models
from sordino.audio.stft import stft
from sordino.losses import LOSSES
from sordino.models.layers import norm_prelu
from sordino.models.layers.channels_last import Pointwise, channels_last
from sordino.models.layers.depthwise import Depthwise
from sordino.models.layers.norm_prelu import NormPRelu
from sordino.models.layers.onnx_ops import Gru
from sordino.models.layers.scan import scan
from sordino.placement import on_cpu, plain_operators

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"width": 8}),
    "unet-shallow": ("unet", {"width": 6, "depth": 2, "groups": 3, "bottleneck": 2}),
    "unet-512-256": ("unet", {"width": 8, "window": 512, "hop": 256}),
    "unet-512-128": ("unet", {"width": 8, "window": 512, "hop": 128}),
    "manner-s": ("manner-s", {"hidden": 6, "depth": 2}),
    "manner-b": ("manner-b", {"hidden": 6, "depth": 2}),
}


def twins(name: str, dtype: torch.dtype) -> list[models.Enhancer]:
    """Two networks with the same weights, none of which is what it was initialised with."""
    kind, arguments = NETWORKS[name]
    torch.manual_seed(0)
    first, second = (models.create(kind, **arguments).to(dtype) for _ in range(2))
    with torch.no_grad():
        for index, one in enumerate(first.parameters()):
            one += 0.1 * one.std(correction=0).clamp(min=0.1) * noise(*one.shape, seed=index, level=1.0, dtype=dtype)
    second.load_state_dict(first.state_dict())
    return [first, second]


def step(network: models.Enhancer, plain: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    """All that a training step leaves behind: the estimate, the gradients, and the statistics of the norms."""
    noisy, weight = 0.1 * noise(3, 5003, seed=1, level=1.0, dtype=dtype), noise(3, 5003, seed=2, level=1.0, dtype=dtype)
    with plain_operators() if plain else nullcontext():
        estimate = network.train()(noisy)
        gradients = torch.autograd.grad((estimate * weight).sum(), list(network.parameters()))
    found = {"estimate": estimate.detach(), **dict(network.named_buffers())}
    return found | {name: one for (name, _), one in zip(network.named_parameters(), gradients, strict=True)}


def differ(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_is_that_of_torchs_own_operators(name: str) -> None:
    fast, plain = twins(name, torch.float64)
    found, wanted = step(fast, False, torch.float64), step(plain, True, torch.float64)
    largest = max(float(one.abs().max()) for one in wanted.values())
    for key, value in wanted.items():
        # A bias before a norm has a gradient of zero but for rounding.
        assert float((found[key] - value).abs().max()) < 1e-9 * largest, key


@pytest.mark.parametrize("name", NETWORKS)
def test_in_single_precision_it_is_as_near_to_the_truth(name: str) -> None:
    exact = step(twins(name, torch.float64)[0], True, torch.float64)
    fast, plain = twins(name, torch.float32)
    found, wanted = step(fast, False, torch.float32), step(plain, True, torch.float32)
    assert differ(found["estimate"], wanted["estimate"]) < 1e-5
    keys = [key for key, _ in fast.named_parameters()]
    of_fast, of_plain = (
        sum(float((one[key] - exact[key]).square().sum()) for key in keys) ** 0.5 for one in (found, wanted)
    )
    assert of_fast < 2 * of_plain


@pytest.mark.parametrize("name", NETWORKS)
def test_in_use_it_is_that_of_torchs_own_operators(name: str) -> None:
    fast, _ = twins(name, torch.float32)
    step(fast, False, torch.float32)
    noisy = 0.1 * noise(2, 4001, level=1.0)
    with torch.no_grad(), plain_operators():
        wanted = fast.eval()(noisy)
    with torch.no_grad():
        assert torch.allclose(fast(noisy), wanted, atol=1e-6)


def test_the_weights_are_those_of_torchs_own_modules() -> None:
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (NormPRelu(3), nn.Sequential(nn.BatchNorm2d(3), nn.PReLU(3))),
        (Pointwise(3, 5), nn.Conv2d(3, 5, 1)),
        (Depthwise(3, 31), nn.Conv1d(3, 3, 31, padding=15, groups=3, bias=False)),
    ]
    for fast, plain in pairs:
        fast.load_state_dict(plain.state_dict())
        assert {key: one.shape for key, one in fast.state_dict().items()} == {
            key: one.shape for key, one in plain.state_dict().items()
        }


@pytest.mark.parametrize("block", [1, 50, 1 << 17])
def test_norm_and_prelu_are_those_of_torch_and_read_a_part(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(norm_prelu, "BLOCK", block)
    fast, plain = NormPRelu(3).double(), nn.Sequential(nn.BatchNorm2d(3), nn.PReLU(3)).double()
    with torch.no_grad():
        for index, one in enumerate(fast.parameters()):
            one.copy_(precise(3, seed=index))  # a slope above 1 and a negative scale among them
    plain.load_state_dict(fast.state_dict())
    # Far from zero: a variance from plain sums of squares would lose its digits.
    x = (channels_last(precise(2, 3, 5, 8)) + 1e3).requires_grad_()
    gradient = precise(2, 3, 4, 7, seed=9)
    found, wanted = fast(x, 4, 7), plain(x[:, :, :4, :7])
    for one, other in zip(
        (found, *torch.autograd.grad(found, [x, *fast.parameters()], gradient), *fast.buffers()),
        (wanted, *torch.autograd.grad(wanted, [x, *plain.parameters()], gradient), *plain.buffers()),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("batch", "steps", "size"), [(1, 1, 3), (2, 7, 4), (3, 1, 2)])
def test_units_in_a_scan_are_units_one_by_one(batch: int, steps: int, size: int) -> None:
    torch.manual_seed(0)
    grus = [Gru(5, size, batch_first=True).double() for _ in range(2)]
    x, hidden = precise(batch, steps, 10).requires_grad_(), precise(batch, 2, size, seed=1).requires_grad_()
    outputs, memory = scan(grus, x, hidden)
    apart = [gru(x[..., 5 * i : 5 * i + 5], hidden[None, :, i].contiguous()) for i, gru in enumerate(grus)]
    wanted, last = torch.cat([one for one, _ in apart], dim=-1), torch.cat([one for _, one in apart]).transpose(0, 1)
    inputs = [x, hidden, *(one for gru in grus for one in gru.parameters())]
    weights = precise(*wanted.shape, seed=2), precise(*last.shape, seed=3)
    for one, other in zip(
        (outputs, memory, *torch.autograd.grad((outputs, memory), inputs, weights)),
        (wanted, last, *torch.autograd.grad((wanted, last), inputs, weights)),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 14, 63, 64, 65, 200])
@pytest.mark.parametrize("kernel", [1, 3, 31])
def test_a_depthwise_convolution_is_torchs(length: int, kernel: int) -> None:
    layer = Depthwise(3, kernel).double()
    x, gradient = precise(2, 3, length).requires_grad_(), precise(2, 3, length, seed=1)
    found = layer(x)
    with plain_operators():
        wanted = layer(x)
    for one, other in zip(
        (found, *torch.autograd.grad(found, (x, layer.weight), gradient)),
        (wanted, *torch.autograd.grad(wanted, (x, layer.weight), gradient)),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1100, 4001, 16000])
@pytest.mark.parametrize("resolution", [(1024, 120, 600), (2048, 240, 1200), (512, 50, 240), (512, 128, 512)])
def test_a_spectrum_is_torchs(length: int, resolution: tuple[int, int, int]) -> None:
    wave = precise(2, length).requires_grad_()
    found = stft(wave, *resolution)
    with plain_operators():
        wanted = stft(wave, *resolution)
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    gradient = torch.complex(precise(*found.shape, seed=1), precise(*found.shape, seed=2))
    of_found, of_wanted = (torch.autograd.grad(one, wave, gradient)[0] for one in (found, wanted))
    assert torch.allclose(of_found, of_wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["compressed", "multi_resolution", "weighted"])
@pytest.mark.parametrize("case", ["noise", "silence in both", "silent reference", "silent estimate", "equal"])
def test_a_loss_and_its_gradient_are_those_of_torchs_own_operators(name: str, case: str) -> None:
    clean, noisy = 0.1 * precise(2, 6000), 0.1 * precise(2, 6000, seed=1)
    estimate = clean + 0.05 * precise(2, 6000, seed=2)
    changes: dict[str, Callable[[], object]] = {
        "noise": lambda: None,
        "silence in both": lambda: [one[:, 1000:4000].zero_() for one in (clean, noisy, estimate)],
        "silent reference": lambda: clean[0].zero_(),
        "silent estimate": lambda: estimate[1].zero_(),
        "equal": lambda: estimate.copy_(clean),
    }
    changes[case]()
    estimate.requires_grad_()
    loss = LOSSES[name]()
    found = loss(clean, estimate, noisy)
    with plain_operators():
        wanted = loss(clean, estimate, noisy)
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-12)
    weights = torch.tensor([1.0, 0.3], dtype=torch.float64)
    of_found, of_wanted = (torch.autograd.grad(one, estimate, weights)[0] for one in (found, wanted))
    assert torch.isfinite(of_found).all()
    assert torch.allclose(of_found, of_wanted, rtol=1e-7, atol=1e-10)


def test_autocast_and_a_plain_block_get_torchs_own_operators() -> None:
    x = torch.zeros(1)
    assert on_cpu(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not on_cpu(x)
    with plain_operators():
        assert not on_cpu(x)
    assert on_cpu(x)


@pytest.mark.parametrize("name", ["unet", "manner-s"])
def test_a_step_in_half_precision_has_gradients(name: str) -> None:
    network, _ = twins(name, torch.float32)
    noisy = 0.1 * noise(2, 4000, level=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES["compressed"]()(0.5 * noisy, network.train()(noisy), noisy).mean()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert all(torch.isfinite(one).all() for one in gradients)
