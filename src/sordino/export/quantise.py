"""The layers of a graph in 8 bits: what parts it has, how far its features reach, and the graph anew.

Static: weights are stored as int8, a scale for each output channel; features are rounded to uint8 between the least
and the greatest value that they took on the calibration sound (QDQ, which every onnxruntime fuses into integer
kernels). Dynamic: features are rounded to their own range in each call; only products with a matrix, and LSTMs, which
have no static form. Transposed convolutions, GRUs and products of two features stay in float: onnxruntime has no
integer kernel for them.

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

from sordino.inference.onnx_graph import Graph, StreamGraph

Feed = dict[str, np.ndarray]
STATIC, DYNAMIC = ("Conv", "Gemm", "MatMul"), ("MatMul", "LSTM")
_PART = re.compile(r"(?:network\.)?([a-z_]+(?:\.\d+)?)\.")


@dataclass(frozen=True)
class Plan:
    """How a graph is put into 8 bits, and which of its parts are not."""

    mode: Literal["static", "dynamic"]
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.mode}, {'float in ' + ', '.join(self.kept) if self.kept else 'every part'}"


TRANSFORMS = ("fourier", "stft")
"""Under which names a network keeps a Fourier transform."""


def parts(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Part of the network, such as ``encoder.1`` -> its nodes whose weights can be stored in 8 bits.

    A node whose weights the exporter gave a name of its own belongs to the part before it. The matrices of a Fourier
    transform are no layer and are left out.
    """
    weights = {weight.name for weight in graph.initializer}
    found: dict[str, list[str]] = {}
    part = "first"
    for node in graph.node:
        named = [_PART.match(name) for name in node.input if name in weights]
        part = next((match.group(1) for match in named if match), part)
        if node.op_type in {*STATIC, *DYNAMIC} and any(name in weights for name in node.input[1:]):
            found.setdefault(part, []).append(node.name)
    return {part: nodes for part, nodes in found.items() if part not in TRANSFORMS}


def ranges(path: Path, feeds: Iterable[Feed]) -> TensorsData:
    """How far each feature of a graph reaches over these inputs."""
    with TemporaryDirectory() as folder:
        calibrator = create_calibrator(path, list(STATIC), str(Path(folder) / "augmented.onnx"))
        calibrator.collect_data(_Reader(feeds))
        return calibrator.compute_data()


class _Reader(CalibrationDataReader):
    """Feeds in the form in which the calibrator asks for them."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self._feeds, None)


def quantised(proto: onnx.ModelProto, plan: Plan, reach: TensorsData) -> onnx.ModelProto:
    """The graph in 8 bits as ``plan`` says; ``proto`` stays as it is."""
    nodes = [name for part, names in parts(proto.graph).items() if part not in plan.kept for name in names]
    kind = {node.name: node.op_type for node in proto.graph.node}
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    if plan.mode == "dynamic":
        return _dynamic(result, [name for name in nodes if kind[name] in DYNAMIC])
    if fixed := [name for name in nodes if kind[name] in STATIC]:
        signed, unsigned = QuantType.QInt8, QuantType.QUInt8
        quantizer = QDQQuantizer(result, True, False, signed, unsigned, reach, fixed, [], list(STATIC), {})
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        result = quantizer.model.model
    return _dynamic(result, [name for name in nodes if kind[name] == "LSTM"])


def _dynamic(proto: onnx.ModelProto, nodes: Sequence[str]) -> onnx.ModelProto:
    if not nodes:
        return proto
    _part_weights(proto.graph)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(proto, path, list(DYNAMIC), True, nodes_to_quantize=list(nodes), weight_type=QuantType.QInt8)
        return onnx.load(path)


def _part_weights(graph: onnx.GraphProto) -> None:
    """Give each Gemm weights of its own, with no shape noted: the quantiser turns them over, once for every node."""
    weights, seen = {weight.name: weight for weight in graph.initializer}, set()
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
    """What the graph of whole recordings is calibrated on: signals [T]."""
    (source,) = Graph(str(path)).inputs
    for signal in signals:
        yield {source.name: signal[None]}


def feeds_of_stream(path: Path, signals: Iterable[np.ndarray]) -> Iterator[Feed]:
    """What the graph of a stream is calibrated on: signals [T] hop by hop, each with the state that it meets."""
    names, stream = [one.name for one in Graph(str(path)).inputs], StreamGraph(path)
    for signal in signals:
        state = stream.start(1)
        for start in range(0, len(signal) - stream.hop + 1, stream.hop):
            block = signal[None, start : start + stream.hop]
            yield dict(zip(names, [block, *state[0]], strict=True))
            _, state = stream.step(block, state)
