"""What a network costs: parameters, FLOPs as the paper counts them, and honest multiply-accumulates.

``paper_flops`` is the column "FLOPs" of Shin et al. (Interspeech 2022, Table 1): twice the multiply-accumulates of
modules (convolution, linear, recurrent, norm, PReLU) on 4 s of 16 kHz audio. It is the convention of that table, not
the cost: products that no module performs, those inside attention, are left out, while a transposed convolution counts
its stride times too high and a norm four per element. ``macs_per_second`` counts every operation of the forward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from sordino.models.base import Enhancer

PAPER_SECONDS = 4


def paper_flops(network: Enhancer) -> float:
    """FLOPs of one forward pass over 4 s, counted as the MV-AT paper counts them.

    Returns:
        A count, not giga: 1.46e9 for MANNER-S-1.5GF. It comes within 1 % of every figure of Table 1 but TSTNN's: the
        table prints 166.54 where this counts 145.3, and where every operation comes to 166.6.
    """
    with _on_meta(network, PAPER_SECONDS) as (twin, noisy), _counted(twin, _paper_rule) as macs:
        twin(noisy)
    return 2.0 * sum(macs)


def macs_per_second(network: Enhancer, seconds: float = 1.0) -> float:
    """Multiply-accumulates per second of audio, on a signal of ``seconds``, with every operation counted.

    Matrix products, convolutions and recurrent layers count what they multiply; norms, softmax and every operation
    that works element by element count one per element. The cost of attention grows with the square of the duration,
    so the duration is part of the figure.
    """
    # The unfused kernel computes the same products, as operators that the counter sees.
    products, elements = FlopCounterMode(display=False), _ElementCounter()
    with (
        _on_meta(network, seconds) as (twin, noisy),
        _counted(twin, _recurrent_rule) as recurrent,
        sdpa_kernel(SDPBackend.MATH),
        products,
        elements,
    ):
        twin(noisy)
    return (products.get_total_flops() / 2 + elements.total + sum(recurrent)) / seconds


class _ElementCounter(TorchDispatchMode):
    """Counts the elements that operations write which work element by element, norms and softmax among them."""

    # Those that torch does not tag as pointwise.
    _UNTAGGED = ("batch_norm", "layer_norm", "group_norm", "softmax", "glu", "prelu")

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise in func.tags:
            self.total += output.numel()
        elif any(name in func.name() for name in self._UNTAGGED):
            self.total += (output[0] if isinstance(output, tuple) else output).numel()
        return output


@contextmanager
def _on_meta(network: Enhancer, seconds: float) -> Iterator[tuple[Enhancer, Tensor]]:
    """A twin of the network, and an input, that have shapes but no values: counting then costs no arithmetic.

    Its recurrent layers do not run, which without values would take a thousand times longer than with them.
    """
    twin = copy.deepcopy(network).to("meta").eval()
    for module in twin.modules():
        if isinstance(module, (nn.LSTM, nn.GRU)):
            module.forward = partial(_without_values, module)  # pyright: ignore[reportAttributeAccessIssue]
    with torch.no_grad():
        yield twin, torch.empty(1, round(seconds * network.sample_rate), device="meta")


def _without_values(module: nn.RNNBase, x: Tensor, hx: Any = None) -> Any:
    """What a recurrent layer returns for ``x``, in shapes alone; it stands in for the layer's ``forward``."""
    directions = 2 if module.bidirectional else 1
    batch = x.shape[0 if module.batch_first else 1]
    output = x.new_empty(*x.shape[:-1], directions * module.hidden_size)
    state = x.new_empty(directions * module.num_layers, batch, module.hidden_size)
    return output, (state, state) if isinstance(module, nn.LSTM) else state


@contextmanager
def _counted(twin: nn.Module, rule: Callable[[nn.Module], Any]) -> Iterator[list[float]]:
    """While it is open, what ``rule`` says that each module costs is added to the list whenever the module runs."""
    macs: list[float] = []
    with ExitStack() as hooks:
        for module in twin.modules():
            count = rule(module)
            if count is not None:
                handle = module.register_forward_hook(
                    lambda module, inputs, output, count=count: macs.append(count(module, inputs[0], output))
                )
                hooks.callback(handle.remove)
        yield macs


def _paper_rule(module: nn.Module) -> Any:
    """The function (module, input, output) -> multiply-accumulates for a module that the convention counts."""
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        # The paper's counter takes every OUTPUT sample for in_channels x kernel products, stride times what is done.
        return lambda m, x, y: y.numel() * m.weight[:, 0].numel() // m.groups
    if isinstance(module, nn.modules.conv._ConvNd):
        return lambda m, x, y: y.numel() * m.weight[0].numel()
    if isinstance(module, nn.Linear):
        return lambda m, x, y: y.numel() * m.in_features
    if isinstance(module, (nn.LSTM, nn.GRU)):
        # Beside the products, every gate's sum and two biases, and the products and sums that make the new state.
        elements = 16 if isinstance(module, nn.LSTM) else 13
        return lambda m, x, y: _steps(x) * (_gate_products(m) + elements * _units(m))
    if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
        # Two for the normalisation, two for the affine map.
        return lambda m, x, y: 4 * x.numel()
    if isinstance(module, nn.PReLU):
        return lambda m, x, y: x.numel()
    return None


def _recurrent_rule(module: nn.Module) -> Any:
    """The same for recurrent layers with every operation counted, those on single elements too."""
    if not isinstance(module, (nn.LSTM, nn.GRU)):
        return None
    # Elements written per step, layer and unit. LSTM: four sums of two products, four activations, four for the new
    # cell (tanh included), one for the output. GRU: three sums, three activations, the reset and three for the update.
    elements = 13 if isinstance(module, nn.LSTM) else 10
    return lambda m, x, y: _steps(x) * (_gate_products(m) + elements * _units(m))


def _gate_products(module: nn.RNNBase) -> int:
    """Multiply-accumulates of a step: its gates with the input and with its memory, all layers and directions."""
    return sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))


def _units(module: nn.RNNBase) -> int:
    """Of all layers and directions."""
    return module.hidden_size * module.num_layers * (2 if module.bidirectional else 1)


def _steps(x: Tensor) -> int:
    """Of all sequences in the input [N,B,C] or [B,N,C] together."""
    return x.shape[0] * x.shape[1]
