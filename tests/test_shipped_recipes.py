"""Recipes that ship: they fit the constructors, and what they train is what the paper's row prints."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pytest

from sordino import losses, models
from sordino.assets import recipes
from sordino.assets import shipped as shipped_students
from sordino.data.sources import SOURCES, Dns
from sordino.distill import teachers
from sordino.distill.methods import METHODS
from sordino.experiments.build import build_network
from sordino.experiments.recipe import Recipe, read
from sordino.experiments.schema import Component
from sordino.report import paper
from sordino.training import Objective, Settings


@pytest.fixture(scope="module")
def shipped() -> dict[str, Recipe]:
    """The paper's; those of the demo, of the U-Net and of the dual-path network follow no paper."""
    return {name: read(name) for name in recipes() if not name.startswith(("demo/", "unet/", "dualpath/"))}


@pytest.mark.parametrize("name", recipes())
def test_shipped_recipe_names_arguments_of_the_right_constructors(name: str) -> None:
    recipe = read(name)
    assert isinstance(recipe.model, Component)
    called: list[tuple[Mapping[str, Any], str, Mapping[str, Any]]] = [
        (models.MODELS, recipe.model.name, recipe.model.arguments),
        (SOURCES, recipe.data.name, recipe.data.arguments),
        *((losses.LOSSES, part, values) for part, values in recipe.losses.items()),
        *((METHODS, part, values) for part, values in recipe.methods.items()),
    ]
    for known, part, values in called:
        inspect.signature(known[part]).bind(**values)
    assert recipe.title
    assert recipe.out == f"runs/{name}"
    assert (recipe.teacher is not None) == bool(recipe.methods)


def test_every_row_of_the_paper_has_one_recipe_and_every_recipe_a_row(shipped: dict[str, Recipe]) -> None:
    rows = [(table, row.name) for table in (1, 2, 3) for row in paper.results(table)]
    claimed = [(recipe.paper.table, recipe.paper.row) for recipe in shipped.values() if recipe.paper is not None]
    assert sorted(claimed) == sorted(rows)


def test_shipped_networks_have_the_size_that_their_row_prints(shipped: dict[str, Recipe]) -> None:
    counts: dict[str, int] = {}
    for recipe in shipped.values():
        assert recipe.paper is not None
        network = str(recipe.model)
        if network not in counts:
            counts[network] = models.count_parameters(build_network(recipe.model))
        (row,) = [row for row in paper.results(recipe.paper.table) if row.name == recipe.paper.row]
        printed = 0.26e6 if row.params is None else row.params  # Table 3 is all about MANNER-S-1.5GF
        assert counts[network] == pytest.approx(printed, abs=0.005e6), recipe.title


def test_shipped_students_learn_from_the_teacher_that_ships(shipped: dict[str, Recipe]) -> None:
    teachers = {
        "valentini": f"{shipped['valentini/manner-b-teacher'].out}/best.safetensors",
        "dns": f"{shipped['dns/manner-s-teacher'].out}/best.safetensors",
    }
    for name, recipe in shipped.items():
        if recipe.teacher is not None:
            assert recipe.teacher.checkpoint == teachers[name.partition("/")[0]]


def test_shipped_manner_recipes_train_as_published(shipped: dict[str, Recipe]) -> None:
    for name, recipe in shipped.items():
        if not (isinstance(recipe.model, Component) and recipe.model.name.startswith("manner")):
            continue
        assert recipe.train == Settings(epochs=350, batch_size=4, max_lr=1e-3, select="pesq_wb")
        assert recipe.losses == {"weighted": {}}
        data = recipe.data.arguments
        assert (data["segment_s"], data["tempo"]) == (4.0, (0.9, 1.1))
        if name.startswith("valentini/"):
            assert (data["speakers"], data["valid_speakers"], data["stride_s"]) == (28, ("p282", "p287"), 1.0)
        else:
            assert Dns(**data).epoch_size == 45_000  # 50 h of 4 s


def test_demucs_trains_as_published(shipped: dict[str, Recipe]) -> None:
    for size in ("s", "l"):
        recipe = shipped[f"valentini/demucs-{size}"]
        assert recipe.train == Settings(epochs=400, batch_size=128, max_lr=3e-4, schedule="constant", select="pesq_wb")
        assert recipe.losses == {"multi_resolution": {"spectral_weight": 0.1}}
        data = recipe.data.arguments
        assert (data["segment_s"], data["stride_s"], data["tempo"]) == (4.5, 0.5, None)


def test_tstnn_trains_as_published(shipped: dict[str, Recipe]) -> None:
    recipe = shipped["valentini/tstnn"]
    data, train = recipe.data.arguments, recipe.train
    assert (data["segment_s"], data["tempo"]) == (4.0, None)
    assert recipe.losses == {"time_frequency": {}}
    assert (train.epochs, train.batch_size) == (100, 4)
    assert (train.schedule, train.warmup_steps) == ("transformer", 4000)
    assert (train.max_lr, train.grad_clip) == (4e-4, 5.0)


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("valentini/table3-baseline", {}),
        ("valentini/table3-at", {"at": {}}),
        ("valentini/table3-kd", {"output": {}}),
        ("valentini/table3-mvat-single-depth", {"mvat": {"dual_depth": False}}),
        ("valentini/table3-mvat-l1", {"mvat": {}}),
        ("valentini/table3-mvat-l2", {"mvat": {"norm": "l2"}}),
        ("valentini/table3-mvat-kd", {"mvat": {}, "output": {}}),
    ],
)
def test_ablation_changes_the_distillation_and_nothing_else(
    shipped: dict[str, Recipe], name: str, methods: dict[str, Any]
) -> None:
    recipe, student = shipped[name], shipped["valentini/manner-s-1.5gf"]
    assert recipe.methods == methods
    assert (recipe.data, recipe.model) == (student.data, student.model)
    assert (recipe.losses, recipe.train) == (student.losses, student.train)
    built = {part: METHODS[part](**values) for part, values in methods.items()}
    teacher = teachers.Teacher(models.create("manner-b", hidden=6, depth=4))
    objective = Objective({"l1": losses.L1()}, built, models.create("manner-s", hidden=6, depth=3), teacher)
    assert set(objective.weighting.active) == {"loss/l1", *(f"kd/{part}" for part in methods)}


@pytest.mark.parametrize("name", shipped_students())
def test_recipes_on_the_cards_of_students_are_read(name: str) -> None:
    stored = shipped_students()[name]["training"]["recipe"]
    assert read(stored).to_mapping() == stored
