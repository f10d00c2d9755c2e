"""Two teachers as one: features of the one, the estimate of the other, in a run, behind a cache and in a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.networks import batch_of, network
from helpers.recipes import settings
from sordino import models
from sordino.distill.teachers import ExternalTeacher, JointTeacher, Teacher
from sordino.distill.teachers.outputs import WAVE
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import read_study
from sordino.experiments.study_teachers import teachers
from sordino.experiments.teacher import build_teacher
from sordino.training import read_log


def quiet(noisy: np.ndarray) -> np.ndarray:
    return 0.5 * noisy


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Checkpoints of two teachers that differ in everything but their rate."""
    found = {}
    for name, hidden in (("manner-b", 12), ("manner-s", 18)):
        path = tmp_path / name / "best.safetensors"
        path.parent.mkdir()
        models.save(network(name, hidden=hidden), path)
        found[name] = str(path)
    return found


def recipe(teacher: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"name": "synthetic", "segment_s": 0.3},
        "model": {"name": "manner-s", "hidden": 12, "depth": 2},
        "loss": {"l1": {}},
        "teacher": teacher,
        "distill": {"mvat": {}, "output": {}},
        "train": settings(2),
    }


def test_it_shows_features_of_the_one_and_the_estimate_of_the_other(places: dict[str, str]) -> None:
    batch = batch_of()
    first, second = (Teacher(models.load(path)) for path in places.values())
    joint = build_teacher(read(recipe({"checkpoint": places["manner-b"], "estimate": places["manner-s"]})), 16000)
    assert isinstance(joint, JointTeacher)
    assert joint.name == "manner-b with the estimate of manner-s"
    assert joint.taps == first.taps
    taps = ("encoder.2.global", "latent")
    view, wanted = joint(batch, taps), first(batch, taps)
    torch.testing.assert_close(view.wave, second(batch).wave, rtol=0, atol=0)
    assert all(torch.equal(view.feats[tap], wanted.feats[tap]) for tap in taps)
    assert not joint(batch).feats


def test_the_network_whose_features_nobody_reads_is_not_asked(places: dict[str, str]) -> None:
    def never(noisy: np.ndarray) -> np.ndarray:
        raise AssertionError("asked")

    joint = JointTeacher(ExternalTeacher(never, "silent", 16000), Teacher(models.load(places["manner-s"])))
    assert joint(batch_of()).wave.shape == batch_of().noisy.shape


@pytest.mark.parametrize("estimate", ["checkpoint", "function"])
def test_it_teaches_live_and_from_a_cache(tmp_path: Path, places: dict[str, str], estimate: str) -> None:
    named = places["manner-s"] if estimate == "checkpoint" else f"{__name__}:quiet"
    teacher = {"checkpoint": places["manner-b"], "estimate": named}
    cached = teacher | {"cache": str(tmp_path / "cache"), "draws": 1}
    recipes.train(recipe(cached), out=tmp_path / "first")
    answer = load_file(next((tmp_path / "cache").glob("??/*.safetensors")))
    assert {WAVE, "encoder.2.global"} <= set(answer)
    recipes.train(recipe(teacher), out=tmp_path / "live")
    first, live = (read_log(tmp_path / run)[0]["total"] for run in ("first", "live"))
    assert first == pytest.approx(live, rel=1e-3)
    with pytest.raises(InputError, match=r"teacher\.estimate was .* when its answers were stored"):
        build_teacher(read(recipe(cached | {"estimate": places["manner-b"]})), 16000)


def test_mistakes_are_reported(places: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"teacher\.estimate: onnx shows nothing but its own; expected teacher\.che"):
        read(recipe({"onnx": "theirs.onnx", "estimate": places["manner-s"]}))
    with pytest.raises(InputError, match=r"teacher\.estimate: works at 8000 Hz; expected 16000 Hz"):
        JointTeacher(Teacher(network()), ExternalTeacher(quiet, "slow", 8000))


def test_a_study_names_both(tmp_path: Path, places: dict[str, str]) -> None:
    (tmp_path / "recipe.yaml").write_text("data: {name: synthetic}\nmodel: {name: manner-s, hidden: 12, depth: 2}\n")
    section = f"{{checkpoint: {places['manner-b']}, estimate: {places['manner-s']}}}"
    (tmp_path / "study.yaml").write_text(
        f"recipe: recipe.yaml\nmethods:\n  both: {{teacher: {section}, distill: {{mvat: {{}}}}}}\n"
    )
    _, runs = read_study(tmp_path / "study.yaml")
    named = {cell.method: str(source.path) for cell, source in teachers(one.recipe for one in runs).items()}
    assert named == {f"{name} (teacher)": path for name, path in places.items()}
