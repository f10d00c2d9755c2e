"""Whether a gradient is the slope of its function: differences along a few directions, in double precision.

``torch.autograd.gradcheck`` is not used. Its absolute tolerance lets the small gradients of a mean over many samples
pass, even if they are wrong by a factor, and where a function is random it computes a whole Jacobian for its message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sordino.conformance.base import noise, require

DIRECTIONS = 4
CLOSE = 1e-3
"""Accepted difference of slope and gradient along a direction, as a share of the gradient's length."""
STEP = 3e-8
"""To either side, as a share of the input's length: less finds rounding, more finds the kinks of log spectra."""
ROUNDING = 1e-14
"""Allowed of a value in double precision, as a share of it."""


def require_gradient(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Require that the gradient of ``function``, by each of ``inputs``, is its slope.

    A random direction alone is nearly perpendicular to a gradient of many values, so half of each direction is the
    gradient: the derivative along it is then a fair share of the gradient's length.

    Args:
        function: of all inputs; gives a tensor of any shape.
        inputs: float64, each of which requires a gradient.

    Raises:
        Broken: two calls differ, or a slope is another than the gradient says.
    """
    first, again = function(*inputs), function(*inputs)
    require(torch.allclose(first, again, rtol=1e-9, atol=0), "not deterministic: two calls differ")
    weights = torch.linspace(1, 2, first.numel(), dtype=first.dtype).view_as(first)  # so that no item stands for all
    gradients = [torch.zeros_like(one) for one in inputs]
    if first.requires_grad:
        found = torch.autograd.grad((weights * first).sum(), inputs, allow_unused=True, materialize_grads=True)
        gradients = list(found)
    for place, gradient in enumerate(gradients):
        for seed in range(DIRECTIONS):
            _require_slope(lambda *given: (weights * function(*given)).sum(), inputs, place, gradient, seed)


@torch.no_grad()
def _require_slope(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], place: int, gradient: Tensor, seed: int
) -> None:
    """Require that ``gradient``, by the input number ``place``, is the slope along one direction, to ``CLOSE``."""
    one, length = inputs[place], gradient.norm()
    direction = noise(*one.shape, seed=seed, dtype=one.dtype)
    direction /= direction.norm()
    if length > 0:
        direction += gradient / length
        direction /= direction.norm()
    step = STEP * one.norm()
    ends = [function(*inputs[:place], one + side * step * direction, *inputs[place + 1 :]) for side in (1, -1)]
    slope, claimed = (ends[0] - ends[1]) / (2 * step), (gradient * direction).sum()
    rounding = ROUNDING * ends[0].abs() / step
    right = (slope - claimed).abs() <= CLOSE * length + rounding
    require(right, f"the gradient along a direction is {claimed:.4g}, and finite differences give {slope:.4g}")
