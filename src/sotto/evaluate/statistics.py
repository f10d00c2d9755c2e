"""How sure a mean is: bootstrap intervals over files (Efron 1979), paired differences, spread over seeds.

The files of a test set are a sample of what could have been recorded; drawing them again with replacement shows how
much a mean depends on which ones they happened to be. Two models scored on the same files share that luck, so they
are compared file by file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sotto.errors import InputError

RESAMPLES = 10_000
_DRAWN_AT_ONCE = 4_000_000  # file indices; bounds the memory of one block to some tens of megabytes


class Summary(NamedTuple):
    """One column of scores."""

    n: int
    mean: float
    std: float
    """Standard deviation over files (n - 1); 0 for a single file."""
    low: float
    high: float
    """The 95 % interval of the mean."""


class Difference(NamedTuple):
    """How much one model scores above another on the same files."""

    n: int
    mean: float
    low: float
    high: float
    """The 95 % interval of the mean difference."""

    @property
    def significant(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


class Spread(NamedTuple):
    """The same training run with several seeds: one mean score each."""

    n: int
    mean: float
    std: float
    low: float
    high: float
    """The lowest and the highest seed."""


def summarise(values: ArrayLike, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0) -> Summary:
    """Describe the scores of one model on n files.

    Args:
        values: [n], one score per file.
        resamples: how many times the files are drawn again.
        level: the share of resampled means inside the interval.
        seed: of the drawing; the same seed gives the same interval.

    Raises:
        InputError: there are no scores, or some are not numbers.
    """
    scores = _scores(values)
    low, high = _interval(scores, resamples, level, seed)
    return Summary(len(scores), float(scores.mean()), _deviation(scores), low, high)


def paired(
    model: Mapping[str, float],
    baseline: Mapping[str, float],
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two models on the same files.

    Args:
        model: file id to score.
        baseline: file id to score.
        resamples: how many times the files are drawn again.
        level: the share of resampled mean differences inside the interval.
        seed: of the drawing.

    Returns:
        The mean of ``model - baseline`` and its interval.

    Raises:
        InputError: the two were not scored on the same files.
    """
    odd = sorted(set(model) ^ set(baseline))
    if odd:
        found = (
            f"{len(odd)} files are scored for one model only ({', '.join(odd[:3])}{', ...' if len(odd) > 3 else ''})"
        )
        raise InputError("paired comparison", found, "the same files for both", "score both on the same test set")
    differences = _scores([model[name] - baseline[name] for name in sorted(model)])
    low, high = _interval(differences, resamples, level, seed)
    return Difference(len(differences), float(differences.mean()), low, high)


def over_seeds(means: Sequence[float]) -> Spread:
    """Describe the mean scores of runs that differ in their seed alone.

    Args:
        means: one mean score per seed.

    Raises:
        InputError: there are no scores, or some are not numbers.
    """
    scores = _scores(means)
    return Spread(len(scores), float(scores.mean()), _deviation(scores), float(scores.min()), float(scores.max()))


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise InputError("scores", f"an array of shape {scores.shape}", "one score or more, of shape [n]")
    if not np.isfinite(scores).all():
        raise InputError("scores", "NaN or infinite values", "numbers", "leave out the files that have no score")
    return scores


def _deviation(scores: NDArray[np.float64]) -> float:
    return float(scores.std(ddof=1)) if len(scores) > 1 else 0.0


def _interval(scores: NDArray[np.float64], resamples: int, level: float, seed: int) -> tuple[float, float]:
    """The percentile interval of the mean over files drawn with replacement."""
    generator, n = np.random.default_rng(seed), len(scores)
    block = max(1, _DRAWN_AT_ONCE // n)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    means = np.concatenate([scores[generator.integers(n, size=(size, n))].mean(1) for size in sizes])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
