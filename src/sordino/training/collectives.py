"""Operations on tensors of all processes of a run, which turn their small batches into one large batch.

Gradients are averaged over processes. For every loss that is a mean over items, that is the gradient of the whole
batch. Two kinds of losses are no such means. A loss that compares items with each other needs the features of all
items: ``gathered`` fetches them. A mean over the items that have references weighs each process by the number of its
references: ``share`` is that weight.

With a single process every function returns its argument.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sordino.distributed import rank, world_size
from sordino.types import Batch, View


def mean(values: Tensor) -> Tensor:
    """Return the mean over processes, value by value, without a gradient; the same bits in every process."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def gathered(own: Tensor) -> Tensor:
    """Return the rows of all processes by rank: [B,...] -> [B world_size,...]. B must be the same in all.

    It is meant for losses that every process computes from all rows. The backward pass needs no communication: the
    gradient reaches only a process's own rows, multiplied by the number of processes because the average over
    processes divides by it.
    """
    if world_size() == 1:
        return own
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, own.detach().contiguous())
    local = own.clone()
    if local.requires_grad:
        local.register_hook(lambda gradient: gradient * world_size())
    parts[rank()] = local
    return torch.cat(parts)


def gathered_view(view: View, taps: Iterable[str]) -> View:
    """Return the View of the batches of all processes, with its features at ``taps``."""
    if world_size() == 1:
        return view
    return View(gathered(view.wave), {tap: gathered(view.feats[tap]) for tap in taps})


def gathered_batch(batch: Batch) -> Batch:
    """Return the batches of all processes as one, without ids and references, which some processes may lack."""
    if world_size() == 1:
        return batch
    return Batch(gathered(batch.noisy), None, gathered(batch.lengths))


def references(batch: Batch) -> Tensor:
    """Return the number of this process's items that have a reference, as a tensor that ``mean`` takes."""
    rows = batch.labelled
    return batch.noisy.new_tensor(len(batch.lengths) if rows is None else len(rows))


def share(batch: Batch) -> Tensor | float:
    """Return the factor for a mean over this process's items with references: B_r world_size / sum over r of B_r.

    B_r is the number of these items in process r. The average over processes of the products is then the mean over all
    such items, whichever process has them.
    """
    if world_size() == 1:
        return 1.0
    count = references(batch)
    return count / mean(count).clamp(min=1 / world_size())


def follow_first(module: nn.Module) -> None:
    """Copy the first process's buffers to all: statistics of batch norm, for example, differ between processes."""
    if world_size() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)
