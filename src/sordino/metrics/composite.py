"""CSIG, CBAK and COVL: Hu & Loizou, "Evaluation of objective quality measures for speech enhancement", IEEE TASLP 2008.

They predict listeners' ratings of the signal's distortion, the background's intrusiveness and the overall quality, each
from 1 to 5, by regressions over PESQ, LLR, WSS and segmental SNR. This is the form in which MANNER, MV-AT and most
papers on VoiceBank-DEMAND print them: wide-band PESQ; LLR not limited to 2 per frame; the window
``0.5 (1 - cos(2 pi n / 481))``; the highest 5 % of the frames left out of LLR and WSS. All in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from sordino.errors import InputError
from sordino.metrics.pair import MetricFailure, Signal, pair
from sordino.metrics.perceptual import pesq_wb
from sordino.metrics.ratios import without_mean

Matrix = NDArray[np.float64]

SAMPLE_RATE = 16000
FRAME, HOP, FFT, ORDER = 480, 120, 1024, 16
FLOOR = 1e-10
AT_ONCE = 2048
"""Frames in memory."""

# The 25 bands of WSS (Klatt 1982), in Hz.
# fmt: off
CENTRES = np.array([
    50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30, 1288.72, 1442.54,
    1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
])
BANDWIDTHS = np.array([
    70, 70, 70, 70, 70, 70, 70, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823, 168.154,
    183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
])
# fmt: on


def composite(
    clean: ArrayLike, estimate: ArrayLike, sample_rate: int = SAMPLE_RATE, pesq: float | None = None
) -> dict[str, float]:
    """Compute the three composite scores and their parts.

    Args:
        clean: [T].
        estimate: [T].
        sample_rate: 16000 Hz.
        pesq: wide-band PESQ of this pair, if known already; None computes it here.

    Returns:
        ``csig``, ``cbak``, ``covl`` (1 to 5), ``llr``, ``wss`` and ``segsnr_db``.

    Raises:
        InputError: another sample rate, or different lengths.
        MetricFailure: the recording is silent, too short, or has no PESQ.
    """
    if sample_rate != SAMPLE_RATE:
        found = f"a sample rate of {sample_rate} Hz"
        raise InputError("composite", found, f"{SAMPLE_RATE} Hz", "resample both signals first")
    reference, judged = pair(clean, estimate)
    llr = log_likelihood_ratio(reference, judged)
    wss = weighted_spectral_slope(reference, judged)
    segsnr_db = segmental_snr_db(reference, judged)
    pesq = pesq_wb(reference, judged, sample_rate) if pesq is None else pesq
    scores = {
        "csig": 3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss,
        "cbak": 1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segsnr_db,
        "covl": 1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss,
    }
    limited = {name: min(max(score, 1.0), 5.0) for name, score in scores.items()}
    return limited | {"llr": llr, "wss": wss, "segsnr_db": segsnr_db}


def log_likelihood_ratio(clean: Signal, estimate: Signal) -> float:
    """Compute the LLR: how much worse the estimate's linear predictor fits the clean frame than the frame's own.

    Per frame ``log(a_e R_c a_e' / a_c R_c a_c')``, with R_c the Toeplitz matrix of the clean frame's autocorrelation.
    A frame without energy has no predictor and counts as zero.

    Args:
        clean: [T] at 16 kHz.
        estimate: [T].

    Returns:
        The mean over the lowest 95 % of the frames.
    """
    return _trimmed_mean(np.concatenate([_likelihood_ratios(*frames) for frames in _framed(clean, estimate)]))


def _likelihood_ratios(clean: Matrix, estimate: Matrix) -> NDArray[np.float64]:
    """Compute the LLR of each of the frames [N, 480]: [N]."""
    correlation = _autocorrelation(clean)
    of_clean, of_estimate = _predictor(correlation), _predictor(_autocorrelation(estimate))
    lags = np.abs(np.subtract.outer(np.arange(ORDER + 1), np.arange(ORDER + 1)))
    toeplitz = correlation[:, lags]
    error = np.einsum("ni,nij,nj->n", of_estimate, toeplitz, of_estimate)
    least_error = np.einsum("ni,nij,nj->n", of_clean, toeplitz, of_clean)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(error / least_error)
    return np.where(np.isnan(ratio), 0.0, ratio)


def weighted_spectral_slope(clean: Signal, estimate: Signal) -> float:
    """Compute the WSS: the weighted squared difference of the slopes between neighbouring critical bands (Klatt 1982).

    Args:
        clean: [T] at 16 kHz.
        estimate: [T].

    Returns:
        The mean over the lowest 95 % of the frames.
    """
    return _trimmed_mean(np.concatenate([_slope_distances(*frames) for frames in _framed(clean, estimate)]))


def _slope_distances(clean: Matrix, estimate: Matrix) -> NDArray[np.float64]:
    """Compute the WSS of each of the frames [N, 480]: [N]."""
    energies = [_band_energies_db(frames) for frames in (clean, estimate)]
    difference = np.diff(energies[0]) - np.diff(energies[1])
    weights = (_slope_weights(energies[0]) + _slope_weights(energies[1])) / 2
    return (weights * difference**2).sum(1) / weights.sum(1)


def segmental_snr_db(clean: Signal, estimate: Signal) -> float:
    """Compute the segmental SNR: the mean over frames of each frame's SNR, limited to [-10, 35] dB.

    The means of both signals are removed, and the estimate is scaled to the clean signal's peak.

    Args:
        clean: [T] at 16 kHz.
        estimate: [T].

    Returns:
        The mean in dB.

    Raises:
        MetricFailure: a signal is constant.
    """
    clean, estimate = without_mean(clean), without_mean(estimate)
    scaled = estimate * (np.abs(clean).max() / np.abs(estimate).max())
    ratios_db = []
    for target, judged in _framed(clean, scaled):
        energy, error = (target**2).sum(1), ((target - judged) ** 2).sum(1)
        ratios_db.append(10 * np.log10(energy / (error + FLOOR) + FLOOR))
    return float(np.clip(np.concatenate(ratios_db), -10, 35).mean())


def _framed(clean: Signal, estimate: Signal) -> Iterator[tuple[Matrix, Matrix]]:
    """Cut both signals [T] into windowed frames [N, 480], 2,048 at a time: an hour has 480,000.

    Together these are floor(T / 120 - 4) frames, one fewer than would fit, as published.
    """
    count = int(len(clean) / HOP - FRAME / HOP)
    if count < 1:
        raise MetricFailure(f"{len(clean)} samples are too short: one frame needs {FRAME + HOP}")
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, FRAME + 1) / (FRAME + 1)))
    of_clean, of_estimate = (sliding_window_view(signal, FRAME)[::HOP][:count] for signal in (clean, estimate))
    for first in range(0, count, AT_ONCE):
        block = slice(first, first + AT_ONCE)
        yield of_clean[block] * window, of_estimate[block] * window


def _autocorrelation(frames: Matrix) -> Matrix:
    """Compute the autocorrelation of frames [N, 480] at lags 0 to 16: [N, 17]."""
    return np.stack([(frames[:, : FRAME - lag] * frames[:, lag:]).sum(1) for lag in range(ORDER + 1)], axis=1)


def _predictor(correlation: Matrix) -> Matrix:
    """Compute prediction error filters [N, 17], with first tap 1, from autocorrelations [N, 17] by Levinson-Durbin."""
    taps = np.zeros_like(correlation)
    taps[:, 0] = 1
    error = correlation[:, 0].copy()
    with np.errstate(divide="ignore", invalid="ignore"):  # a frame without energy ends as NaN, and counts as 0 above
        for order in range(1, ORDER + 1):
            reflection = -(taps[:, :order] * correlation[:, order:0:-1]).sum(1) / error
            taps[:, 1 : order + 1] += reflection[:, None] * taps[:, order - 1 :: -1][:, :order]
            error *= 1 - reflection**2
    return taps


def _band_energies_db(frames: Matrix) -> Matrix:
    """Compute the energies of the 25 critical bands in dB, [N, 25], of frames [N, 480]."""
    spectrum = np.abs(np.fft.rfft(frames, FFT)[:, : FFT // 2]) ** 2
    bins_per_hz = (FFT // 2) / (SAMPLE_RATE / 2)
    distance = np.arange(FFT // 2) - np.floor(CENTRES * bins_per_hz)[:, None]
    bands = np.exp(-11 * (distance / (BANDWIDTHS * bins_per_hz)[:, None]) ** 2) * (BANDWIDTHS[0] / BANDWIDTHS)[:, None]
    bands[bands <= np.exp(-30 / (2 * 2.303))] = 0
    return 10 * np.log10(np.maximum(spectrum @ bands.T, FLOOR))


def _slope_weights(energy_db: Matrix) -> Matrix:
    """Compute Klatt's weights of the 24 slopes [N, 24] from energies [N, 25]: large near the highest and nearest peak.

    The nearest peak of a rising slope is searched upwards, that of any other downwards. If the slopes rise from band i
    to n, the first slope that does not rise, the peak is read at n - 1 instead of n: published figures contain this.
    """
    rising = np.diff(energy_db) > 0
    bands = np.arange(rising.shape[1])
    # For every slope: a running minimum from above finds the first that does not rise, a running maximum from below the
    # last that rises.
    first_not_rising = np.minimum.accumulate(np.where(rising, len(bands), bands)[:, ::-1], axis=1)[:, ::-1]
    last_rising = np.maximum.accumulate(np.where(rising, bands, -1), axis=1)
    peak = np.take_along_axis(energy_db, np.where(rising, first_not_rising - 1, last_rising + 1), axis=1)
    highest, energy = energy_db.max(1, keepdims=True), energy_db[:, :-1]
    return 20 / (20 + highest - energy) / (1 + peak - energy)


def _trimmed_mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the lowest 95 % of the frames."""
    kept = np.sort(values)[: round(0.95 * len(values))]
    return float(kept.mean())
