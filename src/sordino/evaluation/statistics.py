"""Statistics of scores: means with 95 % intervals over files and seeds, paired differences, and the spread over seeds.

The files of a test set are a sample of what could have been recorded, and a seed is one of many possible trainings. Two
models scored on the same files share the randomness of that sample, so they are compared file by file.
``sordino.evaluation.intervals`` defines the intervals; simulations in the tests show how often they contain the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sordino.errors import InputError
from sordino.evaluation.intervals import Interval, of_difference, over_files, over_files_and_seeds

OVER_FILES = "95 % interval over files (Student's t, corrected for skewness after Hall 1992)"
OVER_BOTH = "95 % interval over files and seeds (t with Satterthwaite's degrees of freedom)"
"""Descriptions of the intervals for tables and pages."""


class Summary(NamedTuple):
    """Summary of one column of scores over n files."""

    n: int
    mean: float
    std: float | None
    """Standard deviation over files (n - 1); None for a single file, which has none."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the mean; None for a single file, which has none."""


class Difference(NamedTuple):
    """Mean difference of the scores of two models on the same n files."""

    n: int
    mean: float
    low: float | None
    high: float | None
    """Ends of the 95 % interval of the mean difference; None for a single file."""

    @property
    def significant(self) -> bool:
        """Whether the interval does not contain zero."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


class Spread(NamedTuple):
    """Spread of the mean scores of n runs that differ in their seed alone."""

    n: int
    mean: float
    std: float | None
    """Standard deviation over seeds (n - 1); None for a single one, which has none."""
    low: float
    high: float
    """Mean scores of the lowest and the highest seed."""


def summarise(values: ArrayLike) -> Summary:
    """Summarise the scores of one model on n files.

    Args:
        values: [n], one score per file.

    Raises:
        InputError: there are no scores, or some are not numbers.
    """
    scores = _scores(values)
    return Summary(len(scores), float(scores.mean()), _deviation(scores), *_ends(over_files(scores)))


def summarise_seeds(runs: Sequence[Mapping[str, float]]) -> Summary:
    """Summarise the scores of one training recipe, run with several seeds, on n files.

    Args:
        runs: for each seed, file id to score.

    Returns:
        The mean and its interval, for other files and other seeds; the standard deviation is taken over files, of
        their means over seeds.

    Raises:
        InputError: the runs were not scored on the same files, there are no scores, or some are not numbers.
    """
    scores = _matrix(runs, _files(runs))
    per_file = scores.mean(0)
    ends = _ends(over_files_and_seeds(scores))
    return Summary(len(per_file), float(per_file.mean()), _deviation(per_file), *ends)


def paired(model: Mapping[str, float], baseline: Mapping[str, float]) -> Difference:
    """Compare two models on the same files; see :func:`paired_seeds`.

    Args:
        model: file id to score.
        baseline: file id to score.
    """
    return paired_seeds([model], [baseline])


def paired_seeds(model: Sequence[Mapping[str, float]], baseline: Sequence[Mapping[str, float]]) -> Difference:
    """Compare two training recipes, run with several seeds, on the same files.

    Args:
        model: for each seed, file id to score.
        baseline: likewise; it may have another number of seeds.

    Returns:
        The mean of ``model - baseline`` and its interval, for other files and, where there are several seeds, for
        other seeds.

    Raises:
        InputError: the runs were not scored on the same files, there are no scores, or some are not numbers.
    """
    names = _files([*model, *baseline])
    scores, reference = _matrix(model, names), _matrix(baseline, names)
    interval = of_difference(scores, reference)
    return Difference(len(names), float(scores.mean() - reference.mean()), *_ends(interval))


def worse_files(model: Mapping[str, float], reference: Mapping[str, float], higher_is_better: bool = True) -> int:
    """Count the files on which a model scores worse than another, of those that both have scores for.

    Args:
        model: file to score.
        reference: file to score, of the other one.
        higher_is_better: of the metric.
    """
    sign = 1 if higher_is_better else -1
    return sum(sign * model[name] < sign * reference[name] for name in model.keys() & reference.keys())


def over_seeds(means: Sequence[float]) -> Spread:
    """Summarise the mean scores of runs that differ in their seed alone.

    Args:
        means: one mean score per seed.

    Raises:
        InputError: there are no scores, or some are not numbers.
    """
    scores = _scores(means)
    return Spread(len(scores), float(scores.mean()), _deviation(scores), float(scores.min()), float(scores.max()))


def _files(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the files of all runs, which must be the same ones."""
    names: set[str] = set().union(*runs)
    missing = sorted(names - names.intersection(*runs))
    if missing:
        few = ", ".join(missing[:3])
        if len(missing) > 3:
            few += ", ..."
        found = f"{len(missing)} files are scored for some only ({few})"
        raise InputError("paired comparison", found, "the same files for all", "score all on the same test set")
    return sorted(names)


def _matrix(runs: Sequence[Mapping[str, float]], names: Sequence[str]) -> NDArray[np.float64]:
    """The scores of runs on the files called ``names``: [seeds, files]."""
    if not runs:
        raise InputError("scores", "no run", "one or more")
    scores = []
    for run in runs:
        scores.append(_scores([run[name] for name in names]))
    return np.stack(scores)


def _scores(values: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise InputError("scores", f"an array of shape {scores.shape}", "one score or more, of shape [n]")
    if not np.isfinite(scores).all():
        raise InputError("scores", "NaN or infinite values", "numbers", "leave out the files that have no score")
    return scores


def _deviation(scores: NDArray[np.float64]) -> float | None:
    if len(scores) < 2:
        return None
    return float(scores.std(ddof=1))


def _ends(interval: Interval) -> tuple[float, float] | tuple[None, None]:
    low, high = map(float, interval)
    if np.isnan(low):
        return None, None
    return low, high
