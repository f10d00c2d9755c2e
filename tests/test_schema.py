"""Recipes: how a base and overrides merge, and the constructors' signatures that give what is stated its types."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from helpers.recipes import DISTILLED, PLAIN, message_of, write_recipe
from sordino import losses, models
from sordino.data.sources import SOURCES
from sordino.distill.methods import METHODS
from sordino.experiments.merge import merge
from sordino.experiments.recipe import read
from sordino.experiments.schema import Component, Pretrained, TeacherSection
from sordino.experiments.signatures import catalogue, inspected, signature
from sordino.training import Settings

# A base and what is laid over it


def test_recipe_says_only_how_it_differs_from_its_base(tmp_path: Path) -> None:
    write_recipe(tmp_path, "_base.yaml", "data: {name: synthetic, valid_items: 3}\ntrain: {epochs: 9, batch_size: 2}\n")
    write_recipe(tmp_path, "middle.yaml", "base: _base.yaml\nmodel: {name: manner-s, hidden: 12}\ntrain: {epochs: 5}\n")
    path = write_recipe(tmp_path, "top.yaml", "base: middle.yaml\nmodel: {depth: 2}\ntrain: {max_lr: 1e-4}\n")
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
    without_loss = {key: value for key, value in DISTILLED.items() if key != "loss"}
    assert read(without_loss).losses == {"weighted": {}}
    assert read(without_loss, ["loss.weighted=null"]).losses == {}
    assert read(without_loss, ["loss.weighted=null", "loss.l1={}"]).losses == {"l1": {}}


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
