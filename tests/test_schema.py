"""Recipes: those that ship, how a base and overrides merge, and what a mistake is told."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sordino import losses, models
from sordino.assets import recipes
from sordino.data.sources import SOURCES, Dns
from sordino.distill import methods, teachers
from sordino.errors import InputError
from sordino.experiments import recipe as schema
from sordino.report import paper
from sordino.training import Objective, Settings

PLAIN: dict[str, Any] = {"data": {"name": "synthetic"}, "model": {"name": "manner-s", "hidden": 12, "depth": 3}}
DISTILLED: dict[str, Any] = {
    **PLAIN,
    "teacher": {"checkpoint": "teacher.safetensors"},
    "loss": {"weighted": {}},
    "distill": {"mvat": {"norm": "l2"}},
    "weights": {"kd/mvat": 2.0},
    "train": {"epochs": 3, "threads": 1},
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def told(recipe: str | Path | Mapping[str, Any], *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        schema.read(recipe, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}


# The recipes that ship


@pytest.fixture(scope="module")
def shipped() -> dict[str, dict[str, Any]]:
    """The paper's; those of the demo, of the U-Net and of the dual-path network follow no paper."""
    return {name: schema.read(name) for name in recipes() if not name.startswith(("demo/", "unet/", "dualpath/"))}


@pytest.mark.parametrize("name", recipes())
def test_shipped_recipe_names_arguments_of_the_right_constructors(name: str) -> None:
    recipe = schema.read(name)
    called = [(models.MODELS, recipe["model"]), (SOURCES, recipe["data"])]
    called += [(losses.LOSSES, {"name": part, **values}) for part, values in recipe["loss"].items()]
    called += [(methods.METHODS, {"name": part, **values}) for part, values in recipe.get("distill", {}).items()]
    for catalogue, section in called:
        constructor = catalogue[section["name"]]
        inspect.signature(constructor).bind(**arguments(section))
    Settings(**recipe["train"])
    assert recipe["title"]
    assert recipe["out"] == f"runs/{name}"
    assert ("teacher" in recipe) == ("distill" in recipe)


def test_every_row_of_the_paper_has_one_recipe_and_every_recipe_a_row(shipped: dict[str, dict[str, Any]]) -> None:
    rows = [(table, row.name) for table in (1, 2, 3) for row in paper.results(table)]
    claimed = [(recipe["paper"]["table"], recipe["paper"]["row"]) for recipe in shipped.values()]
    assert sorted(claimed) == sorted(rows)


def test_shipped_networks_have_the_size_that_their_row_prints(shipped: dict[str, dict[str, Any]]) -> None:
    counts: dict[str, int] = {}
    for recipe in shipped.values():
        network = str(recipe["model"])
        if network not in counts:
            counts[network] = models.count_parameters(models.create(**recipe["model"]))
        (row,) = [row for row in paper.results(recipe["paper"]["table"]) if row.name == recipe["paper"]["row"]]
        printed = 0.26e6 if row.params is None else row.params  # Table 3 is all about MANNER-S-1.5GF
        assert counts[network] == pytest.approx(printed, abs=0.005e6), recipe["title"]


def test_shipped_students_learn_from_the_teacher_that_ships(shipped: dict[str, dict[str, Any]]) -> None:
    teachers = {
        "valentini": f"{shipped['valentini/manner-b-teacher']['out']}/best.safetensors",
        "dns": f"{shipped['dns/manner-s-teacher']['out']}/best.safetensors",
    }
    for name, recipe in shipped.items():
        if "teacher" in recipe:
            assert recipe["teacher"]["checkpoint"] == teachers[name.partition("/")[0]]


def test_shipped_manner_recipes_train_as_published(shipped: dict[str, dict[str, Any]]) -> None:
    for name, recipe in shipped.items():
        if not recipe["model"]["name"].startswith("manner"):
            continue
        assert recipe["train"] == {"epochs": 350, "batch_size": 4, "max_lr": 1e-3}
        assert recipe["loss"] == {"weighted": {}}
        data = recipe["data"]
        assert (data["segment_s"], data["tempo"]) == (4.0, (0.9, 1.1))
        if name.startswith("valentini/"):
            assert (data["speakers"], data["valid_speakers"], data["stride_s"]) == (28, ("p282", "p287"), 1.0)
        else:
            assert Dns(**arguments(data)).epoch_size == 45_000  # 50 h of 4 s


def test_demucs_trains_as_published(shipped: dict[str, dict[str, Any]]) -> None:
    for size in ("s", "l"):
        recipe = shipped[f"valentini/demucs-{size}"]
        assert recipe["train"] == {"epochs": 400, "batch_size": 128, "max_lr": 3e-4, "schedule": "constant"}
        assert recipe["loss"] == {"multi_resolution": {"spectral_weight": 0.1}}
        data = recipe["data"]
        assert (data["segment_s"], data["stride_s"], data["tempo"]) == (4.5, 0.5, None)


def test_tstnn_trains_as_published(shipped: dict[str, dict[str, Any]]) -> None:
    recipe = shipped["valentini/tstnn"]
    data, train = recipe["data"], Settings(**recipe["train"])
    assert (data["segment_s"], data["tempo"]) == (4.0, None)
    assert recipe["loss"] == {"time_frequency": {}}
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
    shipped: dict[str, dict[str, Any]], name: str, methods: dict[str, Any]
) -> None:
    recipe, student = shipped[name], shipped["valentini/manner-s-1.5gf"]
    assert recipe.get("distill", {}) == methods
    assert all(recipe[key] == student[key] for key in ("data", "model", "loss", "train"))
    built = {part: methods.METHODS[part](**values) for part, values in methods.items()}
    teacher = teachers.Teacher(models.create("manner-b", hidden=6, depth=4))
    objective = Objective({"l1": losses.L1()}, built, models.create("manner-s", hidden=6, depth=3), teacher)
    assert set(objective.weighting.active) == {"loss/l1", *(f"kd/{part}" for part in methods)}


# A base and what is laid over it


def test_recipe_says_only_how_it_differs_from_its_base(tmp_path: Path) -> None:
    write(tmp_path, "_base.yaml", "data: {name: synthetic, valid_items: 3}\ntrain: {epochs: 9, batch_size: 2}\n")
    write(tmp_path, "middle.yaml", "base: _base.yaml\nmodel: {name: manner-s, hidden: 12}\ntrain: {epochs: 5}\n")
    path = write(tmp_path, "top.yaml", "base: middle.yaml\nmodel: {depth: 2}\ntrain: {max_lr: 1e-4}\n")
    assert schema.read(path) == {
        "data": {"name": "synthetic", "valid_items": 3},
        "model": {"name": "manner-s", "hidden": 12, "depth": 2},
        "train": {"epochs": 5, "batch_size": 2, "max_lr": 1e-4},
    }


def test_base_may_be_a_recipe_that_ships() -> None:
    recipe = schema.read({"base": "valentini/manner-s-1.5gf-mvat", "data": {"root": "elsewhere"}})
    assert recipe["data"]["root"] == "elsewhere"
    assert recipe["distill"] == {"mvat": {}}


def test_title_folder_and_paper_row_are_not_inherited() -> None:
    inherited = schema.read({"base": "valentini/manner-s-1.5gf-mvat"})
    assert not {"title", "out", "paper"} & inherited.keys()


def test_null_takes_away_sections_losses_methods_and_weights() -> None:
    assert "teacher" not in schema.read(DISTILLED, ["teacher=null", "distill=null", "weights=null"])
    recipe = schema.read(
        DISTILLED, ["distill.mvat=null", "distill.output={}", "loss.weighted=", "weights.kd/mvat=null"]
    )
    assert (recipe["distill"], recipe["loss"], recipe["weights"]) == ({"output": {}}, {}, {})
    assert schema.read(PLAIN, ["teacher=null"]) == schema.read(PLAIN)


def test_null_sets_an_argument_to_none() -> None:
    dns = {**PLAIN, "data": {"name": "dns", "root": "data/dns", "level_db": [-30, -20]}}
    assert schema.read(dns)["data"]["level_db"] == (-30, -20)
    assert schema.read(dns, ["data.level_db=null"])["data"]["level_db"] is None


def test_another_constructor_keeps_none_of_the_arguments() -> None:
    assert schema.read(PLAIN, ["model.name=manner-b"])["model"] == {"name": "manner-b"}
    assert schema.read(PLAIN, ["model.name=manner-s"])["model"] == PLAIN["model"]
    # The order of overrides plays no part.
    assert schema.read(PLAIN, ["model.hidden=16", "model.name=manner-b"])["model"] == {"name": "manner-b", "hidden": 16}


def test_a_network_that_has_learnt_takes_the_place_of_a_fresh_one_and_the_other_way_round() -> None:
    learnt = schema.read(PLAIN, ["model.checkpoint=unet-24"])
    assert learnt["model"] == {"checkpoint": "unet-24"}
    assert schema.read(learnt, ["model.name=manner-b"])["model"] == {"name": "manner-b"}


def test_a_teacher_of_another_kind_takes_the_place_of_the_one_before() -> None:
    taught = schema.read(DISTILLED, ["teacher.callable=their.package:enhance", "teacher.sample_rate=8000"])
    assert taught["teacher"] == {"callable": "their.package:enhance", "sample_rate": 8000}
    assert schema.read(taught, ["teacher.sample_rate=48000"])["teacher"]["sample_rate"] == 48000
    assert schema.read(taught, ["teacher.onnx=theirs.onnx"])["teacher"] == {"onnx": "theirs.onnx"}
    assert schema.read(DISTILLED, ["teacher.checkpoint=other.pt"])["teacher"] == {"checkpoint": "other.pt"}


def test_overrides_are_read_as_yaml_and_converted() -> None:
    recipe = schema.read(
        PLAIN, ["train.max_lr=2e-3", "data.tempo=[0.9, 1.1]", "train.steps=10", "out=runs/x", "distill={output: {}}"]
    )
    assert recipe["train"] == {"max_lr": 2e-3, "steps": 10}
    assert recipe["data"]["tempo"] == (0.9, 1.1)
    assert (recipe["out"], recipe["distill"]) == ("runs/x", {"output": {}})
    assert PLAIN["data"] == {"name": "synthetic"}, "the mapping that was given is left as it was"


@pytest.mark.parametrize("override", ["train.steps", "=3", "train.=3"])
def test_override_that_is_none(override: str) -> None:
    assert "key=value" in told(PLAIN, override)


def test_what_is_read_can_be_read_again() -> None:
    recipe = schema.read(DISTILLED)
    assert schema.read(recipe) == recipe


# Mistakes


def test_bases_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "base: b.yaml\n")
    path = write(tmp_path, "b.yaml", "base: a.yaml\n")
    assert "leads back to itself" in told(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "modle: no such key; did you mean model?"),
        ({"bsae": "x"}, "did you mean base?"),
        ({"model": {"name": "maner-s"}}, "model.name: maner-s: no such name; did you mean manner-s?"),
        ({"model": {"name": "manner-s", "hiden": 12}}, "model.hiden: no such key; did you mean hidden?"),
        ({"model": {"hidden": 12}}, "model.name: missing; expected one of manner-b"),
        ({"model": {"checkpoint": "unet-24", "width": 8}}, "model.width: no such key"),
        ({"data": {"name": ["pairs"]}}, "no such name"),
        ({"data": {"name": "valentini"}}, "data.root: missing; expected a str"),
        ({"data": {"name": "synthetic", "tempo": 0.9}}, "data.tempo: 0.9 is no tuple"),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many' is no int"),
        ({"train": {"batch_size": 4.5}}, "train.batch_size: 4.5 is no int"),
        ({"train": {1: 2}}, "train.1: no such key"),
        ({"loss": {"weigted": {}}}, "loss.weigted: no such key; did you mean weighted?"),
        ({"loss": {"l1": {"power": 2}}}, "loss.l1.power: no such key"),
        ({"distill": {"mvat": "l2"}}, "distill.mvat: 'l2' is no section"),
        ({"distill": {"mvat": None}}, "or {} for its defaults"),
        ({"distill": {"mvat": {"nrom": "l2"}}}, "distill.mvat.nrom: no such key; did you mean norm?"),
        ({"weights": {"kd/mvat": "much"}}, "weights.kd/mvat: 'much' is no float"),
        ({"teacher": "t.safetensors"}, "teacher: 't.safetensors' is no section"),
        ({"teacher": {}}, "teacher: missing; expected one of checkpoint, onnx, callable"),
        ({"teacher": {"checkpoint": "a", "onnx": "b.onnx"}}, "teacher: checkpoint and onnx at once; expected one of"),
        ({"teacher": {"checkpoint": "a", "sample_rate": 8000}}, "teacher.sample_rate: a checkpoint knows its own"),
        ({"teacher": {"onnx": "a.pt"}}, "teacher.onnx: 'a.pt' is no .onnx file"),
        ({"teacher": {"callable": "enhance"}}, "teacher.callable: 'enhance' is no package.module:function"),
        ({"teacher": {"callable": "a:b", "sample_rate": "high"}}, "teacher.sample_rate: 'high' is no int"),
        ({"paper": {"table": 1}}, "paper.row: missing"),
        ({7: {}}, "7: no such key"),
    ],
)
def test_mistake_is_named_with_what_would_be_right(changes: dict[Any, Any], message: str) -> None:
    assert message in told({**PLAIN, **changes})


def test_all_mistakes_are_told_at_once() -> None:
    message = told({"data": {"name": "mix", "clean": "clean"}, "modle": {}, "train": {"epochs": "x", "sed": 1}})
    for part in ("data.noise: missing", "modle: no such key", "model: missing", "train.epochs: 'x'", "train.sed"):
        assert part in message


def test_loss_without_arguments() -> None:
    assert schema.read({**PLAIN, "loss": {"l1": {}}})["loss"] == {"l1": {}}


@pytest.mark.parametrize("misspelt", ["valentini/maner-s-1.5gf-mvat", "valentini/manner-s-1.5gf-mvatt"])
def test_misspelt_recipe_is_told_the_nearest_name(misspelt: str) -> None:
    assert "did you mean valentini/manner-s-1.5gf-mvat?" in told(misspelt)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"data: [", "not YAML"), (b"- a\n- b\n", "no recipe"), (b"", "no recipe"), (b"\xff\xfe\x00", "not a text file")],
)
def test_file_that_is_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert message in told(path)
