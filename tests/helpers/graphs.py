"""Tiny graphs in ONNX, as other projects might publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.corpora import RATE
from sordino.assets import SPEECH
from sordino.audio.sound_files import read_mono
from sordino.inference.graphs.external import open_external
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.stft import Stft

onnx = pytest.importorskip("onnx", reason="needs sordino[train]")


def graph_file(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str]]],
    inputs: Sequence[tuple[str, Sequence[int | str]]],
    outputs: Sequence[tuple[str, Sequence[int | str]]],
    values: Mapping[str, np.ndarray] | None = None,
    attributes: Mapping[str, Mapping[str, int]] | None = None,
) -> Path:
    """Write a graph.

    Args:
        path: of the file.
        nodes: operator, inputs, outputs.
        inputs, outputs: name and shape.
        values: constants by name.
        attributes: of operators, by their names.
    """
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ports = [[helper.make_tensor_value_info(name, kind, shape) for name, shape in side] for side in (inputs, outputs)]
    made = [
        helper.make_node(name, list(ins), list(outs), **(attributes or {}).get(name, {})) for name, ins, outs in nodes
    ]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (values or {}).items()]
    model = helper.make_model(
        helper.make_graph(made, "test", *ports, constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, path)
    return path


def lagging(path: Path, shape: Sequence[int | str], delay: int) -> Path:
    """Samples, any number of them or a fixed one: the output is the input after zeros, cut to the same length."""
    last = len(shape) - 1
    if not delay:
        return graph_file(path, [("Identity", ["x"], ["y"])], [("x", shape)], [("y", shape)])
    nodes = [("Pad", ["x", "pads"], ["longer"]), ("Slice", ["longer", "first", "last", "axis"], ["y"])]
    pads = [0] * last + [delay] + [0] * (last + 1)
    values = {"pads": pads, "first": [0], "last": [-delay], "axis": [last]}
    arrays = {name: np.array(value, np.int64) for name, value in values.items()}
    return graph_file(path, nodes, [("x", shape)], [("y", shape)], arrays)


def held_back(path: Path, hop: int, operator: str = "Identity") -> Path:
    """A stream that returns the hop before, through ``operator``: a delay of one hop."""
    nodes = [(operator, ["memory"], ["out"]), ("Identity", ["hop"], ["after"])]
    return graph_file(path, nodes, [("hop", [1, hop]), ("memory", [1, hop])], [("out", [1, hop]), ("after", [1, hop])])


def spectral(path: Path, bins: int = 257, state: int = 4) -> Path:
    """One frame that comes out as it went in, beside a state of that size."""
    shape, memory = [1, bins, 1, 2], [1, state]
    nodes = [("Identity", ["frame"], ["out"]), ("Identity", ["memory"], ["after"])]
    return graph_file(path, nodes, [("frame", shape), ("memory", memory)], [("out", shape), ("after", memory)])


def enhanced(path: Path, stft: Stft | None = None) -> np.ndarray:
    """What a graph makes of the speech that ships."""
    speech = read_mono(SPEECH, RATE)
    return open_external(GraphSource(path, stft=stft)).run(speech)


def foreign(path: Path, shape: Sequence[str | int] = (1, "time"), axes: int = 2, inputs: int = 1) -> Path:
    """An ONNX file as nobody here writes it: names of its own, no metadata; it halves its input."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    halves = [helper.make_node("Mul", ["audio_0", "half"], ["halved"])]
    halves.append(
        helper.make_node("Unsqueeze", ["halved", "first"], ["out"])
        if axes == 3
        else helper.make_node("Identity", ["halved"], ["out"])
    )
    graph = helper.make_graph(
        halves,
        "theirs",
        [helper.make_tensor_value_info(f"audio_{i}", kind, shape) for i in range(inputs)],
        [helper.make_tensor_value_info("out", kind, [None] * axes)],
        [
            helper.make_tensor("half", kind, [1], [0.5]),
            helper.make_tensor("first", onnx.TensorProto.INT64, [1], [0]),
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path
