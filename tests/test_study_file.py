"""Studies as files: what one takes over from its base, and what is no study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.studies import BASELINE, write
from sordino.assets import studies
from sordino.distill.methods import METHODS
from sordino.errors import InputError
from sordino.experiments import study
from sordino.experiments.merge import is_study, parse_file
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import OWN, read_study

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "{model: {name: unet, width: 6, depth: 2}, data: {name: mix, clean: speech, noise: noise}}"
STUDY = """\
title: Widths
note: Of this study alone.
out: runs/widths
recipe: recipe.yaml
seeds: [0, 1]
methods: {none: {}, wide: {model: {width: 12}}}
metrics: [stoi]
tests: {Other: {noisy: noisy, clean: clean}}
"""


@pytest.fixture
def widths(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    path = tmp_path / "widths.yaml"
    path.write_text(STUDY)
    return path


def test_a_study_takes_over_what_its_base_states(widths: Path) -> None:
    whole, _ = read_study(widths)
    short = widths.parent / "below" / "short.yaml"
    short.parent.mkdir()
    short.write_text("base: ../widths.yaml\nseeds: [5]\nmethods: {none: {}}\n")
    plan, runs = read_study(short)
    assert Path(plan.recipe).samefile(whole.recipe)
    own = replace(whole, title="", note="", out="runs/studies/short", seeds=(5,), methods={"none": {}})
    assert replace(plan, recipe=whole.recipe) == own
    assert [(one.seed, one.folder) for one in runs] == [(5, Path("runs/studies/short/all/none/seed-5"))]


def test_a_base_may_lack_what_a_study_needs(widths: Path) -> None:
    base = widths.parent / "pairs.yaml"
    base.write_text("metrics: [pesq_wb]\ntests: {Elsewhere: {noisy: a, clean: b}}\n")
    widths.write_text("base: pairs.yaml\nrecipe: recipe.yaml\nmethods: {none: {}}\nmetrics: [stoi]\n")
    plan, _ = read_study(widths)
    assert (plan.metrics, list(plan.tests)) == (("stoi",), [OWN, "Elsewhere"])
    with pytest.raises(InputError, match=r"pairs\.yaml: .*recipe"):
        read_study(base)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("widths.yaml", "its base leads back to itself"),
        ("absent.yaml", "absent.yaml: no such study"),
        ("recipe.yaml", "recipe.yaml: is a recipe"),
        ("mismach", "did you mean mismatch?"),
    ],
)
def test_a_base_that_is_no_study_is_one_line(widths: Path, base: str, message: str) -> None:
    widths.write_text(f"base: {base}\n{STUDY}")
    with pytest.raises(InputError) as caught:
        read_study(widths)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [STUDY, "base: mismatch\nseeds: [5]\n", "base: mismatch\nmethods: {none: {}}\n"])
def test_a_study_in_place_of_a_recipe_is_one_line(widths: Path, text: str) -> None:
    widths.write_text(text)
    with pytest.raises(InputError, match=rf"is a study; expected a recipe, .*; sordino study {widths}$"):
        read(widths)


def test_the_studies_of_the_benchmarks_are_studies() -> None:
    files = sorted((ROOT / "benchmarks" / "real").glob("*.yaml"))
    read_as = {path.stem: read_study(path)[0] for path in files if is_study(parse_file(path)) and path.stem != "pairs"}
    assert len(read_as) > 10
    assert read_as["mvat-study"].against == "none"


def test_a_recipe_in_place_of_a_study_is_one_line(widths: Path) -> None:
    recipe = widths.parent / "recipe.yaml"
    with pytest.raises(InputError, match=rf"is a recipe, .*; expected a study; sordino train {recipe}$"):
        read_study(recipe)


def test_the_name_of_a_shipped_recipe_is_no_study_and_the_other_way_round() -> None:
    with pytest.raises(InputError, match=r"no such recipe; .*; it is a study: sordino study causal$"):
        read("causal")
    with pytest.raises(InputError, match=r"no such study; .*; it is a recipe: sordino train unet/student$"):
        read_study("unet/student")


PAIR = {"noisy": "noisy", "clean": "clean"}


@pytest.mark.parametrize("name", studies())
def test_shipped_studies_hold_recipes_without_errors(name: str) -> None:
    plan, runs = read_study(name)
    assert len(runs) == len(plan.scenarios) * len(plan.methods) * len(plan.seeds)
    assert len({one.folder for one in runs}) == len(runs)
    assert len({json.dumps(one.recipe.to_mapping(), sort_keys=True) for one in runs}) == len(runs)
    assert plan.against in plan.methods
    for one in runs:
        assert not one.recipe.methods or one.recipe.teacher is not None
        assert one.recipe.train.seed == one.seed


def test_all_methods_stand_in_the_study_of_methods() -> None:
    _, runs = read_study("methods")
    assert {name for one in runs for name in one.recipe.methods} == set(METHODS) - {"mvat"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "nothing.yaml"}, "no such recipe"),
        ({"against": "nobody"}, "nobody is no method"),
        ({"methds": {}}, "did you mean methods?"),
        ({"seeds": "many"}, "seeds"),
        ({"methods": {"none": {"distill": {"ouptut": {}}}}}, "did you mean output?"),
        ({"scenarios": {"odd": {"model": {"wdith": 3}}}}, "did you mean width?"),
        ({"methods": {"1/2": {}, "1-2": {}}, "against": None}, "whole, 1-2, seed 0 shares the folder"),
        ({"jobs": 0}, "jobs: 0; expected at least 1"),
        ({"seeds": []}, "seeds: is empty, so there is no run"),
        ({"methods": {}, "against": None}, "methods: is empty"),
        ({"scenarios": {}}, "scenarios: is empty"),
        ({"methods": {"none": {"train": {"seed": 3}}}}, "methods.none.train.seed: the study has the seeds"),
        ({"scenarios": {"a": {"title": "A"}}}, "scenarios.a.title: each run of a study has its own"),
        ({"seeds": [0, 0]}, "whole, none, seed 0 shares the folder"),
        ({"tests": {"other": {"noisy": "noisy"}}}, "tests.other: one folder"),
        ({"tests": {"other": "noisy"}}, "'noisy' is no section"),
        ({"tests": {"other": {"paper": 7}}}, "tests.other.paper: 7; expected a table of the paper, 1, 2, 3"),
        ({"tests": {"one": {}, "two": {}}}, "at most one without folders"),
        ({"tests": {"a b": PAIR, "a-b": PAIR}}, "names that differ in letters or digits"),
        ({"methods": {"noisy": {}}, "against": None}, "methods: noisy is the row of the noisy input"),
        ({"paper": {"nonne": BASELINE}, "tests": {"own": {"paper": 1}}}, "paper: nonne is no method"),
        ({"paper": {"none": BASELINE}}, "in the tables that the test sets name (none)"),
        ({"paper": {"none": "BEST"}, "tests": {"own": {"paper": 1}}}, "no row 'BEST'"),
    ],
)
def test_mistakes_in_a_study_are_reported(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_study(write(tmp_path, **changes))
    assert message in str(caught.value)
    with pytest.raises(InputError, match="no such study"):
        read_study("nothing")


def test_all_broken_methods_are_told_at_once(tmp_path: Path) -> None:
    methods = {"none": {}, "a": {"distill": {"outptu": {}}}, "b": {"train": {"batch_size": 0}}}
    with pytest.raises(InputError, match=r"whole, a: distill\.outptu: .*; whole, b: train\.batch_size: 0") as raised:
        study.read_study(write(tmp_path, methods=methods))
    assert "none" not in str(raised.value)
