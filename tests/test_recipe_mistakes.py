"""Mistakes in recipes: each is named with what would be right, and all of them at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from helpers.recipes import PLAIN, message_of, write_recipe
from sordino import losses
from sordino.cli.parsing import _take_overrides
from sordino.errors import InputError
from sordino.experiments.recipe import read


def test_bases_in_a_circle(tmp_path: Path) -> None:
    write_recipe(tmp_path, "a.yaml", "base: b.yaml\n")
    path = write_recipe(tmp_path, "b.yaml", "base: a.yaml\n")
    assert "leads back to itself" in message_of(path)


@pytest.mark.parametrize(("given", "steps"), [("1e3", 1000), ("1.5e3", 1500), ("2.0", 2), ("'1_000'", 1000)])
def test_a_whole_number_may_be_written_in_any_way(tmp_path: Path, given: str, steps: int) -> None:
    text = f"data: {{name: synthetic}}\nmodel: {{name: manner-s, hidden: 12, depth: 3}}\ntrain: {{steps: {given}}}\n"
    found = read(write_recipe(tmp_path, "r.yaml", text))
    assert found.train.steps == steps
    assert isinstance(found.train.steps, int)
    assert isinstance(found.to_mapping()["train"]["steps"], int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "modle: no such key; did you mean model?"),
        ({"bsae": "x"}, "did you mean base?"),
        ({"distil": None}, "distil: no such key; did you mean distill?"),
        ({"steps": 5}, "steps: no such key; did you mean train.steps?"),
        ({"model": {"name": "maner-s"}}, "model.name: maner-s: no such network; did you mean manner-s?"),
        ({"model": {"name": "manner-s", "hiden": 12}}, "model.hiden: no such key; did you mean hidden?"),
        ({"model": {"hidden": 12}}, "model.name: missing; expected one of manner-b"),
        ({"model": {"checkpoint": "unet-24", "width": 8}}, "model.width: no such key"),
        ({"data": {"name": ["pairs"]}}, "no such source"),
        ({"data": {"name": "valentini"}}, "data.root: missing; expected a text"),
        ({"model": {"name": "unet", "causal": [None, True]}}, "model.causal: [null, true]; expected true or false"),
        ({"data": {"name": "synthetic", "tempo": 0.9}}, "data.tempo: 0.9; expected two numbers, such as [0, 20]"),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many'; expected a whole number"),
        ({"train": {"batch_size": 4.5}}, "train.batch_size: 4.5; expected a whole number"),
        ({"train": {"batch_size": "15e-1"}}, "train.batch_size: '15e-1'; expected a whole number"),
        ({"train": {"batch_size": float("inf")}}, "train.batch_size: inf; expected a whole number"),
        ({"train": {"batch_size": True}}, "train.batch_size: true; expected a whole number"),
        ({"train": {"batch_size": None}}, "train.batch_size: null; expected a whole number"),
        ({"train": {"max_lr": 10**400}}, "train.max_lr: 1000"),
        ({"base": "x" * 1000}, "no such recipe"),
        ({"train": {1: 2}}, "train.1: no such key"),
        ({"loss": {"weigted": {}}}, "loss.weigted: no such loss; did you mean weighted?"),
        ({"loss": {"l1": {"power": 2}}}, "loss.l1.power: no such key"),
        ({"distill": {"mvat": "l2"}}, "distill.mvat: 'l2' is no section"),
        ({"distill": {"mvat": None}}, "distill.mvat: null is no section"),
        ({"distill": {"mvat": None}}, "or {} for its defaults"),
        ({"distill": {"mvat": {"nrom": "l2"}}}, "distill.mvat.nrom: no such key; did you mean norm?"),
        ({"weights": {"kd/mvat": "much"}}, "weights.kd/mvat: 'much'; expected a number"),
        ({"teacher": "t.safetensors"}, "teacher: 't.safetensors' is no section"),
        ({"teacher": {}}, "teacher: missing; expected one of checkpoint, onnx, callable"),
        ({"teacher": {"checkpoint": "a", "onnx": "b.onnx"}}, "teacher: checkpoint and onnx at once; expected one of"),
        ({"teacher": {"checkpoint": "a", "sample_rate": 8000}}, "teacher.sample_rate: a checkpoint knows its own"),
        ({"teacher": {"onnx": "a.pt"}}, "teacher.onnx: 'a.pt' is no .onnx file"),
        ({"teacher": {"callable": "enhance"}}, "teacher.callable: 'enhance' is no package.module:function"),
        (
            {"teacher": {"callable": "a:b", "sample_rate": "high"}},
            "teacher.sample_rate: 'high'; expected a whole number",
        ),
        ({"paper": {"table": 1}}, "paper.row: missing"),
        ({7: {}}, "7: no such key"),
        ({"weights": {"loss/weighted": -1}}, "weights.loss/weighted: -1.0; expected a number of 0 or more"),
        ({"weights": {"loss/weighted": math.nan}}, "weights.loss/weighted: nan; expected a number of 0 or more"),
        ({"weights": {"loss/weighted": {"balance": math.inf}}}, "balance inf"),
        ({"weights": {"loss/weighted": {"ramp": "linear", "steps": 2, "end": math.nan}}}, "a ramp from 0.0 to nan"),
        ({"train": {"seed": 2**64}}, "train.seed: 18446744073709551616; expected at most 9223372036854775807"),
        ({"train": {"threads": 10**11}}, "train.threads: 100000000000; expected at most 1024"),
        ({"train": {"max_lr": math.inf}}, "train.max_lr: inf; expected a number above 0"),
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
    [
        (b"data: [", "not YAML (while parsing a flow node did not find expected node content at line 2, column 1)"),
        (b"- a\n- b\n", "no recipe"),
        (b"", "no recipe"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_file_that_is_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert message in message_of(path)


def test_settings_out_of_range_are_reported_with_the_other_mistakes() -> None:
    message = message_of({**PLAIN, "train": {"steps": 0}, "modle": {}, "unlabelled": {"noisy": "r", "shar": 1}})
    for part in ("train.steps: 0; expected at least 1", "modle: no such key", "unlabelled.shar: no such key"):
        assert part in message


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"compressed": {"compression": 2}}, "loss.compressed: "),
        ({"si_sdr": {"max_db": -1}}, "loss.si_sdr: max_db is a positive number"),
    ],
)
def test_what_a_loss_refuses_is_one_line(loss: dict[str, Any], message: str) -> None:
    ((name, arguments),) = loss.items()
    with pytest.raises(InputError) as caught:
        losses.create(name, **arguments)
    assert str(caught.value).startswith(message)


def test_an_empty_line_for_title_or_folder_is_none() -> None:
    checked = read({**PLAIN, "title": None, "out": None})
    assert (checked.title, checked.out) == ("", "")


def test_a_word_with_the_name_of_a_term_is_no_path() -> None:
    _, overrides = _take_overrides(["train", "r.yaml", "weights.loss/compressed=2", "runs/lr=1/r.yaml"])
    assert overrides == ["weights.loss/compressed=2"]
