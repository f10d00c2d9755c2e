"""Checks of every loss: (reference, estimate, noisy), each [B,T], give one value per item."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sordino.conformance.base import Check, noise, require
from sordino.conformance.gradients import require_gradient
from sordino.distill.unchanged import unchanged

Make = Callable[[], nn.Module]
SAMPLES = 16000
"""Some losses take no less than a second."""
SILENT = ("clean", "estimate", "noisy", "clean and noisy", "tail")


def perfect(make: Make) -> str:
    """No estimate costs less than a perfect one, whose gradient is finite."""
    clean, worse, noisy = waves()
    loss, estimate = make(), clean.clone().requires_grad_()
    with unchanged("the loss", clean, estimate, noisy):
        cost = loss(clean, estimate, noisy)
    require(isinstance(cost, Tensor), f"gives a {type(cost).__name__}, and should give a tensor")
    require(cost.shape == (2,), f"gives the shape {list(cost.shape)} for two items, and should give [2]")
    cost.sum().backward()
    require(estimate.grad is not None and torch.isfinite(estimate.grad).all(), "the gradient is not finite")
    higher = loss(clean, worse, noisy)
    require((cost <= higher).all(), f"a perfect estimate costs {cost.max():.2g}, and a worse one {higher.min():.2g}")
    return f"a perfect estimate costs {cost.detach().max().item():.1e}"


def learns(make: Make) -> None:
    """The gradient reaches the estimate of every item and is finite."""
    clean, estimate, noisy = waves()
    estimate.requires_grad_()
    make()(clean, estimate, noisy).sum().backward()
    require(estimate.grad is not None, "no gradient reaches the estimate")
    assert estimate.grad is not None
    require(torch.isfinite(estimate.grad).all(), "the gradient is not finite")
    require((estimate.grad.abs().amax(-1) > 0).all(), "the gradient of an item is 0")


def items(make: Make) -> None:
    """Items of a batch do not affect each other."""
    batch, loss = waves(), make()
    together = loss(*batch)
    alone = torch.cat([loss(*(wave[item : item + 1] for wave in batch)) for item in range(2)])
    require(torch.allclose(together, alone, rtol=1e-5, atol=0), f"{together.tolist()} together, {alone.tolist()} alone")


def silence(make: Make) -> None:
    """Silence and padding give finite values and gradients."""
    for silent in SILENT:
        clean, estimate, noisy = waves()
        if silent == "tail":
            for wave in (clean, estimate, noisy):
                wave[:, SAMPLES * 2 // 5 :] = 0
        for part, wave in (("clean", clean), ("estimate", estimate), ("noisy", noisy)):
            if part in silent:
                wave.zero_()
        estimate.requires_grad_()
        cost = make()(clean, estimate, noisy)
        require(torch.isfinite(cost).all(), f"not finite where {silent} is silent")
        cost.sum().backward()
        require(
            estimate.grad is not None and torch.isfinite(estimate.grad).all(), f"the gradient, with silent {silent}"
        )


def differences(make: Make) -> None:
    """Two calls agree, and gradients are those of finite differences, in double precision."""
    clean, estimate, noisy = (noise(2, SAMPLES, seed=seed, level=1.0, dtype=torch.float64) for seed in range(3))
    loss = make().double()

    def cost(guess: Tensor) -> Tensor:
        return loss(clean, guess, noisy)

    require_gradient(cost, (estimate.requires_grad_(),))


CHECKS: dict[str, Check] = {
    "perfect costs least": perfect,
    "gradient to the estimate": learns,
    "items apart": items,
    "silence": silence,
    "finite differences": differences,
}
"""Every check of a loss by the name that tables show."""


def waves(samples: int = SAMPLES, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """(clean, estimate, noisy), each [2,T], the second item much noisier than the first."""
    clean = noise(2, samples, seed=1, dtype=dtype) * torch.linspace(0, 1, samples, dtype=dtype)
    added = noise(2, samples, seed=2, dtype=dtype) * torch.tensor([[0.3], [3.0]], dtype=dtype)
    return clean, clean + 0.4 * added + noise(2, samples, seed=3, level=0.01, dtype=dtype), clean + added
