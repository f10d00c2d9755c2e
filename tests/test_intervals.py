"""Statistics over files and seeds by hand, and intervals that hold the truth as often as they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sordino.errors import InputError
from sordino.evaluation.intervals import of_difference, over_files, over_files_and_seeds
from sordino.evaluation.statistics import over_seeds, paired, paired_seeds, summarise, summarise_seeds

TRIALS = 20_000
Draw = Callable[..., np.ndarray]


def shapes(seed: int) -> dict[str, Draw]:
    """Scores with mean 0 and variance 1: of normal shape, evenly spread, skewed (1), and strongly skewed (2)."""
    random = np.random.default_rng(seed)
    return {
        "normal": lambda *size: random.standard_normal(size),
        "even": lambda *size: random.uniform(-(3**0.5), 3**0.5, size),
        "skewed": lambda *size: random.gamma(4, size=size) / 2 - 2,
        "exponential": lambda *size: random.exponential(size=size) - 1,
    }


def coverage(interval: tuple[np.ndarray, np.ndarray]) -> float:
    low, high = interval
    return float(np.mean((low <= 0) & (high >= 0)))


@pytest.mark.parametrize("shape", ["normal", "even", "skewed", "exponential"])
@pytest.mark.parametrize("files", [4, 8, 30])
def test_intervals_over_files_hold_the_truth(shape: str, files: int) -> None:
    covered = coverage(over_files(shapes(files)[shape](TRIALS, files)))
    # Four files do not show a strong skewness: there 91 % is what can be had.
    assert (0.905 if (shape, files) == ("exponential", 4) else 0.93) < covered < 0.975


def test_plain_t_and_the_percentile_bootstrap_would_not_hold_it() -> None:
    """The simulation tells a method that is too narrow."""
    random, draw = np.random.default_rng(0), shapes(0)
    scores = draw["normal"](2000, 4)
    means = scores[:, random.integers(4, size=(500, 4))].mean(-1)
    assert coverage(tuple(np.quantile(means, [0.025, 0.975], axis=1))) < 0.84
    scores = draw["exponential"](TRIALS, 8)
    half = 2.365 * scores.std(1, ddof=1) / 8**0.5
    assert coverage((scores.mean(1) - half, scores.mean(1) + half)) < 0.91


# Deviations of files, of seeds, and of what is left, in the units of a score.
VARIANCES = [(1, 0.2, 0.3), (1, 0.05, 0.3), (1, 0.5, 0.3), (0.2, 0.2, 0.3), (1, 0, 0.05)]


@pytest.mark.parametrize("deviations", VARIANCES, ids=str)
@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_intervals_of_differences_over_files_and_seeds_hold_the_truth(
    shape: str, seeds: int, deviations: tuple[float, float, float]
) -> None:
    """Files differ a good deal, and a fifth as much in how far apart the two models are on them."""
    files, trials, (of_file, of_seed, rest), draw = 30, 5000, deviations, shapes(seeds)
    file = of_file * draw[shape](trials, 1, files)
    models = [
        file + of_seed * draw["normal"](trials, seeds, 1) + rest * draw["normal"](trials, seeds, files)
        for _ in range(2)
    ]
    models[0] += 0.2 * of_file * draw[shape](trials, 1, files)
    assert 0.93 < coverage(of_difference(*models)) < 0.975
    if of_seed >= 0.2:
        # Files alone know nothing of the seeds.
        assert coverage(over_files(models[0].mean(1) - models[1].mean(1))) < 0.75


@pytest.mark.parametrize("deviations", VARIANCES, ids=str)
@pytest.mark.parametrize("seeds", [2, 3])
def test_intervals_of_means_over_files_and_seeds_err_on_the_wide_side(
    seeds: int, deviations: tuple[float, float, float]
) -> None:
    files, trials, (of_file, of_seed, rest), draw = 30, 5000, deviations, shapes(seeds)
    scores = of_file * draw["skewed"](trials, 1, files) + of_seed * draw["normal"](trials, seeds, 1)
    scores = scores + rest * draw["normal"](trials, seeds, files)
    assert 0.935 < coverage(over_files_and_seeds(scores)) < 0.995


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.87), (3, 0.92), (5, 0.94)])
def test_a_model_whose_seeds_differ_more_than_the_other_s_is_held_too(seeds: int, least: float) -> None:
    """With the variances of both pooled, two seeds would hold 84 % and three 90 %."""
    files, trials, draw = 30, 5000, shapes(0)
    file = draw["normal"](trials, 1, files)
    first, second = (
        file + deviation * draw["normal"](trials, seeds, 1) + 0.3 * draw["normal"](trials, seeds, files)
        for deviation in (0.3, 0)
    )
    assert least < coverage(of_difference(first, second)) < 0.975


def test_a_difference_of_unlike_numbers_of_seeds_holds_the_truth() -> None:
    files, trials, draw = 30, 5000, shapes(0)
    file = draw["skewed"](trials, 1, files)
    first, second = (
        file + 0.3 * draw["normal"](trials, seeds, 1) + 0.3 * draw["normal"](trials, seeds, files) for seeds in (3, 1)
    )
    assert 0.93 < coverage(of_difference(first, second)) < 0.975


def test_without_seeds_or_skewness_they_are_what_textbooks_have() -> None:
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    low, high = over_files(scores)
    half = 3.182446305 * scores.std(ddof=1) / 2
    assert (float(low), float(high)) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-9)
    assert over_files_and_seeds(scores[None]) == (low, high)
    assert of_difference(scores[None], np.zeros((1, 4))) == (low, high)
    # Of many files, the normal distribution's.
    many = np.random.default_rng(0).normal(size=2000)
    low, high = over_files(many)
    assert high - low == pytest.approx(2 * 1.96 * many.std(ddof=1) / np.sqrt(2000), rel=0.01)


def test_a_long_tail_reaches_further_than_a_short_one() -> None:
    scores = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 4.0])
    low, high = over_files(scores)
    assert high - scores.mean() > 1.2 * (scores.mean() - low) > 0
    mirrored = over_files(-scores)
    assert (float(-mirrored[1]), float(-mirrored[0])) == pytest.approx((float(low), float(high)))


def test_equal_scores_and_equal_models_have_no_width() -> None:
    same = {f"file {index}": 2.5 for index in range(5)}
    assert summarise(list(same.values())) == (5, 2.5, 0.0, 2.5, 2.5)
    assert paired_seeds([same, same], [same, same]) == (5, 0.0, 0.0, 0.0)
    assert summarise_seeds([same, same]) == (5, 2.5, 0.0, 2.5, 2.5)


def test_one_file_has_no_deviation_and_no_interval() -> None:
    one = {"file": 2.0}
    assert summarise([2.0]) == (1, 2.0, None, None, None)
    assert paired(one, {"file": 1.0}) == (1, 1.0, None, None)
    assert not paired(one, {"file": 1.0}).significant
    assert paired_seeds([one, one], [one, {"file": 3.0}])[2:] == (None, None)
    assert summarise_seeds([one, one])[3:] == (None, None)


def test_runs_on_other_files_are_refused() -> None:
    runs = [{"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}]
    with pytest.raises(InputError, match="2 files are scored for some only"):
        summarise_seeds(runs)
    with pytest.raises(InputError, match="2 files are scored for some only"):
        paired_seeds(runs[:1], runs[1:])
    with pytest.raises(InputError, match="no run"):
        paired_seeds([], runs[:1])


def test_a_summary_by_hand():
    found = summarise([1.0, 2.0, 3.0, 4.0])
    assert (found.n, found.mean) == (4, 2.5)
    assert found.std == pytest.approx(np.sqrt(5 / 3))
    assert (found.low, found.high) == pytest.approx((2.5 - 2.0543, 2.5 + 2.0543), abs=1e-4)  # t of 3 degrees: 3.1824
    assert summarise([2.0]) == (1, 2.0, None, None, None)


def test_a_paired_difference_sees_what_two_intervals_cannot():
    random = np.random.default_rng(0)
    files = [f"file_{index}" for index in range(60)]
    base = dict(zip(files, random.normal(2.5, 0.8, size=60), strict=True))
    better = {name: value + 0.05 + 0.02 * random.standard_normal() for name, value in reversed(base.items())}
    difference = paired(better, base)
    assert difference.n == 60
    assert difference.mean == pytest.approx(0.05, abs=0.01)
    assert difference.significant
    high, low = summarise(list(base.values())).high, summarise(list(better.values())).low
    assert high is not None
    assert low is not None
    assert high > low
    back = paired(base, better)
    assert back.mean == pytest.approx(-difference.mean)
    assert back.significant
    assert not paired(base, base).significant
    with pytest.raises(InputError, match="file_0"):
        paired({name: base[name] for name in files[1:]}, base)


def test_spread_over_seeds_and_bad_values():
    assert over_seeds([2.0, 3.0, 4.0]) == (3, 3.0, 1.0, 2.0, 4.0)
    with pytest.raises(InputError, match="NaN"):
        summarise([1.0, float("nan")])
    with pytest.raises(InputError, match="shape"):
        over_seeds([])
