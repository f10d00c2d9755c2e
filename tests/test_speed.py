"""Speed and memory: that the figures mean what they say. Nothing here depends on how fast the machine is.

Processes that measure memory import this file, so torch waits inside the functions that need it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from sordino.errors import InputError
from sordino.evaluation.speed import peak_memory, peak_of, real_time_factor
from sordino.inference.model import Model

MEGA = 2**20


def unchanged(noisy: np.ndarray) -> np.ndarray:
    return noisy


def hog(noisy: np.ndarray) -> np.ndarray:
    """Touches 2 kB for every sample, and lets them go."""
    return noisy + np.ones((len(noisy), 256)).sum(axis=1)


def prepare_hog(bytes_before: int, bytes_during: int) -> partial[None]:
    np.ones(bytes_before, np.uint8)
    return partial(touch, bytes_during)


def touch(count: int) -> None:
    np.ones(count, np.uint8)


def die() -> partial[None]:
    return partial(os._exit, 9)


def network() -> Any:
    from sordino import models

    return models.create("manner-s", hidden=12, depth=2)


@pytest.mark.parametrize("model", [unchanged, Model("unchanged", 8000, unchanged), network])
def test_real_time_factor_of_anything_that_enhances(model: Any) -> None:
    import torch

    model = network() if model is network else model
    threads = torch.get_num_threads()
    measured = real_time_factor(model, seconds=0.2, repeats=3)
    assert 0 < measured.fastest <= measured.median <= measured.slowest
    assert measured.latency_s == pytest.approx(measured.median * 0.2)
    assert measured.cores > 0
    assert (measured.seconds, measured.repeats, measured.threads) == (0.2, 3, 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("given", "length"), [(None, 4000), (16000, 8000)])
def test_the_signal_has_the_rate_asked_for_and_the_first_pass_does_not_count(given: int | None, length: int) -> None:
    lengths = []

    def run(noisy: np.ndarray) -> np.ndarray:
        lengths.append(len(noisy))
        return noisy

    real_time_factor(Model("counts", 8000, run), given, seconds=0.5, repeats=2)
    assert lengths == [length] * 3


def test_threads_are_set_while_it_runs_and_set_back() -> None:
    import torch

    seen = []

    def run(noisy: np.ndarray) -> np.ndarray:
        seen.append(torch.get_num_threads())
        return noisy

    before = torch.get_num_threads()
    real_time_factor(run, seconds=0.1, repeats=1, threads=2)
    assert seen == [2, 2]
    assert torch.get_num_threads() == before


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        real_time_factor(unchanged, repeats=0)
    with pytest.raises(InputError, match="at least one sample"):
        real_time_factor(unchanged, seconds=0.0)


def test_memory_shows_what_the_work_takes_and_nothing_before_it() -> None:
    large = peak_of(partial(prepare_hog, 8 * MEGA, 96 * MEGA))
    assert 90 * MEGA < large < 120 * MEGA
    if sys.platform == "linux":
        assert peak_of(partial(prepare_hog, 96 * MEGA, MEGA)) < 8 * MEGA


def test_a_memory_hog_shows_and_grows_with_the_signal() -> None:
    one, two = peak_memory(hog, 1.0), peak_memory(hog, 2.0)
    assert 28 * MEGA < one < 60 * MEGA
    assert 1.5 * one < two < 3 * one


def test_memory_of_a_network_grows_with_the_signal() -> None:
    assert 0 < peak_memory(network(), 1.0) < peak_memory(network(), 6.0)


def test_what_cannot_be_measured_is_reported() -> None:
    with pytest.raises(InputError, match="cannot be sent to a new process"):
        peak_memory(lambda noisy: noisy)
    with pytest.raises(InputError, match="no such model"):
        peak_memory("nothing.safetensors")
    with pytest.raises(InputError, match="ended early"):
        peak_of(die)


def test_measuring_needs_no_torch() -> None:
    code = (
        "import sys; from sordino.evaluation.speed import real_time_factor\n"
        "real_time_factor(lambda noisy: noisy, seconds=0.1, repeats=1); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
