"""What ships: a student by its name, as a graph, as a network and as a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import noise

import sordino
from sordino import export, models
from sordino.assets import INT8, shipped, weights
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import read_study, teachers
from sordino.experiments.teacher import build_teacher

IN_FLOAT = [name for name in shipped() if not name.endswith(INT8)]
every_student = pytest.mark.parametrize("name", IN_FLOAT)


@every_student
def test_a_student_is_one_as_graph_and_as_network(name: str) -> None:
    network, card = sordino.load(name), shipped()[name]
    assert models.count_parameters(network) == card["parameters"]
    assert card["arguments"].items() <= network.arguments.items()  # cards name no argument that is younger
    assert models.read_header(name)["about"]["step"] == card["training"]["steps"]
    noisy = noise(16000)
    with torch.no_grad():
        estimate = network(noisy[None])[0].numpy()
    np.testing.assert_allclose(sordino.enhance(noisy.numpy(), 16000, name), estimate, atol=1e-4)


def test_a_student_in_8_bits_says_whose_weights_it_has() -> None:
    name = "manner-s-1.5gf"
    with pytest.raises(InputError, match=rf"{name}-int8: ships as ONNX alone.*take {name}, "):
        weights(f"{name}{INT8}")
    assert weights("elsewhere.safetensors") == Path("elsewhere.safetensors")


def test_a_student_exports_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(network: models.Enhancer, out: str, about: dict[str, Any]) -> None:
        assert models.count_parameters(network) == shipped()["unet-24"]["parameters"]
        assert (out, about["licence"]) == ("again.onnx", "MIT")
        assert about["recipe"] == shipped()["unet-24"]["training"]["recipe"]

    monkeypatch.setattr(export, "to_onnx", exported)
    run.export("unet-24", "again.onnx", "MIT")


def test_a_student_teaches_by_name(tmp_path: Path) -> None:
    for cache in ({}, {"cache": str(tmp_path / "cache")}):
        recipe = read(
            {
                "data": {"name": "synthetic"},
                "model": {"name": "unet", "width": 8},
                "teacher": {"checkpoint": "unet-24", **cache},
                "distill": {"cosine": {}},
            }
        )
        teacher = build_teacher(recipe, 16000)
        assert teacher is not None
        assert teacher.name == "unet"
    (tmp_path / "recipe.yaml").write_text("data: {name: synthetic}\nmodel: {name: unet, width: 8}\n")
    (tmp_path / "study.yaml").write_text(
        "recipe: recipe.yaml\nmethods:\n  taught: {teacher: {checkpoint: unet-24}, distill: {cosine: {}}}\n"
    )
    assert [cell.method for cell in teachers(read_study(tmp_path / "study.yaml")[1])] == ["unet-24 (teacher)"]
