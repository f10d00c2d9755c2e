"""The log of a run: one JSON object per line, and the same numbers for TensorBoard and other trackers.

Small tables that a method returns beside its loss, such as attention over layers, go to a file of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sordino.distill.base import Method
from sordino.errors import InputError
from sordino.files import read_text, unwritable, write_text
from sordino.json_files import fits, parse_json
from sordino.training.trackers import Tracker, open_trackers

LOG, FIGURES = "log.jsonl", "figures.jsonl"
LONGEST = 1 << 32
"""Bytes of a log."""


def read_log(folder: str | Path, name: str = LOG) -> list[dict[str, Any]]:
    """Read the records of a run in the order of their steps; an unfinished last line, left by a crash, is skipped.

    Raises:
        InputError: another line is damaged.
    """
    path = Path(folder) / name
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(read_text(path, LONGEST).splitlines(keepends=True), 1):
        if line.endswith("\n"):
            records.append(_record(f"{path}, line {number}", line))
    return records


def _record(where: str, line: str) -> dict[str, Any]:
    expected, hint = "record of a run", "remove the line"
    record = parse_json(where, line, expected, hint, finite=False)
    if not fits(record, dict[str, Any]) or not fits(record.get("step"), int):
        raise InputError(where, "is damaged", expected, hint)
    return record


class RunningMeans:
    """Means of values over several steps, each over the steps that have it: terms come and go with stages and batches.

    Args:
        sums: value by value, of the steps so far.
        counts: the number of steps that had each value.
    """

    def __init__(self, sums: Mapping[str, float] | None = None, counts: Mapping[str, int] | None = None) -> None:
        self.sums, self.counts = dict(sums or {}), dict(counts or {})

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means, and begin anew."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class Log:
    """Appends records to ``log.jsonl`` and to the records of trackers.

    Args:
        folder: of the run; None keeps no log, as in all processes but the first.
        step: the step that the run starts from; later records, left by an interrupted run, are removed.
        validated: the step of the last validation in the run's state; records of later ones are removed, since a run
            that was killed before it saved its validation repeats it. ``step`` when left out.
        trackers: names of ``sordino.training.trackers``.
        about: facts of the run, for the trackers, such as the recipe.

    Raises:
        InputError: a tracker that has no access to its server.
    """

    def __init__(
        self,
        folder: Path | None,
        step: int = 0,
        validated: int | None = None,
        trackers: Sequence[str] = (),
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._files: dict[str, IO[str]] = {}
        self._trackers: list[Tracker] = []
        if folder is not None:
            self._files = {name: _reopened(folder, name, step, validated) for name in (LOG, FIGURES)}
            recipe = (about or {}).get("recipe", {})
            self._trackers = open_trackers(trackers, folder, step, recipe)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record ``values`` of ``step``; they are on disk when this returns."""
        if not self._files:
            return
        self._append(LOG, {"step": step, **values})
        for tracker in self._trackers:
            tracker.write(step, values)

    def draw(self, step: int, methods: Mapping[str, Method]) -> None:
        """Record the tables that ``methods`` return beside their losses, with the names of rows and columns."""
        if not self._files:
            return
        for name, method in methods.items():
            for figure, values in method.figures().items():
                table = {"rows": method.rows, "columns": method.columns, "values": values.cpu().tolist()}
                self._append(FIGURES, {"step": step, "name": f"kd/{name}/{figure}", **table})

    def _append(self, name: str, record: dict[str, Any]) -> None:
        file = self._files[name]
        try:
            file.write(json.dumps(record) + "\n")
            file.flush()
        except OSError as error:
            raise unwritable(file.name, error) from error

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        closing: list[tuple[str, Callable[[], None]]] = [(file.name, file.close) for file in self._files.values()]
        closing += [(LOG, partial(tracker.close, error)) for tracker in self._trackers]
        failures: list[InputError] = []
        for name, close in closing:
            try:
                close()
            except OSError as failure:
                failures.append(unwritable(name, failure))
            except InputError as failure:
                failures.append(failure)
        # Closing retries a write that failed. If that failure ended the block, its error is the clearer one.
        if failures and error is None:
            raise failures[0]


def _reopened(folder: Path, name: str, step: int, validated: int | None) -> IO[str]:
    """Open a log for appending, without the records of steps and validations that the run will repeat."""
    lines = []
    for record in read_log(folder, name):
        last = step
        if validated is not None and _of_validation(record):
            last = min(validated, step)
        if record["step"] <= last:
            lines.append(json.dumps(record) + "\n")
    write_text(folder / name, "".join(lines))
    return open(folder / name, "a", encoding="utf-8")


def _of_validation(record: Mapping[str, Any]) -> bool:
    return any(key.startswith("valid/") for key in record)
