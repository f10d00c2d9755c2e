"""Files from strangers are claims: whatever is in one, it is read, or refused in one line, soon and in little memory.

``benchmarks/fuzz.py`` reads many more of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from helpers.fuzzing import fuzz
from helpers.graphs import graph_file, onnx
from helpers.mutations import LAUGHS, of_json
from helpers.strangers import KINDS, Kind
from sordino import models
from sordino.errors import InputError
from sordino.experiments.merge import parse
from sordino.inference.graphs import passes
from sordino.inference.graphs.declared import largest_axis
from sordino.inference.graphs.onnx_graph import Graph
from sordino.inference.model import open_model
from sordino.json_files import fits, read_json
from sordino.models.checkpoint import read_pickled
from sordino.models.claims import SizeLimit, count

TRIED = {"published checkpoint": 30, "model card": 40, "recipe": 50, "study": 50, "ONNX, of spectra": 30}
"""Damaged files of each kind that takes long; of others fifty. ``benchmarks/fuzz.py`` reads many more."""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: Kind) -> None:
    assert fuzz(kind, range(TRIED.get(kind.name, 50))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_the_fuzzer_finds_what_escapes() -> None:
    """A traceback, too much memory, a long time and the end of the process, each by its own word."""

    def read(path: Path) -> None:
        number = int(path.read_text())
        if number == 1:
            raise KeyError("x")
        if number == 2:
            np.ones(36 << 20)
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    numbers = iter(range(9))
    kind = Kind("bad", "x", lambda _: lambda _: str(next(numbers)).encode(), read)
    escapes = dict(fuzz(kind, range(4)))
    assert set(escapes) == {1, 2, 3}
    assert escapes[1].startswith("KeyError")
    assert escapes[2].startswith("takes 2")
    assert escapes[3] == "ends the process with -9"


def test_each_file_is_drawn_from_its_number_alone() -> None:
    tree, numbers = {"a": [1, {"b": 2.5}], "c": "x", "d": [], "e": {}}, range(400)
    drawn = {number: of_json(Random(number), tree) for number in numbers}
    assert drawn == {number: of_json(Random(number), tree) for number in reversed(numbers)}
    assert len(set(drawn.values())) > 200


def test_sizes_beyond_the_file_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(bytes(1000))
    for arguments in ({"width": 40_000, "groups": 1}, {"window": 2_000_000, "hop": 1_000_000}):
        with pytest.raises(InputError, match=r"a\.safetensors.*larger than the file"):
            models.rebuild("unet", arguments, path)
    for name in ("demucs", "manner-s", "manner-b"):  # whose widths alone would fill the memory
        with pytest.raises(InputError, match=r"a\.safetensors.*depth=1000000000000"):
            models.rebuild(name, {"depth": 10**12}, path)
    with pytest.raises(ValueError, match="larger than the file"), SizeLimit(0):
        torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(10**6)))
    assert models.rebuild("unet", {"width": 4, "depth": 2, "groups": 1}, path).name == "unet"


@pytest.mark.parametrize(
    ("factory", "args", "kwargs"),
    [
        (torch.arange, (7,), {}),
        (torch.arange, (2, 9), {"dtype": torch.float64}),
        (torch.arange, (), {"start": 1, "end": 8.5, "step": 0.5}),
        (torch.arange, (5, 1, -1), {}),
        (torch.linspace, (0, 1, 5), {}),
        (torch.logspace, (0, 1), {"steps": 5}),
        (torch.hann_window, (8, False), {}),
        (torch.kaiser_window, (), {"window_length": 9}),
        (torch.eye, (3,), {}),
        (torch.eye, (3, 5), {}),
        (torch.randn, (2, 3), {"dtype": torch.float64}),
        (torch.full, ((2, 3), 1.0), {}),
        (torch.zeros, (2, 3), {"device": "cpu"}),
    ],
)
def test_what_a_network_creates_is_counted_to_the_value(factory: Any, args: Any, kwargs: Any) -> None:
    assert count(factory, args, kwargs) == factory(*args, **kwargs).numel()


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as before, zipfile.ZipFile(tmp_path / "b.pt", "w") as after:
        for part in before.infolist():
            after.writestr(part.filename, before.read(part), zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="it is compressed"):
        read_pickled(tmp_path / "b.pt", "weights")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "a holds itself"),
        ("[" * 100_000, "inside each other"),
        (LAUGHS, "values"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("{? [a, b] : 1}", "a key that is no text"),
    ],
)
def test_yaml_that_grows_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text, "a.yaml")


def test_json_is_read_as_what_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, null, 2.5]}')
    assert read_json(path, dict[str, list[float | None]], "list") == {"a": [1, None, 2.5]}
    for text in ("[]", '{"a": 1}', '{"a": [true]}', '{"a": [1e999]}'):
        path.write_text(text)
        with pytest.raises(InputError, match="is no list"):
            read_json(path, dict[str, list[float | None]], "list")
    path.write_text('{"a": [NaN]}')
    with pytest.raises(InputError, match="NaN is no number of JSON"):
        read_json(path, dict[str, list[float | None]], "list")
    assert not fits(10**30, int)


def endless(path: Path) -> Path:
    """Write a graph whose output never comes: a loop, as long as true is true."""
    make, kinds = onnx.helper, onnx.TensorProto
    inputs = [("i", kinds.INT64, []), ("on", kinds.BOOL, []), ("x", kinds.FLOAT, None)]
    outputs = [("still_on", kinds.BOOL, []), ("same", kinds.FLOAT, None)]
    nodes = [make.make_node("Identity", [a], [b]) for a, b in (("on", "still_on"), ("x", "same"))]
    body = make.make_graph(nodes, "b", *([make.make_tensor_value_info(*one) for one in s] for s in (inputs, outputs)))
    ends = [make.make_tensor_value_info(name, kinds.FLOAT, [1, "t"]) for name in ("noisy", "estimate")]
    true = onnx.numpy_helper.from_array(np.array(True), "true")
    loop = make.make_node("Loop", ["", "true", "noisy"], ["estimate"], body=body)
    graph = make.make_graph([loop], "g", ends[:1], ends[1:], [true])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def test_a_graph_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    """Several outputs, and weights in a file that is not there."""
    path, shape = tmp_path / "a.onnx", [1, "T"]
    nodes = [("Identity", ["x"], ["y"]), ("Neg", ["x"], ["z"])]
    graph_file(path, nodes, [("x", shape)], [("y", shape), ("z", shape)])
    with pytest.raises(InputError, match=r"gives y .*, z .*; export it with the estimate as its only output"):
        open_model(path)
    graph_file(path, [("Mul", ["x", "w"], ["y"])], [("x", shape)], [("y", shape)], {"w": np.ones(1, np.float32)})
    outside = {"save_as_external_data": True, "location": "a.data", "size_threshold": 0}
    onnx.save(onnx.load(path), path, **outside)
    (tmp_path / "a.data").unlink()
    with pytest.raises(InputError, match=r"does not exist.*its weights lie in another file, which belongs"):
        open_model(path)


def test_an_axis_that_overflows_is_refused_before_onnxruntime_sees_it(tmp_path: Path) -> None:
    """Padded by a hundred samples, the largest axis that there is becomes negative, and the process would end."""
    path, nodes = tmp_path / "a.onnx", [("Pad", ["x", "pads"], ["long"]), ("Slice", ["long", "from", "to"], ["y"])]
    constants = {"pads": [0, 100, 0, 0], "from": [0, 0], "to": [1, -100]}
    values = {name: np.array(value) for name, value in constants.items()}
    for axis, refused in ((2**63 - 1, True), (-1, False), (16_000, False)):
        graph_file(path, nodes, [("x", [1, axis])], [("y", [1, "T"])], values)
        assert largest_axis(str(path)) == (axis if axis > 0 else 1)
        if refused:
            with pytest.raises(InputError, match="has an axis of 9,223,372,036,854,775,807; expected at most"):
                open_model(path)
    for content in (b"", b"\x80" * 100, b"\x3a\xff\xff\x7f", b"\x3b"):
        path.write_bytes(content)
        assert largest_axis(str(path)) == 0
        with pytest.raises(InputError):
            open_model(path)


def test_a_graph_that_gives_another_shape_than_it_declares_is_refused(tmp_path: Path) -> None:
    hop, nodes = [1, 4000], [("Identity", ["memory"], ["out"]), ("Identity", ["hop"], ["after"])]
    path = graph_file(tmp_path / "a.onnx", nodes, [("hop", hop), ("memory", [0, 4000])], [("out", hop), ("after", hop)])
    with pytest.raises(InputError, match="gives 0 samples for a hop; expected 4000"):
        open_model(path, sample_rate=16_000)(np.zeros(16_000, np.float32))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_download_that_is_no_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    for text, message in (("<!DOCTYPE html>", "a web page"), ("version https://git-lfs.github.com/", "git lfs pull")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            models.load(tmp_path / name)


def test_a_graph_that_never_ends_is_ended_by_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LIMIT_S", 0.5)
    monkeypatch.setattr(passes, "PER_VALUE_S", 0.0)
    path = endless(tmp_path / "endless.onnx")
    with pytest.raises(InputError, match=r"endless\.onnx: has not finished \d+ values after 0 s; its graph may never"):
        open_model(path)
    with pytest.raises(InputError, match="has not finished 160 values"):
        Graph(str(path), 1).run([np.zeros((1, 160), np.float32)])


def test_a_graph_that_never_ends_is_ended_by_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from sordino.inference.graphs.onnx_graph import Graph\n"
        "graph = Graph(sys.argv[1], 1)\n"
        "print('runs', flush=True); graph.run([np.zeros((1, 160), np.float32)])"
    )
    words = [sys.executable, "-c", code, str(endless(tmp_path / "endless.onnx"))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "runs\n"
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(0.5)
            running.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in running.communicate(timeout=60)[1]
        finally:
            running.kill()
