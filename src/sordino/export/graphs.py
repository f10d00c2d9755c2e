"""ONNX graphs of a network: one for whole recordings, and one for the hops of a stream.

The graph for recordings takes ``noisy`` [1,samples], of any length, and gives ``estimate`` [1,samples], float32;
normalisation, padding and cutting are inside.

The graph for streams takes ``noisy`` [hops,hop] and the state ``state.0``, ``state.1``, ..., which begins with zeros,
and gives ``estimate`` [hops,hop] and the state after these hops, ``next.0``, ``next.1``, .... The states are the
memories of causal layers and the buffers that align branches of different delay; each tensor of the state is an input
and an output of its own, because ONNX has no nested values. One call takes any number of successive hops, or a single
one where the network's step is unrolled frame by frame.

In both, batch norms are folded into the convolutions before them, each recurrent layer is one operator, and
convolutions get the form in which onnxruntime is fastest (``sordino.export.rewrite``). The metadata describes the
graph: name, arguments, sample rate, latency, and the facts in the checkpoint's header; that of a stream also says how
to run it. The model's ``doc_string`` explains how to run either.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from sordino.errors import InputError
from sordino.export.rewrite import rewrite
from sordino.inference.graphs.onnx_graph import HOPS
from sordino.models import Enhancer
from sordino.models.base import StreamingEnhancer
from sordino.models.layers.onnx_ops import Gru, Lstm

OPSET, IR_VERSION = 18, 10
"""Versions that onnxruntime 1.20, onnxruntime-web and all later ones can read."""
SHORTEST = 256
"""Samples of the shortest input. Shorter ones would need special cases in the symbolic shapes of a graph."""
LONGEST = 2**28
"""Samples of the longest input."""
_RECURRENT: dict[type[nn.Module], type[nn.Module]] = {nn.GRU: Gru, nn.LSTM: Lstm}


def whole_graph(network: Enhancer, about: Mapping[str, Any]) -> onnx.ModelProto:
    """Export the graph for recordings of any length; ``network`` is in eval mode."""
    example = torch.zeros(1, network.sample_rate, device=_device(network))
    # By position, as users' networks may call the argument what they like.
    shapes = ({1: Dim("samples", min=SHORTEST, max=LONGEST)},)
    proto = _exported(network, [example], ["noisy"], ["estimate"], shapes)
    proto.doc_string = (
        f"Removes the noise from one channel of speech: float32 samples at {network.sample_rate} Hz with full scale at "
        f"1. Input noisy [1,samples]: a whole recording, with zeros at its end if it has less than {SHORTEST} samples. "
        "Output estimate, of the same shape: the speech, at the same time."
    )
    return _described(proto, network, {"minimum_samples": SHORTEST}, about)


def step_graph(network: StreamingEnhancer, about: Mapping[str, Any]) -> onnx.ModelProto:
    """Export the graph for the hops of a stream; ``network`` is in eval mode and can stream."""
    state = network.initial_state()
    example_hops = 1 if network.unrolls else 4  # more than one, where the graph is to take any number
    block = torch.zeros(example_hops, network.hop, device=_device(network))
    inputs = [f"state.{index}" for index in range(len(state))]
    outputs = [f"next.{index}" for index in range(len(state))]
    open_axes = None if network.unrolls else {0: Dim(HOPS, min=1, max=LONGEST // network.hop)}
    shapes = {"block": open_axes, "state": [None] * len(state)}
    proto = _exported(_Step(network), [block, list(state)], ["noisy", *inputs], ["estimate", *outputs], shapes)
    if not network.unrolls:
        # The exporter replaces the name of the axis by a number; the shapes inside refer to that number, so they go.
        for value in (proto.graph.input[0], proto.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_param = HOPS
        del proto.graph.value_info[:]
    return describe_stream(_described(proto, network, {}, about), network)


def describe_stream(proto: onnx.ModelProto, network: StreamingEnhancer) -> onnx.ModelProto:
    """Say in the graph of a stream how to run it: its ports, how late the output is, and what becomes of the state."""
    source, *inputs = [one.name for one in proto.graph.input]
    target, *outputs = [one.name for one in proto.graph.output]
    facts = {"state": json.dumps(dict(zip(inputs, outputs, strict=True))), "initial_state": "zeros"}
    if network.window is not None:
        facts["window"] = str(network.window)
    properties = {one.key: one.value for one in proto.metadata_props}
    onnx.helper.set_model_props(proto, properties | facts)
    hops = 1 if network.unrolls else HOPS
    proto.doc_string = (
        f"Removes the noise from one channel of speech, hop by hop: float32 samples at {network.sample_rate} Hz with "
        f"full scale at 1. Input {source} [{hops},{network.hop}]: the next hops. Output "
        f"{target}, of the same shape: the speech, {network.delay} samples late. After the end, fill the last hop up "
        f"with zeros, and feed {network.delay} more zeros, rounded up to whole hops. Of all the output, drop the first "
        f"{network.delay} samples, and keep as many as were fed before the zeros. "
    )
    if inputs:
        proto.doc_string += (
            f"State: {', '.join(inputs)} are zeros before the first hop. Each later call takes there what the call "
            f"before gave as {', '.join(outputs)}, in this order."
        )
    return proto


class _Step(nn.Module):
    """Module whose forward pass is a network's step: hops as rows of a matrix, and a flat list of state tensors.

    With hops as rows, their number is an axis of its own, which the graph can leave open.
    """

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
    dynamic_shapes: dict[str, Any] | tuple[Any, ...],
) -> onnx.ModelProto:
    with _quiet(), _shapes_not_kept(), _one_operator_each(module):
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
    """Finish a graph: remove the exporter's debugging notes, rewrite it for speed, and add the metadata."""
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
    """Remove stack traces, which contain paths of the exporting machine."""
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
def _one_operator_each(module: nn.Module) -> Iterator[None]:
    """Let PyTorch's own recurrent layers, which the exporter cannot write for any length, emit one operator each."""
    layers = [(layer, type(layer)) for layer in module.modules() if type(layer) in _RECURRENT]
    if any(getattr(layer, "proj_size", 0) for layer, _ in layers):
        raise InputError("nn.LSTM", "has a proj_size, for which ONNX has no operator", "a Linear layer behind it")
    for layer, kind in layers:
        layer.__class__ = _RECURRENT[kind]  # in place, so that no weight is copied or renamed
    try:
        yield
    finally:
        for layer, kind in layers:
            layer.__class__ = kind


def _shapes_not_kept() -> AbstractContextManager[object]:
    """Let torch compute the shapes of each layer anew: where lengths are symbols, keeping them takes longer.

    An export takes a sixth less time. A torch without this switch keeps them.
    """
    from torch._dynamo import config

    if not hasattr(config, "fake_tensor_cache_enabled"):
        return nullcontext()
    return config.patch(fake_tensor_cache_enabled=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's warnings about its own libraries, which a user cannot mend."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
