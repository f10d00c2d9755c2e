"""Validation: which recordings, against what, and with what scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sordino.data.base import LazySequence
from sordino.distill.teachers import AnyTeacher
from sordino.evaluation.score import Scores, score
from sordino.types import Batch, Item


def choose(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """``count`` of the items, evenly spread over them, the same ones each time; all when left out."""
    wanted = min(count or len(items), len(items))
    chosen = np.linspace(0, len(items) - 1, wanted).round().astype(int).tolist()
    return LazySequence(wanted, lambda position: items[chosen[position]])


def validate(
    enhance: Callable[[np.ndarray], np.ndarray],
    items: Sequence[Item],
    metrics: Sequence[str],
    sample_rate: int,
    teacher: AnyTeacher | None = None,
    device: torch.device | None = None,
) -> Scores:
    """Scores of ``enhance`` on ``items`` by ``metrics``.

    An item without a clean reference is compared with the teacher's estimate of it, which is what a student of
    label-free distillation is after; the score is then one of likeness to the teacher, not of quality.
    """

    def compared(index: int) -> Item:
        item = items[index]
        return item if item.clean is not None or teacher is None else _taught(item, teacher, device)

    return score(enhance, LazySequence(len(items), compared), metrics=metrics, sample_rate=sample_rate)


def _taught(item: Item, teacher: AnyTeacher, device: torch.device | None) -> Item:
    batch = Batch(torch.from_numpy(item.noisy)[None].to(device), None, torch.tensor([len(item.noisy)]), (item.id,))
    return item._replace(clean=teacher(batch).wave[0].float().cpu().numpy())
