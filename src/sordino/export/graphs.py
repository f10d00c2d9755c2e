"""From torch to ONNX: the graph of a whole recording, and that of the hops of a stream.

The first takes ``noisy`` [1,samples], of any length, and gives ``estimate`` [1,samples], float32; normalisation,
padding and cutting are inside. The second takes ``noisy`` [hops,hop] and ``state.0``, ``state.1``, ... and gives
``estimate`` [hops,hop] and ``next.0``, ``next.1``, ...; a state begins with zeros. It takes any number of hops one
after the other, or one at a time where the network's step is written out frame by frame. Batch norms are folded into
the convolutions before them, recurrent layers are one operator each, and convolutions take the form in which they run
fastest (``sordino.export.rewrite``).

The metadata says what a graph is: name, arguments, sample rate, latency, and what the checkpoint knew of its training.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from sordino.export.rewrite import rewrite
from sordino.inference.onnx_graph import HOPS
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer

OPSET, IR_VERSION = 18, 10
"""What onnxruntime 1.20 and onnxruntime-web read, and all since."""
SHORTEST = 256  # samples; below it the symbolic shapes of a graph would need cases that no recording has
LONGEST = 2**28


def whole_graph(network: Enhancer, about: Mapping[str, Any]) -> onnx.ModelProto:
    """The graph of a recording of any length; ``network`` is in eval mode."""
    example = torch.zeros(1, network.sample_rate, device=_device(network))
    shapes = {"noisy": {1: Dim("samples", min=SHORTEST, max=LONGEST)}}
    proto = _exported(network, [example], ["noisy"], ["estimate"], shapes)
    return _described(proto, network, {"minimum_samples": SHORTEST}, about)


def step_graph(network: StreamingEnhancer, about: Mapping[str, Any]) -> onnx.ModelProto:
    """The graph of the hops of one signal; ``network`` is in eval mode and streams."""
    state = network.initial_state()
    block = torch.zeros(1 if network.unrolls else 4, network.hop, device=_device(network))
    inputs, outputs = ([f"{word}.{i}" for i in range(len(state))] for word in ("state", "next"))
    hops = None if network.unrolls else {0: Dim(HOPS, min=1, max=LONGEST // network.hop)}
    shapes = {"block": hops, "state": [None] * len(state)}
    proto = _exported(_Step(network), [block, list(state)], ["noisy", *inputs], ["estimate", *outputs], shapes)
    if not network.unrolls:
        for value in (proto.graph.input[0], proto.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_param = HOPS  # the exporter numbers it
        del proto.graph.value_info[:]
    return _described(proto, network, {}, about)


class _Step(nn.Module):
    """A network whose forward pass is its step, hops below each other and the state flat."""

    def __init__(self, network: StreamingEnhancer) -> None:
        super().__init__()
        self.network = network

    def forward(self, block: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        estimate, after = self.network.step(block.reshape(1, -1), tuple(state))
        return estimate.reshape(-1, self.network.hop), *after


def _exported(
    module: nn.Module,
    example: Sequence[Tensor | list[Tensor]],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    return program.model_proto


def _described(
    proto: onnx.ModelProto, network: Enhancer, facts: Mapping[str, int], about: Mapping[str, Any]
) -> onnx.ModelProto:
    """The graph without what the exporter noted for debugging, with what its users want to know."""
    _strip(proto)
    rewrite(proto)
    proto.producer_name, proto.ir_version = "sordino", IR_VERSION
    if isinstance(network, StreamingEnhancer) and network.streams:
        facts = {**facts, "hop": network.hop, "delay": network.delay, "latency_samples": network.latency}
    properties = {
        "name": network.name,
        "arguments": json.dumps(network.arguments),
        "sample_rate": str(network.sample_rate),
        **{name: str(value) for name, value in facts.items()},
        "about": json.dumps(about),
    }
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto)
    return proto


def _strip(proto: onnx.ModelProto) -> None:
    """Remove stack traces, which hold paths of the exporting machine."""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.functions[:]


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own libraries from the user, who can do nothing about them."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
