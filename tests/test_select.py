"""What chooses a checkpoint, and what happens where it has no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sordino
from helpers.recipes import recipe
from sordino import models
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.build import build_trainer
from sordino.experiments.recipe import read
from sordino.metrics import COLUMNS, correlation, estoi, format_scores, si_sdr_db
from sordino.metrics.pair import MetricFailure
from sordino.training import read_log
from sordino.training.selection import DEFAULT, Selection
from sordino.training.state import CHECKPOINT, STATE, load_state


def plain(folder: Path, **train: Any) -> dict[str, Any]:
    """A tiny U-Net that learns from clean speech alone."""
    values = recipe(folder, stages=[], distill={})
    del values["teacher"]
    values["train"] |= train
    return values


def test_one_measure_or_a_weighted_sum_each_in_its_better_direction() -> None:
    means = {"pesq_wb": 2.0, "estoi": 0.7, "si_sdr_db": 10.0, "llr": 0.5}
    assert Selection().score(means) == pytest.approx(2.0 + 5 * 0.7 + 0.05 * 10)
    assert Selection("pesq_wb").score(means) == 2.0
    assert Selection("llr").score(means) == -0.5
    assert Selection({"pesq_wb": 1, "llr": 2, "estoi": 0}).score(means) == pytest.approx(2.0 - 2 * 0.5)
    assert set(DEFAULT) <= set(COLUMNS)
    assert "composite" in Selection("covl").metrics  # the metric that fills the column
    assert {"pesq_wb", "estoi", "si_sdr_db"} < set(Selection("stoi").metrics)
    assert Selection({"estoi": 1, "si_sdr_db": 1}).missing({"estoi": np.nan}) == ["estoi", "si_sdr_db"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pesq", "train.select.pesq: no measure has this name.*did you mean pesq_wb?"),
        ({"estoi": 1.0, "si_sdr": 1.0}, "did you mean si_sdr_db?"),
        ({"estoi": -1.0}, "train.select.estoi: -1.0; expected a weight of 0 or more"),
        ({"estoi": 0.0}, "nothing to choose by"),
        ({}, "nothing to choose by"),
    ],
)
def test_what_cannot_choose_is_reported_before_anything_starts(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run.train(plain(tmp_path, select=given), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_recipes_carry_a_name_or_weights(tmp_path: Path) -> None:
    for select in ("estoi", {"pesq_wb": 1.0, "estoi": 5.0}):
        assert read(plain(tmp_path, select=select)).train.select == select
    assert read(plain(tmp_path), ["train.select={estoi: 2}"]).train.select == {"estoi": 2}
    with pytest.raises(InputError, match=r"train\.select"):
        read(plain(tmp_path, select=[1]))


def test_the_best_checkpoint_is_the_one_with_the_highest_sum(tmp_path: Path) -> None:
    weights = {"si_sdr_db": 1.0, "snr_db": 0.1}
    outcome = run.train(plain(tmp_path, steps=3, select=weights, validate_every=1), out=tmp_path / "run")
    log = [line for line in read_log(tmp_path / "run") if "valid/score" in line]
    assert [line["step"] for line in log] == [1, 2, 3]
    for line in log:
        assert line["valid/score"] == pytest.approx(line["valid/si_sdr_db"] + 0.1 * line["valid/snr_db"])
        assert {f"valid/{name}" for name in ("pesq_wb", "estoi", "correlation")} <= line.keys()
    best = max(log, key=lambda line: line["valid/score"])
    assert (outcome.best_step, outcome.best_score) == (best["step"], best["valid/score"])
    about = models.read_header(outcome.checkpoint)["about"]
    assert about["valid"] == {name.removeprefix("valid/"): best[name] for name in best if name.startswith("valid/")}
    assert about["select"] == weights
    assert "SI-SDR (dB)" in format_scores(about["valid"])


def silent(self: torch.nn.Module, noisy: torch.Tensor) -> torch.Tensor:
    return 0 * noisy + 0 * next(self.parameters()).sum()


def test_recordings_without_a_value_end_the_run_and_silent_estimates_are_never_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build_trainer(read(plain(tmp_path)), tmp_path / "run")
    monkeypatch.setattr(type(trainer.student), "forward", silent)
    scores = trainer.judge.scores()
    assert scores["unscored"] == 1
    assert "score" not in scores
    trainer.judge.keep(1, scores)
    assert trainer.judge.best is None
    assert models.read_header(tmp_path / "run" / CHECKPOINT)["about"]["step"] == 1
    trainer.judge.keep(2, scores | {"score": -3.0})
    trainer.judge.keep(3, scores)
    assert models.read_header(tmp_path / "run" / CHECKPOINT)["about"]["step"] == 2
    trainer.judge.best = None
    item = trainer.judge.items[0]
    trainer.judge.items = [item._replace(clean=np.zeros_like(item.noisy))]
    with pytest.raises(
        InputError, match=r"train\.select\.pesq_wb: has no value on any validation recording \(.*silent"
    ):
        trainer.judge.scores()


def test_a_network_that_goes_on_is_scored_before_it_does(tmp_path: Path) -> None:
    values = plain(tmp_path, steps=2, validate_every=2, max_lr=10.0)  # which ruins it
    values |= {"model": {"checkpoint": "unet-24"}, "data": {"name": "synthetic", "segment_s": 0.5, "valid_items": 1}}
    outcome = run.train(values, out=tmp_path / "run")
    log = [line for line in read_log(tmp_path / "run") if "valid/score" in line]
    assert [line["step"] for line in log] == [0, 2]
    assert log[0]["valid/score"] > log[1]["valid/score"]
    assert (outcome.best_step, outcome.best_score) == (0, log[0]["valid/score"])
    shipped, kept = sordino.load("unet-24").state_dict(), sordino.load(outcome.checkpoint).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in shipped.items())


def test_a_state_of_an_older_version_goes_on_choosing_by_pesq(tmp_path: Path) -> None:
    values = plain(tmp_path, steps=4, validate_every=2)

    def stop(_task: str, done: int, _total: int, _numbers: dict[str, float]) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(values, out=tmp_path / "run", progress=stop)
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    assert (state["step"], state["format"]) == (2, 2)
    for new in ("judge", "stepper", "average"):
        del state[new]
    torch.save(state | {"format": 1, "best": (0.5, 2)}, tmp_path / "run" / STATE)
    outcome = run.train(values, out=tmp_path / "run", resume=True)
    (last,) = [line for line in read_log(tmp_path / "run") if line["step"] == 4 and "valid/score" in line]
    assert last["valid/score"] == last["valid/pesq_wb"] == outcome.best_score
    assert load_state(tmp_path / "run")["judge"]["select"] == {"pesq_wb": 1.0}


def test_correlation_sees_the_sign_that_the_others_do_not() -> None:
    draw = np.random.default_rng(0)
    clean = draw.standard_normal(16000) * np.sin(np.arange(16000) / 900)
    estimate = clean + 0.5 * draw.standard_normal(16000)
    assert correlation(clean, estimate) == pytest.approx(np.corrcoef(clean, estimate)[0, 1])
    assert correlation(clean, -3 * estimate + 1) == pytest.approx(-correlation(clean, estimate))
    assert si_sdr_db(clean, -estimate) == pytest.approx(si_sdr_db(clean, estimate))
    assert estoi(clean, -estimate, 16000) == pytest.approx(estoi(clean, estimate, 16000))
    with pytest.raises(MetricFailure, match="constant"):
        correlation(clean, np.ones(16000))


def test_estoi_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    clean = np.sin(np.arange(16000) ** 1.3 / 50)
    noisy = clean + 0.3 * np.random.default_rng(1).standard_normal(16000)
    np.random.seed(5)  # noqa: NPY002
    first, drawn = estoi(clean, noisy, 16000), np.random.random()  # noqa: NPY002
    assert estoi(clean, noisy, 16000) == first
    np.random.seed(5)  # noqa: NPY002
    assert np.random.random() == drawn  # noqa: NPY002


def test_a_mean_over_fewer_recordings_is_never_better(tmp_path: Path) -> None:
    judge = build_trainer(read(plain(tmp_path)), tmp_path / "run").judge
    kept = []
    for step, scores in enumerate(({"score": 5.0, "unscored": 1.0}, {"score": 4.0}, {"score": 9.0, "unscored": 2.0})):
        judge.keep(step, scores)
        assert judge.best is not None
        kept.append(judge.best.step)
    assert kept == [0, 1, 1]
