"""Run several GRUs in parallel as one loop over time with its own backward pass, for training on a CPU.

On a CPU torch runs one GRU after the other, and autograd goes through every operation of every step. For the small GRUs
of a grouped layer the overhead of these calls takes most of the time. Here all groups advance together, with five
operations per step forward and four backward: the gradient of every gate is the gradient of the state times a factor,
and all factors are computed before the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sordino.placement import demand_first_order

# pyright: reportIncompatibleMethodOverride=false


def scan(grus: Sequence[nn.GRU], x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Run G one-layer GRUs of one size, each on its share of the features.

    Args:
        grus: G modules, each from I to H features.
        x: [B,N,G I].
        hidden: [B,G,H], the states before the first step.

    Returns:
        The outputs [B,N,G H] and the states after the last step [B,G,H].
    """
    groups, (batch, steps, _) = len(grus), x.shape
    weight_in, weight_hidden, bias_in, bias_hidden = (
        torch.stack([getattr(gru, f"{kind}_l0") for gru in grus])
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    size = weight_hidden.shape[-1]
    # The inputs' part of the gates does not depend on the state: it is one product for all steps.
    parts = x.unflatten(-1, (groups, -1)).permute(2, 1, 0, 3).reshape(groups, steps * batch, -1)
    from_input = torch.baddbmm(bias_in.unsqueeze(1), parts, weight_in.transpose(1, 2))
    from_input = from_input.view(groups, steps, batch, 3 * size)
    states = _Scan.apply(from_input.transpose(0, 1), weight_hidden.transpose(1, 2), bias_hidden, hidden.transpose(0, 1))
    return states.permute(2, 0, 1, 3).flatten(2), states[-1].transpose(0, 1)


class _Scan(torch.autograd.Function):
    """States [N,G,B,H] of G GRUs over N steps.

    Inputs: the inputs' part x of the gates [N,G,B,3H], weights W [G,H,3H], biases b [G,3H], and the first state
    [G,B,H]. With s the sigmoid and the gates in PyTorch's order, a step from h to h' is

        reset r = s(x_r + h W_r + b_r),  update z = s(x_z + h W_z + b_z),
        new n = tanh(x_n + r p) with p = h W_n + b_n,  h' = n + z (h - n).
    """

    @staticmethod
    def forward(ctx: Any, from_input: Tensor, weight: Tensor, bias: Tensor, first: Tensor) -> Tensor:
        size = weight.shape[1]
        # The loop works in place. ``gates`` begins as all that h W is added to: x + b for reset and update, but b alone
        # for the new gate, because r multiplies the sum p. It ends as r, z and p. ``new`` begins as x_n and ends as n.
        gates = torch.cat([from_input[..., : 2 * size], torch.zeros_like(from_input[..., 2 * size :])], dim=-1)
        gates += bias.unsqueeze(1)
        new = from_input[..., 2 * size :].contiguous()
        states = torch.empty((len(from_input) + 1, *first.shape), dtype=first.dtype, device=first.device)
        states[0] = first
        weight = weight.contiguous()
        sigmoids = gates[..., : 2 * size]
        resets, updates, recurrent = gates.split(size, dim=-1)
        # All views are made before the loop, which keeps the overhead of a step small.
        steps = zip(*(one.unbind(0) for one in (gates, sigmoids, resets, updates, recurrent, new)), strict=True)
        before = states[0]
        for (gate, both, reset, update, product, candidate), after in zip(steps, states[1:].unbind(0), strict=True):
            torch.baddbmm(gate, before, weight, out=gate)
            both.sigmoid_()
            candidate.addcmul_(reset, product).tanh_()
            torch.lerp(candidate, before, update, out=after)
            before = after
        ctx.save_for_backward(gates, new, states, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        demand_first_order()
        (gradient,), (gates, new, states, weight) = gradients, ctx.saved_tensors
        size = weight.shape[1]
        reset, update, recurrent = gates.split(size, dim=-1)
        before = states[:-1]
        # Derivatives of h' by x_n + r p, and from it by the arguments of r and z and by p, as [N,G,B,3,H].
        by_new = (1 - update) * (1 - new.square())
        by_reset = by_new * recurrent * reset * (1 - reset)
        by_update = (before - new) * update * (1 - update)
        factors = torch.stack([by_reset, by_update, by_new * reset], dim=-2)
        totals, products = torch.empty_like(new), torch.empty_like(factors)
        back, total = weight.transpose(1, 2).contiguous(), torch.zeros_like(states[0])
        steps = list(zip(*(one.unbind(0) for one in (gradient, update, factors, products, totals)), strict=True))
        # ``total`` is the gradient that reaches a state from the steps after it: directly, by the factor z, and through
        # the gates. It is added to the state's own gradient as an output.
        for direct, keep, factor, product, state in reversed(steps):
            torch.add(direct, total, out=state)
            torch.mul(factor, state.unsqueeze(-2), out=product)
            total = torch.baddbmm(state * keep, product.flatten(-2), back)
        products = products.flatten(-2)
        to_input = torch.cat([products[..., : 2 * size], totals * by_new], dim=-1)
        flat = products.transpose(0, 1).flatten(1, 2)
        to_weight = before.permute(1, 3, 0, 2).flatten(2) @ flat
        return to_input, to_weight, flat.sum(dim=1), total
