"""Graphs rewritten for speed: convolutions in forms that onnxruntime computes faster, with the same output.

The exporter writes what the network says. Three facts of onnxruntime's CPU kernels make two of its forms slow: a
convolution over time is always unrolled into a matrix, even where each channel stands alone; one over images is not;
and a transposed convolution scatters what it computed sample by sample. So

* ``lift`` reads a signal as an image of height 1 where channels stand alone or frames are skipped. Dense convolutions
  without a stride stay as they are: they gain nothing;
* ``interleave`` computes the ``stride`` samples between two frames as so many channels of a plain convolution.

Weights keep their names. A Relu stays right behind its convolution, which onnxruntime runs as one with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Nodes = list[onnx.NodeProto]
Weights = dict[str, onnx.TensorProto]
Rule = Callable[[onnx.NodeProto, Weights, str], "tuple[Nodes, Callable[[str, str], Nodes]] | None"]
"""(node, weights, name for the product) -> the nodes that compute the product, and those from there to the output,
given their names; None where the rule does not apply."""


def rewrite(proto: onnx.ModelProto) -> None:
    """Apply every rule, in place."""
    for rule in (interleave, lift):
        _apply(proto.graph, rule)


def _apply(graph: onnx.GraphProto, rule: Rule) -> None:
    uses = Counter(name for node in graph.node for name in node.input)
    readers = {name: node for node in graph.node for name in node.input if uses[name] == 1}
    weights = {weight.name: weight for weight in graph.initializer if uses[weight.name] == 1}
    taken: set[str] = set()
    nodes: Nodes = []
    for node in graph.node:
        if node.name in taken:
            continue
        product = f"{node.output[0]}.product"
        found = rule(node, weights, product)
        if found is None:
            nodes.append(node)
            continue
        front, back = found
        nodes += front
        output, reader = node.output[0], readers.get(node.output[0])
        if reader is not None and reader.op_type == "Relu":
            taken.add(reader.name)
            output, active = reader.output[0], f"{product}.active"
            nodes.append(helper.make_node("Relu", [product], [active], reader.name))
            product = active
        nodes += back(product, output)
    _replace(graph, nodes)


def _replace(graph: onnx.GraphProto, nodes: Nodes) -> None:
    """Put the nodes in the place of those that were there, with the shapes and constants that they name."""
    del graph.node[:]
    graph.node.extend(nodes)
    alive = {name for node in nodes for name in node.output}
    shapes = [info for info in graph.value_info if info.name in alive]
    del graph.value_info[:]
    graph.value_info.extend(shapes)
    known = {weight.name for weight in graph.initializer}
    for name in dict.fromkeys(name for node in nodes for name in node.input if name.startswith(_CONSTANT)):
        if name not in known:
            values = np.array([int(value) for value in name.removeprefix(_CONSTANT).split(",")], np.int64)
            graph.initializer.append(numpy_helper.from_array(values, name))


_CONSTANT = "constant:"


def _constant(*values: int) -> str:
    """The name of an integer constant, which ``_replace`` adds to the graph."""
    return _CONSTANT + ",".join(map(str, values))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    found.pop("auto_pad", None)  # the exporter writes NOTSET, and pads
    return found


def lift(node: onnx.NodeProto, weights: Weights, product: str) -> tuple[Nodes, Callable[[str, str], Nodes]] | None:
    """Convolutions over [B,C,N] that are grouped or strided, over [B,C,1,N]."""
    weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or len(weight.dims) != 3:
        return None
    options = _attributes(node)
    if options.get("group", 1) == 1 and options.get("strides", [1]) == [1]:
        return None
    weight.dims.insert(2, 1)
    left, right = options.get("pads", [0, 0])
    lifted = {
        "group": options.get("group", 1),
        "strides": [1, *options.get("strides", [1])],
        "dilations": [1, *options.get("dilations", [1])],
        "kernel_shape": list(weight.dims[2:]),
        "pads": [0, left, 0, right],
    }
    height, image = _constant(2), f"{product}.image"
    front = [
        helper.make_node("Unsqueeze", [node.input[0], height], [image], f"{node.name}.image"),
        helper.make_node("Conv", [image, *node.input[1:]], [product], node.name, **lifted),
    ]
    return front, lambda start, end: [helper.make_node("Squeeze", [start, height], [end], f"{node.name}.signal")]


def interleave(
    node: onnx.NodeProto, weights: Weights, product: str
) -> tuple[Nodes, Callable[[str, str], Nodes]] | None:
    """Transposed convolutions over [B,C,N] whose kernel is a whole number of strides, without padding or groups.

    With kernel r s and stride s, sample m s + j of the output is the sum over t < r of w[t s + j] x[m - t]: for each j
    a convolution with r taps.
    """
    weight = weights.get(node.input[1]) if node.op_type == "ConvTranspose" else None
    if weight is None or len(weight.dims) != 3:
        return None
    options, (c_in, c_out, kernel) = _attributes(node), weight.dims
    (stride,) = options.get("strides", [1])
    plain = options.get("group", 1) == 1 and not any([*options.get("pads", []), *options.get("output_padding", [])])
    if not plain or options.get("dilations", [1]) != [1] or kernel % stride or "output_shape" in options:
        return None
    inputs, taps = list(node.input), kernel // stride
    if any(name and name not in weights for name in inputs[2:]):
        return None
    values = numpy_helper.to_array(weight).reshape(c_in, c_out, taps, stride)[:, :, ::-1]
    turned = np.ascontiguousarray(values.transpose(1, 3, 0, 2)).reshape(c_out * stride, c_in, taps)
    weight.CopyFrom(numpy_helper.from_array(turned, weight.name))
    for bias in (weights[name] for name in inputs[2:] if name):
        bias.CopyFrom(numpy_helper.from_array(np.repeat(numpy_helper.to_array(bias), stride), bias.name))
    conv = helper.make_node("Conv", inputs, [product], node.name, kernel_shape=[taps], pads=[taps - 1, taps - 1])
    return [conv], lambda start, end: _joined(node.name, start, end, (c_out, stride))


def _joined(name: str, start: str, end: str, shape: Sequence[int]) -> Nodes:
    """[B,c s,M] -> [B,c,M s]."""
    split, turned = f"{start}.split", f"{start}.turned"
    return [
        helper.make_node("Reshape", [start, _constant(0, *shape, -1)], [split], f"{name}.split"),
        helper.make_node("Transpose", [split], [turned], f"{name}.turned", perm=[0, 1, 3, 2]),
        helper.make_node("Reshape", [turned, _constant(0, shape[0], -1)], [end], f"{name}.joined"),
    ]
