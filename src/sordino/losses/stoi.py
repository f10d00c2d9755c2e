"""A differentiable STOI: short-time objective intelligibility as a loss, also the extended one.

Taal, Hendriks, Heusdens, Jensen: "An algorithm for intelligibility prediction of time-frequency weighted noisy speech",
IEEE TASLP 2011, and for ESTOI Jensen, Taal: "An algorithm for predicting the intelligibility of speech masked by
modulated noise maskers", IEEE TASLP 2016. Frames in which the clean speech is silent are left out. Then the magnitudes
of estimate and clean speech in third-octave bands are correlated over segments of 384 ms. It agrees with the `pystoi`
package to 0.002 on average over noisy speech.

STOI ignores phase, level, the pauses between words, and everything below 130 Hz or above 4.3 kHz, so this is one term
among others, never the only one. Wherever the STOI of a network that was trained on it is shown, a note says so.

Differences from the definition: signals are resampled to 10 kHz in the frequency domain; bands that are 60 dB quieter
than the speech count little, because the correlation of next to nothing has a gradient without bound; and an item with
less than 0.4 s of speech, for which STOI is not defined, has a loss and a gradient of 0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sordino.losses.silence import is_silent
from sordino.placement import at_least_float32

RATE, OWN_RATE = 16000, 10000
FRAME, HOP, FFT = 256, 128, 512
BANDS, LOWEST_HZ = 15, 150.0
SEGMENT = 30  # frames that are correlated
SILENT_DB = 40.0  # a frame this far below the loudest counts as silent
CLIP = 1 + 10 ** (15 / 20)  # a magnitude counts as at most this many times the clean one: an SDR of -15 dB
FLOOR = 1e-2  # of the mean magnitude of the speech: bands below it count little
FADE_HZ = 250.0  # width of the fade below half the rate
MULTIPLE = 800  # signals are padded to a multiple of this many samples, so that both rates have whole numbers of them


class Stoi(nn.Module):
    """1 - STOI, one value per item: 0 for a perfect estimate, 0.4 to 0.8 for silence, noise or other speech.

    With ``extended`` these are about 1. STOI itself is lenient, because envelopes that are cut off at -15 dB correlate.

    For 16 kHz only. It computes in float32 (float64 for float64 inputs), also under autocast.

    Args:
        extended: ESTOI instead, which compares spectra as well as envelopes.
    """

    sample_rate = RATE
    window: Tensor
    octaves: Tensor

    def __init__(self, extended: bool = False) -> None:
        super().__init__()
        self.extended = extended
        window = np.hanning(FRAME + 2)[1:-1]
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.register_buffer("octaves", torch.from_numpy(_third_octaves()).float(), persistent=False)

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` against ``reference``, [B,T] at 16 kHz; ``noisy`` is unused. Returns [B]."""
        with torch.autocast(reference.device.type, enabled=False):
            silent = is_silent(reference)
            clean, guess = (at_least_float32(wave) for wave in (reference, estimate))
            # Dividing both by the level of the clean speech makes the floors below relative to it.
            level = torch.where(silent, 1.0, clean.detach().square().mean(-1).clamp(min=1e-30).sqrt()).unsqueeze(-1)
            clean, guess = self._frames(clean / level), self._frames(guess / level)
            order, kept = _speech(clean)
            x, y = self._bands(clean, order, kept), self._bands(guess, order, kept)
            distances = self._extended(x, y) if self.extended else self._distances(x, y)
            counted = torch.arange(distances.shape[-1], device=kept.device) + SEGMENT < kept.unsqueeze(-1)
            total = torch.where(counted & ~silent.unsqueeze(-1), distances, 0.0).sum(-1)
            return total / counted.sum(-1).clamp(min=1)

    def _frames(self, wave: Tensor) -> Tensor:
        """Resample ``wave`` [B,T] to 10 kHz and cut it into windowed frames [B,N,256]; silence fills up one segment."""
        wave = F.pad(wave, (0, -wave.shape[-1] % MULTIPLE))
        samples = wave.shape[-1] * OWN_RATE // RATE
        spectrum = torch.fft.rfft(wave)[..., : samples // 2 + 1]
        # A spectrum that ended at once would ring, and a pause beside speech would not be silent.
        below = torch.arange(samples // 2, -1, -1, dtype=wave.dtype, device=wave.device) * (OWN_RATE / samples)
        fade = 0.5 - 0.5 * torch.cos(torch.pi * (below / FADE_HZ).clamp(max=1))
        resampled = torch.fft.irfft(spectrum * fade, samples) * (OWN_RATE / RATE)
        resampled = F.pad(resampled, (0, max(0, (SEGMENT + 1) * HOP + FRAME - samples)))
        return resampled.unfold(-1, FRAME, HOP) * self.window.to(wave.dtype)

    def _bands(self, frames: Tensor, order: Tensor, kept: Tensor) -> Tensor:
        """Join the frames of speech and compute their magnitudes in bands, [B,15,N-1].

        Args:
            frames: windowed, [B,N,256].
            order: indices of the frames, those of speech first, [B,N].
            kept: how many frames are speech, [B].
        """
        speech = torch.gather(frames, 1, order.unsqueeze(-1).expand_as(frames))
        used = torch.arange(frames.shape[1], device=kept.device) < kept.unsqueeze(-1)
        speech = torch.where(used.unsqueeze(-1), speech, 0.0)
        # Overlap and add: each hop is the first half of a frame and the second half of the one before.
        before = F.pad(speech[:, :-1, HOP:], (0, 0, 1, 0))
        wave = (speech[:, :, :HOP] + before).flatten(1)
        spectrum = torch.fft.rfft(wave.unfold(-1, FRAME, HOP) * self.window.to(wave.dtype), FFT)
        power = (spectrum.real.square() + spectrum.imag.square()) @ self.octaves.to(wave.dtype)
        return (power + FLOOR**2).sqrt().transpose(1, 2)

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute 1 - correlation of clean ``x`` and estimated ``y``, both [B,15,N], for each segment, [B,M]."""
        x, y = x.unfold(-1, SEGMENT, 1), y.unfold(-1, SEGMENT, 1)
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True) / torch.linalg.vector_norm(y, dim=-1, keepdim=True)
        y = torch.minimum(y * scale, x * CLIP)
        x, y = _normalised(x, -1), _normalised(y, -1)
        return (x * (x - y)).sum(-1).mean(1)

    def _extended(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute 1 - correlation of spectra, normalised over time and then over bands, for each segment, [B,M]."""
        x, y = (_normalised(_normalised(bands.unfold(-1, SEGMENT, 1), -1), 1) for bands in (x, y))
        return (x * (x - y)).sum(1).mean(-1)


def _speech(clean: Tensor) -> tuple[Tensor, Tensor]:
    """Find the frames of speech in ``clean`` [B,N,256]: returns the indices of all, speech first, and its number."""
    energy = clean.detach().square().sum(-1)
    speech = energy > energy.amax(-1, keepdim=True) * 10 ** (-SILENT_DB / 10)
    return torch.argsort(~speech, dim=-1, stable=True), speech.sum(-1)


def _normalised(values: Tensor, dim: int) -> Tensor:
    """Remove the mean along ``dim`` and divide by the norm, which counts as ``FLOOR`` at least."""
    centred = values - values.mean(dim, keepdim=True)
    return centred / (centred.square().sum(dim, keepdim=True) + FLOOR**2).sqrt()


@lru_cache(maxsize=1)
def _third_octaves() -> np.ndarray:
    """Return the matrix [257,15] that sums powers in third-octave bands; their edges are the nearest bins."""
    bins = np.linspace(0, OWN_RATE / 2, FFT // 2 + 1)
    edges = LOWEST_HZ * 2 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    nearest = np.abs(bins[:, None] - edges).argmin(axis=0)
    inside = np.arange(len(bins))[:, None]
    return ((inside >= nearest[:-1]) & (inside < nearest[1:])).astype(np.float64)
