"""The compressed-spectrum loss: squared error of magnitudes and of complex spectra after a power law.

Braun, Tashev: "A consolidated view of loss functions for supervised deep learning-based speech enhancement", TSP
2021, arXiv 2009.12286. With S the spectrum of the clean speech and c = 0.3, the loss of an item is the mean over time
and frequency of (1 - b) ( |S|^c - |S^|^c )^2 + b | |S|^c e^{j phi} - |S^|^c e^{j phi^} |^2, b = 0.3. The power law
gives weight to quiet parts of the spectrum, as the ear does.

Differences from the paper: the spectra are computed from the waveforms, whatever spectrum a network uses, so that every
network can be trained with it; and normalisation by the level of active speech is left to the data.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from sordino.audio.stft import POWER_FLOOR, check_resolution, magnitude, planes, stft
from sordino.losses.itemwise import itemwise
from sordino.placement import on_cpu


class Compressed(nn.Module):
    """Compressed-spectrum loss, one value per item.

    Args:
        compression: exponent c of the power law, above 0, at most 1.
        complex_weight: share b of the complex term, which depends on phases; the magnitudes have the rest.
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
        check_resolution(*resolution)
        self.compression, self.complex_weight, self.resolution = compression, complex_weight, resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Compute the loss of ``estimate`` [B,T] against ``reference`` [B,T]; ``noisy`` is unused. Returns [B]."""
        target, guess = stft(reference, *self.resolution), stft(estimate, *self.resolution)
        if not on_cpu(estimate) or reference.requires_grad:
            return self._plain(target, guess)
        loss = partial(_item_loss, compression=self.compression, complex_weight=self.complex_weight)
        return itemwise(loss, guess.transpose(1, 2), target.transpose(1, 2))

    def _plain(self, target: Tensor, guess: Tensor) -> Tensor:
        """Compute the loss [B] of two complex spectra [B,F,N] by autograd, for GPUs: a few large operations."""
        of_target, of_guess = magnitude(target), magnitude(guess)
        magnitudes = (of_target.pow(self.compression) - of_guess.pow(self.compression)).square()
        difference = target * of_target.pow(self.compression - 1) - guess * of_guess.pow(self.compression - 1)
        phases = difference.real.square() + difference.imag.square()
        return ((1 - self.complex_weight) * magnitudes + self.complex_weight * phases).mean(dim=(1, 2))


def _item_loss(
    estimate: Tensor, reference: Tensor, with_gradient: bool, compression: float, complex_weight: float
) -> tuple[Tensor, Tensor | None]:
    """Compute the loss of two complex spectra [N,F] and, if asked, its gradient for ``estimate``.

    Powers of magnitudes are expensive, and autograd would compute eight of them. Here one logarithm and one exponential
    of each power spectrum give them all.
    """
    guess, target = _Compressed(estimate, compression), _Compressed(reference, compression)
    magnitudes = guess.magnitude - target.magnitude
    real = guess.compressed_real - target.compressed_real
    imaginary = guess.compressed_imaginary - target.compressed_imaginary
    distance = real.square().addcmul_(imaginary, imaginary).mul_(complex_weight)
    value = distance.addcmul_(magnitudes, magnitudes, value=1 - complex_weight).mean()
    if not with_gradient:
        return value, None
    gradient = guess.gradient(
        magnitudes.mul_(1 - complex_weight), real.mul_(complex_weight), imaginary.mul_(complex_weight)
    )
    # The factor 2 of the squares' derivative, and the mean.
    return value, gradient.mul_(2 / estimate.numel())


class _Compressed:
    """|S|^c and |S|^c e^{j phi} of a complex spectrum S [N,F], with |S|^2 floored at 1e-7, and their derivatives."""

    def __init__(self, spectrum: Tensor, compression: float) -> None:
        self.compression = compression
        self.real, self.imaginary = planes(spectrum)
        self.raw = self.real.square().addcmul_(self.imaginary, self.imaginary)
        self.power = self.raw.clamp(min=POWER_FLOOR)
        self.factor = self.power.log().mul_((compression - 1) / 2).exp_()  # |S|^(c - 1)
        self.magnitude = self.power.sqrt().mul_(self.factor)
        self.compressed_real, self.compressed_imaginary = self.real * self.factor, self.imaginary * self.factor

    def gradient(self, magnitude: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        """Compute the gradient of S, complex [N,F], from those of |S|^c and of the two parts of |S|^c e^{j phi}.

        |S|^c e^{j phi} is S |S|^(c-1): the gradient times |S|^(c-1), plus a part along S through the two powers of |S|.
        """
        by_power = (real * self.compressed_real).addcmul_(imaginary, self.compressed_imaginary)
        by_power = by_power.mul_(self.compression - 1)
        by_power = by_power.addcmul_(magnitude, self.magnitude, value=self.compression).div_(self.power)
        by_power *= self.raw >= POWER_FLOOR  # below the floor the powers are constant
        return torch.complex(
            (real * self.factor).addcmul_(by_power, self.real),
            (imaginary * self.factor).addcmul_(by_power, self.imaginary),
        )
