"""Validation: which recordings, against what, and with what score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sotto.distill import AnyTeacher
from sotto.evaluate.score import score
from sotto.types import Batch, Item

METRICS = ("pesq_wb", "si_sdr_db")


def choose(items: Sequence[Item], count: int | None) -> list[Item]:
    """``count`` of the items, evenly spread over them, the same ones each time; all when left out."""
    wanted = min(count or len(items), len(items))
    return [items[index] for index in np.linspace(0, len(items) - 1, wanted).round().astype(int)]


def validate(
    enhance: Callable[[np.ndarray], np.ndarray],
    items: Sequence[Item],
    sample_rate: int,
    teacher: AnyTeacher | None = None,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Mean scores of ``enhance`` on ``items``; a score that no item has a value for is left out.

    An item without a clean reference is compared with the teacher's estimate of it, which is what a student of
    label-free distillation is after; the score is then one of likeness to the teacher, not of quality.
    """
    if teacher is not None:
        items = [item if item.clean is not None else _taught(item, teacher, device) for item in items]
    return score(enhance, items, metrics=METRICS, sample_rate=sample_rate).means()


def _taught(item: Item, teacher: AnyTeacher, device: torch.device | None) -> Item:
    batch = Batch(torch.from_numpy(item.noisy)[None].to(device), None, torch.tensor([len(item.noisy)]), (item.id,))
    return item._replace(clean=teacher(batch).wave[0].float().cpu().numpy())
