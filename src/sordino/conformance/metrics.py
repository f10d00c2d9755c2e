"""Checks of every metric, on the speech that ships; a check gets the metric's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sordino.assets import SPEECH
from sordino.audio import sound_files
from sordino.conformance.base import Check, NotClaimed, require
from sordino.metrics import columns, look_of, measure, metric

Name = Callable[[], str]
RATE, SECONDS = 16000, 3
GOOD, BAD = 0.003, 0.05
"""Levels of the noise in two estimates."""


def measured(make: Name) -> None:
    """It gives its columns, all finite, the same twice, and leaves the signals alone."""
    name, (clean, estimate) = make(), _signals(BAD)
    before = clean.copy(), estimate.copy()
    first, again = (_values(name, clean, estimate) for _ in range(2))
    require(set(first) == set(columns([name])), f"fills {', '.join(first)}")
    require(all(math.isfinite(value) for value in first.values()), "is not finite")
    require(first == again, "gives other values for the same signals")
    require(np.array_equal(clean, before[0]) and np.array_equal(estimate, before[1]), "changes the signals")


def prefers(make: Name) -> None:
    """The better estimate has the better value, in the direction that each column states."""
    name = make()
    if not metric(name).needs_clean:
        raise NotClaimed("judges the estimate alone")
    good, bad = (_values(name, *_signals(level)) for level in (GOOD, BAD))
    for column in columns([name]):
        higher = look_of(column).higher_is_better
        right = good[column] > bad[column] if higher else good[column] < bad[column]
        words = f"{good[column]:.4g} for the better estimate, {bad[column]:.4g} for the worse"
        require(right, f"{column}: {words}, and {'higher' if higher else 'lower'} is better")


def silence(make: Name) -> None:
    """Signals without sound have a reason and no value, or a finite one."""
    clean, _ = _signals(BAD)
    for reference, estimate in ((clean, np.zeros_like(clean)), (np.zeros_like(clean), clean)):
        values = measure(reference, estimate, RATE, [make()]).values
        require(all(math.isfinite(value) for value in values.values()), "gives a value that is not finite for silence")


CHECKS: dict[str, Check] = {"finite, the same twice": measured, "prefers the better": prefers, "silence": silence}
"""Every check of a metric by the name that tables show."""


def _values(name: str, clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return the metric's columns for clean speech and an estimate, [T] each; without a value, the check fails."""
    measured = measure(clean, estimate, RATE, [name])
    require(not measured.failures, f"has no value for speech in noise: {'; '.join(measured.failures.values())}")
    return measured.values


def _signals(level: float) -> tuple[np.ndarray, np.ndarray]:
    """Clean speech [T], and the same in white noise of a level."""
    clean = sound_files.read_mono(Path(str(SPEECH)), RATE)[: SECONDS * RATE]
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    return clean, clean + np.float32(level) * noise
