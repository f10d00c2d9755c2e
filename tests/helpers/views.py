"""Views of two networks whose layers are compared, in all the sizes that may meet."""

from __future__ import annotations

import torch

from helpers.noise import noise
from helpers.taps import anywhere, places
from sordino.distill.base import Method
from sordino.types import Batch, View

TAPS = {name: anywhere(axes="BCNF") for name in ("encoder.1", "encoder.2", "decoder.1")}
FLAT = {name: anywhere() for name in TAPS}
SIZES = {
    "spectra": ((2, 9, 6), (3, 9, 4), (2, 9, 6)),
    "wider spectra": ((4, 12, 8), (5, 12, 5), (3, 12, 8)),
    "waves": ((2, 11), (4, 5), (2, 11)),
}


def view_of(kind: str, seed: int, items: int = 3, dtype: torch.dtype = torch.float32) -> View:
    """An estimate, and features of the sizes that ``SIZES`` names."""
    features = {
        tap: noise(items, *size, seed=seed + i, level=1.0, dtype=dtype)
        for i, (tap, size) in enumerate(zip(TAPS, SIZES[kind], strict=True))
    }
    return View(noise(items, 40, seed=seed, level=1.0, dtype=dtype), features)


def precise_view(kind: str, seed: int, items: int = 3) -> View:
    """The same in double precision, for comparisons with slow versions."""
    return view_of(kind, seed, items, torch.float64)


def batch_of(items: int = 3, samples: int = 40) -> Batch:
    clean = noise(items, samples, seed=100)
    return Batch(clean + noise(items, samples, seed=101), clean, torch.full((items,), samples))


def unlabelled(items: int = 3) -> Batch:
    return Batch(noise(items, 40, level=1.0, dtype=torch.float64), None, torch.full((items,), 40))


def ready(method: Method, student: View, teacher: View) -> Method:
    """Connected to the taps of two views, prepared for their features, and in their precision."""
    method.connect(places(student.feats), places(teacher.feats))
    torch.manual_seed(3)
    method.prepare(student, teacher)
    return method.to(student.wave.dtype)
