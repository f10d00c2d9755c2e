"""Speed of a model and the memory of one pass, both on this machine.

Both measure a model as ``sordino.enhance`` uses it: a signal of more than 30 s is processed in windows, and by a
network that streams in blocks of a second.
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
from sordino.plugins.modules import Trusted, restore, trusted

WARM_UP_S = 0.25


@dataclass(frozen=True)
class RealTimeFactor:
    """Seconds of work per second of audio; below 1 is faster than real time."""

    median: float
    fastest: float
    slowest: float
    latency_s: float
    """Median time until the estimate of the whole signal is there."""
    cores: float
    """Cores busy on average; more than ``threads`` if the model was opened with more."""
    seconds: float
    repeats: int
    threads: int


def real_time_factor(
    run: Any, sample_rate: int | None = None, seconds: float = 4.0, repeats: int = 5, threads: int = 1
) -> RealTimeFactor:
    """Measure the time of passes over ``seconds`` of noise, after one for warming up.

    Args:
        run: what ``sordino.inference.model.open_model`` takes: a name, a file, a network, or a function [T] -> [T].
        sample_rate: Hz of the signal; the model's own when left out.
        threads: threads of the arithmetic; torch's number is restored afterwards. A model that is already open keeps
            its own.

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
        times = [timed(partial(model, noisy)) for _ in range(repeats)]
        used = time.process_time() - used
    finally:
        _set_threads(before)
    factors = [elapsed / seconds for elapsed in times]
    cores = used / max(sum(times), 1e-9)
    return RealTimeFactor(median(factors), min(factors), max(factors), median(times), cores, seconds, repeats, threads)


def peak_memory(model: Any = None, seconds: float = 4.0, threads: int = 1, sample_rate: int | None = None) -> int:
    """Measure the bytes that one pass over ``seconds`` of noise needs at its peak, beside the loaded model.

    Args:
        model: the name of a shipped model, a file, a network, or a function that a new process can import. A model that
            is already open cannot be sent there.
        threads: threads of the arithmetic.
        sample_rate: Hz of a model that does not declare one.

    Raises:
        InputError: no such model, one that cannot be sent to another process, or too little memory.
    """
    try:
        payload = pickle.dumps(model)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError("model", "cannot be sent to a new process", "a name, a file or a network") from error
    return peak_of(partial(_prepare_pass, trusted(), payload, seconds, threads, sample_rate))


def peak_of(prepare: Callable[[], Callable[[], object]]) -> int:
    """Measure the bytes by which the resident memory of a new process rises at its peak during ``prepare()()``.

    Resident memory counts pages that the work touches, not those that it only reserves, and not those that an allocator
    has kept from before. It is what a machine must have free, to a few MB.

    Args:
        prepare: a picklable function that loads, warms up, and returns the work to be measured.

    Raises:
        InputError: the process ended early, most often because memory ran out.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_rise, prepare).result()
        except BrokenProcessPool as error:
            hint = "measure a shorter signal, and keep a script's own work under `if __name__ == '__main__':`"
            raise InputError("memory", "the process that measures it ended early", hint=hint) from error


def _rise(prepare: Callable[[], Callable[[], object]]) -> int:
    work = prepare()
    baseline = _forget_peak()
    work()
    return max(_resident("VmHWM") - baseline, 0)


def _forget_peak() -> int:
    """Reset the peak where the system can, and return the resident memory now."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _resident("VmRSS")


def _resident(field: str) -> int:
    """Return VmRSS, the resident bytes now, or VmHWM, their peak.

    They are read from Linux's status file of the process: its ru_maxrss survives exec, so that a child of a large
    process would seem as large from the start. Other systems have only ru_maxrss, a peak, which is used for both.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith(field)]
        return int(line.split()[1]) * 1024
    import resource  # Windows does not have it

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _prepare_pass(
    state: Trusted, payload: bytes, seconds: float, threads: int, sample_rate: int | None
) -> Callable[[], object]:
    restore(state, imports=True)
    model = open_model(pickle.loads(payload), threads, sample_rate)
    _set_threads(threads)
    model(_noise(WARM_UP_S, model.sample_rate))
    return partial(model, _noise(seconds, model.sample_rate))


def _noise(seconds: float, sample_rate: int) -> np.ndarray:
    if not seconds * sample_rate >= 1:
        raise InputError("seconds", str(seconds), "a duration of at least one sample")
    samples = np.random.default_rng(0).standard_normal(round(seconds * sample_rate))
    return (0.1 * samples).astype(np.float32)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _set_threads(threads: int) -> int:
    """Set torch's number of threads, if torch is imported; return the number before."""
    torch = sys.modules.get("torch")
    if torch is None:
        return threads
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before
