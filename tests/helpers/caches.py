"""Teachers with a cache, and what such a cache holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sordino import models
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.teachers import CachedTeacher, Teacher, observe
from sordino.models import Enhancer
from sordino.types import Batch

FACTS = {"teacher": "its weights", "data.name": "noise"}


def batch_of(seed: int = 0, count: int = 3, samples: int = 1600) -> Batch:
    """Noise that stands for speech; the items of another seed are others."""
    generator = torch.Generator().manual_seed(seed)
    clean, more = (0.1 * torch.randn(count, samples, generator=generator) for _ in range(2))
    return Batch(clean + more, clean, torch.full((count,), samples), tuple(f"item {i}" for i in range(count)))


def pair() -> tuple[Enhancer, Teacher]:
    torch.manual_seed(0)
    student = models.create("manner-s", hidden=6, depth=2)
    return student.eval(), Teacher(models.create("manner-b", hidden=6, depth=3))


def ready(name: str, student: Enhancer, teacher: Teacher, batch: Batch) -> Method:
    """A method that knows the taps and the sizes of both networks, in eval mode so that it says the same twice."""
    method = METHODS[name]()
    method.connect(student.taps, teacher.taps)
    torch.manual_seed(7)
    with torch.no_grad():
        method.prepare(observe(student, batch.noisy, method.student_taps), teacher(batch, method.teacher_taps))
    return method.eval()


def never() -> Teacher:
    raise AssertionError("the teacher was loaded")


def kept(folder: Path, teacher: Any, *methods: Method, batch: Batch, facts: Any = FACTS, **options: Any) -> Any:
    cached = CachedTeacher(teacher if teacher is never else lambda: teacher, folder, facts, **options)
    cached.keep(methods, batch)
    return cached


def answers(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in sorted(folder.glob("??/[!.]*.safetensors"))}
