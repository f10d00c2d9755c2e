"""The spectral distance of MANNER's losses, and its gradient, computed at once on a CPU.

Autograd would go through a spectrum some forty times, much of it in steps over real and imaginary parts that lie side
by side in memory. Here they are taken apart once, item by item, one logarithm of a quotient stands for two, and the
gradient is made together with the value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sordino.audio.stft import POWER_FLOOR, magnitude, planes
from sordino.placement import on_cpu

# pyright: reportIncompatibleMethodOverride=false


def spectral_distance(reference: Tensor, estimate: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """Spectral convergence plus log-magnitude distance of two complex spectra [B,F,N]; returns [B].

    The norm that convergence divides by is that of the reference's magnitudes, and ``least`` [B] where that is larger.
    """
    if _has_fast_gradient(reference, estimate):
        least = torch.as_tensor(least, dtype=estimate.real.dtype).expand(len(estimate))
        return _Distance.apply(estimate.transpose(1, 2), reference.transpose(1, 2), least)
    target, guess = magnitude(reference), magnitude(estimate)
    norm = torch.linalg.vector_norm(target, dim=(1, 2)).clamp(min=least)
    convergence = torch.linalg.vector_norm(target - guess, dim=(1, 2)) / norm
    return convergence + (target.log() - guess.log()).abs().mean(dim=(1, 2))


def weighted_distance(reference: Tensor, estimate: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
    """``spectral_distance`` of the speech times ``share`` [B], plus that of the noise times the rest; returns [B].

    All spectra are complex, [B,F,N]. The STFT is linear: the spectrum of an estimated noise is that of the noisy signal
    minus that of the estimate.
    """
    if _has_fast_gradient(reference, estimate, noisy, share):
        return _WeightedDistance.apply(*(one.transpose(1, 2) for one in (estimate, reference, noisy)), share)
    of_speech = spectral_distance(reference, estimate)
    of_noise = spectral_distance(noisy - reference, noisy - estimate)
    return share * of_speech + (1 - share) * of_noise


def _has_fast_gradient(reference: Tensor, estimate: Tensor, *others: Tensor) -> bool:
    """On a CPU, where the estimate alone may want a gradient."""
    return on_cpu(estimate) and not any(one.requires_grad for one in (reference, *others))


class _Distance(torch.autograd.Function):
    """``spectral_distance`` of an estimate and a reference, [B,N,F] as ``stft`` leaves them in memory."""

    @staticmethod
    def forward(ctx: Any, estimate: Tensor, reference: Tensor, least: Tensor) -> Tensor:
        values, gradients = [], []
        for found, wanted, floor in zip(estimate, reference, least, strict=True):
            value, gradient = _distance(planes(wanted), planes(found), floor, ctx.needs_input_grad[0])
            values.append(value)
            gradients.append(gradient)
        return _kept(ctx, values, gradients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (to_estimate,) = ctx.saved_tensors
        return to_estimate * gradients[0][:, None, None], None, None


class _WeightedDistance(torch.autograd.Function):
    """``weighted_distance`` of an estimate, a reference, the noisy signal [B,N,F] and the share of the speech [B]."""

    @staticmethod
    def forward(ctx: Any, estimate: Tensor, reference: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
        values, gradients = [], []
        with_gradient, least = ctx.needs_input_grad[0], share.new_zeros(())
        for found, wanted, mixture, of_speech in zip(estimate, reference, noisy, share, strict=True):
            speech, target, both = planes(found), planes(wanted), planes(mixture)
            value, to_speech = _distance(target, speech, least, with_gradient)
            rest, to_noise = _distance(both - target, both - speech, least, with_gradient)
            values.append(of_speech * value + (1 - of_speech) * rest)
            if to_speech is not None and to_noise is not None:
                gradients.append(to_speech.mul_(of_speech).sub_(to_noise.mul_(1 - of_speech)))
        return _kept(ctx, values, gradients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (to_estimate,) = ctx.saved_tensors
        return to_estimate * gradients[0][:, None, None], None, None, None


def _kept(ctx: Any, values: list[Tensor], gradients: list[Tensor | None]) -> Tensor:
    """The values [B]; keeps the gradients, planes of one item each, as a complex spectrum."""
    given = [torch.complex(*one) for one in gradients if one is not None]
    if given:
        ctx.save_for_backward(torch.stack(given))
    return torch.stack(values)


def _distance(reference: Tensor, estimate: Tensor, least: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """The distance of two spectra as planes [2,N,F], and where asked for its gradient for the second."""
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
    along = difference.div_(guess).mul_(slope).addcdiv_(logarithms.sign_(), power, value=1 / raw.numel())
    along *= torch.ge(raw, POWER_FLOOR, out=raw)  # below the floor magnitudes are constant
    return value, estimate * along
