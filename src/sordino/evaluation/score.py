"""Score a model on recordings: one row per file, computed in a pool of processes while the model enhances the next.

In a distributed run, each process takes its share of the recordings and all of them return all rows.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

import numpy as np

from sordino.audio.alignment import Alignment, alignment
from sordino.audio.pcm import as_estimate
from sordino.distributed import all_gather, rank, world_size
from sordino.errors import InputError
from sordino.evaluation.measuring import Job, Recording, measured, workplaces
from sordino.evaluation.shares import Failure, Share, lost_recordings, merged, misaligned
from sordino.evaluation.signals import levels
from sordino.evaluation.statistics import OVER_FILES, Summary, summarise
from sordino.files import atomic, spreadsheet
from sordino.json_files import fits, read_json, write_json
from sordino.metrics import DEFAULT, Align, Measurement, check, columns, describe, metric
from sordino.types import Enhance, Item, Progress
from sordino.version import __version__

NOISY, CLEAN = "noisy", "clean"
"""What tables, scores, players and commands call the unprocessed input, and the reference: no model has these names."""


class _Content(TypedDict):
    """What is read of a file of scores."""

    rows: list[dict[str, float | str]]
    metrics: list[str]
    failures: list[Failure]
    metadata: dict[str, Any]


@dataclass
class Scores:
    """The scores of one model on one set of recordings."""

    rows: list[dict[str, Any]]
    """One per file: ``id``, ``speaker``, ``seconds``, and every metric column that has a value."""
    metrics: tuple[str, ...]
    failures: list[Failure] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    """What computed the figures, and from what."""

    def values(self, column: str) -> dict[str, float]:
        """Return the figures of one column: file id to score."""
        return {row["id"]: row[column] for row in self.rows if column in row}

    def summary(self) -> dict[str, Summary]:
        """Return count, mean, standard deviation and 95 % interval of every column that has values."""
        summaries = {}
        for column in columns(self.metrics):
            values = list(self.values(column).values())
            if values:
                summaries[column] = summarise(values)
        return summaries

    def means(self) -> dict[str, float]:
        """Return the mean of every column over the files that have a value."""
        return {column: summary.mean for column, summary in self.summary().items()}

    def to_csv(self, path: str | Path) -> None:
        """Write the rows; a cell without a value stays empty."""
        with atomic(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, ["id", "speaker", "seconds", *columns(self.metrics)])
            writer.writeheader()
            for row in self.rows:
                writer.writerow({key: spreadsheet(value) for key, value in row.items()})

    def as_json(self) -> dict[str, Any]:
        """Return everything in plain values: metadata, summary, rows and failures."""
        return {
            "metadata": self.metadata,
            "metrics": list(self.metrics),
            "summary": {column: summary._asdict() for column, summary in self.summary().items()},
            "interval": OVER_FILES,
            "failures": [asdict(failure) for failure in self.failures],
            "rows": self.rows,
        }

    def to_json(self, path: str | Path) -> None:
        """Write what :meth:`as_json` returns."""
        write_json(path, self.as_json())

    @classmethod
    def from_json(cls, path: str | Path) -> Scores:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: the file is missing or is something else.
        """
        try:
            content = read_json(path, dict[str, Any], "file of scores")
        except FileNotFoundError as error:
            raise InputError(path, "there is no such file", "scores written by Scores.to_json") from error
        if not _are_scores(content):
            raise InputError(path, "does not hold scores", "a file written by Scores.to_json")
        failures = [Failure(**failure) for failure in content["failures"]]
        return cls(content["rows"], tuple(content["metrics"]), failures, content["metadata"])


def _are_scores(content: dict[str, Any]) -> bool:
    """Tell whether what was read has the parts of scores; every row has an id, and a number in each other column."""
    parts = {key: content.get(key) for key in get_type_hints(_Content)}  # without the summary, which is computed anew
    if not fits(parts, _Content):
        return False
    for row in content["rows"]:
        if not isinstance(row.get("id"), str):
            return False
        numbers = [value for key, value in row.items() if key not in ("id", "speaker")]
        if not all(fits(number, float) for number in numbers):
            return False
    return True


def score(
    enhance: Enhance | None,
    items: Sequence[Item],
    metrics: Sequence[str] = DEFAULT,
    sample_rate: int = 16000,
    workers: int | None = None,
    progress: Progress | None = None,
    align: Align = "exact",
    check_references: bool = False,
) -> Scores:
    """Enhance recordings and measure each, against its clean reference where a metric needs one.

    In a run of several processes, all of them call it.

    Args:
        enhance: noisy [T] to estimate [T], called in this process; None scores the noisy input itself.
        items: the recordings, with references unless every metric judges the estimate alone; read one after the other.
        metrics: names as ``sordino.metrics.metric`` takes them.
        sample_rate: of the items, in Hz.
        workers: processes that compute the metrics; 0 computes them in this one; None takes one per core, or this
            process's share of the cores, for what is left after two seconds of measuring in this one. A script that
            uses another than 0 keeps its own work under ``if __name__ == "__main__":``.
        progress: called after each file, in the first process.
        align: as ``sordino.metrics.measure`` takes it.
        check_references: look for references that are late or of another recording, which the metadata then names.

    Raises:
        InputError: there is nothing to score, a metric's file is not installed, an item has no reference, the lengths
            differ, or no recording can be read. If only some recordings cannot be read, they are failures.
    """
    metrics, total = check(metrics), len(items)
    methods = {name: describe(name) for name in metrics}  # first: a metric that cannot be computed says so here
    if not total:
        raise InputError("items", "there are no recordings to score", "one or more")
    compared = any(metric(name).needs_clean for name in metrics)
    mine = items[rank() :: world_size()]
    workers, here_s = workplaces(workers, len(mine))

    unreadable: list[InputError] = []

    def jobs() -> Iterator[tuple[Recording, Job]]:
        for index, item in _readable(mine, unreadable):
            place = rank() + index * world_size()
            row = {"id": item.id, "speaker": item.speaker, "seconds": item.length / sample_rate}
            clean, estimate = _enhanced(enhance, item, compared)
            aligned = None
            if check_references and compared and clean is not None:
                aligned = _compared(clean, estimate, item.noisy[: item.length])
            yield Recording(place, row, aligned, levels(item)), Job(clean, estimate, sample_rate, metrics, align)

    def share() -> Share:
        return Share(_scored(measured(jobs(), workers, here_s), progress, total), unreadable)

    recordings, failures = merged(shares := all_gather(share))
    failures += lost_recordings(shares, metrics, bool(recordings))
    metadata = {"sordino": __version__, "sample_rate": sample_rate, "align": align, "computed_by": methods}
    metadata["levels"] = {one.row["id"]: one.levels for one in recordings}
    if check_references:
        metadata |= misaligned(recordings)
    return Scores([recording.row for recording in recordings], metrics, failures, metadata)


def _compared(clean: np.ndarray, estimate: np.ndarray, noisy: np.ndarray) -> Alignment:
    """Compare an estimate with its reference; the noisy input decides whether the reference is of another recording."""
    aligned = alignment(clean, estimate)
    if not aligned.foreign:
        return aligned
    return Alignment(None, alignment(clean, noisy).foreign)


def _readable(items: Sequence[Item], unreadable: list[InputError]) -> Iterator[tuple[int, Item]]:
    """Yield the recordings that can be read, with their places; of the others the error is added to ``unreadable``."""
    for index in range(len(items)):
        try:
            item = items[index]
        except InputError as error:
            unreadable.append(error)
            continue
        yield index, item


def _scored(
    measurements: Generator[tuple[Recording, Measurement]], progress: Progress | None, total: int
) -> list[tuple[Recording, list[Failure]]]:
    """Collect this process's recordings with their scores, each with the metrics that have no value for it."""
    scored = []
    with closing(measurements):
        for recording, measurement in measurements:
            name = recording.row["id"]
            failures = [Failure(name, metric, reason) for metric, reason in measurement.failures.items()]
            scored.append((recording._replace(row=recording.row | measurement.values), failures))
            if progress is not None and rank() == 0:
                # Processes take their recordings in turn, so the count of the first one stands for all.
                progress("scoring", min(len(scored) * world_size(), total), total, {})
    return scored


def _enhanced(enhance: Enhance | None, item: Item, compared: bool) -> tuple[np.ndarray | None, np.ndarray]:
    """Return clean reference and estimate without padding; a missing reference is an error if it is ``compared``.

    A reference that is longer than the noisy signal keeps its length, which the alignment then judges.
    """
    if item.clean is None and compared:
        raise InputError(item.id, "has no clean reference", "a pair of noisy and clean", "or --metrics dnsmos")
    noisy = item.noisy[: item.length]
    clean = item.clean
    if clean is not None and len(clean) == len(item.noisy):  # both are padded to the longest of a batch
        clean = clean[: item.length]
    estimate = noisy if enhance is None else as_estimate(enhance(noisy), getattr(enhance, "name", "the model"))
    return clean, estimate
