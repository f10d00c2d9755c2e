"""The compressed-spectrum loss: magnitudes, and magnitudes with phases, compared after a power law.

Braun, Tashev: "A consolidated view of loss functions for supervised deep learning-based speech enhancement", TSP
2021, arXiv 2009.12286. With S the spectrum of the clean speech and c = 0.3, the loss of an item is the mean over time
and frequency of (1 - b) ( |S|^c - |S^|^c )^2 + b | |S|^c e^{j phi} - |S^|^c e^{j phi^} |^2, b = 0.3. The power law
makes quiet parts of the spectrum count, as they do to the ear.

Ours: spectra are taken of the waveforms, whatever spectrum a network works on, so that every network may train on it;
and the paper's normalisation by the level of active speech is left to the data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sordino.audio.stft import POWER_FLOOR, magnitude, planes, stft
from sordino.placement import on_cpu

# pyright: reportIncompatibleMethodOverride=false


class Compressed(nn.Module):
    """The compressed-spectrum loss, a value per item.

    Args:
        compression: the exponent c.
        complex_weight: the share b of the term that sees phases.
        resolution: (fft, hop, window) in samples.
    """

    def __init__(
        self,
        compression: float = 0.3,
        complex_weight: float = 0.3,
        resolution: tuple[int, int, int] = (512, 128, 512),
    ) -> None:
        super().__init__()
        if not (0 < compression <= 1 and 0 <= complex_weight <= 1):
            raise ValueError(f"compression and complex_weight lie in 0..1, not {compression} and {complex_weight}")
        self.compression, self.complex_weight, self.resolution = compression, complex_weight, resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        target, guess = stft(reference, *self.resolution), stft(estimate, *self.resolution)
        if not on_cpu(estimate) or reference.requires_grad:
            return self._plain(target, guess)
        return _Distance.apply(target.transpose(1, 2), guess.transpose(1, 2), self.compression, self.complex_weight)

    def _plain(self, target: Tensor, guess: Tensor) -> Tensor:
        """The loss [B] of two complex spectra [B,F,N], for a device on which few large operations are fast."""
        wanted, found = magnitude(target), magnitude(guess)
        magnitudes = (wanted.pow(self.compression) - found.pow(self.compression)).square()
        difference = target * wanted.pow(self.compression - 1) - guess * found.pow(self.compression - 1)
        phases = difference.real.square() + difference.imag.square()
        return ((1 - self.complex_weight) * magnitudes + self.complex_weight * phases).mean(dim=(1, 2))


class _Distance(torch.autograd.Function):
    """The loss [B] of two complex spectra [B,N,F]; ``target`` gets no gradient.

    Powers of magnitudes are expensive, and autograd would take eight of them. One logarithm and one exponential of
    each power spectrum give them all. The gradient is a by-product, so it is made at once, item by item in the cache.
    """

    @staticmethod
    def forward(ctx: Any, target: Tensor, guess: Tensor, compression: float, complex_weight: float) -> Tensor:
        values, gradients = [], torch.empty_like(guess) if ctx.needs_input_grad[1] else None
        for index, (wanted, found) in enumerate(zip(target, guess, strict=True)):
            aim, estimate = _Compressed(wanted, compression), _Compressed(found, compression)
            louder = estimate.magnitude - aim.magnitude
            real, imaginary = estimate.bent_real - aim.bent_real, estimate.bent_imaginary - aim.bent_imaginary
            distance = real.square().addcmul_(imaginary, imaginary).mul_(complex_weight)
            values.append(distance.addcmul_(louder, louder, value=1 - complex_weight).mean())
            if gradients is not None:
                gradients[index] = estimate.pulled(
                    louder.mul_(1 - complex_weight), real.mul_(complex_weight), imaginary.mul_(complex_weight)
                )
        if gradients is not None:
            ctx.save_for_backward(gradients.mul_(2 / guess[0].numel()))
        return torch.stack(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (to_guess,) = ctx.saved_tensors
        return None, to_guess * gradients[0][:, None, None], None, None


class _Compressed:
    """|S|^c and |S|^c e^{j phi} of a complex spectrum S [N,F], |S|^2 being floored at 1e-7, and their derivatives."""

    def __init__(self, spectrum: Tensor, compression: float) -> None:
        self.compression = compression
        self.real, self.imaginary = planes(spectrum)
        self.raw = self.real.square().addcmul_(self.imaginary, self.imaginary)
        self.power = self.raw.clamp(min=POWER_FLOOR)
        self.factor = self.power.log().mul_((compression - 1) / 2).exp_()
        self.magnitude = self.power.sqrt().mul_(self.factor)
        self.bent_real, self.bent_imaginary = self.real * self.factor, self.imaginary * self.factor

    def pulled(self, magnitude: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        """The gradient of S, complex [N,F], from those of |S|^c and of the parts of |S|^c e^{j phi}."""
        turned = (real * self.bent_real).addcmul_(imaginary, self.bent_imaginary).mul_(self.compression - 1)
        along = turned.addcmul_(magnitude, self.magnitude, value=self.compression).div_(self.power)
        along *= self.raw >= POWER_FLOOR  # below the floor powers are constant
        return torch.complex(
            (real * self.factor).addcmul_(along, self.real), (imaginary * self.factor).addcmul_(along, self.imaginary)
        )
