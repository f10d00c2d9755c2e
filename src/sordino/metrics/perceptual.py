"""PESQ (ITU-T P.862, P.862.2) and STOI (Taal et al. 2011; extended: Jensen & Taal 2016), by the usual packages.

A value is always stored with package, version and mode: two modes of PESQ differ by half a point.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sordino.errors import InputError
from sordino.metrics.pair import MetricFailure, pair

PESQ_RATES = {"wb": (16000,), "nb": (8000, 16000)}
LONGEST_S = 30
"""Seconds; a longer recording is scored in equal pieces of at most this length, and its PESQ is their mean.

P.862 is meant for 8 to 20 s, and the package's tables have room for 50 utterances: a long recording with many pauses
ends the whole process. Pieces without speech have no PESQ and do not count."""
_STOI_SHORTEST_S = (29 * 128 + 256) / 10_000  # 30 frames of 256 samples, half overlapping, at 10 kHz
_STOI_OF_TOO_SHORT = 1e-5  # what pystoi returns for it, with a warning
_STOI_LOCK = Lock()
_STOI_TOO_SHORT = "STOI: fewer than 30 frames (0.4 s) of speech"


def pesq_wb(clean: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Compute wide-band PESQ (P.862.2), about 1.0 to 4.64: the PESQ of the speech-enhancement papers.

    Args:
        clean: [T].
        estimate: [T].
        sample_rate: 16000 Hz.

    A recording of more than ``LONGEST_S`` seconds is scored in pieces.

    Raises:
        InputError: another sample rate.
        MetricFailure: PESQ finds no utterance, or the recording is shorter than a quarter of a second.
    """
    return _pesq(clean, estimate, sample_rate, "wb")


def pesq_nb(clean: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Compute narrow-band PESQ (P.862, mapped to MOS-LQO by P.862.1), about 1.0 to 4.55; not comparable to wide-band.

    Args:
        clean: [T].
        estimate: [T].
        sample_rate: 8000 or 16000 Hz.

    Raises:
        InputError: another sample rate.
        MetricFailure: PESQ finds no utterance, or the recording is shorter than a quarter of a second.
    """
    return _pesq(clean, estimate, sample_rate, "nb")


def stoi(clean: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Compute short-time objective intelligibility, a fraction (papers often print it in per cent).

    Args:
        clean: [T].
        estimate: [T].
        sample_rate: in Hz; STOI itself resamples to 10 kHz.

    Raises:
        MetricFailure: fewer than 30 frames (0.4 s) of speech remain after the silent ones are removed.
    """
    return _stoi(clean, estimate, sample_rate, extended=False)


def estoi(clean: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Compute extended STOI, which also suits fluctuating noise; arguments and failures are those of :func:`stoi`."""
    return _stoi(clean, estimate, sample_rate, extended=True)


def _pesq(clean: ArrayLike, estimate: ArrayLike, sample_rate: int, mode: Literal["wb", "nb"]) -> float:
    from pesq import PesqError, pesq

    if sample_rate not in PESQ_RATES[mode]:
        rates = " or ".join(f"{rate} Hz" for rate in PESQ_RATES[mode])
        raise InputError(f"pesq_{mode}", f"a sample rate of {sample_rate} Hz", rates, "resample both signals first")
    reference, judged = pair(clean, estimate)
    count = -(-len(reference) // (LONGEST_S * sample_rate))
    scores, reason = [], "a piece is silent"
    for clean_piece, judged_piece in zip(np.array_split(reference, count), np.array_split(judged, count), strict=True):
        if not clean_piece.any():
            continue
        if not judged_piece.any():
            raise MetricFailure("PESQ: the estimate is silent where the clean speech is not")
        try:
            scores.append(float(pesq(sample_rate, clean_piece, judged_piece, mode)))
        except ValueError as error:
            raise MetricFailure("PESQ: the estimate is as good as silent where the clean speech is not") from error
        except PesqError as error:
            # The package's messages are C strings, as bytes.
            reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
    if not scores:
        raise MetricFailure(f"PESQ: {reason}")
    score = float(np.mean(scores))
    if not math.isfinite(score):
        raise MetricFailure("PESQ: the score is not a number")
    return score


def _stoi(clean: ArrayLike, estimate: ArrayLike, sample_rate: int, extended: bool) -> float:
    from pystoi import stoi as measure

    reference, judged = pair(clean, estimate)
    if len(reference) < _STOI_SHORTEST_S * sample_rate:
        raise MetricFailure(_STOI_TOO_SHORT)
    # Filters of warnings and the generator are those of the whole process.
    with _STOI_LOCK, warnings.catch_warnings(), _seeded() if extended else nullcontext():
        warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
        score = float(measure(reference, judged, sample_rate, extended=extended))
    if score == _STOI_OF_TOO_SHORT:
        raise MetricFailure(_STOI_TOO_SHORT)
    if not math.isfinite(score):
        raise MetricFailure("STOI: the score is not a number")
    return score


@contextmanager
def _seeded() -> Iterator[None]:
    """Context manager that seeds numpy's global generator and restores it: ESTOI adds random noise of 1e-16.

    Where a band is silent, that noise is all there is, and the score depends on it.
    """
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
