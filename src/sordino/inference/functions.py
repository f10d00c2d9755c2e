"""User functions, named ``module:function``: their delay is measured like that of a graph, and removed.

A function may call any program or network, so it lags, or inverts the signal, as easily as a graph does. It may also
be slow: it is given two seconds of speech, once in a process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from sordino.audio.pcm import as_estimate, check_shape
from sordino.errors import InputError
from sordino.inference.graphs.delay import Delay, measure_delay
from sordino.plugins.catalogue import blamed, function
from sordino.types import Enhance

PROBE_S = 2.0
"""Seconds of speech on which the delay is measured."""
LOST_S = 0.1
"""Seconds that a model which works in whole frames may leave out at the end; they are filled with silence."""
EXPECTED = "a function from noisy [T] to estimate [T], or a checkpoint of the network (sordino.models.save)"


def open_function(word: str, sample_rate: int) -> tuple[Enhance, str]:
    """Import a function from noisy [T] to estimate [T], and remove its delay.

    Args:
        word: ``package.module:function``.
        sample_rate: Hz at which it works.

    Returns:
        The function on time, and one line for the log: its delay and its gain.

    Raises:
        InputError: no such function, a class, or a function that does not enhance; see ``measure_delay``. The function
            that is returned raises it for whatever the user's raises.
    """
    check_shape(word, sample_rate, 1)
    run = function(word)
    if isinstance(run, type):
        raise InputError(word, "is a class", EXPECTED)
    delay = _delay(word, sample_rate, id(run))
    return delay.taken_off(partial(_called, word, run)), f"{word}: a function at {sample_rate} Hz; {delay}"


@lru_cache(64)
def _delay(word: str, sample_rate: int, _identity: int) -> Delay:
    run = function(word)

    def checked(noisy: np.ndarray) -> np.ndarray:
        return as_long(_called(word, run, noisy), noisy, word, sample_rate)

    return measure_delay(checked, sample_rate, word, round(PROBE_S * sample_rate))


def _called(word: str, run: Callable[..., Any], noisy: np.ndarray) -> np.ndarray:
    with blamed(word):
        return np.asarray(run(noisy))


def as_long(given: Any, noisy: np.ndarray, name: str, sample_rate: int, least: int = 0) -> np.ndarray:
    """Return an estimate, float32, that is as long as its input: cut, or filled with silence up to ``LOST_S``.

    Args:
        given: what a model gave: an array, or a tensor.
        noisy: [T] or [C,T], what it was to enhance.
        name: of the model, in messages.
        sample_rate: Hz.
        least: samples to which silence was added for the model, where there were fewer.

    Raises:
        InputError: no samples, not floating point, of another shape, or too few.
    """
    estimate = as_estimate(given, name)
    length = noisy.shape[-1]
    lost = length - estimate.shape[-1] if estimate.ndim else 0
    if estimate.shape[:-1] != noisy.shape[:-1] or estimate.ndim != noisy.ndim or lost > LOST_S * sample_rate:
        found = f"gave an array of shape {estimate.shape} for {max(length, least)} samples"
        raise InputError(name, found, "as many samples, [T]")
    estimate = estimate[..., :length].astype(np.float32)
    return np.concatenate([estimate, np.zeros((*estimate.shape[:-1], max(lost, 0)), np.float32)], axis=-1)
