"""Energy ratios in decibels, SNR and SI-SDR (Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019).

Also the correlation, which shows an estimate of opposite polarity: PESQ, STOI and SI-SDR do not notice it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sordino.metrics.pair import MetricFailure, Signal, pair

ROUNDING = 1e-13
"""Share of a signal's peak that arithmetic in float64 leaves of what should be 0."""


def snr_db(clean: ArrayLike, estimate: ArrayLike) -> float:
    """Compute the signal-to-noise ratio of a whole recording; every difference from the clean signal is noise.

    Args:
        clean: [T].
        estimate: [T].

    Returns:
        ``10 log10(|clean|^2 / |clean - estimate|^2)`` in dB.

    Raises:
        MetricFailure: a signal is silent, or both are equal (the ratio is infinite).
    """
    reference, judged = pair(clean, estimate)
    return _ratio_db(reference, judged - reference)


def si_sdr_db(clean: ArrayLike, estimate: ArrayLike) -> float:
    """Compute the scale-invariant signal-to-distortion ratio (Le Roux et al., eq. 3-4), both means being removed.

    Args:
        clean: [T].
        estimate: [T].

    Returns:
        ``10 log10(|a clean|^2 / |a clean - estimate|^2)`` in dB, with ``a`` the projection of the estimate on the clean
        signal. It does not change when the estimate is scaled.

    Raises:
        MetricFailure: a signal is silent or constant, or the ratio is infinite.
    """
    reference, judged = map(without_mean, pair(clean, estimate))
    target = (reference @ judged / (reference @ reference)) * reference
    return _ratio_db(target, target - judged)


def si_sdr_above_db(clean: ArrayLike, estimate: ArrayLike, sample_rate: int, lowest_hz: float = 120.0) -> float:
    """Compute the SI-SDR of both signals' content at ``lowest_hz`` and above.

    Rumble below the voice can hold most of a recording's noise: on the 30 pairs of VoiceBank-DEMAND that the project
    measures on, 79 % (median). A network that removes only the rumble gets a high SI-SDR, whatever it does to the
    speech. This value ignores the rumble.

    Args:
        clean: [T].
        estimate: [T].
        sample_rate: in Hz.
        lowest_hz: bins of the whole signal's spectrum below this are set to 0, which shifts no phase.

    Raises:
        MetricFailure: as :func:`si_sdr_db` does, or nothing is left.
    """
    reference, judged = (_above(signal, sample_rate, lowest_hz) for signal in pair(clean, estimate))
    return si_sdr_db(reference, judged)


def _above(signal: Signal, sample_rate: int, lowest_hz: float) -> Signal:
    spectrum = np.fft.rfft(signal)
    spectrum[: int(np.ceil(lowest_hz * len(signal) / sample_rate))] = 0
    above = np.fft.irfft(spectrum, len(signal))
    if np.abs(above).max() <= ROUNDING * np.abs(signal).max():
        raise MetricFailure(f"a signal has nothing above {lowest_hz:g} Hz")
    return above


def correlation(clean: ArrayLike, estimate: ArrayLike) -> float:
    """Compute Pearson's correlation of estimate and clean signal; below 0 the estimate has the opposite polarity.

    PESQ, STOI and SI-SDR are the same for an estimate and its negative; this is not.

    Args:
        clean: [T].
        estimate: [T].

    Returns:
        -1 to 1. It does not change when the estimate is scaled by a positive number.

    Raises:
        MetricFailure: a signal is silent or constant.
    """
    reference, judged = map(without_mean, pair(clean, estimate))
    cosine = reference @ judged / (np.linalg.norm(reference) * np.linalg.norm(judged))
    return float(np.clip(cosine, -1, 1))  # rounding can go beyond


def without_mean(signal: Signal) -> Signal:
    """Remove the mean of [T].

    Raises:
        MetricFailure: nothing but rounding would be left, as the signal is constant.
    """
    centred = signal - signal.mean()
    if np.abs(centred).max() <= ROUNDING * np.abs(signal).max():
        raise MetricFailure("a signal is constant")
    return centred


def _ratio_db(target: Signal, error: Signal) -> float:
    wanted, unwanted = float(target @ target), float(error @ error)
    if unwanted <= ROUNDING**2 * wanted:
        raise MetricFailure("the ratio is infinite: the signal is the clean one itself, without any noise")
    if not wanted:
        raise MetricFailure("the ratio is infinite: the signal holds nothing of the clean one")
    return 10 * float(np.log10(wanted / unwanted))
