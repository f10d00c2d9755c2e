"""Write a first recipe for a user's own recordings: what can be trained on them, with settings that work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sordino.assets import DEFAULT_STUDENT, students
from sordino.audio.folders import PREPARED
from sordino.data.tools.survey import Survey
from sordino.errors import InputError
from sordino.experiments.teacher_section import of_word

RATE = 16000
"""Hz of the networks that ship; other recordings are resampled first."""
NEW = "new"
SMALLER_STUDENT = "unet-24"
"""What goes on under the default student where there is no clean speech: no network that ships can teach that one."""

LOSSES = {"compressed": {}, "perceptual": {}, "snr": {}, "stoi": {}, "llr": {}}
WEIGHTS = {"perceptual": 0.06, "snr": 0.003, "stoi": 0.5, "llr": 0.15}
"""Of the default student, see benchmarks/real/default.yaml."""
TEST_ITEMS, TEST_FRACTION = 32, 0.1

ROADS = {
    "mix": "clean speech and noise, mixed anew for every step",
    "valentini": "VoiceBank-DEMAND: pairs of noisy and clean recordings",
    "dns": "DNS Challenge: clean speech and noise, mixed anew for every step",
    "pairs": "pairs of noisy and clean recordings",
    "noisy": "noisy recordings alone: a teacher's estimates take the place of clean speech",
}


def draft(surveyed: Survey, student: str | None = None, teacher: str | None = None) -> dict[str, Any]:
    """Return the values of a recipe for recordings.

    Args:
        surveyed: the recordings of the folder, by what they are.
        student: name of a shipped student to train further, or ``new`` for an untrained one. When left out, the
            default student, or a smaller one if the default one is the teacher.
        teacher: name of a shipped student, a checkpoint, or ``PRESET:FILE``; none trains on clean speech alone. Noisy
            recordings need one: the default student when left out.

    Raises:
        InputError: there is too little to train on, the student does not ship, the corpus has recipes of its own, or
            the student would teach itself.
    """
    data, root = _data(surveyed), surveyed.layout.root
    noisy_alone = surveyed.layout.kind == "noisy"
    if noisy_alone and teacher is None:
        teacher, student = DEFAULT_STUDENT, student or SMALLER_STUDENT
    student = student or DEFAULT_STUDENT
    if student == teacher:
        hint = "--teacher PRESET:FILE, a published network (docs/teachers.md), or another --student"
        raise InputError(root, f"{student} would teach itself", "another teacher", hint)
    recipe: dict[str, Any] = {
        "title": f"a student for {root.resolve().name}",
        "out": f"runs/{root.resolve().name}",
        "model": _model(student),
        "data": data,
        "loss": dict(LOSSES),
        "weights": {f"loss/{name}": weight for name, weight in WEIGHTS.items()},
    }
    if noisy_alone:
        recipe |= {"loss": {}, "weights": {}}
    if teacher is not None:
        recipe["teacher"] = _teacher(teacher)
        recipe["distill"] = {"output": {"loss": {"compressed": 1, **WEIGHTS}}}
    begins = student == NEW
    return recipe | {"train": _training(begins)}


def prepared(root: Path, surveyed: Survey) -> Path:
    """Return the folder that a recipe reads: ``root``, or that of its copies at the networks' rate."""
    if surveyed.rates() <= {RATE}:
        return root
    named = root if root.name not in ("", "..") else root.resolve()
    return named.with_name(named.name + PREPARED)


def _model(student: str) -> dict[str, Any]:
    if student == NEW:
        return {"name": "dualpath", "width": 24}
    if student not in students():
        raise InputError("--student", f"{student!r} does not ship", f"{NEW}, or one of {', '.join(students())}")
    return {"checkpoint": student}


def _teacher(teacher: str) -> dict[str, Any]:
    return {key: value for key, value in asdict(of_word(teacher)).items() if value is not None}


def _training(begins: bool) -> dict[str, Any]:
    """Settings of the shipped student's run, shorter where a student goes on."""
    return {
        "steps": 12000 if begins else 2000,
        "batch_size": 8,
        "max_lr": 3e-3 if begins else 1e-3,
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup_steps": 300 if begins else 100,
        "grad_clip": 5.0,
        "ema": 0.999 if begins else 0.99,
        "validate_every": 1000 if begins else 200,
        "save_every": 200,
    }


def _data(surveyed: Survey) -> dict[str, Any]:
    """Return the section ``data``; whatever the corpus has as test set is used, and one is kept apart otherwise."""
    root, kind = surveyed.layout.root, surveyed.layout.kind
    home = prepared(root, surveyed)
    at = {(folder.split, folder.content): str(home / folder.path.relative_to(root)) for folder in surveyed.folders}
    filled = {(folder.split, folder.content) for folder in surveyed.folders if folder.files}
    tests = _sides("test", at, filled)
    if kind in ("valentini", "dns"):
        recipe = "valentini/manner-b-teacher" if kind == "valentini" else "dns/manner-s-teacher"
        raise InputError(root, f"is the corpus {ROADS[kind]}", hint=f"recipes for it ship: sordino train {recipe}")
    if kind == "mix":
        _both(root, filled, ("speech", "clean"), ("noise", "noise"))
        sources = next(folder.sources for folder in surveyed.folders if folder.content == "noise")
        if sources < 2:
            raise InputError(root / "noise", "holds one recording", "two or more, as one is kept for validation")
        kept = tests or ({"test_items": TEST_ITEMS} if sources > 2 else {})  # two are for training and validation
        return {"name": "mix", "clean": at["speech", "clean"], "noise": at["noise", "noise"], "segment_s": 2.0, **kept}
    if kind == "pairs":
        _both(root, filled, ("train", "noisy"), ("train", "clean"))
        valid = _sides("valid", at, filled)
        kept = tests or {"test_fraction": TEST_FRACTION}
        data = {"name": "pairs", "noisy": at["train", "noisy"], "clean": at["train", "clean"], "segment_s": 2.0}
        return data | {"stride_s": 2.0, "augment": {}} | valid | kept
    if (root / "noise").is_dir():
        _both(root, filled, ("speech", "clean"))
    return {"name": "pairs", "noisy": str(home), "segment_s": 2.0, "stride_s": 2.0}


def _sides(split: str, at: Mapping[tuple[str, str], str], filled: Collection[tuple[str, str]]) -> dict[str, str]:
    """The folders of a split that has recordings on both sides; nothing for half a split."""
    sides = ("noisy", "clean")
    if not all((split, side) in filled for side in sides):
        return {}
    return {f"{split}_{side}": at[split, side] for side in sides}


def _both(root: Path, filled: set[tuple[str, str]], *needed: tuple[str, str]) -> None:
    for split, content in needed:
        if (split, content) not in filled:
            what = {"clean": "clean speech", "noise": "noise", "noisy": "noisy recordings"}[content]
            hint = "docs/data.md names public corpora" if content != "noisy" else f"or noise in {root}/noise"
            raise InputError(root, f"holds no {what}", f"recordings in {root}/{content}", hint)
