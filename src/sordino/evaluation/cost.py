"""Cost of a network: FLOPs as the MV-AT paper counts them, and the multiply-accumulates of all operations.

``paper_flops`` is the column "FLOPs" of Shin et al. (Interspeech 2022, Table 1): twice the multiply-accumulates of
modules (convolution, linear, recurrent, norm, PReLU) on 4 s of 16 kHz audio. It is the convention of that table and not
the true cost. Products that no module performs, those inside attention, are left out; a transposed convolution counts
``stride`` times too much; a norm counts four per element. ``macs_per_second`` counts every operation of the forward
pass.

Both run the network on torch's ``meta`` device, where tensors have shapes but no values, so that counting takes no
arithmetic. Modules are counted by forward hooks, and operators by a dispatch mode, through which torch passes every
call.
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
    """Count the FLOPs of one forward pass over 4 s as the MV-AT paper does.

    Returns:
        A plain count: 1.46e9 for MANNER-S-1.5GF. It is within 1 % of every figure of Table 1 but TSTNN's: the table
        prints 166.54 G where this counts 145.3 G; all operations come to 166.6 G.
    """
    with _on_meta(network, PAPER_SECONDS) as (twin, noisy), _counted(twin, _paper_rule) as macs:
        twin(noisy)
    return 2.0 * sum(macs)


def macs_per_second(network: Enhancer, seconds: float = 1.0) -> float:
    """Count the multiply-accumulates of all operations on a signal of ``seconds``, per second of audio.

    Matrix products, convolutions and recurrent layers count their products; norms, softmax and element-wise operations
    count one per element. The cost of attention grows with the square of the duration, so figures of different
    durations are not comparable.
    """
    # The math kernel of attention computes the same products as the fused ones, but as operators that are counted.
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
    """Dispatch mode that counts the output elements of element-wise operations, norms and softmax."""

    # Operations that count one per element although torch does not tag them as pointwise.
    _UNTAGGED = ("batch_norm", "layer_norm", "group_norm", "softmax", "glu", "prelu")

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise in func.tags:
            self.total += output.numel()
        elif any(name in func.name() for name in self._UNTAGGED):
            first = output[0] if isinstance(output, tuple) else output  # the others are statistics
            self.total += first.numel()
        return output


@contextmanager
def _on_meta(network: Enhancer, seconds: float) -> Iterator[tuple[Enhancer, Tensor]]:
    """Yield a copy of the network and an input, both on the meta device.

    The recurrent layers of the copy do not run but return empty tensors: without values they would take a thousand
    times longer than with them.
    """
    twin = copy.deepcopy(network).to("meta").eval()
    for module in twin.modules():
        if isinstance(module, (nn.LSTM, nn.GRU)):
            module.forward = partial(_without_values, module)  # pyright: ignore[reportAttributeAccessIssue]
    with torch.no_grad():
        yield twin, torch.empty(1, round(seconds * network.sample_rate), device="meta")


def _without_values(module: nn.RNNBase, x: Tensor, hx: Any = None) -> Any:
    """Return what a recurrent layer returns for ``x``, without values; it replaces the layer's ``forward``."""
    directions = 2 if module.bidirectional else 1
    batch = x.shape[0 if module.batch_first else 1]
    output = x.new_empty(*x.shape[:-1], directions * module.hidden_size)
    state = x.new_empty(directions * module.num_layers, batch, module.hidden_size)
    if isinstance(module, nn.LSTM):
        return output, (state, state)
    return output, state


@contextmanager
def _counted(twin: nn.Module, rule: Callable[[nn.Module], Any]) -> Iterator[list[float]]:
    """Yield a list to which every module adds its multiply-accumulates when it runs, as counted by ``rule``."""
    macs: list[float] = []
    with ExitStack() as hooks:
        for module in twin.modules():
            count = rule(module)
            if count is None:
                continue

            def add(module: nn.Module, inputs: Any, output: Any, count: Any = count) -> None:
                macs.append(count(module, inputs[0], output))

            hooks.callback(module.register_forward_hook(add).remove)
        yield macs


def _paper_rule(module: nn.Module) -> Any:
    """Return the paper's count for a module, a function (module, input, output) -> number; None where it has none."""
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        # The paper's counter has in_channels x kernel products for every OUTPUT sample, stride times too many.
        return lambda layer, x, y: y.numel() * layer.weight[:, 0].numel() // layer.groups
    if isinstance(module, nn.modules.conv._ConvNd):
        return lambda layer, x, y: y.numel() * layer.weight[0].numel()
    if isinstance(module, nn.Linear):
        return lambda layer, x, y: y.numel() * layer.in_features
    if isinstance(module, (nn.LSTM, nn.GRU)):
        # Beside the products: for every gate a sum and two biases, and the products and sums of the new state.
        return _recurrent_count(16 if isinstance(module, nn.LSTM) else 13)
    if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)):
        # Two for the normalisation, two for the affine map.
        return lambda layer, x, y: 4 * x.numel()
    if isinstance(module, nn.PReLU):
        return lambda layer, x, y: x.numel()
    return None


def _recurrent_rule(module: nn.Module) -> Any:
    """Return the count of all operations for a recurrent layer; None for other modules, whose operators are counted."""
    if not isinstance(module, (nn.LSTM, nn.GRU)):
        return None
    # Element-wise operations per step and unit. LSTM: four sums of two products, four activations, four for the new
    # cell (tanh included), one for the output. GRU: three sums, three activations, the reset and three for the update.
    return _recurrent_count(13 if isinstance(module, nn.LSTM) else 10)


def _recurrent_count(elements: int) -> Any:
    """Return the count of a recurrent layer, with as many element-wise operations per step and unit."""
    return lambda layer, x, y: _steps(x) * (_gate_products(layer) + elements * _units(layer))


def _gate_products(module: nn.RNNBase) -> int:
    """Return the products of one step in all layers and directions: of the gates with the input and with the state."""
    return sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))


def _units(module: nn.RNNBase) -> int:
    """Return the number of units of all layers and directions."""
    directions = 2 if module.bidirectional else 1
    return module.hidden_size * module.num_layers * directions


def _steps(x: Tensor) -> int:
    """Return the number of time steps of all sequences in the input [N,B,C], [B,N,C] or [N,C] together."""
    return x.shape[:-1].numel()
