"""The checks that a run must pass before it starts, and what a run tells of its methods."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from helpers.recipes import batch_of, objective_of, pair, recipe
from sordino import models
from sordino.cli.main import main
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import AttentionTransfer, attention_distance
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.build import build_trainer
from sordino.experiments.dry_run import dry_run
from sordino.experiments.finished import method_tables
from sordino.experiments.recipe import read
from sordino.losses import L1
from sordino.training import Objective
from sordino.training.checks import check
from sordino.training.log import FIGURES
from sordino.types import Batch, View

# Checks


class Broken(Method):
    """A method with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.zero_when_equal = fault == "not zero"  # pyright: ignore[reportAttributeAccessIssue]

    def prepare(self, student: View, teacher: View) -> None:
        if self.fault == "unreached":
            self.learnt = nn.Linear(2, 2)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        distance = (student.wave - teacher.wave).square().mean()
        return {
            "nan": distance * float("nan"),
            "nothing": 0 * distance,
            "detached": distance.detach(),
            "unreached": distance,
            "not zero": distance + 1,
        }[self.fault]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "kd/broken: nan on the first batch"),
        ("nothing", "kd/broken: 0 on the first batch"),
        ("detached", "does not reach the student"),
        ("unreached", "does not reach learnt.weight"),
        ("not zero", "1 for a student that equals its teacher"),
    ],
)
def test_a_broken_method_is_named_before_it_trains(fault: str, message: str) -> None:
    student, teacher = pair()
    objective = Objective({"l1": L1()}, {"broken": Broken(fault)}, student, teacher)
    batch = batch_of()
    objective.prepare(student, batch)
    with pytest.raises(InputError, match=message):
        check(objective, student, batch)


class Stretching(AttentionTransfer):
    """Brings one map to the length of the other, whatever samples their frames stand for."""

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        pairs = [
            attention_distance(student.feats[student_tap], teacher.feats[teacher_tap])
            for student_tap, teacher_tap in self.pairs
        ]
        return torch.stack(pairs).sum()


@pytest.mark.parametrize("items", [1, 2])
def test_features_that_are_compared_out_of_place_are_found_before_training(items: int) -> None:
    student, teacher = pair()
    batch = batch_of(items)
    for method, stretches in ((Stretching(), True), (AttentionTransfer(), False)):
        objective = Objective({"l1": L1()}, {"mine": method}, student, teacher)
        objective.prepare(student, batch)
        if not stretches:
            check(objective, student, batch)
            continue
        with pytest.raises(InputError, match=r"kd/mine: .* pad their input .* below 2% of the second; match the feat"):
            check(objective, student, batch)


def test_a_batch_that_holds_no_reference_by_chance_passes() -> None:
    student, teacher = pair()
    methods = {"dispatch": METHODS["dispatch"](), "output": METHODS["output"]()}
    objective, batch = Objective({"l1": L1()}, methods, student, teacher), batch_of()
    none = Batch(batch.noisy, None, batch.lengths, batch.ids)
    half = Batch(batch.noisy, batch.clean, batch.lengths, batch.ids, torch.tensor([True, False]))
    assert set(check(objective, student, none, "some")) == {"kd/output"}
    assert set(check(objective, student, half, "some")) == {"loss/l1", "kd/dispatch", "kd/output"}


def test_a_first_batch_with_nothing_to_learn_from_passes() -> None:
    student, objective = objective_of()
    silence = torch.zeros(2, 4000)
    assert check(objective, student, Batch(silence, silence, torch.full((2,), 4000), ("a", "b")))["kd/output"] == 0
    student, teacher = pair()
    batch = batch_of()
    teacher.network.forward = lambda noisy: 100 * noisy  # type: ignore[method-assign]
    for name in ("bounded", "dispatch"):
        objective = Objective({"l1": L1()}, {name: METHODS[name]()}, student, teacher)
        objective.prepare(student, batch)
        assert check(objective, student, batch)[f"kd/{name}"] == 0


def test_recordings_that_nothing_learns_from_are_refused() -> None:
    student, _ = pair()
    with pytest.raises(InputError, match="unlabelled: recordings that nothing learns from"):
        check(Objective({"l1": L1()}, {}, student), student, batch_of(), "some")


def test_a_likelihood_may_begin_below_zero() -> None:
    student, teacher = pair()
    objective, batch = Objective({}, {"vid": METHODS["vid"](variance=0.1)}, student, teacher), batch_of()
    objective.prepare(student, batch)
    assert check(objective, student, batch)["kd/vid"] < 0


def test_checks_leave_no_trace() -> None:
    student, objective = objective_of(stages=[{"loss/l1": 0.0}, {"kd/output": 0.0}])
    batch, before = batch_of(), copy.deepcopy(student.state_dict())
    objective.prepare(student, batch)
    random = torch.get_rng_state()
    terms = check(objective, student, batch)
    assert set(terms) == {"loss/l1", "kd/output"}
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(one.grad is None for one in student.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert objective.weighting.stage == 0


def test_dry_run_tells_the_terms_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = recipe(tmp_path, train={"epochs": 2, "batch_size": 2, "accelerator": "cpu", "workers": 0, "threads": 1})
    values["stages"][0] = {"epochs": 1, "weights": {"loss/weighted": 0.0}}
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    tried = dry_run(values)
    assert set(tried.terms) == {"loss/weighted", "kd/output"}
    assert tried.pulls == {}  # in each of its two stages there is one term alone
    assert tried.parameters == models.count_parameters(models.create("unet", width=4, depth=2, groups=1))
    assert tried.steps > 2
    assert not list((tmp_path / "empty").iterdir())


def test_dry_run_says_nothing_of_a_teacher_that_is_not_there(tmp_path: Path) -> None:
    values = recipe(tmp_path, stages=[])
    statuses: list[str] = []
    dry_run(values, status=statuses.append)
    assert "measuring what the teacher costs and how hard methods pull" in statuses
    statuses.clear()
    alone = {key: value for key, value in values.items() if key not in ("teacher", "distill", "weights")}
    dry_run(alone, status=statuses.append)
    assert [line.partition(" ")[0] for line in statuses] == ["checking", "trying"]


@pytest.mark.parametrize(
    ("weight", "pull"), [(2.0, None), ({"balance": 0.5}, 0.5), ({"ramp": "linear", "steps": 4, "end": 2.0}, None)]
)
def test_dry_run_tells_how_hard_a_method_pulls(
    tmp_path: Path, weight: Any, pull: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    values = recipe(tmp_path, stages=[], weights={"loss/weighted": 3.0, "kd/output": weight})
    tried = dry_run(values)
    trainer = build_trainer(read(values), tmp_path / "run")
    batch, losses = trainer.first_batch(), trainer.objective.losses
    twin = copy.deepcopy(trainer.student).train()
    terms = trainer.objective.terms(twin, batch, losses, trainer.objective.methods)
    gradients = (
        torch.autograd.grad(terms[name], list(twin.parameters()), retain_graph=True)
        for name in ("kd/output", "loss/weighted")
    )
    long, short = (torch.cat([one.flatten() for one in parts]).norm().item() for parts in gradients)
    assert tried.pulls["kd/output"] == pytest.approx(pull or 2 * long / (3 * short), rel=1e-3)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    main(["train", str(path), "--dry-run"])
    assert f"pulls {tried.pulls['kd/output']:.3g} times as hard as the loss" in capsys.readouterr().out


def test_a_dry_run_refuses_the_folder_that_the_run_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(recipe(tmp_path, stages=[], out=str(folder))))
    run.train(path)
    (tmp_path / "file").touch()
    for words, line in (
        ([], f"{folder}: holds a run already"),
        (["--resume", "train.batch_size=1"], f"{folder}: train.batch_size is 1, but the run began with 2"),
        (["--out", f"{tmp_path}/none", "--resume"], f"{tmp_path}/none: no run to resume here"),
        (["--out", f"{tmp_path}/file/below"], f"{tmp_path}/file/below/best.safetensors: cannot be written"),
    ):
        for dry in ([], ["--dry-run"]):
            with pytest.raises(SystemExit, match="2"):
                main(["train", str(path), *words, *dry])
            said = capsys.readouterr().err
            if dry or "/file/below" not in " ".join(words):
                assert f"sordino: {line}" in said
    assert not (tmp_path / "none").exists()


def test_damaged_tables_of_methods_are_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run.train(recipe(tmp_path, stages=[], distill={"abc": {}}), out=folder)
    (table, *_) = method_tables(folder)
    assert table["axes"] == ("student's layers", "teacher's layers")
    record = {key: value for key, value in table.items() if key != "axes"}
    for changes in ({"name": "kd/other/attention"}, {"name": "abc"}, {"name": 3}, {"rows": None}, {"values": "none"}):
        (folder / FIGURES).write_text(json.dumps(record | changes) + "\n")
        with pytest.raises(InputError, match=f"{FIGURES}: a record at step .* is no table of one of the run's methods"):
            method_tables(folder)


def test_what_methods_tell_is_kept_beside_the_log(tmp_path: Path) -> None:
    for name in ("abc", "afd", "alp", "bounded", "clskd", "dispatch", "factor", "reviewkd", "semckd", "vid"):
        values = recipe(tmp_path, stages=[], distill={name: {}})
        values["train"] = {**values["train"], "steps": 2, "validate_every": 2}
        run.train(values, out=tmp_path / name)
        tables = [json.loads(line) for line in (tmp_path / name / FIGURES).read_text().splitlines()]
        assert [table["step"] for table in tables] == [1, 2]
        for table in tables:
            assert np.shape(table["values"]) == (len(table["rows"]), len(table["columns"]))
