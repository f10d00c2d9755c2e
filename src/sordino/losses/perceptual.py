"""A differentiable PESQ (wide band): the perceptual model of ITU-T P.862.2 as a loss, without time alignment.

The loudness of the estimate is compared with that of the clean speech in every frame and Bark band, after their levels
and slow changes of the spectral shape are equalised. Power that was added counts more than power that is missing.
Rix, Beerends, Hollier, Hekstra: "Perceptual evaluation of speech quality (PESQ)", ICASSP 2001, with the input filter of
P.862.2; the constants are those of the public torch-pesq package (MIT). It agrees with the `pesq` package to 0.02 MOS
on average over noisy speech.

PESQ ignores phase, level and low frequencies, so this is a term among others, never the only one. A network trained on
it has a higher PESQ than its sound deserves; wherever the PESQ of such a network is shown, a note says so.

Differences where the definition has no gradient or an infinite one: the level of the estimate counts as at least that
of the clean speech less 120 dB, so that a silent estimate has a finite gain; and a clean signal below -120 dBFS counts
as silent. PESQ is not defined for it, so the item's loss and gradient are 0. Train silence with another loss.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sordino.audio import filters
from sordino.errors import InputError
from sordino.losses import bark
from sordino.losses.silence import SILENCE
from sordino.placement import at_least_float32

RATE = 16000
FFT, HOP, FADE = 512, 256, 15
LEVEL_BAND_HZ = (325, 3250)
INPUT_FILTER = (2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794)
TAPS = 1024  # length of both filters' impulse responses; the rest has less than 1e-12 of their energy
WINDOW, STEP = 20, 10  # frames that are combined, and frames from one such window to the next
QUIETEST = 1e-12  # least power of the estimate, as a share of that of the clean speech


class Perceptual(nn.Module):
    """PESQ's disturbance, one value per item: 0 for a perfect estimate, 1 to 5 for noisy speech; see ``mos``.

    For 16 kHz only, and for segments of at least 1 s. It computes in float32 (float64 for float64 inputs), also under
    autocast.

    Args:
        symmetric: weight of the symmetric disturbance, which counts added and missing power alike.
        asymmetric: weight of the disturbance by added power. Both defaults are PESQ's own.
    """

    sample_rate = RATE
    level_response: Tensor
    input_response: Tensor
    window: Tensor
    bark: Tensor
    width: Tensor
    threshold: Tensor
    exponent: Tensor

    def __init__(self, symmetric: float = 0.1, asymmetric: float = 0.0309) -> None:
        super().__init__()
        if not (symmetric >= 0 and asymmetric >= 0 and symmetric + asymmetric > 0):
            raise ValueError(f"symmetric and asymmetric are weights, not {symmetric} and {asymmetric}")
        self.symmetric, self.asymmetric = symmetric, asymmetric
        for name, table in _tables().items():
            self.register_buffer(name, torch.from_numpy(table).float(), persistent=False)

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``, [B,T] at 16 kHz; ``noisy`` is unused. Returns [B].

        Raises:
            InputError: the segment is shorter than 1 s.
        """
        symmetric, asymmetric = self.disturbances(reference, estimate)
        return self.symmetric * symmetric + self.asymmetric * asymmetric

    def disturbances(self, reference: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
        """Return the symmetric and the asymmetric disturbance, [B] each; both are 0 where ``reference`` is silent.

        Raises:
            InputError: the segment is shorter than 1 s.
        """
        if reference.shape[-1] < RATE:
            found = f"{reference.shape[-1] / RATE:g} s, too short for the perceptual loss"
            raise InputError("segment", found, "at least 1 s", "lengthen data.segment_s")
        with torch.autocast(reference.device.type, enabled=False):
            # Powers reach 1e10 and more, too much for half precision.
            silent, clean, guess = self._bands(at_least_float32(reference), at_least_float32(estimate))
            symmetric, asymmetric = self._compare(clean, guess)
        return torch.where(silent, 0.0, symmetric), torch.where(silent, 0.0, asymmetric)

    def _bands(self, clean: Tensor, guess: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return which items are silent [B], and the powers of both signals in Bark bands [B,N,49]."""
        # Dividing by the peak avoids very small numbers. Levels are equalised below, so it changes only rounding.
        peak = torch.maximum(clean.detach().abs().amax(-1), guess.detach().abs().amax(-1)).clamp(min=SILENCE)
        clean, guess = clean / peak.unsqueeze(-1), guess / peak.unsqueeze(-1)
        level = self._level(clean)
        silent = level * peak.square() <= SILENCE
        level = torch.where(silent, 1.0, level)
        clean, guess = (torch.where(silent.unsqueeze(-1), 0.0, wave) for wave in (clean, guess))
        return silent, self._bark(clean, level), self._bark(guess, torch.maximum(self._level(guess), QUIETEST * level))

    def _level(self, wave: Tensor) -> Tensor:
        """Compute the power of ``wave`` [B,T] in the band of speech, [B]."""
        samples = wave.shape[-1]
        return _filtered(wave, self.level_response).square().sum(-1) / (samples + 5120) / 1.04684

    def _bark(self, wave: Tensor, level: Tensor) -> Tensor:
        """Compute powers in Bark bands [B,N,49] of ``wave`` [B,T], scaled from ``level`` [B] to PESQ's level of 1e7."""
        ramp = torch.arange(1, FADE + 1, dtype=wave.dtype, device=wave.device) / (FADE + 1)
        fade = torch.cat([ramp, wave.new_ones(wave.shape[-1] - 2 * FADE), ramp.flip(0)])
        filtered = _filtered((1e7 / level).sqrt().unsqueeze(-1) * fade * wave, self.input_response)
        filtered = nn.functional.pad(filtered, (0, wave.shape[-1] % HOP))
        spectrum = torch.fft.rfft(filtered.unfold(-1, FFT, HOP) * self.window.to(wave.dtype))
        return (spectrum.real.square() + spectrum.imag.square()) @ self.bark.to(wave.dtype)

    def _compare(self, clean: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both disturbances [B] from powers in bands [B,N,49]."""
        clean = self._match_shape(clean, guess)
        audible = self._audible(clean, 1)
        guess = self._match_level(audible, guess)
        of_clean, of_guess = self._loudness(clean), self._loudness(guess)
        # Masking: a difference of loudness counts only beyond a quarter of the smaller loudness.
        difference, masked = of_guess - of_clean, 0.25 * torch.minimum(of_clean, of_guess)
        difference = (difference - torch.clamp(difference, -masked, masked))[..., 1:]
        # The asymmetry factor grows with added power; below 3 it counts as 0, above 12 as 12.
        asymmetry = ((guess + 50) / (clean + 50)).pow(1.2)[..., 1:]
        asymmetry = torch.where(asymmetry < 3, 0.0, asymmetry.clamp(max=12))
        # Over the bands but the first: a norm weighted by their widths.
        width = self.width.to(clean.dtype)[1:]
        symmetric = width.sum().sqrt() * (width * difference).square().sum(-1).clamp(min=1e-30).sqrt()
        asymmetric = (width * difference * asymmetry).abs().sum(-1)
        # Disturbances count more in frames of little power.
        frame_weight = ((audible + 1e5) / 1e7).pow(0.04)
        return _over_time(symmetric / frame_weight), _over_time(asymmetric / frame_weight)

    def _match_shape(self, clean: Tensor, guess: Tensor) -> Tensor:
        """Scale the bands of ``clean`` to the mean powers of those of ``guess``, by up to 20 dB: [B,N,49].

        The means are over frames of speech and over audible powers.
        """
        is_speech = (self._audible(clean, 100) >= 1e7)[..., None]
        audible = 100 * self.threshold.to(clean.dtype)
        of_clean = torch.where(is_speech & (clean > audible), clean, 0.0).mean(1)
        of_guess = torch.where(is_speech & (guess > audible), guess, 0.0).mean(1)
        return clean * ((of_guess + 1000) / (of_clean + 1000)).clamp(0.01, 100).unsqueeze(1)

    def _match_level(self, audible: Tensor, guess: Tensor) -> Tensor:
        """Scale the frames of ``guess`` [B,N,49] to the level ``audible`` [B,N] of the clean frames, smoothed."""
        gain = (audible + 5000) / (self._audible(guess, 1) + 5000)
        gain = torch.cat([gain[:, :1], 0.8 * gain[:, 1:] + 0.2 * gain[:, :-1]], dim=1)
        return guess * gain.clamp(3e-4, 5).unsqueeze(-1)

    def _audible(self, power: Tensor, factor: float) -> Tensor:
        """Sum the powers [B,N] of the bands that exceed ``factor`` times the threshold of hearing."""
        return torch.where(power > factor * self.threshold.to(power.dtype), power, 0.0).sum(-1)

    def _loudness(self, power: Tensor) -> Tensor:
        """Compute the loudness of each band by Zwicker's law, in sone per Bark; 0 below the threshold of hearing."""
        threshold, exponent = self.threshold.to(power.dtype), self.exponent.to(power.dtype)
        above = (power / threshold).clamp(min=1)
        return bark.LOUDNESS_SCALE * (2 * threshold).pow(exponent) * ((0.5 + 0.5 * above).pow(exponent) - 1)


def mos(loss: Tensor) -> Tensor:
    """Convert a value of ``Perceptual`` with its default weights to a mean opinion score, 1.0 to 4.6."""
    return 0.999 + 4 / (1 + torch.exp(-1.3669 * (4.5 - loss) + 3.8224))


def _filtered(wave: Tensor, response: Tensor) -> Tensor:
    """Filter ``wave`` [B,T] causally by an impulse response, in the frequency domain; returns [B,T]."""
    from scipy.fft import next_fast_len  # here and below, as in sordino.audio.filters

    samples = wave.shape[-1]
    half = -(-(samples + len(response) - 1) // 2)
    size = 2 * cast("int", next_fast_len(half, real=True))  # even, as ``irfft`` takes it to be
    spectrum = torch.fft.rfft(wave, size) * torch.fft.rfft(response.to(wave.dtype), size)
    return torch.fft.irfft(spectrum, size)[..., :samples]


def _over_time(disturbance: Tensor) -> Tensor:
    """Combine the frames' values [B,N] to one [B]: a 6-norm within windows of frames, a root mean square over these."""
    windows = disturbance.clamp(1e-20, 45).unfold(-1, WINDOW, STEP)
    # The sixth power of a small number underflows in float32, so values are divided by the largest before. Norms scale
    # with their arguments: the factor may be detached without changing value or gradient.
    largest = windows.detach().amax(-1, keepdim=True)
    peaks = (windows / largest).pow(6).mean(-1).pow(1 / 6) * largest.squeeze(-1)
    scale = peaks.detach().amax(-1, keepdim=True)
    return (peaks / scale).square().mean(-1).sqrt() * scale.squeeze(-1)


def _level_transfer(size: int) -> np.ndarray:
    """Return the transfer function of the filter that measures levels, at the frequencies of an ``rfft`` of ``size``.

    It is a Butterworth band-pass of order 5.
    """
    from scipy.signal import butter

    sections = np.asarray(butter(5, LEVEL_BAND_HZ, "bandpass", output="sos", fs=RATE))
    return filters.response(sections, np.arange(size // 2 + 1) * RATE / size, RATE)


@lru_cache(maxsize=1)
def _tables() -> dict[str, np.ndarray]:
    """Return the constant tables by the names of the buffers that hold them."""
    above, below = (np.fft.rfft(part, 8 * TAPS) for part in INPUT_FILTER)
    return {
        "level_response": np.fft.irfft(_level_transfer(8 * TAPS))[:TAPS],
        "input_response": np.fft.irfft(above / below)[:TAPS],
        "window": np.hanning(FFT + 1)[:-1],
        "bark": bark.bark_matrix(),
        "width": np.array(bark.WIDTH),
        "threshold": np.array(bark.THRESHOLD),
        "exponent": bark.loudness_exponents(),
    }
