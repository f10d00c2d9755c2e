"""What a network costs: parameters, FLOPs as the paper counts them, and honest multiply-accumulates.

``paper_flops`` is the column "FLOPs" of Shin et al. (Interspeech 2022, Table 1): twice the multiply-accumulates of
modules (convolution, linear, batch norm) on 4 s of 16 kHz audio. It is the convention of that table, not the cost:
products that no module performs, those inside attention, are left out, while a transposed convolution counts its
stride times too high and batch norm four per element. ``macs_per_second`` counts every operation of the forward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from sotto.models.base import Enhancer

PAPER_SECONDS = 4


def paper_flops(network: Enhancer) -> float:
    """FLOPs of one forward pass over 4 s, counted as the MV-AT paper counts them.

    Returns:
        A count, not giga: 1.46e9 for MANNER-S-1.5GF. Table 1 prints 388.48 for DEMUCS-L, which is half of this count
        (multiply-accumulates), and 166.54 for TSTNN, which is neither.
    """
    with _on_meta(network, PAPER_SECONDS) as (twin, noisy), ExitStack() as hooks:
        macs: list[float] = []
        for module in twin.modules():
            count = _rule(module)
            if count is not None:
                handle = module.register_forward_hook(
                    lambda module, inputs, output, count=count: macs.append(count(module, inputs[0], output))
                )
                hooks.callback(handle.remove)
        twin(noisy)
    return 2.0 * sum(macs)


def macs_per_second(network: Enhancer, seconds: float = 1.0) -> float:
    """Multiply-accumulates per second of audio, on a signal of ``seconds``, with every operation counted.

    Matrix products and convolutions count what they multiply; batch norm and every operation that works element by
    element count one per element. The cost of attention grows with the square of the duration, so the duration is
    part of the figure.
    """
    # The unfused kernel computes the same products, as operators that the counter sees.
    products, elements = FlopCounterMode(display=False), _ElementCounter()
    with _on_meta(network, seconds) as (twin, noisy), sdpa_kernel(SDPBackend.MATH), products, elements:
        twin(noisy)
    return (products.get_total_flops() / 2 + elements.total) / seconds


class _ElementCounter(TorchDispatchMode):
    """Counts the elements that pointwise operations and batch norms write."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise in func.tags:
            self.total += output.numel()
        elif "batch_norm" in func.name():
            self.total += output[0].numel()
        return output


@contextmanager
def _on_meta(network: Enhancer, seconds: float) -> Iterator[tuple[Enhancer, Tensor]]:
    """A twin of the network, and an input, that have shapes but no values: counting then costs no arithmetic."""
    twin = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad():
        yield twin, torch.empty(1, round(seconds * network.sample_rate), device="meta")


def _rule(module: nn.Module) -> Any:
    """The function (module, input, output) -> multiply-accumulates for a module that the convention counts."""
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        # The paper's counter takes every OUTPUT sample for in_channels x kernel products, stride times what is done.
        return lambda m, x, y: y.numel() * m.weight[:, 0].numel() // m.groups
    if isinstance(module, nn.modules.conv._ConvNd):
        return lambda m, x, y: y.numel() * m.weight[0].numel()
    if isinstance(module, nn.Linear):
        return lambda m, x, y: y.numel() * m.in_features
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        # Two for the normalisation, two for the affine map.
        return lambda m, x, y: 4 * x.numel()
    return None
