"""Views in double precision of two networks whose rows are compared, in all the sizes that may meet."""

from __future__ import annotations

import torch
from places import anywhere, places
from torch import Tensor

from sordino.distill.base import Method
from sordino.types import Batch, View

TAPS = {name: anywhere(axes="BCNF") for name in ("encoder.1", "encoder.2", "decoder.1")}
FLAT = {name: anywhere() for name in TAPS}
SIZES = {
    "spectra": ((2, 9, 6), (3, 9, 4), (2, 9, 6)),
    "wider spectra": ((4, 12, 8), (5, 12, 5), (3, 12, 8)),
    "waves": ((2, 11), (4, 5), (2, 11)),
}
NAMES = ("similarity", "two_step", "clskd", "rkd", "pkt")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def view_of(kind: str, seed: int, items: int = 3) -> View:
    """Features of the sizes that ``SIZES`` names, and an estimate that nobody here reads."""
    features = {
        tap: noise(items, *size, seed=seed + i) for i, (tap, size) in enumerate(zip(TAPS, SIZES[kind], strict=True))
    }
    return View(noise(items, 40, seed=seed), features)


def batch_of(items: int = 3) -> Batch:
    return Batch(noise(items, 40), None, torch.full((items,), 40))


def ready(method: Method, student: View, teacher: View) -> Method:
    method.connect(places(student.feats), places(teacher.feats))
    torch.manual_seed(3)
    method.prepare(student, teacher)
    return method.double()
