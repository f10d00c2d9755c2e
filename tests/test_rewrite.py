"""Rewritten convolutions give what torch gives for the plain ones, in the forms that they claim."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from sordino.export.rewrite import rewrite
from sordino.inference.graphs.onnx_graph import Graph


def graph_of(layer: nn.Conv1d | nn.ConvTranspose1d, relu: bool) -> onnx.ModelProto:
    """A layer as ONNX writes it, on [1,C,N], by hand."""
    turned = isinstance(layer, nn.ConvTranspose1d)
    names = [name for name, _ in layer.named_parameters()]
    pads = [layer.padding[0], layer.padding[0]]
    options = {"group": layer.groups, "strides": layer.stride, "dilations": layer.dilation, "pads": pads}
    kind = "ConvTranspose" if turned else "Conv"
    nodes = [helper.make_node(kind, ["x", *names], ["made" if relu else "y"], "layer", **options)]
    if relu:
        nodes.append(helper.make_node("Relu", ["made"], ["y"], "relu"))
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, None])
        for name, channels in (("x", layer.in_channels), ("y", layer.out_channels))
    ]
    weights = [numpy_helper.from_array(value.detach().numpy(), name) for name, value in layer.named_parameters()]
    graph = helper.make_graph(nodes, "layer", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


DENSE, DEPTHWISE = ["Conv"], ["Conv", "Squeeze", "Unsqueeze"]
INTERLEAVED = ["Conv", "Reshape", "Reshape", "Transpose"]
LAYERS: dict[str, tuple[nn.Conv1d | nn.ConvTranspose1d, list[str]]] = {
    "dense": (nn.Conv1d(3, 5, 3, padding=1), DENSE),
    "depthwise": (nn.Conv1d(4, 4, 7, padding=3, groups=4, bias=False), DEPTHWISE),
    "depthwise, dilated": (nn.Conv1d(4, 4, 3, padding=2, groups=4, dilation=2), DEPTHWISE),
    "strided": (nn.Conv1d(3, 5, 8, 4), DEPTHWISE),
    "transposed": (nn.ConvTranspose1d(3, 5, 8, 4), INTERLEAVED),
    "transposed, no bias": (nn.ConvTranspose1d(2, 3, 6, 2, bias=False), INTERLEAVED),
    "transposed, one tap": (nn.ConvTranspose1d(2, 3, 4, 4), INTERLEAVED),
    "transposed, uneven": (nn.ConvTranspose1d(2, 3, 5, 2), ["ConvTranspose"]),
    "transposed, cut": (nn.ConvTranspose1d(2, 3, 4, 2, padding=1), ["ConvTranspose"]),
    "transposed, grouped": (nn.ConvTranspose1d(4, 4, 4, 2, groups=4), ["ConvTranspose"]),
}


@pytest.mark.parametrize("relu", [False, True], ids=["alone", "with relu"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_output_is_the_layers(name: str, relu: bool, tmp_path: Path) -> None:
    layer, kinds = LAYERS[name]
    proto, path = graph_of(layer, relu), tmp_path / "layer.onnx"
    rewrite(proto)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    assert Counter(node.op_type for node in proto.graph.node) == Counter([*kinds, *["Relu"] * relu])
    if relu and kinds != ["ConvTranspose"]:
        after = [node.op_type for node in proto.graph.node]
        assert after.index("Relu") == after.index("Conv") + 1
    for length in (9, 40):
        x = torch.randn(1, layer.in_channels, length, generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            wanted = torch.relu(layer(x)) if relu else layer(x)
        (found,) = Graph(str(path)).run([x.numpy()])
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6)


def test_a_weight_of_two_layers_is_left_alone() -> None:
    proto = graph_of(nn.Conv1d(4, 4, 7, padding=3, groups=4), False)
    second = proto.graph.node.add()
    second.CopyFrom(proto.graph.node[0])
    second.name, second.input[0], second.output[0] = "second", "y", "z"
    before = proto.SerializeToString()
    rewrite(proto)
    assert [node.op_type for node in proto.graph.node] == ["Conv", "Conv"]
    assert proto.SerializeToString() == before
