"""Layers that stay one operator when they are exported: recurrent ones, and attention.

torch's exporter turns a GRU or an LSTM into a loop over time, or unrolls it to the length of the example. ONNX has an
operator for each, which runtimes do fast, so an exporting forward pass emits that operator itself. Outside of an
export these are PyTorch's own modules, with their parameters and arguments; packed sequences they do not take.

Attention it writes as two products with a softmax between them, whose matrix grows with the square of the length and
has to go through memory thrice. onnxruntime has an operator of its own that never stores it, in all versions from 1.20
and in browsers too; other runtimes may not know it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# PyTorch stacks the gates of a GRU as reset, update, new and of an LSTM as input, forget, cell, output; ONNX as
# update, reset, new and as input, output, forget, cell.
_GRU_GATES, _LSTM_GATES = (1, 0, 2), (0, 3, 1, 2)


# pyright: reportIncompatibleMethodOverride=false


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k' / sqrt(D)) v for each item and channel by itself: [B,C,N,D] three times -> [B,C,N,D]."""
    if not torch.compiler.is_exporting():
        return F.scaled_dot_product_attention(query, key, value)
    batch = [x.flatten(0, 1) for x in (query, key, value)]
    found = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        batch,
        {"num_heads": 1},
        dtype=query.dtype,
        shape=batch[0].shape,
        version=1,
    )
    return found.unflatten(0, query.shape[:2])


class Gru(nn.GRU):
    """``torch.nn.GRU``: input [N,B,C] (or [B,N,C] with ``batch_first``), hidden [layers x directions,B,H]."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not torch.compiler.is_exporting():
            return super().forward(input, hx)
        states = () if hx is None else (hx,)
        output, (memory,) = _stack(self, "GRU", _GRU_GATES, input, states)
        return output, memory


class Lstm(nn.LSTM):
    """``torch.nn.LSTM``: input as for ``Gru``, state (hidden, cell), each [layers x directions,B,H]."""

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not torch.compiler.is_exporting():
            return super().forward(input, hx)
        output, (hidden, cell) = _stack(self, "LSTM", _LSTM_GATES, input, hx or ())
        return output, (hidden, cell)


def _stack(
    module: nn.RNNBase, operator: str, gates: tuple[int, ...], x: Tensor, states: tuple[Tensor, ...]
) -> tuple[Tensor, list[Tensor]]:
    """All layers as ONNX operators: the output, and the last states [layers x directions,B,H], one or two of them."""
    directions = 2 if module.bidirectional else 1
    attributes: dict[str, Any] = {"hidden_size": module.hidden_size}
    attributes["direction"] = "bidirectional" if module.bidirectional else "forward"
    if operator == "GRU":
        attributes["linear_before_reset"] = 1  # as PyTorch and cuDNN do it
    x = x.transpose(0, 1) if module.batch_first else x
    length, batch = x.shape[:2]
    wide, state = (length, directions, batch, module.hidden_size), (directions, batch, module.hidden_size)
    memories: list[tuple[Tensor, ...]] = []
    for layer in range(module.num_layers):
        first = layer * directions
        given = [one[first : first + directions] for one in states]
        count = 1 + (1 if operator == "GRU" else 2)
        y, *last = torch.onnx.ops.symbolic_multi_out(
            operator,
            [x, *_weights(module, layer, directions, gates), None, *given],
            attributes,
            dtypes=[x.dtype] * count,
            shapes=[wide, *[state] * (count - 1)],
        )
        x = y.transpose(1, 2).flatten(2)
        memories.append(tuple(last))
    return x.transpose(0, 1) if module.batch_first else x, [torch.cat(one) for one in zip(*memories, strict=True)]


def _weights(module: nn.RNNBase, layer: int, directions: int, gates: tuple[int, ...]) -> list[Tensor]:
    """ONNX's W [D,G H,C], R [D,G H,H] and B [D,2 G H] of a layer, gates in its order."""
    order = list(gates)

    def stacked(kind: str) -> Tensor:
        names = [f"{kind}_l{layer}{suffix}" for suffix in ("", "_reverse")[:directions]]
        values = [getattr(module, name).unflatten(0, (len(order), -1))[order].flatten(0, 1) for name in names]
        return torch.stack(values)

    biases = torch.cat([stacked("bias_ih"), stacked("bias_hh")], dim=-1)
    return [stacked("weight_ih"), stacked("weight_hh"), biases]
