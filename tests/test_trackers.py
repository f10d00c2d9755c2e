"""Trackers named in ``train.log``: what they record, how a resumed run goes on in the same record, what is refused."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from helpers.recipes import SOUND, UNET, settings
from helpers.runs import interrupt_at
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.dry_run import dry_run
from sordino.experiments.recipe import read
from sordino.training import read_log
from sordino.training.settings import Settings
from sordino.training.trackers import IDS, TRACKERS

BOTH = ["mlflow", "wandb"]


def recipe(**train: Any) -> dict[str, Any]:
    return {"data": SOUND, "model": UNET, "loss": {"l1": {}}, "train": settings(4, **train)}


def interrupted(folder: Path, values: dict[str, Any]) -> None:
    """Train, stop after two of four steps, and go on to the end."""
    with pytest.raises(KeyboardInterrupt):
        run.train(values, out=folder, progress=interrupt_at(2))
    run.train(values, out=folder, resume=True)


class Library:
    """What stands in for mlflow and wandb: the functions that are called of them, and a list of the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.refuses: Exception | None = None

        class Failure(Exception):
            pass

        self.failure = Failure
        begin = SimpleNamespace(info=SimpleNamespace(run_id="a1"))
        self._stand_in(
            monkeypatch,
            "mlflow",
            MlflowException=Failure,
            start_run=lambda run_id, run_name: self._called("start", (run_id, run_name), begin),
            log_params=lambda params: self._called("params", params),
            log_metrics=lambda values, step: self._called("metrics", (step, values)),
            end_run=lambda status: self._called("end", status),
        )
        record = SimpleNamespace(
            id="b2",
            log=lambda values, step: self._called("log", (step, values)),
            finish=lambda exit_code: self._called("finish", exit_code),
        )
        self._stand_in(
            monkeypatch,
            "wandb",
            Error=Failure,
            init=lambda dir, name, id, resume, config: self._called("init", (dir, name, id, resume, config), record),
        )

    def _stand_in(self, monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, name, module)

    def _called(self, name: str, given: Any, answer: Any = None) -> Any:
        if self.refuses is not None and name in ("metrics", "init"):
            raise self.refuses
        self.calls.append((name, given))
        return answer

    def of(self, name: str) -> list[Any]:
        return [given for called, given in self.calls if called == name]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    return Library(monkeypatch)


def test_the_names_of_a_recipe_are_those_that_are_known() -> None:
    assert Settings().log == ["tensorboard"]
    assert read(recipe(log=list(TRACKERS))).train.log == list(TRACKERS)
    with pytest.raises(InputError, match=r"train\.log: \['mlfow'\]; expected a list out of tensorboard, mlflow, wandb"):
        read(recipe(log=["mlfow"]))


def test_each_gets_all_numbers_and_a_resumed_run_goes_on_in_its_record(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    interrupted(folder, recipe(log=BOTH))
    assert json.loads((folder / IDS).read_text()) == {"mlflow": "a1", "wandb": "b2"}
    assert not (folder / "tensorboard").exists()
    expected = [
        ({**record}.pop("step"), {k: v for k, v in record.items() if k != "step"}) for record in read_log(folder)
    ]
    assert [step for step, _ in expected] == [1, 2, 3, 4, 4]
    assert library.of("metrics") == library.of("log") == expected
    assert library.of("start") == [(None, "mine"), ("a1", None)]
    assert library.of("end") == ["KILLED", "FINISHED"]
    (parameters,) = library.of("params")
    assert (parameters["train.steps"], parameters["model.width"], parameters["data.name"]) == ("4", "4", "synthetic")
    first, second = library.of("init")
    assert (first[:4], second[:4]) == ((folder, "mine", None, "allow"), (folder, "mine", "b2", "allow"))
    assert first[4]["train"]["steps"] == 4
    assert library.of("finish") == [1, 0]


def test_a_run_that_begins_again_is_another_record(library: Library, tmp_path: Path) -> None:
    (tmp_path / IDS).write_text('{"mlflow": "of before"}')
    run.train(recipe(log=["mlflow"]), out=tmp_path)
    assert library.of("start") == [(None, tmp_path.name)]


def test_trackers_may_change_when_a_run_is_resumed(library: Library, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.train(recipe(), out=tmp_path, progress=interrupt_at(2))
    run.train(recipe(log=["mlflow"]), out=tmp_path, resume=True)
    assert [step for step, _ in library.of("metrics")] == [3, 4, 4]


def test_a_trial_leaves_no_record(library: Library) -> None:
    dry_run(recipe(log=BOTH))
    assert library.calls == []


def test_what_a_server_refuses_is_reported(library: Library, tmp_path: Path) -> None:
    library.refuses = library.failure("no route to host\nand much more")
    with pytest.raises(InputError, match=r"^train\.log: mlflow: no route to host.*--resume$"):
        run.train(recipe(log=["mlflow"]), out=tmp_path / "mlflow")
    assert library.of("end") == ["FAILED"]
    with pytest.raises(InputError, match=r"^train\.log: wandb: no route to host; .*WANDB_MODE=offline$"):
        run.train(recipe(log=BOTH), out=tmp_path / "wandb")
    assert library.of("end") == ["FAILED", "FAILED"]


@pytest.mark.parametrize("name", BOTH)
def test_one_that_is_not_installed_is_reported_before_anything_starts(name: str, tmp_path: Path) -> None:
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(InputError, match=rf"^train\.log: {name} is not installed; run pip install {name}$"):
        run.train(recipe(log=[name]), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mlflow_itself_keeps_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of a test")
    interrupted(tmp_path / "mine", recipe(log=["mlflow"]))
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'of a test'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status, found.data.params["train.steps"]) == ("mine", "FINISHED", "4")
    history = [(one.step, one.value) for one in client.get_metric_history(found.info.run_id, "total")]
    assert history == [(one["step"], one["total"]) for one in read_log(tmp_path / "mine") if "total" in one]


def test_wandb_itself_records_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    interrupted(tmp_path / "mine", recipe(log=["wandb"]))
    (number,) = json.loads((tmp_path / "mine" / IDS).read_text()).values()
    # Offline, each part of a run is a folder of its own, which wandb sync joins by the number in its name.
    parts = list((tmp_path / "mine" / "wandb").glob(f"offline-run-*-{number}"))
    assert len(parts) == 2
