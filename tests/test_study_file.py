"""Studies as files: what one takes over from its base, and what is no study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sordino.errors import InputError
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
