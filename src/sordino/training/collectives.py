"""Tensors across the processes of a run: what makes many small batches one large one.

Gradients are averaged over processes, which is the gradient of the whole batch for every loss that is a mean over
items. Two kinds of losses are none: those that compare items with each other see the features of all (``gathered``),
and means over the items with references weigh each process by how many it has (``share``).

With one process every function returns what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sordino.distributed import rank, world_size
from sordino.types import Batch, View


def mean(values: Tensor) -> Tensor:
    """The mean over processes, value by value, without a gradient; all get the same bits."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def gathered(own: Tensor) -> Tensor:
    """The rows of all processes, [B,...] -> [B ranks,...], in their order; as many in each.

    For losses that every process computes alike, of all rows. The gradient reaches a process's own rows alone, times
    the number of processes, for the average over processes divides by it; so nothing is sent on the way back.
    """
    if world_size() == 1:
        return own
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, own.detach().contiguous())
    mine = own.clone()
    if mine.requires_grad:
        mine.register_hook(lambda gradient: gradient * world_size())
    parts[rank()] = mine
    return torch.cat(parts)


def gathered_view(view: View, taps: Iterable[str]) -> View:
    """What a network shows for the batches of all processes, its features at ``taps``."""
    return View(gathered(view.wave), {tap: gathered(view.feats[tap]) for tap in taps}) if world_size() > 1 else view


def gathered_batch(batch: Batch) -> Batch:
    """The batches of all processes as one, without ids and references, which some processes may lack."""
    return Batch(gathered(batch.noisy), None, gathered(batch.lengths)) if world_size() > 1 else batch


def share(batch: Batch) -> Tensor | float:
    """By what to multiply a mean over this process's items with references.

    The average over processes is then the mean over all such items, wherever they are: B_r ranks / sum of B_r.
    """
    if world_size() == 1:
        return 1.0
    rows = batch.labelled
    count = batch.noisy.new_tensor(len(batch.lengths) if rows is None else len(rows))
    return count / mean(count).clamp(min=1 / world_size())


def follow_first(module: nn.Module) -> None:
    """Take over the first process's buffers, such as the statistics of batch norm, which each gathers for itself."""
    if world_size() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)
