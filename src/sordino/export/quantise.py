"""Quantisation of a graph to 8 bits: its parts, the ranges of its features, and the quantised graph.

Static quantisation stores weights as int8, with a scale for each output channel, and rounds features to uint8 between
the smallest and the largest value that they took on the calibration signals. It inserts pairs of operators (QDQ) that
every onnxruntime fuses with the layer between them into an integer kernel. Dynamic quantisation rounds features to the
range that they have in each call. It works for products with a matrix, and for LSTMs, which have no static form. As the
range depends on how long a call is, the graph of a stream then takes one hop in each call, in files as in live streams.
Transposed convolutions, GRUs and products of two features stay in float: onnxruntime has no integer kernel for them.

Products of int8 and uint8 are exact on processors with VNNI or ARM's dot product; older ones with AVX2 may saturate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QDQQuantizer, QuantType, create_calibrator, quantize_dynamic
from onnxruntime.quantization.calibrate import TensorsData

from sordino.inference.graphs.onnx_graph import HOPS, Graph
from sordino.inference.graphs.stream_graph import StreamGraph

Feed = dict[str, np.ndarray]
"""Inputs of one call of a graph, by name."""
STATIC, DYNAMIC = ("Conv", "Gemm", "MatMul"), ("MatMul", "LSTM")
"""Operators that can be quantised in either mode."""
_PART = re.compile(r"(?:network\.)?([a-z_]+(?:\.\d+)?)\.")


@dataclass(frozen=True)
class Plan:
    """Mode in which a graph is quantised, and the parts that are kept in float."""

    mode: Literal["static", "dynamic"]
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.kept:
            return f"{self.mode}, every part"
        return f"{self.mode}, float in {', '.join(self.kept)}"


TRANSFORMS = ("fourier", "stft")
"""Names under which a network has its Fourier transform, whose matrices are fixed and no layer."""


def parts(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Return the parts of the network, such as ``encoder.1``, each with its nodes whose weights can be quantised.

    The part of a node is read off the names of its weights. Where the exporter has given them
    names of its own, the node belongs to the part of the node before it. Fourier transforms are left out.
    """
    weights = {weight.name for weight in graph.initializer}
    nodes_by_part: dict[str, list[str]] = {}
    part = "first"
    for node in graph.node:
        part = _part_of(name for name in node.input if name in weights) or part
        has_weights = any(name in weights for name in node.input[1:])
        if node.op_type in {*STATIC, *DYNAMIC} and has_weights:
            nodes_by_part.setdefault(part, []).append(node.name)
    return {part: nodes for part, nodes in nodes_by_part.items() if part not in TRANSFORMS}


def _part_of(weights: Iterable[str]) -> str | None:
    """Return the part that the first of these names of weights tells; None if none of them tells any."""
    for name in weights:
        match = _PART.match(name)
        if match:
            return match.group(1)
    return None


def ranges(path: Path, feeds: Iterable[Feed]) -> TensorsData:
    """Measure the smallest and the largest value of each feature of a graph over these inputs."""
    with TemporaryDirectory() as folder:
        calibrator = create_calibrator(path, list(STATIC), str(Path(folder) / "augmented.onnx"))
        calibrator.collect_data(_Reader(feeds))
        return calibrator.compute_data()


class _Reader(CalibrationDataReader):
    """Adapter from an iterable to the calibrator's interface."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self._feeds, None)


def quantised(proto: onnx.ModelProto, plan: Plan, feature_ranges: TensorsData) -> onnx.ModelProto:
    """Return the graph in 8 bits according to ``plan``; ``proto`` is left unchanged.

    Args:
        proto: a float graph.
        plan: mode, and the parts that stay in float.
        feature_ranges: what ``ranges`` measured; only static quantisation needs it.
    """
    nodes: list[str] = []
    for part, names in parts(proto.graph).items():
        if part not in plan.kept:
            nodes += names
    operators = {node.name: node.op_type for node in proto.graph.node}
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    if plan.mode == "dynamic":
        return _dynamic(result, [name for name in nodes if operators[name] in DYNAMIC])
    static = [name for name in nodes if operators[name] in STATIC]
    if static:
        signed, unsigned = QuantType.QInt8, QuantType.QUInt8
        # Scales per output channel (True), all 8 bits of the weights rather than 7 (False).
        quantizer = QDQQuantizer(result, True, False, signed, unsigned, feature_ranges, static, [], list(STATIC), {})
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        result = quantizer.model.model
    return _dynamic(result, [name for name in nodes if operators[name] == "LSTM"])


def _dynamic(proto: onnx.ModelProto, nodes: Sequence[str]) -> onnx.ModelProto:
    """Quantise these nodes dynamically; this changes ``proto``."""
    if not nodes:
        return proto
    _separate_shared_weights(proto.graph)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(proto, path, list(DYNAMIC), True, nodes_to_quantize=list(nodes), weight_type=QuantType.QInt8)
        result = onnx.load(path)
    _fix_hops(result)
    return result


def _fix_hops(proto: onnx.ModelProto) -> None:
    """Let the graph of a stream take one hop in each call, so that its output does not depend on the blocks."""
    for port in (*proto.graph.input, *proto.graph.output):
        for axis in port.type.tensor_type.shape.dim:
            if axis.dim_param == HOPS:
                axis.dim_value = 1
    proto.doc_string = proto.doc_string.replace(f"[{HOPS},", "[1,")


def _separate_shared_weights(graph: onnx.GraphProto) -> None:
    """Give each Gemm weights of its own, and drop the recorded shapes of all weights.

    The dynamic quantiser transposes the weights of every Gemm in place. Weights that two nodes share would be
    transposed twice, and a recorded shape would be wrong afterwards.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    seen: set[str] = set()
    shapes = [info for info in graph.value_info if info.name not in weights]
    del graph.value_info[:]
    graph.value_info.extend(shapes)
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in weights:
            continue
        if node.input[1] in seen:
            copy = graph.initializer.add()
            copy.CopyFrom(weights[node.input[1]])
            copy.name = node.input[1] = f"{copy.name}.{node.name}"
        seen.add(node.input[1])


def feeds_of_recordings(path: Path, signals: Iterable[np.ndarray]) -> Iterator[Feed]:
    """Yield the inputs on which the graph for recordings is calibrated: signals [T]."""
    (source,) = Graph(str(path)).inputs
    for signal in signals:
        yield {source.name: signal[None]}


def feeds_of_stream(path: Path, signals: Iterable[np.ndarray]) -> Iterator[Feed]:
    """Yield the inputs on which a stream's graph is calibrated: signals [T] by hops, each with the state before it."""
    names = [one.name for one in Graph(str(path)).inputs]
    stream = StreamGraph(path)
    for signal in signals:
        state = stream.start(1)
        for start in range(0, len(signal) - stream.hop + 1, stream.hop):
            block = signal[None, start : start + stream.hop]
            yield dict(zip(names, [block, *state[0]], strict=True))
            _, state = stream.step(block, state)
