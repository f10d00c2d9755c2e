"""Export: the file equals the network for every length, says what it is, and is not kept when it differs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import sotto
from sotto import models, recipes
from sotto.errors import InputError
from sotto.export import onnx as exporter
from sotto.export import to_onnx
from sotto.models import Enhancer


@pytest.fixture(scope="module", params=[("manner-s", 4, 3), ("manner-b", 6, 2)], ids=lambda made: made[0])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Enhancer, Path]:
    name, hidden, depth = request.param
    torch.manual_seed(0)
    network = models.create(name, hidden=hidden, depth=depth).train()
    with torch.no_grad():  # statistics that are not the initial zeros and ones
        network(0.1 * torch.randn(4, 8000))
    path = tmp_path_factory.mktemp(name) / "student.onnx"
    parity = to_onnx(network, path, about={"licence": "MIT"})
    assert network.training
    assert parity.largest_difference < 1e-5
    return network.eval(), path


@pytest.mark.parametrize("length", [256, 257, 1000, 16000, 16001, 50003])
def test_equals_the_network_at_any_length(exported: tuple[Enhancer, Path], length: int) -> None:
    network, path = exported
    noisy = (0.1 * np.random.default_rng(length).standard_normal((1, length))).astype(np.float32)
    (found,) = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"noisy": noisy})
    with torch.no_grad():
        wanted = network(torch.from_numpy(noisy)).numpy()
    assert np.asarray(found).shape == wanted.shape
    assert np.abs(np.asarray(found) - wanted).max() < 1e-6


def test_runs_as_a_model_and_says_what_it_is(exported: tuple[Enhancer, Path]) -> None:
    network, path = exported
    noisy = (0.1 * np.random.default_rng(0).standard_normal((2, 30000))).astype(np.float32)
    assert np.abs(sotto.enhance(noisy, 16000, path) - sotto.enhance(noisy, 16000, network)).max() < 1e-6
    about = ort.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    assert (about["name"], json.loads(about["arguments"])) == (network.name, network.arguments)
    assert about["sample_rate"] == "16000"
    assert json.loads(about["about"]) == {"licence": "MIT"}


def test_carries_no_trace_of_the_machine(exported: tuple[Enhancer, Path]) -> None:
    content = exported[1].read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_what_differs_is_not_kept(
    exported: tuple[Enhancer, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = exported

    def spoilt(network: Enhancer, about: dict[str, object]) -> onnx.ModelProto:
        proto = onnx.load(path)
        (bias,) = (tensor for tensor in proto.graph.initializer if tensor.name == "out_conv.bias")
        bias.CopyFrom(onnx.numpy_helper.from_array(np.ones(1, np.float32), "out_conv.bias"))
        return proto

    monkeypatch.setattr(exporter, "_graph", spoilt)
    (tmp_path / "student.onnx").write_bytes(b"what was there before")
    with pytest.raises(InputError, match=r"differs from the network by .* at most 0\.0001"):
        to_onnx(network, tmp_path / "student.onnx")
    assert (tmp_path / "student.onnx").read_bytes() == b"what was there before"
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]


def test_the_recipe_travels_with_an_exported_checkpoint(tmp_path: Path) -> None:
    network = models.create("manner-s", hidden=6, depth=1)
    models.save(network, tmp_path / "best.safetensors", recipe={"title": "a trial"}, step=7)
    recipes.export(tmp_path / "best.safetensors", tmp_path / "student.onnx", licence="CC0")
    session = ort.InferenceSession(str(tmp_path / "student.onnx"))
    about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
    assert about == {"recipe": {"title": "a trial"}, "step": 7, "licence": "CC0"}
