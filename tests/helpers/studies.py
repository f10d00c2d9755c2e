"""Small studies, as files, as scores that nobody measured and as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from helpers.recipes import SOUND, UNET, settings
from sordino import models
from sordino.evaluation.score import Scores
from sordino.experiments import study
from sordino.report.studies import StudyRow
from sordino.report.study_tables import study_tables
from sordino.report.table import Style, write_tables

RECIPE = {
    "data": {**SOUND, "valid_items": 2},
    "model": UNET,
    "loss": {"compressed": {}},
    "train": settings(2),
}
BASELINE = "MANNER-S-1.5GF (Baseline)"


def write(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(1)
    teacher = folder / "teacher" / "best.safetensors"
    teacher.parent.mkdir(exist_ok=True)
    models.save(models.create("unet", width=6, depth=2, groups=1), teacher)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    values = {
        "title": "A trial",
        "out": str(folder / "study"),
        "recipe": "recipe.yaml",
        "seeds": [0, 1],
        "against": "none",
        "scenarios": {"whole": {"teacher": {"checkpoint": str(teacher)}}},
        "methods": {"none": {}, "output": {"distill": {"output": {"loss": "l1"}}}},
        "metrics": ["si_sdr_db", "stoi"],
        "jobs": 2,
        **changes,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def summed_up(path: Path) -> tuple[list[list[StudyRow]], str]:
    """The rows of every test set, and the tables as text."""
    found, text = study.run(path)
    return list(found.values()), text


def table(tests: dict[str, list[StudyRow]], style: Style = "text", against: str | None = None, note: str = "") -> str:
    """The tables of a study in one document."""
    return write_tables(study_tables(tests, against, note=note), style)


def fake(value: float, files: int = 3) -> Scores:
    rows = [{"id": str(i), "pesq_wb": value + i} for i in range(files)]
    return Scores(rows, ("pesq_wb",))
