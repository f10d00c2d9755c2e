"""Metrics: two arrays in, floats out. This catalogue is all that a report or a recipe knows of them.

A metric is one function ``(clean [T], estimate [T], sample_rate)`` and one line in ``METRICS``. Where it has no value
for a recording it raises :class:`MetricFailure`, which :func:`measure` records beside the values; nothing is scored as
zero for want of a value. The packages ``pesq`` and ``pystoi`` are imported when first needed. A metric that judges the
estimate alone gets a clean signal all the same, or None, and leaves it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from sordino.errors import InputError
from sordino.metrics.composite import composite
from sordino.metrics.dnsmos import dnsmos, fingerprint
from sordino.metrics.pair import Align, MetricFailure, pair
from sordino.metrics.perceptual import estoi, pesq_nb, pesq_wb, stoi
from sordino.metrics.ratios import correlation, si_sdr_above_db, si_sdr_db, snr_db

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
    "described",
    "dnsmos",
    "estoi",
    "measure",
    "pair",
    "pesq_nb",
    "pesq_wb",
    "si_sdr_above_db",
    "si_sdr_db",
    "snr_db",
    "stoi",
]


class Column(NamedTuple):
    """How one figure is shown."""

    label: str
    digits: int = 2
    scale: float = 1.0
    """What is shown is ``scale`` times the figure: STOI is kept as a fraction and shown in per cent."""
    higher_is_better: bool = True

    def show(self, value: float | None) -> str:
        """Write one figure; a dash where there is none."""
        return "–" if value is None else f"{value * self.scale:.{self.digits}f}"


class Metric(NamedTuple):
    """One line of the catalogue."""

    function: Callable[..., float | dict[str, float]]
    """``(clean, estimate, sample_rate)`` to one float, or to one float per column."""
    columns: dict[str, Column]
    package: str = "sordino"
    """The package that computes it; its version travels with the figures."""
    mode: str = ""
    needs_clean: bool = True
    """False for one that judges the estimate alone."""
    release: Callable[[], str] | None = None
    """What tells its version, where that is not the package's. Raises InputError where it cannot be computed."""


class Measurement(NamedTuple):
    """What the metrics say of one recording."""

    values: dict[str, float]
    """Column to figure, only where there is one."""
    failures: dict[str, str]
    """Metric to the reason why it has no value."""


METRICS: dict[str, Metric] = {
    "pesq_wb": Metric(pesq_wb, {"pesq_wb": Column("PESQ")}, "pesq", "wb"),
    "pesq_nb": Metric(pesq_nb, {"pesq_nb": Column("PESQ-nb")}, "pesq", "nb"),
    "stoi": Metric(stoi, {"stoi": Column("STOI (%)", 1, 100)}, "pystoi"),
    "estoi": Metric(estoi, {"estoi": Column("ESTOI (%)", 1, 100)}, "pystoi", "extended"),
    "composite": Metric(
        composite,
        {
            "csig": Column("CSIG"),
            "cbak": Column("CBAK"),
            "covl": Column("COVL"),
            "llr": Column("LLR", higher_is_better=False),
            "wss": Column("WSS", higher_is_better=False),
            "segsnr_db": Column("segSNR (dB)"),
        },
        mode="16 kHz, PESQ-wb",
    ),
    "si_sdr_db": Metric(lambda clean, estimate, _: si_sdr_db(clean, estimate), {"si_sdr_db": Column("SI-SDR (dB)")}),
    "si_sdr_120_db": Metric(si_sdr_above_db, {"si_sdr_120_db": Column("SI-SDR >120 Hz (dB)")}, mode="above 120 Hz"),
    "snr_db": Metric(lambda clean, estimate, _: snr_db(clean, estimate), {"snr_db": Column("SNR (dB)")}),
    "correlation": Metric(
        lambda clean, estimate, _: correlation(clean, estimate), {"correlation": Column("Correlation")}
    ),
    "dnsmos": Metric(
        lambda _, estimate, sample_rate: dnsmos(estimate, sample_rate),
        {
            "dnsmos_ovrl": Column("DNSMOS OVRL"),
            "dnsmos_sig": Column("DNSMOS SIG"),
            "dnsmos_bak": Column("DNSMOS BAK"),
        },
        package="sig_bak_ovr.onnx",
        mode="P.835",
        needs_clean=False,
        release=fingerprint,
    ),
}
"""Metric -> function and columns. PESQ stands before the composite measures, which take it over."""

COLUMNS: dict[str, Column] = {name: column for metric in METRICS.values() for name, column in metric.columns.items()}

DEFAULT = ("pesq_wb", "stoi", "composite", "si_sdr_db")


def check(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return the asked metrics in the catalogue's order, each once.

    Raises:
        InputError: a name is not in the catalogue, or there is none.
    """
    asked = list(metrics)
    for name in asked:
        if name not in METRICS:
            owner = next((metric for metric, line in METRICS.items() if name in line.columns), None)
            near = [owner] if owner else difflib.get_close_matches(name, METRICS, 1)
            do = f"ask for {near[0]!r}" if near else ""
            raise InputError("metrics", f"no metric is called {name!r}", " or ".join(METRICS), do)
    if not asked:
        raise InputError("metrics", "none was asked for", "one or more of " + ", ".join(METRICS))
    return tuple(name for name in METRICS if name in asked)


def columns(metrics: Iterable[str]) -> tuple[str, ...]:
    """The columns that the metrics fill, in order."""
    return tuple(column for name in check(metrics) for column in METRICS[name].columns)


def describe(metric: str) -> str:
    """What computed a metric, for the record: ``"pesq 0.0.4 wb"``.

    Raises:
        InputError: a file that the metric needs is not there.
    """
    line = METRICS[metric]
    if line.release is not None:
        release = line.release()
    elif line.package == "sordino":
        from sordino.version import __version__ as release
    else:
        release = version(line.package)
    return f"{line.package} {release} {line.mode}".rstrip()


def described(scores: Mapping[str, float]) -> str:
    """The columns of ``scores`` in words: ``PESQ 2.15, ESTOI (%) 70.1, SI-SDR (dB) 9.20``."""
    shown = [(column, scores[name]) for name, column in COLUMNS.items() if name in scores]
    return ", ".join(f"{column.label} {column.show(value)}" for column, value in shown)


def measure(
    clean: np.ndarray | None,
    estimate: np.ndarray,
    sample_rate: int,
    metrics: Iterable[str] = DEFAULT,
    align: Align = "exact",
) -> Measurement:
    """Measure one recording with several metrics.

    Args:
        clean: [T]; None where every metric judges the estimate alone.
        estimate: [T].
        sample_rate: in Hz.
        metrics: names from ``METRICS``.
        align: ``"shorter"`` cuts both signals to the shorter one; ``"exact"`` refuses different lengths. A metric that
            judges the estimate alone gets all of it.

    Raises:
        InputError: the arguments are wrong for this metric (lengths, sample rate, name, no clean signal), whatever the
            recording.
    """
    values: dict[str, float] = {}
    failures: dict[str, str] = {}
    metrics = check(metrics)
    comparing = [name for name in metrics if METRICS[name].needs_clean]
    reference = judged = None
    if comparing:
        if clean is None:
            raise InputError(", ".join(comparing), "there is no clean signal", "one beside the estimate")
        try:
            reference, judged = pair(clean, estimate, align)
        except MetricFailure as failure:
            failures |= dict.fromkeys(comparing, str(failure))
    for name in metrics:
        if name in failures:
            continue
        signals = (reference, judged) if METRICS[name].needs_clean else (clean, estimate)
        known: dict[str, Any] = {"pesq": values["pesq_wb"]} if name == "composite" and "pesq_wb" in values else {}
        try:
            found = METRICS[name].function(*signals, sample_rate, **known)
        except MetricFailure as failure:
            failures[name] = str(failure)
        else:
            values |= found if isinstance(found, dict) else {name: found}
    return Measurement(values, failures)
