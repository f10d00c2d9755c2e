"""Check the two signals that a metric compares, and the exception for recordings without a value."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sordino.audio.alignment import aligned
from sordino.audio.pcm import as_array
from sordino.errors import InputError

Align = Literal["exact", "shorter", "lag"]
Signal = NDArray[np.float64]


class MetricFailure(ValueError):
    """Raised if a metric has no value for a recording; the message gives the reason.

    Failures are counted and listed with the scores. They never count as zero, and never stop other metrics.
    """


def pair(clean: ArrayLike, estimate: ArrayLike, align: Align = "exact") -> tuple[Signal, Signal]:
    """Check two signals and return them as float64.

    Args:
        clean: [T], the reference.
        estimate: [T], the signal to rate.
        align: ``"exact"`` refuses different lengths; ``"shorter"`` cuts both to the shorter one; ``"lag"`` shifts them
            by their lag first, where one is certain by sound.

    Returns:
        ``(clean, estimate)``, both [T].

    Raises:
        InputError: a signal is not one-dimensional, the lengths differ, or there is no such ``align``.
        MetricFailure: a signal is empty, silent, or holds NaN or infinite samples.
    """
    if align not in get_args(Align):
        raise InputError("align", repr(align), f"one of {', '.join(get_args(Align))}")
    signals = {"clean": _mono("clean", clean), "estimate": _mono("estimate", estimate)}
    if align == "lag":
        signals = dict(zip(signals, aligned(*signals.values()), strict=True))
    lengths = [len(signal) for signal in signals.values()]
    if align == "exact" and lengths[0] != lengths[1]:
        found = f"{lengths[1]} samples beside {lengths[0]} of the clean signal"
        raise InputError("estimate", found, "equal lengths", "give align='shorter' to cut both to the shorter")
    reference, judged = (usable(name, signal[: min(lengths)]) for name, signal in signals.items())
    return reference, judged


def usable(name: str, signal: ArrayLike) -> Signal:
    """Check one signal [T] and return it as float64; errors are those of :func:`pair`."""
    samples = _mono(name, signal)
    if not samples.size:
        raise MetricFailure(f"the {name} signal is empty")
    if not np.isfinite(samples).all():
        raise MetricFailure(f"the {name} signal holds NaN or infinite samples")
    if not samples.any():
        raise MetricFailure(f"the {name} signal is silent")
    return samples


def _mono(name: str, signal: ArrayLike) -> Signal:
    samples = np.asarray(as_array(signal, name), np.float64)
    if samples.ndim != 1:
        raise InputError(name, f"an array of shape {samples.shape}", "one channel, of shape [T]", "score each channel")
    return samples
