"""A differentiable log-likelihood ratio (LLR): the distance of spectral envelopes that CSIG and COVL contain.

Itakura: "Minimum prediction residual principle applied to speech recognition", IEEE TASSP 1975; Quackenbush, Barnwell,
Clements: "Objective Measures of Speech Quality", 1988. The envelope of a frame is that of a linear predictor of order
16. With a_c and a_e the predictors of the clean and the estimated frame, and R_c the Toeplitz matrix of the clean
frame's autocorrelation, the loss of a frame is log(a_e R_c a_e' / a_c R_c a_c'): how much worse the estimate's
predictor does on clean speech than the clean frame's own.

A predictor fits the shape of a spectrum on a logarithmic scale and ignores its level, so quiet frames and quiet
frequencies count as much as loud ones. Losses on magnitudes lack this: they hardly change if a network removes too much
of the high frequencies, or of a recording's own background. The loss ignores phases and, down to about 30 dB below the
clean speech, levels, so it is one term among others, never the only one. Wherever CSIG and COVL of a network that was
trained on it are shown, a note says so.

It agrees with the metric (``sordino.metrics.composite``) to 0.02 on average over noisy speech.
Differences from it: every second frame counts, and white noise 80 dB below the clean speech is added to both spectra,
because digital silence has no predictor. A frame whose clean speech is quieter than that
counts as 0, and so does an item whose reference is silent: there is no envelope to learn.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.losses.silence import is_silent

RATE = 16000
FRAME, HOP, FFT, ORDER = 480, 240, 512, 16
FLOOR = 1e-8  # power of the white noise that is added, relative to that of the clean speech
ROUNDING = 1e-12  # the same relative to the frame's own power: for loud frames with steep spectra
KEPT = 0.95  # share of the frames that count: the metric leaves out the worst, and so does the loss


class Llr(nn.Module):
    """Log-likelihood ratio, one value per item: 0 for a perfect estimate, 0.5 to 1 for noisy speech.

    For 16 kHz only. It computes in float64, which predictors of steep spectra need; on a processor that has none
    (Apple's), on the CPU.
    """

    sample_rate = RATE

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``, [B,T] at 16 kHz; ``noisy`` is unused. Returns [B]."""
        device = torch.device("cpu") if estimate.device.type == "mps" else estimate.device
        with torch.autocast(device.type, enabled=False):
            loss = _trimmed_ratio(reference.to(device).double(), estimate.to(device).double())
            return loss.to(estimate.device, estimate.dtype)


def _trimmed_ratio(reference: Tensor, estimate: Tensor) -> Tensor:
    """Compute the loss [B] of two float64 signals [B,T]."""
    silent = is_silent(reference)
    level = torch.where(silent, 1.0, reference.detach().square().mean(-1)).sqrt().unsqueeze(-1)
    of_clean, of_estimate = (_autocorrelation(wave / level) for wave in (reference, estimate))
    toeplitz = of_clean[..., constants(reference.device).lags]
    error, least = (_residual(_predictor(each), toeplitz) for each in (of_estimate, of_clean))
    spoken = of_clean[..., 0] > 2 * constants(reference.device).floor
    ratio = torch.where(spoken, torch.log(error / least), 0.0)
    kept = ratio.detach() <= torch.quantile(ratio.detach(), KEPT, dim=-1, keepdim=True)
    loss = torch.where(kept, ratio, 0.0).sum(-1) / kept.sum(-1)
    return torch.where(silent, 0.0, loss)


def _autocorrelation(wave: Tensor) -> Tensor:
    """Compute the autocorrelation of the frames of ``wave`` [B,T] at lags 0 to 16, [B,N,17], with the floor."""
    fixed = constants(wave.device)
    frames = F.pad(wave, (0, max(0, FRAME - wave.shape[-1]))).unfold(-1, FRAME, HOP) * fixed.window
    spectrum = torch.fft.rfft(frames, FFT)
    correlation = (spectrum.real.square() + spectrum.imag.square()) @ fixed.cosines
    raised = correlation[..., :1] * (1 + ROUNDING) + fixed.floor
    return torch.cat([raised, correlation[..., 1:]], dim=-1)


class Constants(NamedTuple):
    """Constants of the loss on one device."""

    window: Tensor
    """[480]."""
    cosines: Tensor
    """[257,17]: a power spectrum times this is an autocorrelation."""
    lags: Tensor
    """[17,17]: the lag at each place of a Toeplitz matrix."""
    floor: Tensor
    """Energy of the added noise in a frame of speech whose mean power is 1."""


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # tensors made in that mode could not take part in training later
def constants(device: torch.device) -> Constants:
    """Return the constants on a device, made once."""
    window = 0.5 * (1 - torch.cos(2 * math.pi * torch.arange(1, FRAME + 1, dtype=torch.float64) / (FRAME + 1)))
    bins, lags = torch.arange(FFT // 2 + 1, dtype=torch.float64), torch.arange(ORDER + 1)
    twice = torch.full_like(bins, 2.0)  # all bins but the first and the last stand for two of the whole spectrum
    twice[[0, -1]] = 1.0
    cosines = torch.cos(2 * math.pi / FFT * bins.unsqueeze(1) * lags) * (twice / FFT).unsqueeze(1)
    made = Constants(window, cosines, (lags.unsqueeze(1) - lags).abs(), FLOOR * window.square().sum())
    return Constants(*(one.to(device) for one in made))


def _predictor(correlation: Tensor) -> Tensor:
    """Compute prediction error filters [B,N,17], with first tap 1, from autocorrelations by Levinson-Durbin."""
    error = correlation[..., :1]
    taps = torch.ones_like(error)
    for order in range(1, ORDER + 1):
        reflection = -(taps * correlation[..., 1 : order + 1].flip(-1)).sum(-1, keepdim=True) / error
        longer = F.pad(taps, (0, 1))
        taps = longer + reflection * longer.flip(-1)
        error = error * (1 - reflection.square())
    return taps


def _residual(taps: Tensor, toeplitz: Tensor) -> Tensor:
    """Compute the energy [B,N] that filters ``taps`` [B,N,17] leave of frames with matrices [B,N,17,17]."""
    return ((taps.unsqueeze(-2) @ toeplitz).squeeze(-2) * taps).sum(-1)
