"""Every step in a few minutes: corpus, teacher, three students, scores, report, and an enhanced file.

Everything is real but the recordings, which are synthesised; every table and page says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sordino.data.sources import Synthetic
from sordino.experiments import run
from sordino.experiments.compare import compare
from sordino.inference.files import enhance_file
from sordino.report.runs import run_table
from sordino.training.state import CHECKPOINT, STATE
from sordino.types import Progress, Status

RUNS = ("teacher", "student", "student-output", "student-label-free")


def demo(
    out: str | Path,
    progress: Progress | None = None,
    status: Status | None = None,
    overrides: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Run the demo in ``out``; a demo that was stopped goes on where it was.

    Args:
        out: a folder.
        progress: called during every training and every scoring.
        status: called with a line when something happens that a person should know.
        overrides: changes to the recipe of every network, such as ``train.steps=10`` for a quick look.

    Returns:
        The rows of the table as plain values, and the table with the places of what was written.
    """
    out = Path(out)
    Synthetic().write(out / "corpus")
    for name in RUNS:
        folder = out / name
        changes = [*_places(out, name), *overrides]
        run.train(f"demo/{name}", changes, folder, (folder / STATE).is_file(), progress, status)
    report = out / "report.html"
    rows, _ = compare([out / name for name in RUNS], report, progress=progress)
    student = out / "student.onnx"
    run.export(out / RUNS[-1] / CHECKPOINT, student, licence="MIT")
    noisy = sorted((out / "corpus" / "test" / "noisy").glob("*.flac"))[0]
    enhanced = out / "enhanced.wav"
    enhance_file(noisy, enhanced, student)
    text = f"{run_table(rows).to_text()}\nReport: {report}\nStudent: {student}\nEnhanced: {enhanced}, from {noisy}"
    return {"rows": [asdict(row) for row in rows], "report": str(report), "enhanced": str(enhanced)}, text


def _places(out: Path, name: str) -> list[str]:
    """Overrides that point a demo recipe to its corpus and teacher below ``out``."""
    corpus = out / "corpus"
    places = {
        "data.clean": corpus / "clean",
        "data.noise": corpus / "noise",
        "data.test_noisy": corpus / "test" / "noisy",
        "data.test_clean": corpus / "test" / "clean",
    }
    if name.startswith("student-"):
        places["teacher.checkpoint"] = out / "teacher" / CHECKPOINT
    # As JSON, which is YAML too, so that a place may hold any character.
    return [f"{key}={json.dumps(str(place))}" for key, place in places.items()]
