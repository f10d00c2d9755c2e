"""Published: the scores of a corpus' noisy recordings as the literature has them, and one's own copy held against them.

A copy that was resampled badly, cut, or paired wrongly shows here before any network is blamed for it.
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
"""What the 824 noisy test utterances of VoiceBank-DEMAND score: lowest and highest mean told."""


def measure_noisy(
    pairs: Sequence[tuple[Path, Path]],
    measure: Measure,
    sample_rate: int,
    published: dict[str, tuple[float, float]],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score noisy recordings as they are and hold the means against what is published for the whole test set.

    Args:
        pairs: (clean, noisy) files.
        measure: see :data:`Measure`; a figure that it leaves out is one that could not be had.
        sample_rate: Hz to measure at; files at another rate are resampled.
        published: figure -> lowest and highest mean.
        progress: called after every pair.

    Returns:
        ``count``, ``means``, ``missing`` (figure -> pairs without it), ``published`` and ``off``: a sentence for each
        figure whose mean is further from the published one than three standard errors of such a draw.
    """
    values: dict[str, list[float]] = {name: [] for name in published}
    for done, (clean, noisy) in enumerate(pairs, 1):
        for name, value in measure(read_mono(clean, sample_rate), read_mono(noisy, sample_rate), sample_rate).items():
            values.setdefault(name, []).append(float(value))
        if progress:
            progress("measuring", done, len(pairs), {})
    off = []
    for name, (lowest, highest) in published.items():
        if len(values[name]) < 2:
            continue
        mean = float(np.mean(values[name]))
        slack = 3 * float(np.std(values[name], ddof=1)) / math.sqrt(len(values[name]))
        if not lowest - slack <= mean <= highest + slack:
            wanted = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
            off.append(
                f"{name} of {len(values[name])} noisy test files is {mean:.3f}; published: {wanted} for all of them"
            )
    return {
        "count": len(pairs),
        "means": {name: float(np.mean(figures)) for name, figures in values.items() if figures},
        "missing": {name: len(pairs) - len(figures) for name, figures in values.items() if len(figures) < len(pairs)},
        "published": {name: list(bounds) for name, bounds in published.items()},
        "off": off,
    }
