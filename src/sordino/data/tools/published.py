"""Published scores of a corpus' noisy recordings, and a comparison of one's own copy with them.

A copy that was badly resampled, cut, or wrongly paired has other scores: this shows before any network is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sordino.audio.sound_files import read_mono
from sordino.types import Progress

Measure = Callable[[np.ndarray, np.ndarray, int], dict[str, float]]
"""``measure(clean, noisy, sample_rate)`` -> figures by name, such as ``pesq_wb`` and ``stoi``."""


VALENTINI_NOISY = {"pesq_wb": (1.97, 1.97), "stoi": (0.91, 0.93)}
"""Lowest and highest published mean scores of the 824 noisy test utterances of VoiceBank-DEMAND."""


def measure_noisy(
    pairs: Sequence[tuple[Path, Path]],
    measure: Measure,
    sample_rate: int,
    published: dict[str, tuple[float, float]],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score noisy recordings and compare the means with those published for the whole test set.

    Args:
        pairs: (clean, noisy) files.
        measure: see :data:`Measure`; it leaves out scores that are undefined for a recording.
        sample_rate: rate in Hz at which to measure; files at another rate are resampled.
        published: score -> lowest and highest published mean.
        progress: called after every pair.

    Returns:
        ``count``, ``means``, ``missing`` (score -> number of pairs without it), ``published`` and ``off``: a sentence
        for each score whose mean differs from the published one by more than three standard errors.
    """
    values: dict[str, list[float]] = {name: [] for name in published}
    for done, (clean, noisy) in enumerate(pairs, 1):
        scores = measure(read_mono(clean, sample_rate), read_mono(noisy, sample_rate), sample_rate)
        for name, value in scores.items():
            values.setdefault(name, []).append(float(value))
        if progress:
            progress("measuring", done, len(pairs), {})
    deviations = (_deviation(name, values[name], *bounds) for name, bounds in published.items())
    return {
        "count": len(pairs),
        "means": {name: float(np.mean(scores)) for name, scores in values.items() if scores},
        "missing": {name: len(pairs) - len(scores) for name, scores in values.items() if len(scores) < len(pairs)},
        "published": {name: list(bounds) for name, bounds in published.items()},
        "off": [deviation for deviation in deviations if deviation],
    }


def _deviation(name: str, scores: list[float], lowest: float, highest: float) -> str:
    """Describe how the mean of ``scores`` differs from the published range; empty if it does not, or for one score."""
    if len(scores) < 2:
        return ""
    mean = float(np.mean(scores))
    tolerance = 3 * float(np.std(scores, ddof=1)) / math.sqrt(len(scores))
    if lowest - tolerance <= mean <= highest + tolerance:
        return ""
    expected = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    return f"{name} of {len(scores)} noisy test files is {mean:.3f}; published: {expected} for all of them"
