"""Compute a loss and its gradient together, one item of the batch after the other: for losses over spectra on a CPU.

Autograd would store every intermediate result of the whole batch and go over all of it again. One item fits into the
processor's cache, and much of what the value needs serves the gradient too. A gradient of the gradient is refused: it
needs torch's own operators, inside ``sordino.placement.plain_operators()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sordino.placement import demand_first_order

# pyright: reportIncompatibleMethodOverride=false

ItemLoss = Callable[..., tuple[Tensor, Tensor | None]]
"""(estimate, other tensors of the item, ..., with_gradient) -> value [], and the gradient of the estimate or None."""


def itemwise(loss: ItemLoss, estimate: Tensor, *others: Tensor) -> Tensor:
    """Compute a loss for every item; only the estimate gets a gradient.

    Args:
        loss: computes the value and the gradient of one item.
        estimate: [B,...].
        others: further arguments of ``loss``, [B,...] each.

    Returns:
        [B].
    """
    return _Itemwise.apply(loss, estimate, *others)


class _Itemwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: ItemLoss, estimate: Tensor, *others: Tensor) -> Tensor:
        with_gradient = ctx.needs_input_grad[1]
        gradients = torch.empty_like(estimate) if with_gradient else None
        values = []
        for index, item in enumerate(zip(estimate, *others, strict=True)):
            value, gradient = loss(*item, with_gradient)
            values.append(value)
            if gradients is not None and gradient is not None:
                gradients[index] = gradient
        if gradients is not None:
            ctx.save_for_backward(gradients)
        ctx.others = len(others)
        return torch.stack(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        demand_first_order()
        if not ctx.saved_tensors:  # only another tensor needs a gradient, and gets none
            return None, None, *[None] * ctx.others
        (to_estimate,) = ctx.saved_tensors
        return None, to_estimate * gradients[0][:, None, None], *[None] * ctx.others
