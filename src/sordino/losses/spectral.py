"""The spectral distance of MANNER's losses, with a fast gradient on a CPU.

Autograd would go through a spectrum some forty times, often in steps over real and imaginary parts that alternate in
memory. Here they are separated once, one logarithm of a quotient replaces two, and the gradient is computed together
with the value (``losses/itemwise``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordino.audio.stft import POWER_FLOOR, magnitude, planes
from sordino.losses.itemwise import itemwise
from sordino.placement import on_cpu


def spectral_distance(reference: Tensor, estimate: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """Compute spectral convergence plus log-magnitude distance of two complex spectra [B,F,N]; returns [B].

    Convergence is divided by the norm of the reference's magnitudes, or by ``least`` [B] if that is larger.
    """
    if _has_fast_gradient(reference, estimate):
        least = torch.as_tensor(least, dtype=estimate.real.dtype).expand(len(estimate))
        return itemwise(_item_distance, estimate.transpose(1, 2), reference.transpose(1, 2), least)
    target, guess = magnitude(reference), magnitude(estimate)
    norm = torch.linalg.vector_norm(target, dim=(1, 2)).clamp(min=least)
    convergence = torch.linalg.vector_norm(target - guess, dim=(1, 2)) / norm
    return convergence + (target.log() - guess.log()).abs().mean(dim=(1, 2))


def weighted_distance(reference: Tensor, estimate: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
    """Compute the distances of speech and noise, weighted by ``share`` [B] and 1 - ``share``; returns [B].

    All spectra are complex, [B,F,N]. The STFT is linear: the spectrum of an estimated noise is that of the noisy signal
    minus that of the estimate.
    """
    if _has_fast_gradient(reference, estimate, noisy, share):
        spectra = [spectrum.transpose(1, 2) for spectrum in (estimate, reference, noisy)]
        return itemwise(_item_weighted_distance, *spectra, share)
    of_speech = spectral_distance(reference, estimate)
    of_noise = spectral_distance(noisy - reference, noisy - estimate)
    return share * of_speech + (1 - share) * of_noise


def _has_fast_gradient(reference: Tensor, estimate: Tensor, *others: Tensor) -> bool:
    """Whether torch computes on a CPU and only the estimate may need a gradient."""
    return on_cpu(estimate) and not any(tensor.requires_grad for tensor in (reference, *others))


def _item_distance(
    estimate: Tensor, reference: Tensor, least: Tensor, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Compute ``spectral_distance`` of two complex spectra [N,F], as ``stft`` stores them, and its gradient."""
    value, gradient = _distance(planes(reference), planes(estimate), least, with_gradient)
    return value, None if gradient is None else torch.complex(*gradient)


def _item_weighted_distance(
    estimate: Tensor, reference: Tensor, noisy: Tensor, share: Tensor, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Compute ``weighted_distance`` of complex spectra [N,F] with the share of the speech [], and its gradient."""
    guess, target, mixture = planes(estimate), planes(reference), planes(noisy)
    least = share.new_zeros(())
    of_speech, to_speech = _distance(target, guess, least, with_gradient)
    of_noise, to_noise = _distance(mixture - target, mixture - guess, least, with_gradient)
    value = share * of_speech + (1 - share) * of_noise
    if to_speech is None or to_noise is None:
        return value, None
    # The estimated noise is the mixture minus the estimate, so its gradient counts negatively.
    return value, torch.complex(*to_speech.mul_(share).sub_(to_noise.mul_(1 - share)))


def _distance(reference: Tensor, estimate: Tensor, least: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Compute the distance of two spectra, given as real and imaginary parts [2,N,F], and its gradient if asked.

    With A the reference's magnitudes and G the estimate's, the value is |G - A| / |A| + mean |log G - log A|. Its
    derivative by G is (G - A) / (|G - A| |A|) + sign(log G - log A) / (G N F), that of G by the spectrum S is S / G.
    """
    # In place wherever a result is not needed again: the item stays in the cache.
    aim, raw = reference.square().sum(dim=0).clamp_(min=POWER_FLOOR), estimate.square().sum(dim=0)
    power = raw.clamp(min=POWER_FLOOR)
    target, guess = aim.sqrt(), power.sqrt()
    difference = guess - target
    distance, norm = torch.linalg.vector_norm(difference), torch.linalg.vector_norm(target).clamp_(min=least)
    logarithms = torch.div(power, aim, out=aim).log_()  # of squares: twice those of the magnitudes
    value = distance / norm + 0.5 * logarithms.abs().mean()
    if not with_gradient:
        return value, None
    slope = 1 / (distance * norm) if distance > 0 else torch.zeros_like(distance)
    by_power = difference.div_(guess).mul_(slope).addcdiv_(logarithms.sign_(), power, value=1 / raw.numel())
    by_power *= torch.ge(raw, POWER_FLOOR, out=raw)  # below the floor the magnitude is constant
    return value, estimate * by_power
