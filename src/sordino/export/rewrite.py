"""Rewriting of exported graphs: convolutions in forms that onnxruntime computes faster, with the same output.

The exporter writes operators one to one as the network has them. Three properties of onnxruntime's CPU kernels make two
of them slow. A one-dimensional convolution is always unrolled into a matrix product, even where each channel is
convolved by itself. A two-dimensional convolution is not. And a transposed convolution adds its products to the output
sample by sample. Two rules follow:

* ``lift`` turns a one-dimensional convolution that is grouped or strided into a two-dimensional one over an image of
  height 1. Other convolutions stay as they are: they gain nothing;
* ``interleave`` turns a transposed convolution into a plain one, which computes the ``stride`` samples between two
  frames as ``stride`` channels, followed by a transposition that puts them into order.

Weights keep their names. A Relu is moved to right behind the new convolution, since onnxruntime runs the two as one.
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
Ending = Callable[[str, str], Nodes]
"""Function (input name, output name) -> the nodes that turn the new convolution's output into the old one's."""
Rule = Callable[[onnx.NodeProto, Weights, str], "tuple[Nodes, Ending] | None"]
"""Function (node, weights, name) -> the nodes that replace ``node``, or None where the rule does not apply.

These are the nodes up to the new convolution, whose output gets ``name``, and an ``Ending``. They are separate because
a Relu may have to go between them.
"""


def rewrite(proto: onnx.ModelProto) -> None:
    """Apply all rules to a graph, in place."""
    for rule in (interleave, lift):
        _apply(proto.graph, rule)


def _apply(graph: onnx.GraphProto, rule: Rule) -> None:
    """Apply one rule to all nodes of a graph, in place."""
    uses: Counter[str] = Counter()
    for node in graph.node:
        uses.update(node.input)
    # A Relu may move only if nothing else reads its input, which then no longer exists under that name.
    only_reader: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        for name in node.input:
            if uses[name] == 1:
                only_reader[name] = node
    # A rule changes weights in place, so it may only have those that no other node uses.
    weights = {weight.name: weight for weight in graph.initializer if uses[weight.name] == 1}
    moved: set[str] = set()  # Relus that already stand in their new place
    nodes: Nodes = []
    for node in graph.node:
        if node.name in moved:
            continue
        output = node.output[0]
        product = f"{output}.product"
        replacement = rule(node, weights, product)
        if replacement is None:
            nodes.append(node)
            continue
        beginning, ending = replacement
        nodes += beginning
        reader = only_reader.get(output)
        if reader is not None and reader.op_type == "Relu":
            moved.add(reader.name)
            output, active = reader.output[0], f"{product}.active"
            nodes.append(helper.make_node("Relu", [product], [active], reader.name))
            product = active
        nodes += ending(product, output)
    _replace(graph, nodes)


def _replace(graph: onnx.GraphProto, nodes: Nodes) -> None:
    """Replace the nodes of a graph, remove the shapes of values that are gone, and add the constants that are new."""
    del graph.node[:]
    graph.node.extend(nodes)
    outputs: set[str] = set()
    constants: dict[str, None] = {}
    for node in nodes:
        outputs |= set(node.output)
        constants |= dict.fromkeys(name for name in node.input if name.startswith(_CONSTANT))
    # Recorded shapes of values that no node computes any more would describe nothing.
    shapes = [info for info in graph.value_info if info.name in outputs]
    del graph.value_info[:]
    graph.value_info.extend(shapes)
    known = {weight.name for weight in graph.initializer}
    for name in constants:
        if name not in known:
            values = np.array([int(value) for value in name.removeprefix(_CONSTANT).split(",")], np.int64)
            graph.initializer.append(numpy_helper.from_array(values, name))


_CONSTANT = "constant:"


def _constant(*values: int) -> str:
    """Return the name of an integer constant. The name holds the values, from which ``_replace`` creates it.

    So a rule needs no access to the graph, and equal constants are stored once.
    """
    return _CONSTANT + ",".join(map(str, values))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    attributes.pop("auto_pad", None)  # the exporter always writes NOTSET, and pads explicitly
    return attributes


def _weight_of(node: onnx.NodeProto, operator: str, weights: Weights) -> onnx.TensorProto | None:
    """Return the weight of a one-dimensional convolution; None for another operator, or if other nodes use it too."""
    if node.op_type != operator:
        return None
    weight = weights.get(node.input[1])
    if weight is None or len(weight.dims) != 3:
        return None
    return weight


def lift(node: onnx.NodeProto, weights: Weights, product: str) -> tuple[Nodes, Ending] | None:
    """Turn a grouped or strided convolution over [B,C,N] into one over [B,C,1,N]; a ``Rule``."""
    weight = _weight_of(node, "Conv", weights)
    if weight is None:
        return None
    options = _attributes(node)
    group, strides = options.get("group", 1), options.get("strides", [1])
    if group == 1 and strides == [1]:
        return None
    weight.dims.insert(2, 1)  # the values lie in memory as they did
    left, right = options.get("pads", [0, 0])
    lifted = {
        "group": group,
        "strides": [1, *strides],
        "dilations": [1, *options.get("dilations", [1])],
        "kernel_shape": list(weight.dims[2:]),
        "pads": [0, left, 0, right],
    }
    axis, image = _constant(2), f"{product}.image"
    beginning = [
        helper.make_node("Unsqueeze", [node.input[0], axis], [image], f"{node.name}.image"),
        helper.make_node("Conv", [image, *node.input[1:]], [product], node.name, **lifted),
    ]
    return beginning, lambda start, end: [helper.make_node("Squeeze", [start, axis], [end], f"{node.name}.signal")]


def interleave(node: onnx.NodeProto, weights: Weights, product: str) -> tuple[Nodes, Ending] | None:
    """Turn a transposed convolution over [B,C,N] into a plain one with ``stride`` times the channels; a ``Rule``.

    With kernel r s and stride s, sample m s + j of the output is the sum over t < r of w[t s + j] x[m - t]. For each
    j < s that is a convolution with r taps, so s of them give all samples. The kernel must be a whole number of
    strides, and there must be neither padding nor groups.
    """
    weight = _weight_of(node, "ConvTranspose", weights)
    if weight is None:
        return None
    options = _attributes(node)
    c_in, c_out, kernel = weight.dims
    (stride,) = options.get("strides", [1])
    padded = any([*options.get("pads", []), *options.get("output_padding", [])])
    if padded or options.get("group", 1) != 1 or options.get("dilations", [1]) != [1]:
        return None
    if kernel % stride or "output_shape" in options:
        return None
    inputs, taps = list(node.input), kernel // stride
    biases = [name for name in inputs[2:] if name]
    if any(name not in weights for name in biases):
        return None
    # [C_in,C_out,r s] -> [C_out s,C_in,r]; taps in reverse, as a convolution in ONNX does not flip its kernel.
    values = numpy_helper.to_array(weight).reshape(c_in, c_out, taps, stride)[:, :, ::-1]
    values = np.ascontiguousarray(values.transpose(1, 3, 0, 2)).reshape(c_out * stride, c_in, taps)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    for name in biases:
        repeated = np.repeat(numpy_helper.to_array(weights[name]), stride)
        weights[name].CopyFrom(numpy_helper.from_array(repeated, name))
    # Padded on both sides by all taps but one: a transposed convolution also gives the samples of half-filled kernels.
    conv = helper.make_node("Conv", inputs, [product], node.name, kernel_shape=[taps], pads=[taps - 1, taps - 1])
    return [conv], lambda start, end: _joined(node.name, start, end, (c_out, stride))


def _joined(name: str, start: str, end: str, shape: Sequence[int]) -> Nodes:
    """Return the nodes that put channels into order as samples: [B,C s,M] -> [B,C,M s], with ``shape`` (C, s)."""
    split, turned = f"{start}.split", f"{start}.turned"
    return [
        helper.make_node("Reshape", [start, _constant(0, *shape, -1)], [split], f"{name}.split"),
        helper.make_node("Transpose", [split], [turned], f"{name}.turned", perm=[0, 1, 3, 2]),
        helper.make_node("Reshape", [turned, _constant(0, shape[0], -1)], [end], f"{name}.joined"),
    ]
