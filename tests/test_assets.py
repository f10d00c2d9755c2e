"""What ships: a student by its name, as a graph, as a network and as a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sordino
from helpers.noise import noise
from sordino import models
from sordino.assets import INT8, shipped, weights
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import read_study
from sordino.experiments.study_teachers import teachers
from sordino.experiments.teacher import build_teacher
from sordino.inference.graphs.onnx_graph import Graph

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


@pytest.mark.slow
def test_a_student_exports_by_name(tmp_path: Path) -> None:
    run.export("unet-24", tmp_path / "again.onnx", "MIT")
    about, card = Graph(str(tmp_path / "again.onnx")).about, shipped()["unet-24"]
    assert card["arguments"].items() <= json.loads(about["arguments"]).items()
    about_run = json.loads(about["about"])
    assert (about_run["licence"], about_run["recipe"]) == ("MIT", card["training"]["recipe"])
    noisy = noise(16000).numpy()
    found = sordino.enhance(noisy, 16000, tmp_path / "again.onnx")
    np.testing.assert_allclose(found, sordino.enhance(noisy, 16000, "unet-24"), atol=1e-4)


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
    assert [cell.method for cell in teachers(one.recipe for one in read_study(tmp_path / "study.yaml")[1])] == [
        "unet-24 (teacher)"
    ]
