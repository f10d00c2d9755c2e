"""Recipes: those that ship, how a base and overrides merge, and the messages about mistakes."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from sordino import losses, models
from sordino.assets import recipes
from sordino.assets import shipped as shipped_students
from sordino.data.sources import SOURCES, Dns
from sordino.distill import teachers
from sordino.distill.methods import METHODS
from sordino.errors import InputError
from sordino.experiments.build import build_network
from sordino.experiments.merge import merge
from sordino.experiments.recipe import Recipe, read
from sordino.experiments.run_recipe import RECIPE, same_recipe
from sordino.experiments.schema import Component, Pretrained, TeacherSection
from sordino.experiments.signatures import catalogue, inspected, signature
from sordino.report import paper
from sordino.training import Balance, Objective, Ramp, Settings, Stage

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


def message_of(recipe: str | Path | Mapping[str, Any], *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        read(recipe, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The recipes that ship


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


# A base and what is laid over it


def test_recipe_says_only_how_it_differs_from_its_base(tmp_path: Path) -> None:
    write(tmp_path, "_base.yaml", "data: {name: synthetic, valid_items: 3}\ntrain: {epochs: 9, batch_size: 2}\n")
    write(tmp_path, "middle.yaml", "base: _base.yaml\nmodel: {name: manner-s, hidden: 12}\ntrain: {epochs: 5}\n")
    path = write(tmp_path, "top.yaml", "base: middle.yaml\nmodel: {depth: 2}\ntrain: {max_lr: 1e-4}\n")
    assert read(path).to_mapping() == {
        "data": {"name": "synthetic", "valid_items": 3},
        "model": {"name": "manner-s", "hidden": 12, "depth": 2},
        "train": {"epochs": 5, "batch_size": 2, "max_lr": 1e-4},
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"balance": 0.5, "every": 10}, {"ramp": "linear", "steps": 7}),
        ({"ramp": "cosine", "steps": 7}, {"balance": 2.0}),
    ],
)
def test_a_weight_of_another_kind_keeps_nothing_of_the_base_s(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merge({"weights": {"kd/at": before}}, {"weights": {"kd/at": after}}) == {"weights": {"kd/at": after}}
    same = merge({"weights": {"kd/at": before}}, {"weights": {"kd/at": {next(iter(before)): 0.7}}})
    assert same == {"weights": {"kd/at": {**before, next(iter(before)): 0.7}}}


def test_base_may_be_a_recipe_that_ships() -> None:
    recipe = read({"base": "valentini/manner-s-1.5gf-mvat", "data": {"root": "elsewhere"}})
    assert recipe.data.arguments["root"] == "elsewhere"
    assert recipe.methods == {"mvat": {}}


def test_title_folder_and_paper_row_are_not_inherited() -> None:
    inherited = read({"base": "valentini/manner-s-1.5gf-mvat"})
    assert (inherited.title, inherited.out, inherited.paper) == ("", "", None)
    assert not {"title", "out", "paper"} & inherited.to_mapping().keys()


def test_null_takes_away_sections_losses_methods_and_weights() -> None:
    assert read(DISTILLED, ["teacher=null", "distill=null", "weights=null"]).teacher is None
    recipe = read(DISTILLED, ["distill.mvat=null", "distill.output={}", "loss.weighted=", "weights.kd/mvat=null"])
    assert (recipe.methods, recipe.losses, recipe.weights) == ({"output": {}}, {}, {})
    assert read(PLAIN, ["teacher=null"]) == read(PLAIN)


def test_null_sets_an_argument_to_none() -> None:
    dns = {**PLAIN, "data": {"name": "dns", "root": "data/dns", "level_db": [-30, -20]}}
    assert read(dns).data.arguments["level_db"] == (-30, -20)
    assert read(dns, ["data.level_db=null"]).data.arguments["level_db"] is None


def test_another_constructor_keeps_none_of_the_arguments() -> None:
    assert read(PLAIN, ["model.name=manner-b"]).model == Component("manner-b")
    assert read(PLAIN, ["model.name=manner-s"]).model == Component("manner-s", {"hidden": 12, "depth": 3})
    # The order of overrides plays no part.
    assert read(PLAIN, ["model.hidden=16", "model.name=manner-b"]).model == Component("manner-b", {"hidden": 16})


def test_a_network_that_has_learnt_takes_the_place_of_a_fresh_one_and_the_other_way_round() -> None:
    learnt = read(PLAIN, ["model.checkpoint=unet-24"])
    assert learnt.model == Pretrained("unet-24")
    assert read(learnt, ["model.name=manner-b"]).model == Component("manner-b")


def test_a_teacher_of_another_kind_takes_the_place_of_the_one_before() -> None:
    taught = read(DISTILLED, ["teacher.callable=their.package:enhance", "teacher.sample_rate=8000"])
    assert taught.teacher == TeacherSection(callable="their.package:enhance", sample_rate=8000)
    assert read(taught, ["teacher.sample_rate=48000"]).teacher == replace(taught.teacher, sample_rate=48000)
    assert read(taught, ["teacher.onnx=theirs.onnx"]).teacher == TeacherSection(onnx="theirs.onnx")
    assert read(DISTILLED, ["teacher.checkpoint=other.pt"]).teacher == TeacherSection(checkpoint="other.pt")


def test_overrides_are_read_as_yaml_and_converted() -> None:
    recipe = read(
        PLAIN, ["train.max_lr=2e-3", "data.tempo=[0.9, 1.1]", "train.steps=10", "out=runs/x", "distill={output: {}}"]
    )
    assert recipe.train == Settings(max_lr=2e-3, steps=10)
    assert recipe.data.arguments["tempo"] == (0.9, 1.1)
    assert (recipe.out, recipe.methods) == ("runs/x", {"output": {}})
    assert PLAIN["data"] == {"name": "synthetic"}, "the mapping that was given is left as it was"


@pytest.mark.parametrize("override", ["train.steps", "=3", "train.=3"])
def test_override_that_is_none(override: str) -> None:
    assert "key=value" in message_of(PLAIN, override)


def test_what_is_read_can_be_read_again() -> None:
    recipe = read(DISTILLED)
    assert read(recipe) == read(recipe.to_mapping()) == recipe


# Mistakes


def test_bases_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "base: b.yaml\n")
    path = write(tmp_path, "b.yaml", "base: a.yaml\n")
    assert "leads back to itself" in message_of(path)


@pytest.mark.parametrize(("given", "steps"), [("1e3", 1000), ("1.5e3", 1500), ("2.0", 2), ("'1_000'", 1000)])
def test_a_whole_number_may_be_written_in_any_way(tmp_path: Path, given: str, steps: int) -> None:
    text = f"data: {{name: synthetic}}\nmodel: {{name: manner-s, hidden: 12, depth: 3}}\ntrain: {{steps: {given}}}\n"
    found = read(write(tmp_path, "r.yaml", text))
    assert found.train.steps == steps
    assert isinstance(found.train.steps, int)
    assert isinstance(found.to_mapping()["train"]["steps"], int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "modle: no such key; did you mean model?"),
        ({"bsae": "x"}, "did you mean base?"),
        ({"model": {"name": "maner-s"}}, "model.name: maner-s: no such network; did you mean manner-s?"),
        ({"model": {"name": "manner-s", "hiden": 12}}, "model.hiden: no such key; did you mean hidden?"),
        ({"model": {"hidden": 12}}, "model.name: missing; expected one of manner-b"),
        ({"model": {"checkpoint": "unet-24", "width": 8}}, "model.width: no such key"),
        ({"data": {"name": ["pairs"]}}, "no such source"),
        ({"data": {"name": "valentini"}}, "data.root: missing; expected a str"),
        ({"data": {"name": "synthetic", "tempo": 0.9}}, "data.tempo: 0.9 is no tuple"),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many' is no int"),
        ({"train": {"batch_size": 4.5}}, "train.batch_size: 4.5 is no int"),
        ({"train": {"batch_size": "15e-1"}}, "train.batch_size: '15e-1' is no int"),
        ({"train": {"batch_size": float("inf")}}, "train.batch_size: inf is no int"),
        ({"train": {"batch_size": True}}, "train.batch_size: True is no int"),
        ({"train": {"batch_size": None}}, "train.batch_size: None is no int"),
        ({"train": {"max_lr": 10**400}}, "train.max_lr: 1000"),
        ({"base": "x" * 1000}, "no such recipe"),
        ({"train": {1: 2}}, "train.1: no such key"),
        ({"loss": {"weigted": {}}}, "loss.weigted: no such loss; did you mean weighted?"),
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
    assert message in message_of({**PLAIN, **changes})


def test_all_mistakes_are_reported_at_once() -> None:
    message = message_of({"data": {"name": "mix", "clean": "clean"}, "modle": {}, "train": {"epochs": "x", "sed": 1}})
    for part in ("data.noise: missing", "modle: no such key", "model: missing", "train.epochs: 'x'", "train.sed"):
        assert part in message


def test_loss_without_arguments() -> None:
    assert read({**PLAIN, "loss": {"l1": {}}}).losses == {"l1": {}}


@pytest.mark.parametrize("misspelt", ["valentini/maner-s-1.5gf-mvat", "valentini/manner-s-1.5gf-mvatt"])
def test_misspelt_recipe_gets_the_nearest_name(misspelt: str) -> None:
    assert "did you mean valentini/manner-s-1.5gf-mvat?" in message_of(misspelt)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"data: [", "not YAML"), (b"- a\n- b\n", "no recipe"), (b"", "no recipe"), (b"\xff\xfe\x00", "not a text file")],
)
def test_file_that_is_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert message in message_of(path)


# What is written and read back


WRITTEN = """\
title: a trial
out: runs/x
data:
  name: mix
  clean: c
  noise: n
  snr_db:
  - 0.0
  - 10.0
  tempo: null
  augment:
    rumble: 0.9
    bursts_db:
    - 0.0
    - 6.0
  exclude:
  - a
model:
  name: unet
  width: 8
teacher:
  checkpoint: t.safetensors
  estimate: a:b
  cache: c
  draws: 2
loss:
  multi_resolution:
    spectral_weight: 1.0
  l1: {}
distill:
  similarity:
    axes:
    - batch
    - frame_batch
  output:
    loss: l1
weights:
  kd/output:
    balance: 1.0
  kd/similarity:
    ramp: cosine
    steps: 7
  loss/l1: 2.0
stages:
- share: 0.5
  weights:
    loss/l1: 0.0
    kd/output:
      ramp: linear
      steps: 3
      end: 2.0
- reset: true
  weights: {}
train:
  steps: 10
  max_lr: 1.0
  select:
    estoi: 2.0
  grad_clip: null
unlabelled:
  noisy: r
  share: 1.0
paper:
  table: 1
  row: MANNER-S-1.5GF + MV-AT
"""
"""A ``recipe.yaml`` of version 0.1, which knew recipes as mappings only."""


def test_a_recipe_of_an_older_version_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    recipe = read(write(tmp_path, RECIPE, WRITTEN))
    assert recipe.data.arguments["snr_db"] == (0.0, 10.0)
    assert recipe.weights == {"kd/output": Balance(1.0), "kd/similarity": Ramp("cosine", 7), "loss/l1": 2.0}
    first, second = recipe.stages
    assert first == Stage(0.5, weights={"loss/l1": 0.0, "kd/output": Ramp("linear", 3, end=2.0)})
    assert second == Stage(reset=True)
    assert recipe.train == Settings(steps=10, max_lr=1.0, select={"estoi": 2.0})
    assert recipe.teacher == TeacherSection("t.safetensors", estimate="a:b", cache="c", draws=2)
    assert yaml.safe_dump(recipe.to_mapping(), sort_keys=False) == WRITTEN
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    same_recipe(tmp_path, read(recipe, ["train.workers=3", "title=another"]))
    with pytest.raises(InputError, match=r"weights\.kd/similarity\.steps is 8, but the run began with 7"):
        same_recipe(tmp_path, read(recipe, ["weights.kd/similarity.steps=8"]))


@pytest.mark.parametrize("name", shipped_students())
def test_recipes_on_the_cards_of_students_are_read(name: str) -> None:
    stored = shipped_students()[name]["training"]["recipe"]
    assert read(stored).to_mapping() == stored


def test_a_recipe_cannot_be_changed() -> None:
    recipe = read(PLAIN)
    with pytest.raises(FrozenInstanceError):
        recipe.title = "another"  # pyright: ignore[reportAttributeAccessIssue]


def test_settings_out_of_range_are_reported_with_the_other_mistakes() -> None:
    message = message_of({**PLAIN, "train": {"steps": 0}, "modle": {}, "unlabelled": {"noisy": "r", "shar": 1}})
    for part in ("train.steps: 0; expected at least 1", "modle: no such key", "unlabelled.shar: no such key"):
        assert part in message


# Signatures


CATALOGUES = {
    ("sordino.models", "MODELS"): models.MODELS,
    ("sordino.data.sources", "SOURCES"): SOURCES,
    ("sordino.losses", "LOSSES"): losses.LOSSES,
    ("sordino.distill.methods", "METHODS"): METHODS,
}


def comparable(kind: Any) -> Any:
    """A type; of one with a dataclass in it, of which a twin is read, its name and the types of the fields."""
    groups = [part for part in (kind, *get_args(kind)) if is_dataclass(part)]
    return (str(kind), [get_type_hints(group) for group in groups]) if groups else kind


@pytest.mark.parametrize("place", CATALOGUES, ids=".".join)
def test_signatures_read_from_source_are_those_of_the_constructors(place: tuple[str, str]) -> None:
    known = CATALOGUES[place]
    assert list(catalogue(*place)) == list(known)
    for name, where in catalogue(*place).items():
        here, there = signature(where), inspected(known[name])
        assert list(here) == list(there), name
        for key in there:
            assert here[key].required == there[key].required, f"{name}.{key}"
            assert comparable(here[key].kind) == comparable(there[key].kind), f"{name}.{key}"


def test_a_recipe_is_read_without_what_it_will_run() -> None:
    program = (
        "import sys\nfrom sordino.experiments.recipe import read\n"
        "from sordino.assets import recipes\nfor name in recipes(): read(name)\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert {"torch", "scipy", "numpy", "lightning_fabric"}.isdisjoint(done.stdout.split())
