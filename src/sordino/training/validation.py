"""Validation: the choice of recordings, and their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sordino.data.base import LazySequence
from sordino.distill.teachers import AnyTeacher
from sordino.evaluation.score import Scores, score
from sordino.types import Batch, Enhance, Item


def choose(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """Choose ``count`` items, evenly spread and the same ones each time; all when ``count`` is None."""
    wanted = min(count or len(items), len(items))
    chosen = np.linspace(0, len(items) - 1, wanted).round().astype(int).tolist()
    return LazySequence(wanted, lambda position: items[chosen[position]])


def validate(
    enhance: Enhance,
    items: Sequence[Item],
    metrics: Sequence[str],
    sample_rate: int,
    teacher: AnyTeacher | None = None,
    device: torch.device | None = None,
) -> Scores:
    """Score ``enhance`` on ``items`` by ``metrics``.

    An item without a clean reference is compared with the teacher's estimate of it, which is the target of label-free
    distillation; the score then says how close the student is to the teacher, not how good it is.
    """

    def with_reference(index: int) -> Item:
        item = items[index]
        if item.clean is not None or teacher is None:
            return item
        return _with_estimate(item, teacher, device)

    # A run that has one thread, as those side by side in a study do, has one core: processes for the metrics would take
    # the others' time, and their start alone takes seconds.
    workers = 0 if torch.get_num_threads() == 1 else None
    chosen = LazySequence(len(items), with_reference)
    return score(enhance, chosen, metrics=metrics, sample_rate=sample_rate, workers=workers)


def _with_estimate(item: Item, teacher: AnyTeacher, device: torch.device | None) -> Item:
    """Return the item with the teacher's estimate as its reference."""
    batch = Batch(torch.from_numpy(item.noisy)[None].to(device), None, torch.tensor([len(item.noisy)]), (item.id,))
    return item._replace(clean=teacher(batch).wave[0].float().cpu().numpy())
