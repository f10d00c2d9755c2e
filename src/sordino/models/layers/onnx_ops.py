"""GRU, LSTM and attention that are exported to ONNX as a single operator each.

torch's exporter turns a GRU or an LSTM into a loop over time, or unrolls it to the length of the example. ONNX has an
operator for each, which runtimes execute fast, so during an export the forward pass emits that operator itself.
Otherwise these are PyTorch's own modules, with the same parameters and arguments; packed sequences are not supported.

The exporter writes attention as two products with a softmax between them, whose matrix grows with the square of the
length and passes through memory three times. onnxruntime has an operator of its own that never stores this matrix, in
all versions from 1.20 and also in browsers; other runtimes may not have it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Index in PyTorch's weights of ONNX's first, second, ... gate. PyTorch stacks the gates of a GRU as reset, update, new
# and of an LSTM as input, forget, cell, output; ONNX as update, reset, new and as input, output, forget, cell.
_GRU_GATES, _LSTM_GATES = (1, 0, 2), (0, 3, 1, 2)


# pyright: reportIncompatibleMethodOverride=false


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute softmax(q k' / sqrt(D)) v for each item and channel: query, key, value and result are [B,C,N,D]."""
    if not torch.compiler.is_exporting():
        return F.scaled_dot_product_attention(query, key, value)
    # The operator takes [batch,length,features] and splits the features into heads: channels become items instead.
    batch = [x.flatten(0, 1) for x in (query, key, value)]
    attended = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        batch,
        {"num_heads": 1},
        dtype=query.dtype,
        shape=batch[0].shape,
        version=1,
    )
    return attended.unflatten(0, query.shape[:2])


class Gru(nn.GRU):
    """``torch.nn.GRU``: input [N,B,C] (or [B,N,C] with ``batch_first``), hidden [layers x directions,B,H]."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if not torch.compiler.is_exporting():
            return super().forward(input, hx)
        states = () if hx is None else (hx,)
        output, (hidden,) = _emit_layers(self, "GRU", _GRU_GATES, input, states)
        return output, hidden


class Lstm(nn.LSTM):
    """``torch.nn.LSTM``: input as for ``Gru``, state (hidden, cell), each [layers x directions,B,H]."""

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not torch.compiler.is_exporting():
            return super().forward(input, hx)
        output, (hidden, cell) = _emit_layers(self, "LSTM", _LSTM_GATES, input, hx or ())
        return output, (hidden, cell)


def _emit_layers(
    module: nn.RNNBase, operator: str, gates: tuple[int, ...], x: Tensor, states: tuple[Tensor, ...]
) -> tuple[Tensor, list[Tensor]]:
    """Emit all layers of a recurrent module as ONNX operators.

    Args:
        module: GRU or LSTM with its weights.
        operator: ``GRU`` or ``LSTM``.
        gates: order of ONNX's gates in PyTorch's weights.
        x: [N,B,C], or [B,N,C] if the module has ``batch_first``.
        states: initial states [layers x directions,B,H]: none, or one of a GRU, two of an LSTM.

    Returns:
        The output, and the last states [layers x directions,B,H], one of a GRU and two of an LSTM.
    """
    directions = 2 if module.bidirectional else 1
    attributes: dict[str, Any] = {"hidden_size": module.hidden_size}
    attributes["direction"] = "bidirectional" if module.bidirectional else "forward"
    state_count = 2
    if operator == "GRU":
        state_count = 1
        # PyTorch and cuDNN multiply by the reset gate after the recurrent product, ONNX by default before it.
        attributes["linear_before_reset"] = 1
    if module.batch_first:
        x = x.transpose(0, 1)
    length, batch = x.shape[:2]
    # ONNX keeps the directions as an axis of the output, [N,D,B,H]; PyTorch joins them to [N,B,D H].
    state_shape = (directions, batch, module.hidden_size)
    shapes = [(length, *state_shape), *[state_shape] * state_count]
    last_states: list[list[Tensor]] = [[] for _ in range(state_count)]
    for layer in range(module.num_layers):
        first = layer * directions
        initial = [state[first : first + directions] for state in states]
        y, *last = torch.onnx.ops.symbolic_multi_out(
            operator,
            [x, *_weights(module, layer, directions, gates), None, *initial],  # None: no sequence lengths
            attributes,
            dtypes=[x.dtype] * len(shapes),
            shapes=shapes,
        )
        x = y.squeeze(1) if directions == 1 else y.transpose(1, 2).flatten(2)
        for of_layers, of_layer in zip(last_states, last, strict=True):
            of_layers.append(of_layer)
    if module.batch_first:
        x = x.transpose(0, 1)
    return x, [torch.cat(of_layers) for of_layers in last_states]


def _weights(module: nn.RNNBase, layer: int, directions: int, gates: tuple[int, ...]) -> list[Tensor | None]:
    """Return ONNX's W [D,G H,C], R [D,G H,H] and B [D,2 G H] of a layer, with the gates in ONNX's order.

    B is None of a module without ``bias``.
    """
    order = list(gates)

    def stacked(kind: str) -> Tensor:
        values = []
        for suffix in ("", "_reverse")[:directions]:
            by_gate = getattr(module, f"{kind}_l{layer}{suffix}").unflatten(0, (len(order), -1))
            values.append(by_gate[order].flatten(0, 1))
        return torch.stack(values)

    biases = torch.cat([stacked("bias_ih"), stacked("bias_hh")], dim=-1) if module.bias else None
    return [stacked("weight_ih"), stacked("weight_hh"), biases]
