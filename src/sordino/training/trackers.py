"""Trackers that show the numbers of a run: TensorBoard, MLflow, and Weights & Biases, by name in ``train.log``.

MLflow and Weights & Biases are optional. Address, project and key come from their own environment variables, such as
``MLFLOW_TRACKING_URI`` and ``WANDB_PROJECT``. Each numbers its runs itself; ``trackers.json`` in the folder of the run
keeps these numbers, so that a resumed run goes on in the same record. Steps that it repeats are the same again, unless
it goes on at another learning rate: TensorBoard then shows the new values, MLflow both, and Weights & Biases the old
ones, as it takes no step twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from sordino.errors import InputError
from sordino.json_files import read_json, write_json

IDS = "trackers.json"


class Tracker(Protocol):
    """The open record of one run."""

    @property
    def id(self) -> str | None:
        """Identifier of the run at the tracker's server; None where there is no server."""
        ...

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record ``values`` of ``step``."""
        ...

    def close(self, error: BaseException | None) -> None:
        """End the record; ``error`` is what ended the run too early."""
        ...


class TensorBoard:
    """Event files below ``tensorboard/``."""

    id = None

    def __init__(self, folder: Path, step: int, id: str | None, recipe: Mapping[str, Any]) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, error: BaseException | None) -> None:
        self._writer.close()


class MLflow:
    """A run of MLflow, with the recipe as its parameters."""

    def __init__(self, folder: Path, step: int, id: str | None, recipe: Mapping[str, Any]) -> None:
        self._mlflow = import_module("mlflow")
        with self._as_input_errors():
            run = self._mlflow.start_run(run_id=id, run_name=None if id else folder.name)
            if id is None:
                self._mlflow.log_params(dict(_dotted(recipe)))
        self.id: str | None = run.info.run_id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        with self._as_input_errors():
            self._mlflow.log_metrics(dict(values), step=step)

    def close(self, error: BaseException | None) -> None:
        early = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        with self._as_input_errors():
            self._mlflow.end_run("FINISHED" if error is None else early)

    @contextmanager
    def _as_input_errors(self) -> Iterator[None]:
        """Context manager that raises MLflow's errors as an InputError."""
        try:
            yield
        except self._mlflow.MlflowException as error:
            hint = "look at MLFLOW_TRACKING_URI; the run then goes on with --resume"
            raise InputError("train.log", f"mlflow: {_first_line(error)}", hint=hint) from error


class WandB:
    """A run of Weights & Biases, with the recipe as its configuration; its files lie below ``wandb/``."""

    def __init__(self, folder: Path, step: int, id: str | None, recipe: Mapping[str, Any]) -> None:
        wandb = import_module("wandb")
        try:
            self._run = wandb.init(dir=folder, name=folder.name, id=id, resume="allow", config=dict(recipe))
        except wandb.Error as error:
            hint = "run wandb login, or set WANDB_MODE=offline"
            raise InputError("train.log", f"wandb: {_first_line(error)}", hint=hint) from error
        self.id: str | None = self._run.id

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, error: BaseException | None) -> None:
        self._run.finish(exit_code=0 if error is None else 1)


TRACKERS: dict[str, Callable[[Path, int, str | None, Mapping[str, Any]], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def check_installed(names: Sequence[str]) -> None:
    """Refuse a tracker whose package, which has the tracker's name, is not installed.

    Raises:
        InputError: it is not; the message says how to install it.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputError("train.log", f"{name} is not installed", hint=f"run pip install {name}")


def open_trackers(names: Sequence[str], folder: Path, step: int, recipe: Mapping[str, Any]) -> list[Tracker]:
    """Open the records of a run.

    Args:
        names: of ``TRACKERS``.
        folder: of the run.
        step: that the run starts from; above 0 the records that it had before go on.
        recipe: of the run, for a record that begins.

    Raises:
        InputError: a tracker that has no access to its server, or a damaged file of their numbers.
    """
    path = folder / IDS
    known: dict[str, str] = {}
    if step and path.is_file():
        known = read_json(path, dict[str, str], "record of trackers", "remove the file, to begin new records")
    trackers_by_name: dict[str, Tracker] = {}
    try:
        for name in names:
            if name not in trackers_by_name:
                trackers_by_name[name] = TRACKERS[name](folder, step, known.get(name), recipe)
    except InputError as error:
        for tracker in trackers_by_name.values():
            tracker.close(error)
        raise
    ids = known | {name: tracker.id for name, tracker in trackers_by_name.items() if tracker.id is not None}
    if ids:
        write_json(path, ids)
    return list(trackers_by_name.values())


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values under names with dots between the levels, as ``sordino train`` takes them."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
