"""Confidence intervals of a mean over files, over files and seeds, and of a difference between two models.

Over files alone: Student's t, with the skewness of the scores taken out by Hall's transformation ("On the removal of
skewness by transformation", JRSS B 54, 1992). The percentile bootstrap and BCa are too narrow for few files, and plain
t for skewed scores.

Over files and seeds, which are crossed (each seed's network meets each file), the variance of a mean has a part of each
(two-way random effects, no replication). With two or three seeds the part of the seeds is known badly, and the interval
is as wide as that makes it. A mean adds the half-widths of both parts as squares (Howe, JASA 69, 1974), which errs on
the wide side. A difference pools the seeds of both models, takes out of their variance what the files explain, and has
Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946).

Every function takes further axes in front and gives as many intervals. With a single file there is none: NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Interval = tuple[Array, Array]

_STRAIGHT = 1e-6  # below this skewness the transformation is the identity within rounding


def over_files(scores: Array, level: float = 0.95) -> Interval:
    """The interval of the mean of ``scores`` [...,n]: its lower and its upper end, each [...]."""
    mean, (below, above) = scores.mean(-1), _reach(scores, level)
    return mean - below, mean + above


def over_files_and_seeds(scores: Array, level: float = 0.95) -> Interval:
    """The interval of the mean of ``scores`` [...,k,n] of k seeds on n files; of one seed, that over files."""
    seeds = scores.shape[-2]
    mean, reaches = scores.mean((-2, -1)), _reach(scores.mean(-2), level)
    of_seeds = 0.0
    if seeds > 1:
        of_seeds = _quantile(seeds - 1, level) ** 2 * scores.mean(-1).var(-1, ddof=1) / seeds
    below, above = (np.sqrt(reach**2 + of_seeds) for reach in reaches)
    return mean - below, mean + above


def of_difference(model: Array, baseline: Array, level: float = 0.95) -> Interval:
    """The interval of the mean difference of two models on the same files.

    The variance between seeds is taken for the same in both. Where neither has two seeds the interval is over files.

    Args:
        model: [...,k,n], scores of k seeds on n files.
        baseline: [...,m,n].
        level: the share of intervals that hold the true difference.
    """
    per_file = model.mean(-2) - baseline.mean(-2)
    free = model.shape[-2] + baseline.shape[-2] - 2
    if not free or per_file.shape[-1] < 2:
        return over_files(per_file, level)
    files = per_file.shape[-1]
    share = 1 / model.shape[-2] + 1 / baseline.shape[-2]
    of_files = per_file.var(-1, ddof=1) / files
    between, residual = (share * part / free for part in _within([model, baseline]))
    variance = of_files + np.maximum(between - residual / (files - 1) / files, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # two equal models have no variance, and no width
        freedom = variance**2 / (of_files**2 / (files - 1) + between**2 / free)
    half = _quantile(np.fmax(freedom, 1), level) * np.sqrt(variance)
    mean = per_file.mean(-1)
    return mean - half, mean + half


def _within(models: Sequence[Array]) -> tuple[Array, Array]:
    """Sums of squares over all models' seeds, each [...]: of the seeds' means, and of what they and the files leave."""
    between = residual = np.zeros(())
    for scores in models:
        seed, file = scores.mean(-1, keepdims=True), scores.mean(-2, keepdims=True)
        mean = seed.mean(-2, keepdims=True)
        between = between + ((seed - mean) ** 2).sum((-2, -1))
        residual = residual + ((scores - seed - file + mean) ** 2).sum((-2, -1))
    return between, residual


def _reach(scores: Array, level: float) -> tuple[Array, Array]:
    """How far the interval of the mean of [...,n] reaches below the mean, and above; each [...]."""
    count = scores.shape[-1]
    if count < 2:
        nothing = np.full(scores.shape[:-1], np.nan)
        return nothing, nothing
    centred = scores - scores.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1))
    cubed = (centred**3).mean(-1)
    bend = np.divide(cubed, spread**3, out=np.zeros_like(cubed), where=spread**3 > 0) / np.sqrt(count)
    error, t = spread / np.sqrt(count - 1), _quantile(count - 1, level)
    return error * _unbend(t, bend), -error * _unbend(-t, bend)


def _unbend(t: float | Array, bend: Array) -> Array:
    """The inverse of Hall's T + b T^2 / 3 + b^2 T^3 / 27 + b / 6, with b the skewness over the root of the count."""
    safe = np.where(np.abs(bend) < _STRAIGHT, 1.0, bend)
    return np.where(safe == bend, 3 / safe * (np.cbrt(1 + safe * (t - safe / 6)) - 1), t)


def _quantile(freedom: float | Array, level: float) -> Array:
    """Of Student's t, above which (1 - level) / 2 lie."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, (1 + level) / 2), np.float64)
