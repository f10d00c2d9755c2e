"""Several gated recurrent units side by side, as one scan over time with a backward pass of its own.

torch steps through one GRU at a time on a CPU, and autograd through every operation of every step. For the small units
of a grouped layer the bookkeeping takes most of that time. Here all groups step together, five operations a step, and
the backward pass takes two: every gate's gradient is a factor, known beforehand, times the gradient of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# pyright: reportIncompatibleMethodOverride=false


def scan(grus: Sequence[nn.GRU], x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Run one-layer GRUs of one size on their shares of the features.

    Args:
        grus: G of them, each from I to H features.
        x: [B,N,G I].
        hidden: [B,G,H], the memory before the first step.

    Returns:
        The outputs [B,N,G H] and the memory behind the last step [B,G,H].
    """
    groups, (batch, steps, _) = len(grus), x.shape
    w_in, w_rec, b_in, b_rec = (
        torch.stack([getattr(gru, f"{kind}_l0") for gru in grus])
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    size = w_rec.shape[-1]
    parts = x.unflatten(-1, (groups, -1)).permute(2, 1, 0, 3).reshape(groups, steps * batch, -1)
    gates = torch.baddbmm(b_in.unsqueeze(1), parts, w_in.transpose(1, 2)).view(groups, steps, batch, 3 * size)
    states = _Scan.apply(gates.transpose(0, 1), w_rec.transpose(1, 2), b_rec, hidden.transpose(0, 1))
    return states.permute(2, 0, 1, 3).flatten(2), states[-1].transpose(0, 1)


class _Scan(torch.autograd.Function):
    """States [N,G,B,H] from the inputs' part of the gates [N,G,B,3H], W [G,H,3H], b [G,3H] and the first state [G,B,H].

    Gates in PyTorch's order: reset r = s(x_r + h W_r + b_r), update z = s(x_z + h W_z + b_z),
    new n = tanh(x_n + r (h W_n + b_n)), h' = n + z (h - n).
    """

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor, first: Tensor) -> Tensor:
        size = weight.shape[1]
        # What the recurrent product is added to: of the new gate the bias alone, as r multiplies it.
        gates = torch.cat([given[..., : 2 * size], torch.zeros_like(given[..., 2 * size :])], dim=-1)
        gates += bias.unsqueeze(1)
        new = given[..., 2 * size :].contiguous()
        states = torch.empty((len(given) + 1, *first.shape), dtype=first.dtype, device=first.device)
        states[0] = first
        weight = weight.contiguous()
        sigmoids = gates[..., : 2 * size]
        resets, updates, recurrent = gates.split(size, dim=-1)
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
        (gradient,), (gates, new, states, weight) = gradients, ctx.saved_tensors
        size = weight.shape[1]
        reset, update, recurrent = gates.split(size, dim=-1)
        before = states[:-1]
        to_new = (1 - update) * (1 - new.square())
        # d gate / d state, in the order of the gates; of the last, of the recurrent product that r multiplies.
        factors = torch.stack(
            [to_new * recurrent * reset * (1 - reset), (before - new) * update * (1 - update), to_new * reset], dim=-2
        )
        totals, products = torch.empty_like(new), torch.empty_like(factors)
        back, total = weight.transpose(1, 2).contiguous(), torch.zeros_like(states[0])
        steps = list(zip(*(one.unbind(0) for one in (gradient, update, factors, products, totals)), strict=True))
        for direct, keep, factor, product, state in reversed(steps):
            torch.add(direct, total, out=state)
            torch.mul(factor, state.unsqueeze(-2), out=product)
            total = torch.baddbmm(state * keep, product.flatten(-2), back)
        products = products.flatten(-2)
        to_given = torch.cat([products[..., : 2 * size], totals * to_new], dim=-1)
        flat = products.transpose(0, 1).flatten(1, 2)
        to_weight = before.permute(1, 3, 0, 2).flatten(2) @ flat
        return to_given, to_weight, flat.sum(dim=1), total
