"""Metrics: two signals in, floats out, and the catalogue through which reports and recipes use them.

A metric is one function ``(clean [T], estimate [T], sample_rate)`` and one entry in ``METRICS``. If it is undefined for
a recording it raises :class:`MetricFailure`, which :func:`measure` records separately; a missing value is never counted
as zero. The packages ``pesq`` and ``pystoi`` are imported when first needed. A metric that needs no clean signal is
called with one too, or with None, and ignores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from sordino.audio.pcm import as_array, check_shape, to_float, whole_rate
from sordino.audio.sound_files import resample
from sordino.errors import InputError
from sordino.metrics.builtin import METRICS
from sordino.metrics.composite import composite
from sordino.metrics.dnsmos import dnsmos
from sordino.metrics.entry import Column, Metric, entry_of, is_metric
from sordino.metrics.pair import Align, MetricFailure, pair
from sordino.metrics.perceptual import estoi, pesq_nb, pesq_wb, stoi
from sordino.metrics.ratios import correlation, si_sdr_above_db, si_sdr_db, snr_db
from sordino.plugins import catalogue

__all__ = [
    "COLUMNS",
    "DEFAULT",
    "METRICS",
    "Align",
    "Column",
    "Measurement",
    "Metric",
    "MetricFailure",
    "check",
    "columns",
    "composite",
    "correlation",
    "describe",
    "dnsmos",
    "estoi",
    "format_scores",
    "look_of",
    "measure",
    "metric",
    "owner",
    "pair",
    "pesq_nb",
    "pesq_wb",
    "si_sdr_above_db",
    "si_sdr_db",
    "snr_db",
    "stoi",
]


class Measurement(NamedTuple):
    """Values of the metrics for one recording."""

    values: dict[str, float]
    """Column -> value; columns without a value are left out."""
    failures: dict[str, str]
    """Metric -> reason why it has no value."""


COLUMNS: dict[str, Column] = dict(chain.from_iterable(entry.columns.items() for entry in METRICS.values()))

DEFAULT = ("pesq_wb", "stoi", "estoi", "composite", "si_sdr_db")
"""What is measured where nothing is asked for: what the MV-AT paper shows, ESTOI and SI-SDR."""

imported: dict[str, Metric] = {}
"""Metrics that were imported by their names: those of the user's, and of installed packages."""


def metric(name: str) -> Metric:
    """Return the entry of a metric: one of ``METRICS``, that of an installed package, or ``package.module:function``.

    Raises:
        InputError: there is no such metric.
    """
    if name in METRICS:
        return METRICS[name]
    if name not in imported:
        # A column's name is a likely mistake: csig is a column of composite.
        if name in COLUMNS:
            raise InputError(f"metric {name}", "no such metric", hint=f"ask for {owner(name)!r}")
        expected = "a function of (clean, estimate, sample_rate), or a sordino.metrics.Metric"
        imported[name] = entry_of(name, catalogue.find("metric", name, METRICS, is_metric, expected))
    return imported[name]


def check(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the requested metrics in the catalogue's order, each once; the user's own metrics come last.

    Raises:
        InputError: there is no such metric, or no metric was requested.
    """
    requested = [metrics] if isinstance(metrics, str) else list(metrics)
    if not requested:
        raise InputError("metrics", "none was asked for", "one or more of " + ", ".join(METRICS))
    for name in requested:
        metric(name)
    return _ordered(requested)


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    given = dict.fromkeys(names)
    known = [name for name in METRICS if name in given]
    own = [name for name in given if name not in METRICS]
    return (*known, *own)


def columns(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that the metrics fill, in order; one of the user's has its own, and need not be imported."""
    filled: list[str] = []
    for name in _ordered(metrics):
        filled += METRICS[name].columns if name in METRICS else [name]
    return tuple(filled)


def look_of(column: str) -> Column:
    """Return how a column is shown."""
    if column in COLUMNS:
        return COLUMNS[column]
    if column in imported:
        return imported[column].columns[column]
    return Column(column.rpartition(":")[2])


def owner(column: str) -> str:
    """Return the metric that fills a column; one of the user's has the column's name."""
    for name, entry in METRICS.items():
        if column in entry.columns:
            return name
    return column


def describe(name: str) -> str:
    """Describe the software that computes a metric, for the record: ``"pesq 0.0.4 wb"``.

    Raises:
        InputError: a file or a package that the metric needs is missing.
    """
    entry = metric(name)
    if entry.release is not None:
        release = entry.release()
    elif entry.package == "sordino":
        from sordino.version import __version__ as release
    else:
        try:
            release = version(entry.package)
        except PackageNotFoundError as error:
            hint = f"run pip install {entry.package}"
            raise InputError(name, f"needs the package {entry.package}", hint=hint) from error
    return f"{entry.package} {release} {entry.mode}".rstrip()


def format_scores(scores: Mapping[str, float]) -> str:
    """Format the columns of ``scores`` on one line: ``PESQ 2.15, ESTOI (%) 70.1, SI-SDR (dB) 9.20``."""
    words = []
    for name in [*COLUMNS, *imported]:
        if name in scores:
            column = look_of(name)
            words.append(f"{column.label} {column.show(scores[name])}")
    return ", ".join(words)


def measure(
    clean: np.ndarray | None,
    estimate: np.ndarray,
    sample_rate: int,
    metrics: Iterable[str] = DEFAULT,
    align: Align = "exact",
) -> Measurement:
    """Measure one recording with several metrics.

    Args:
        clean: [T], floats with full scale at 1, or int16; None if no metric needs it.
        estimate: [T], as ``clean``.
        sample_rate: in Hz. Where a metric is defined at a lower one, as PESQ is, it measures what lies below half of
            that.
        metrics: names as ``metric`` takes them.
        align: ``"shorter"`` cuts both signals to the shorter one; ``"exact"`` refuses different lengths;
            ``"lag"`` shifts the estimate by its measured lag, and then cuts. A metric that needs no clean signal
            gets the whole estimate.

    Raises:
        InputError: the arguments are wrong for a metric, whatever the recording: lengths, sample rate, name, no clean
            signal, or a type that holds no samples.
    """
    sample_rate = whole_rate(sample_rate)
    check_shape("sample_rate", sample_rate, channels=1)
    clean, estimate = None if clean is None else _as_floats(clean, "clean"), _as_floats(estimate, "estimate")
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    metrics = check(metrics)
    comparing = [name for name in metrics if metric(name).needs_clean]
    reference = judged = None
    if comparing:
        if clean is None:
            raise InputError(", ".join(comparing), "there is no clean signal", "one beside the estimate")
        # A signal that is unusable is so for all of them.
        try:
            reference, judged = pair(clean, estimate, align)
        except MetricFailure as failure:
            failures |= dict.fromkeys(comparing, str(failure))

    @cache  # several metrics share a rate
    def at_rate(compared: bool, rate: int) -> list[Any]:
        signals = (reference, judged) if compared else (clean, estimate)
        return [_resampled(one, sample_rate, rate) for one in signals]

    for name in metrics:
        if name in failures:
            continue
        entry = metric(name)
        rate = entry.rate(sample_rate)
        options: dict[str, Any] = {}
        if name == "composite" and "pesq_wb" in values:
            options["pesq"] = values["pesq_wb"]  # PESQ is slow and need not be computed twice
        try:
            result = entry.function(*at_rate(entry.needs_clean, rate), rate, **options)
        except MetricFailure as failure:
            failures[name] = str(failure)
        else:
            values |= _by_column(name, result)
    return Measurement(values, failures)


def _as_floats(signal: np.ndarray, where: str) -> np.ndarray:
    """Return floats as they are, and int16 with full scale at 1."""
    signal = as_array(signal, where)
    return signal if signal.dtype.kind == "f" else to_float(signal, where)


def _by_column(name: str, result: float | dict[str, float]) -> dict[str, float]:
    """Return a metric's values by column; one with a single column returns a number."""
    return result if isinstance(result, dict) else {name: result}


def _resampled(signal: np.ndarray | None, rate_in: int, rate_out: int) -> np.ndarray | None:
    return None if signal is None else resample(signal, rate_in, rate_out)
