"""The smallest objective and recipes, with a teacher and without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.corpora import RATE
from sordino import models
from sordino.data.loader import loader
from sordino.data.sources import Synthetic
from sordino.distill.methods import METHODS
from sordino.distill.teachers import AnyTeacher, Teacher
from sordino.errors import InputError
from sordino.experiments.recipe import read
from sordino.experiments.teacher import build_teacher
from sordino.losses import L1
from sordino.training import Objective
from sordino.types import Batch


def batch_of(count: int = 2, seconds: float = 0.5) -> Batch:
    return next(iter(loader(Synthetic(segment_s=seconds).train(0), count, 0, 0)))


def pair() -> tuple[models.Enhancer, Teacher]:
    torch.manual_seed(0)
    return (
        models.create(**UNET),
        Teacher(models.create("unet", width=6, depth=2, groups=1)),
    )


def objective_of(**options: Any) -> tuple[models.Enhancer, Objective]:
    student, teacher = pair()
    return student, Objective({"l1": L1()}, {"output": METHODS["output"]()}, student, teacher, **options)


SOUND = {"name": "synthetic", "segment_s": 0.5}
UNET = {"name": "unet", "width": 4, "depth": 2, "groups": 1}
MANNER = {"name": "manner-s", "hidden": 3, "depth": 2}


def settings(steps: int, **changes: Any) -> dict[str, Any]:
    """The section ``train`` of a run of a few steps that says what each of them did, with one validation at the end."""
    train = {"steps": steps, "batch_size": 2, "accelerator": "cpu", "workers": 0, "threads": 1, "log_every": 1}
    return {**train, "validate_every": steps, "validate_items": 1, **changes}


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    """A tiny U-Net on synthetic data, in two stages: the teacher alone, then the clean speech alone."""
    torch.manual_seed(1)
    models.save(models.create("unet", width=6, depth=2, groups=1), folder / "teacher.safetensors")
    return {
        "data": SOUND,
        "model": UNET,
        "teacher": {"checkpoint": str(folder / "teacher.safetensors")},
        "loss": {"weighted": {}},
        "distill": {"output": {"loss": "l1"}},
        "stages": [
            {"share": 0.5, "weights": {"loss/weighted": 0.0}},
            {"weights": {"kd/output": 0.0}, "reset": True},
        ],
        "train": settings(6),
        **changes,
    }


def taught_by(teacher: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A tiny U-Net on short synthetic data for two steps, with the section ``teacher`` that is tested."""
    return {
        "data": {"name": "synthetic", "segment_s": 0.3},
        "model": UNET,
        "loss": {"l1": {}},
        "teacher": teacher,
        "distill": {"output": {}},
        "train": settings(2),
        **sections,
    }


PLAIN: dict[str, Any] = {"data": {"name": "synthetic"}, "model": {"name": "manner-s", "hidden": 12, "depth": 3}}
DISTILLED: dict[str, Any] = {
    **PLAIN,
    "teacher": {"checkpoint": "teacher.safetensors"},
    "loss": {"weighted": {}},
    "distill": {"mvat": {"norm": "l2"}},
    "weights": {"kd/mvat": 2.0},
    "train": {"epochs": 3, "threads": 1},
}


def write_recipe(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def message_of(recipe: str | Path | Mapping[str, Any], *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        read(recipe, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def built(teacher: dict[str, Any]) -> AnyTeacher:
    found = build_teacher(read(taught_by(teacher)), RATE)
    assert found is not None
    return found
