"""Entry of the catalogue of metrics: a function, and how its values are shown."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sordino.errors import InputError
from sordino.metrics.pair import MetricFailure
from sordino.plugins.catalogue import blamed


class Column(NamedTuple):
    """How the values of one column are shown."""

    label: str
    digits: int | None = 2
    """Decimals; None shows three significant digits, because the size of the values is unknown."""
    scale: float = 1.0
    """Factor applied for display: STOI is stored as a fraction and shown in per cent."""
    higher_is_better: bool = True

    @property
    def short_label(self) -> str:
        """The label without its unit."""
        return self.label.partition(" (")[0]

    def show(self, value: float | None) -> str:
        """Format a value; a missing one is a dash."""
        if value is None:
            return "–"
        shown = value * self.scale
        if self.digits is not None:
            return f"{shown:.{self.digits}f}"
        return f"{shown:.0f}" if abs(shown) >= 100 else f"{shown:.3g}"


class Metric(NamedTuple):
    """An entry of the catalogue."""

    function: Callable[..., float | dict[str, float]]
    """``(clean, estimate, sample_rate)`` -> one float, or one float per column."""
    columns: dict[str, Column]
    package: str = "sordino"
    """Package that computes it; its version is stored with the values."""
    mode: str = ""
    needs_clean: bool = True
    """False for a metric that uses the estimate alone."""
    rates: tuple[int, ...] = ()
    """Hz at which it is defined: signals at a higher rate are resampled for it. Empty for any rate."""
    release: Callable[[], str] | None = None
    """Returns the version, if that is not the package's. Raises InputError if the metric cannot be computed."""

    def rate(self, sample_rate: int) -> int:
        """Return the Hz at which signals of ``sample_rate`` are measured: the highest defined that is not above it."""
        return max((rate for rate in self.rates if rate <= sample_rate), default=sample_rate)

    def defined_at(self, sample_rate: int) -> bool:
        """Return whether signals of ``sample_rate`` can be measured, as they are or resampled to a lower rate."""
        return not self.rates or min(self.rates) <= sample_rate


def is_metric(member: Any) -> bool:
    """Return whether a user's object can be a metric."""
    return isinstance(member, Metric) or inspect.isfunction(member)


def entry_of(name: str, member: Any) -> Metric:
    """Return the entry of a user's metric, which has one column of the metric's own name.

    Args:
        name: ``package.module:function``, or that of an entry point.
        member: a function ``(clean, estimate, sample_rate)`` -> float, where higher is better, or a ``Metric``.

    Raises:
        InputError: a ``Metric`` of several columns. The entry's function raises it for whatever the user's raises.
    """
    if not isinstance(member, Metric):
        member = Metric(member, {name: Column(name.rpartition(":")[2], digits=None)})
    if len(member.columns) != 1:
        raise InputError(f"metric {name}", f"has {len(member.columns)} columns", "one", "make a metric of each")
    (column,) = member.columns.values()
    function = member.function

    def measured(*signals: Any) -> float:
        with blamed(name, MetricFailure):
            value = function(*signals)
        values = list(value.values()) if isinstance(value, dict) else [value]
        if len(values) != 1:
            raise InputError(f"metric {name}", f"gave {len(values)} values", "one", "make a metric of each")
        with blamed(name, MetricFailure):
            value = float(values[0])
        if not math.isfinite(value):
            raise MetricFailure(f"{name} gave {value}")
        return value

    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # a partial, an instance that is called, or a function in C
        source = None
    digest = "" if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]
    release = member.release or (lambda: digest)
    return member._replace(function=measured, columns={name: column}, package=name, release=release)
