"""How fast a model runs here, and how much memory one pass takes: figures of this machine, not of the network.

Both measure a model as it is put to use, so a signal of more than 30 s passes window by window, and a network
that streams second by second (``sordino.enhance``).
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sordino.errors import InputError
from sordino.inference.model import open_model

WARM_UP_S = 0.25


@dataclass(frozen=True)
class RealTimeFactor:
    """Seconds of work per second of audio; below 1 is faster than real time."""

    median: float
    fastest: float
    slowest: float
    latency_s: float
    """Median wait for the estimate of the whole signal."""
    cores: float
    """Cores busy on average; more than ``threads`` for a model that was opened with more."""
    seconds: float
    repeats: int
    threads: int


def real_time_factor(
    run: Any, sample_rate: int | None = None, seconds: float = 4.0, repeats: int = 5, threads: int = 1
) -> RealTimeFactor:
    """Time whole passes over ``seconds`` of noise, after one that does not count.

    Args:
        run: what ``sordino.inference.model.open_model`` takes: a name, a file, a network, or a function [T] -> [T].
        sample_rate: Hz of the signal; the model's own when left out.
        threads: of the arithmetic; torch's are set back afterwards, and a model that is open already keeps its own.

    Raises:
        InputError: no such model, or nothing to time.
    """
    model = open_model(run, threads)
    noisy = _noise(seconds, sample_rate or model.sample_rate)
    if repeats < 1:
        raise InputError("repeats", str(repeats), "at least 1")
    before = _set_threads(threads)
    try:
        model(noisy)
        used = time.process_time()
        times = [_timed(model, noisy) for _ in range(repeats)]
        used = time.process_time() - used
    finally:
        _set_threads(before)
    factors = [elapsed / seconds for elapsed in times]
    cores = used / max(sum(times), 1e-9)
    return RealTimeFactor(median(factors), min(factors), max(factors), median(times), cores, seconds, repeats, threads)


def peak_memory(model: Any = None, seconds: float = 4.0, threads: int = 1, sample_rate: int | None = None) -> int:
    """Bytes that one pass over ``seconds`` of noise needs at its peak, beside the loaded model.

    Args:
        model: the name of a shipped model, a file, a network, or a function that a fresh process can import. A model
            that is open already cannot be carried there.
        threads: of the arithmetic.
        sample_rate: Hz, of a model that does not say.

    Raises:
        InputError: no such model, one that cannot be carried to another process, or too little memory.
    """
    try:
        payload = pickle.dumps(model)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError("model", "cannot be carried to a fresh process", "a name, a file or a network") from error
    return peak_of(partial(_prepare_pass, payload, seconds, threads, sample_rate))


def peak_of(prepare: Callable[[], Callable[[], object]]) -> int:
    """Bytes by which the resident memory of a fresh process rises at its peak during ``prepare()()``.

    The resident set counts what the work touches and not what it reserves, and pages that an allocator kept from
    before are not counted again: it is what a machine must have free, to a few MB.

    Args:
        prepare: a picklable function that loads, warms up, and returns the work to be measured.

    Raises:
        InputError: the process ended early, most often for want of memory.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_rise, prepare).result()
        except BrokenProcessPool as error:
            do = "measure a shorter signal, and keep a script's own work under `if __name__ == '__main__':`"
            raise InputError("memory", "the process that measures it ended early", hint=do) from error


def _rise(prepare: Callable[[], Callable[[], object]]) -> int:
    work = prepare()
    baseline = _forget_peak()
    work()
    return max(_resident("VmHWM") - baseline, 0)


def _forget_peak() -> int:
    """Start a new peak where the system can, and return the memory from which it rises."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _resident("VmRSS")


def _resident(field: str) -> int:
    """VmRSS, resident bytes now, or VmHWM, their peak.

    Linux keeps ru_maxrss across exec, so that a child of a large process looks as large from its first moment; the
    status file belongs to this process alone. Elsewhere ru_maxrss, a peak, stands for both.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    import resource  # which Windows lacks

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _prepare_pass(payload: bytes, seconds: float, threads: int, sample_rate: int | None) -> Callable[[], object]:
    model = open_model(pickle.loads(payload), threads, sample_rate)
    _set_threads(threads)
    model(_noise(WARM_UP_S, model.sample_rate))
    return partial(model, _noise(seconds, model.sample_rate))


def _noise(seconds: float, sample_rate: int) -> np.ndarray:
    if not seconds * sample_rate >= 1:
        raise InputError("seconds", str(seconds), "a duration of at least one sample")
    samples = np.random.default_rng(0).standard_normal(round(seconds * sample_rate))
    return (0.1 * samples).astype(np.float32)


def _timed(model: Callable[[np.ndarray], np.ndarray], noisy: np.ndarray) -> float:
    started = time.perf_counter()
    model(noisy)
    return time.perf_counter() - started


def _set_threads(threads: int) -> int:
    """Set torch's threads if torch is in use; returns what they were."""
    torch = sys.modules.get("torch")
    if torch is None:
        return threads
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
