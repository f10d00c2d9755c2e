"""Tiny graphs in ONNX, as other projects might publish them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="needs sordino[train]")


def graph_file(path: Path, nodes: Sequence[tuple[str, Sequence[str], Sequence[str]]], inputs, outputs) -> Path:
    """Write a graph of nodes (operator, inputs, outputs) between named ports (name, shape)."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ports = [[helper.make_tensor_value_info(name, kind, shape) for name, shape in side] for side in (inputs, outputs)]
    made = [helper.make_node(operator, list(ins), list(outs)) for operator, ins, outs in nodes]
    graph = helper.make_graph(made, "test", *ports)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def held_back(path: Path, hop: int, operator: str = "Identity") -> Path:
    """A stream that returns the hop before, through ``operator``: a delay of one hop."""
    nodes = [(operator, ["memory"], ["out"]), ("Identity", ["hop"], ["after"])]
    return graph_file(path, nodes, [("hop", [1, hop]), ("memory", [1, hop])], [("out", [1, hop]), ("after", [1, hop])])


def spectral(path: Path, bins: int = 257, state: int = 4) -> Path:
    """One frame that comes out as it went in, beside a state of so many values."""
    shape, memory = [1, bins, 1, 2], [1, state]
    nodes = [("Identity", ["frame"], ["out"]), ("Identity", ["memory"], ["after"])]
    return graph_file(path, nodes, [("frame", shape), ("memory", memory)], [("out", shape), ("after", memory)])
