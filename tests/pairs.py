"""Views of two networks whose layers make pairs, in all the sizes that may meet."""

from __future__ import annotations

import torch
from places import places
from torch import Tensor

from sordino.distill.base import Method
from sordino.types import Batch, View

SIZES = {
    "spectra": ((2, 9, 6), (3, 9, 4), (2, 9, 6)),
    "wider spectra": ((4, 12, 8), (5, 12, 5), (3, 12, 8)),
    "waves": ((2, 11), (4, 5), (2, 11)),
}
NAMES = ("encoder.1", "encoder.2", "decoder.1")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def view_of(kind: str, seed: int, items: int = 3) -> View:
    sizes = zip(NAMES, SIZES[kind], strict=True)
    return View(
        noise(items, 40, seed=seed), {tap: noise(items, *size, seed=seed + i) for i, (tap, size) in enumerate(sizes)}
    )


def batch_of(items: int = 3, samples: int = 40) -> Batch:
    clean = 0.1 * noise(items, samples, seed=100)
    return Batch(clean + 0.1 * noise(items, samples, seed=101), clean, torch.full((items,), samples))


def ready(method: Method, student: View, teacher: View) -> Method:
    method.connect(places(student.feats), places(teacher.feats))
    torch.manual_seed(3)
    method.prepare(student, teacher)
    return method
