"""Confidence intervals of a mean over files, over files and seeds, and of a difference between two models.

Over files alone: Student's t, with the skewness of the scores removed by Hall's transformation ("On the removal of
skewness by transformation", JRSS B 54, 1992). The percentile bootstrap and BCa are too narrow for few files, and plain
t is too narrow for skewed scores.

Over files and seeds, which are crossed (each seed's network is scored on each file), the variance of a mean is the sum
of a part due to files and a part due to seeds (two-way random effects, no replication). With two or three seeds the
latter is known badly, and the interval is wide accordingly. For a mean the half-widths of both parts are added as
squares (Howe, JASA 69, 1974), which errs on the wide side. For a difference each model has a variance of its own
between seeds (Welch, Biometrika 34, 1947), from which the part that the files explain is removed, and the degrees of
freedom are Satterthwaite's (Biometrics Bulletin 2, 1946).

Every function takes further axes in front and returns as many intervals. For a single file the ends are NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Interval = tuple[Array, Array]

LEVEL = 0.95
"""The share of intervals that contain the true value."""

_NO_SKEWNESS = 1e-6  # below it the transformation is the identity within rounding


def over_files(scores: Array) -> Interval:
    """Return the interval of the mean of ``scores`` [...,n]: its lower and its upper end, each [...]."""
    mean = scores.mean(-1)
    below, above = _half_widths(scores)
    return mean - below, mean + above


def over_files_and_seeds(scores: Array) -> Interval:
    """Return the interval of the mean of ``scores`` [...,k,n] of k seeds on n files; for one seed, that over files."""
    seeds = scores.shape[-2]
    mean = scores.mean((-2, -1))
    below, above = _half_widths(scores.mean(-2))
    of_seeds = 0.0  # the square of the half-width over seeds
    if seeds > 1:
        of_seeds = _quantile(seeds - 1) ** 2 * scores.mean(-1).var(-1, ddof=1) / seeds
    below, above = np.sqrt(below**2 + of_seeds), np.sqrt(above**2 + of_seeds)
    return mean - below, mean + above


def of_difference(model: Array, baseline: Array) -> Interval:
    """Return the interval of the mean difference of two models on the same files.

    Where one of the two has a single seed, the variance between its seeds is taken to be that of the other. Where
    neither has two seeds the interval is over files.

    Args:
        model: [...,k,n], scores of k seeds on n files.
        baseline: [...,m,n].
    """
    per_file = model.mean(-2) - baseline.mean(-2)
    files = per_file.shape[-1]
    repeated = [scores for scores in (model, baseline) if scores.shape[-2] > 1]
    if not repeated or files < 2:
        return over_files(per_file)
    of_files = per_file.var(-1, ddof=1) / files
    of_seeds, squares = np.zeros(()), of_files**2 / (files - 1)
    for scores in repeated:
        seeds = scores.shape[-2]
        share = 1 / seeds if len(repeated) == 2 else 1 / seeds + 1
        between = share * scores.mean(-1).var(-1, ddof=1)
        of_seeds = of_seeds + between - share * _residual(scores) / files
        squares = squares + between**2 / (seeds - 1)
    variance = of_files + np.maximum(of_seeds, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # two equal models have no variance, and no width
        freedom = variance**2 / squares
    half = _quantile(np.fmax(freedom, 1)) * np.sqrt(variance)
    mean = per_file.mean(-1)
    return mean - half, mean + half


def _residual(scores: Array) -> Array:
    """Return the variance of scores [...,k,n] that neither their seeds nor their files explain, [...]."""
    seeds, files = scores.shape[-2:]
    seed, file = scores.mean(-1, keepdims=True), scores.mean(-2, keepdims=True)
    left = scores - seed - file + seed.mean(-2, keepdims=True)
    return (left**2).sum((-2, -1)) / (seeds - 1) / (files - 1)


def _half_widths(scores: Array) -> tuple[Array, Array]:
    """Return the widths of the interval of the mean of [...,n] below and above the mean, each [...]."""
    count = scores.shape[-1]
    if count < 2:
        nothing = np.full(scores.shape[:-1], np.nan)
        return nothing, nothing
    centred = scores - scores.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1))
    third = (centred**3).mean(-1)
    skewness = np.divide(third, spread**3, out=np.zeros_like(third), where=spread**3 > 0)
    b = skewness / np.sqrt(count)
    error, t = spread / np.sqrt(count - 1), _quantile(count - 1)
    return error * _inverse_hall(t, b), -error * _inverse_hall(-t, b)


def _inverse_hall(t: float | Array, b: Array) -> Array:
    """Invert Hall's T + b T^2 / 3 + b^2 T^3 / 27 + b / 6, with b the skewness over the square root of the count."""
    safe = np.where(np.abs(b) < _NO_SKEWNESS, 1.0, b)  # no division by 0 in the branch that is not taken
    return np.where(safe == b, 3 / safe * (np.cbrt(1 + safe * (t - safe / 6)) - 1), t)


def _quantile(freedom: float | Array) -> Array:
    """Return the quantile of Student's t above which a share (1 - LEVEL) / 2 lies."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2), np.float64)
