"""Checks of every network; each check makes a new one, with the same initial weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino import models
from sordino.conformance.base import Check, NotClaimed, noise, require
from sordino.distill.teachers import observe
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer
from sordino.types import Tap

Make = Callable[[], Enhancer]
LENGTHS = (1, *range(2, 40), 63, 64, 65, 127, 255, 257, 1023, 1024, 1365, 4999, 5000)
STREAMED = (1, 255, 256, 4001)
CLOSE = 1e-5
FRAMES_OFF = 0.25
"""Share of a second by which rounding to whole frames and to whole chunks may move the frames that it adds."""


def length_and_finite(make: Make) -> None:
    """Any length, one sample included, keeps its shape and is finite, in training and in evaluation."""
    for training in (False, True):
        network = _made(make).train(training)
        with torch.no_grad():
            for length in LENGTHS[training:]:  # a batch norm cannot learn from one value
                noisy = noise(2, length, seed=1)
                estimate = network(noisy)
                require(estimate.shape == noisy.shape, f"{list(noisy.shape)} in, {list(estimate.shape)} out")
                require(torch.isfinite(estimate).all(), f"not finite at {length} samples")


def items_and_silence(make: Make) -> None:
    """Items of a batch do not affect each other, and silence stays silent exactly if ``keeps_silence`` is true."""
    network = _made(make)
    noisy = torch.stack([noise(700, seed=1), torch.zeros(700), noise(700, seed=2)])
    with torch.no_grad():
        estimate = network(noisy)
        alone = torch.cat([network(item.unsqueeze(0)) for item in noisy])
    difference = (estimate - alone).abs().max()
    require(torch.allclose(estimate, alone, atol=1e-6), f"an item differs by {difference:.1e} in a batch")
    silent = bool(estimate[1].abs().max() < 1e-6)
    found = "silence gives silence" if silent else "silence does not give silence"
    require(silent == network.keeps_silence, f"{found}, though keeps_silence is {network.keeps_silence}")


def gradients(make: Make) -> None:
    """Every parameter gets a finite gradient."""
    for training in (False, True):
        network = _made(make).train(training)
        network(noise(2, 900, seed=1)).mul(noise(2, 900, seed=3)).sum().backward()
        for name, parameter in network.named_parameters():
            require(parameter.grad is not None, f"{name} gets no gradient")
            assert parameter.grad is not None
            require(torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite")
            # In training batch norm cancels the bias before it, to rounding; in eval nothing may be out of reach.
            require(training or parameter.grad.abs().max() > 0, f"the gradient of {name} is 0")


def checkpoint(make: Make) -> None:
    """Saved and loaded, the network is the same, bit for bit, and its header describes it."""
    network = _made(make).train()
    network(noise(2, 900, seed=1))  # batch norm's statistics and counters move
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        models.save(network, path, step=3, data="made up")
        loaded, header = models.load(path), models.read_header(path)
    require(not loaded.training, "a loaded network is not in evaluation mode")
    before, after = network.state_dict(), loaded.state_dict()
    require(list(before) == list(after), "the state has other names")
    for name, value in before.items():
        require(value.dtype == after[name].dtype and torch.equal(value, after[name]), f"{name} differs")
    noisy = noise(1, 800, seed=1)
    require(torch.equal(network.eval()(noisy), loaded(noisy)), "the estimate differs, though the state is the same")
    described = (header["name"], header["arguments"], header["sample_rate"])
    wanted = (network.name, json.loads(json.dumps(network.arguments)), network.sample_rate)
    require(described == wanted, f"the header says {described}")
    require(header["about"] == {"step": 3, "data": "made up"}, "the header lacks facts of the training")


def built_again(make: Make) -> None:
    """Name and arguments build it again."""
    network = _made(make)
    again = models.create(network.name, **json.loads(json.dumps(network.arguments)))
    require(type(again) is type(network), f"{network.name} builds a {type(again).__name__}")
    same_size = _shapes(again) == _shapes(network)
    require(same_size, f"{network.name} with {network.arguments} builds another size")
    require(again.taps == network.taps, "the taps differ")


def taps(make: Make) -> None:
    """Every tap can be read, its frames are as long as it says, and reading changes nothing."""
    network, noisy = _made(make), noise(2, 900, seed=1)
    if not network.taps:
        raise NotClaimed("declares no taps; methods on features cannot read it")
    view = observe(network, noisy, network.taps)
    with torch.no_grad():
        longer = observe(network, noise(2, 900 + network.sample_rate, seed=1), network.taps)
    for name, feature in view.feats.items():
        _require_stride(name, network.taps[name], longer.feats[name].shape[2] - feature.shape[2], network.sample_rate)
        require(torch.isfinite(feature).all(), f"{name} is not finite")
        require(feature.requires_grad, f"{name} carries no gradient")
    require(torch.equal(view.wave, network(noisy)), "the estimate differs while taps are read")


def double(make: Make) -> None:
    """It works in double precision."""
    network, noisy = _made(make), noise(2, 900, seed=1)
    with torch.no_grad():
        single = network(noisy)
        precise = network.double()(noisy.double())
    require(precise.dtype == torch.float64, f"the estimate is {precise.dtype}")
    require(torch.allclose(single.double(), precise, atol=CLOSE), "float32 and float64 differ by more than 1e-5")


def stream(make: Make) -> str:
    """Its estimate block by block equals that of the whole signal."""
    network = _made(make)
    if not (isinstance(network, StreamingEnhancer) and network.streams):
        raise NotClaimed("does not stream")
    require(not any(one.any() for one in network.initial_state()), "the initial state is not all zeros")
    largest = 0.0
    with torch.no_grad():
        network.train()(noise(4, 4000, seed=5))  # norms have statistics other than zeros and ones
        network.eval()
        for length in STREAMED:
            noisy = noise(2, length, seed=1)
            whole = network(noisy)
            for hops in (1, 3):
                difference = (streamed(network, noisy, hops) - whole).abs().max().item()
                require(difference < CLOSE, f"{length} samples by {hops} hop(s) differ by {difference:.1e}")
                largest = max(largest, difference)
    return f"differs by at most {largest:.1e}; latency {1000 * (network.latency_s or 0):g} ms"


def export(make: Make) -> str:
    """Its ONNX graphs, for recordings and for streams, give the same estimates."""
    from sordino.export import to_onnx

    with TemporaryDirectory() as folder:
        parity = to_onnx(_made(make), Path(folder) / "network.onnx")
    found = f"differs by at most {parity.largest_difference:.1e}"
    if parity.stream_difference is not None:
        found += f", as a stream by {parity.stream_difference:.1e}"
    return found


CHECKS: dict[str, Check] = {
    "any length, finite": length_and_finite,
    "items apart, silence": items_and_silence,
    "gradients": gradients,
    "save and load": checkpoint,
    "name and arguments": built_again,
    "taps": taps,
    "float64": double,
    "stream equals whole": stream,
    "ONNX equals network": export,
}
"""Every check of a network by the name that tables show."""


def streamed(network: StreamingEnhancer, noisy: Tensor, hops: int) -> Tensor:
    """Return the estimate of ``noisy`` [B,T], fed ``hops`` hops at a time."""
    length = noisy.shape[-1]
    whole = math.ceil((length + network.delay) / network.hop) * network.hop
    state, parts = network.initial_state(len(noisy)), []
    shapes = [one.shape for one in state]
    for block in F.pad(noisy, (0, whole - length)).split(hops * network.hop, dim=-1):
        estimate, after = network.step(block, state)
        require(estimate.shape == block.shape, f"a block {list(block.shape)} gives {list(estimate.shape)}")
        require([one.shape for one in after] == shapes, "the state changes its shape")
        parts.append(estimate)
        state = after
    return torch.cat(parts, dim=-1)[:, network.delay : network.delay + length]


def _require_stride(name: str, tap: Tap, frames: int, samples: int) -> None:
    """Require that ``frames``, which ``samples`` more of a signal have added, are about as many as the tap says.

    Padding and context add as much to a short signal as to a long one, so they do not count.
    """
    found = f"{samples} more samples add {frames} frames to {name}, and its Tap says {samples / tap.stride:g}"
    near = abs(frames * tap.stride - samples) <= FRAMES_OFF * samples
    require(near, f"{found}: set its stride and its axes, {tap.axes}")


def _shapes(network: Enhancer) -> dict[str, torch.Size]:
    """Return the shape of every tensor of a network's state."""
    return {name: value.shape for name, value in network.state_dict().items()}


def _made(make: Make) -> Enhancer:
    torch.manual_seed(0)
    return make().eval()
