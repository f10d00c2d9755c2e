"""Files from strangers: what a header claims is checked, and a file that is something else is named as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors import safe_open
from safetensors.torch import save_file

from sordino import models
from sordino.errors import InputError
from sordino.experiments.recipe import read
from sordino.inference.graphs.onnx_graph import Graph


def identity(path: Path, operator: str = "Identity", opset: int = 18, ir_version: int = 10, domain: str = "") -> None:
    """Write a graph of one operator."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "t"]) for name in ("noisy", "estimate")]
    node = helper.make_node(operator, ["noisy"], ["estimate"], domain=domain)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: identity(path, ir_version=99), r"IR version: 99.*upgrade onnxruntime"),
        (lambda path: identity(path, opset=99), r"opset.*upgrade onnxruntime"),
        (lambda path: identity(path, "MyOp", domain="my.own"), r"MyOp.*operators of a library of its own"),
        (lambda path: path.write_text("<!DOCTYPE html><title>404</title>"), "is a web page or XML"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
        (lambda path: path.write_bytes(bytes(100)), "is the file complete"),
    ],
)
def test_a_file_that_onnxruntime_refuses_says_why(
    tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        Graph(str(path))
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


@pytest.mark.parametrize("key", ["arguments", "about", "sample_rate", "name", "sordino"])
@pytest.mark.parametrize("value", ["{not json", "[1, 2]", "7x", "[" * 100_000, None])
def test_a_checkpoint_whose_header_lies_is_one_line(tmp_path: Path, key: str, value: str | None) -> None:
    models.save(models.create("unet", width=4, depth=2, groups=1), tmp_path / "good.safetensors")
    with safe_open(tmp_path / "good.safetensors", "pt") as file:
        header: dict[str, Any] = dict(file.metadata())
    if value is None:
        header.pop(key)
    elif key in ("name", "sordino"):
        pytest.skip("any text is a name")
    else:
        header[key] = value
    save_file({"x": torch.zeros(1)}, tmp_path / "bad.safetensors", header)
    with pytest.raises(InputError, match=r"bad\.safetensors: its header is damaged") as caught:
        models.read_header(tmp_path / "bad.safetensors")
    assert len(str(caught.value)) < 500


def test_a_section_that_stands_twice_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: {name: synthetic}\nmodel: {name: unet}\ntrain: {steps: 7}\ntrain: {max_lr: 0.1}\n")
    with pytest.raises(InputError, match="line 4 has train again, which line 3 has already"):
        read(path)
    path.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\n")
    with pytest.raises(InputError, match="no such key"):  # merged keys may be overridden; the sections are not known
        read(path)
