"""Write a first recipe for a user's own recordings: what can be trained on them, with settings that work."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sordino.assets import DEFAULT_STUDENT, students, trainable_students, weights
from sordino.audio.folders import PREPARED, list_audio
from sordino.data.tools.survey import Survey
from sordino.errors import InputError, did_you_mean
from sordino.experiments.teacher_section import of_word

RATE = 16000
"""Hz of the networks that ship; other recordings are resampled first."""
NEW = "new"
SIDE = re.compile(r"(?<![a-z])(noisy|clean)(?![a-z])")
"""What in a name says which of a pair a file is."""
SMALLER_STUDENT = "unet-24"
"""What goes on under the default student where there is no clean speech: no network that ships can teach that one."""

LOSSES = {"compressed": {}, "perceptual": {}, "snr": {}, "stoi": {}, "llr": {}}
WEIGHTS = {"perceptual": 0.06, "snr": 0.003, "stoi": 0.5, "llr": 0.15}
"""Weights with which the default student was trained."""
TEST_ITEMS, TEST_FRACTION = 32, 0.1

CORPUS_KINDS = {
    "mix": "clean speech and noise, mixed anew for every step",
    "valentini": "VoiceBank-DEMAND: pairs of noisy and clean recordings",
    "dns": "DNS Challenge: clean speech and noise, mixed anew for every step",
    "pairs": "pairs of noisy and clean recordings",
    "noisy": "noisy recordings alone: a teacher's estimates take the place of clean speech",
}
SHIPPED = {"valentini": "valentini/manner-b-teacher", "dns": "dns/manner-s-teacher"}
"""Corpus -> a recipe for it that ships."""

_Place = tuple[str, str]
"""Split and content of a folder, such as ``train`` and ``noisy``."""


def draft(
    surveyed: Survey, student: str | None = None, teacher: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """Return the values of a recipe for recordings.

    Args:
        surveyed: the recordings of the folder, by what they are.
        student: name of a shipped student to train further, or ``new`` for an untrained one. When left out, the
            default student, or a smaller one if the default one is the teacher.
        teacher: name of a shipped student, a checkpoint, the folder of a run, or ``PRESET:FILE``; none trains on clean
            speech alone. Noisy recordings need one: the default student when left out.
        name: of the run's folder below ``runs``; that of the recordings' folder when left out.

    Raises:
        InputError: there is too little to train on, the student does not ship, the corpus has recipes of its own, the
            student would teach itself, or there is no such teacher.
    """
    data, root = _data(surveyed), surveyed.layout.root
    noisy_alone = surveyed.layout.kind == "noisy"
    if noisy_alone:
        _demand_no_pairs(root)
    if noisy_alone and teacher is None:
        teacher, student = DEFAULT_STUDENT, student or SMALLER_STUDENT
    student = student or DEFAULT_STUDENT
    if student == teacher:
        hint = "--teacher PRESET:FILE, a published network (docs/teachers.md), or another --student"
        raise InputError(root, f"{student} would teach itself", "another teacher", hint)
    recipe: dict[str, Any] = {
        "title": f"a student for {root.resolve().name}",
        "out": f"runs/{name or root.resolve().name}",
        "model": _model(student),
        "data": data,
        "loss": {},
        "weights": {},
    }
    if not noisy_alone:
        recipe["loss"] = dict(LOSSES)
        recipe["weights"] = {f"loss/{name}": weight for name, weight in WEIGHTS.items()}
    if teacher is not None:
        recipe["teacher"] = _teacher(teacher)
        recipe["distill"] = {"output": {"loss": {"compressed": 1, **WEIGHTS}}}
    recipe["train"] = _training(student)
    return recipe


def _demand_no_pairs(root: Path) -> None:
    """Refuse recordings that by their names are pairs, and would all be taken for noisy ones."""
    seen: dict[str, Path] = {}
    for path in list_audio(root):
        relative = path.relative_to(root)
        key = SIDE.sub("*", relative.with_suffix("").as_posix().lower())
        other = seen.setdefault(key, relative)
        if other != relative and "*" in key:
            expected = "noisy/ and clean/ in that folder, with the two files of a pair under one name"
            raise InputError(root, f"{other} and {relative} look like a pair", expected)


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
        known = f"{NEW}, or one of {', '.join(trainable_students())}"
        raise InputError("--student", f"{student!r} does not ship", known, did_you_mean(student, trainable_students()))
    weights(student)  # refuses one that ships as ONNX alone
    return {"checkpoint": student}


def _teacher(teacher: str) -> dict[str, Any]:
    section = of_word(teacher)
    section.demand_files()
    if section.checkpoint is not None and not weights(section.checkpoint).is_file():
        known = f"a checkpoint, the folder of a run, PRESET:FILE, or one of {', '.join(trainable_students())}"
        raise InputError("--teacher", f"no model {teacher!r}", known, did_you_mean(teacher, trainable_students()))
    return {key: value for key, value in asdict(section).items() if value is not None}


def _training(student: str) -> dict[str, Any]:
    """Settings of the shipped student's run, shorter where a student goes on."""
    settings = {
        "steps": 2000,
        "batch_size": 8,
        "max_lr": 1e-3,
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup_steps": 100,
        "grad_clip": 5.0,
        "ema": 0.99,
        "validate_every": 200,
        "save_every": 200,
    }
    if student == NEW:
        settings |= {"steps": 12000, "max_lr": 3e-3, "warmup_steps": 300, "ema": 0.999, "validate_every": 1000}
    return settings


def _data(surveyed: Survey) -> dict[str, Any]:
    """Return the section ``data``; whatever the corpus has as test set is used, and one is kept apart otherwise."""
    root, kind = surveyed.layout.root, surveyed.layout.kind
    if kind in SHIPPED:
        hint = f"recipes for it ship: sordino train {SHIPPED[kind]}"
        raise InputError(root, f"is the corpus {CORPUS_KINDS[kind]}", hint=hint)
    home = prepared(root, surveyed)
    places: dict[_Place, str] = {}
    filled: set[_Place] = set()
    for folder in surveyed.folders:
        place = folder.split, folder.content
        places[place] = str(home / folder.path.relative_to(root))
        if folder.files:
            filled.add(place)
    if kind == "mix":
        return _mixed(surveyed, places, filled)
    if kind == "pairs":
        return _paired(root, places, filled)
    if (root / "noise").is_dir():
        _demand(root, filled, ("speech", "clean"))
    return {"name": "pairs", "noisy": str(home), "segment_s": 2.0, "stride_s": 2.0}


def _mixed(surveyed: Survey, places: Mapping[_Place, str], filled: Collection[_Place]) -> dict[str, Any]:
    """The section ``data`` of clean speech and noise."""
    root = surveyed.layout.root
    _demand(root, filled, ("speech", "clean"), ("noise", "noise"))
    noise = next(folder for folder in surveyed.folders if folder.content == "noise")
    if noise.sources < 2:
        raise InputError(root / "noise", "holds one recording", "two or more, as one is kept for validation")
    tests: dict[str, Any] = _sides("test", places, filled)
    if not tests and noise.sources > 2:  # two are for training and validation
        tests = {"test_items": TEST_ITEMS}
    clean, noises = places["speech", "clean"], places["noise", "noise"]
    return {"name": "mix", "clean": clean, "noise": noises, "segment_s": 2.0, **tests}


def _paired(root: Path, places: Mapping[_Place, str], filled: Collection[_Place]) -> dict[str, Any]:
    """The section ``data`` of pairs of noisy and clean recordings."""
    _demand(root, filled, ("train", "noisy"), ("train", "clean"))
    return {
        "name": "pairs",
        "noisy": places["train", "noisy"],
        "clean": places["train", "clean"],
        "segment_s": 2.0,
        "stride_s": 2.0,
        "augment": {},
        **_sides("valid", places, filled),
        **(_sides("test", places, filled) or {"test_fraction": TEST_FRACTION}),
    }


def _sides(split: str, places: Mapping[_Place, str], filled: Collection[_Place]) -> dict[str, str]:
    """The folders of a split that has recordings on both sides; nothing for half a split."""
    noisy, clean = (split, "noisy"), (split, "clean")
    if noisy not in filled or clean not in filled:
        return {}
    return {f"{split}_noisy": places[noisy], f"{split}_clean": places[clean]}


def _demand(root: Path, filled: Collection[_Place], *needed: _Place) -> None:
    """Refuse a folder that lacks recordings of a kind."""
    for split, content in needed:
        if (split, content) not in filled:
            what = {"clean": "clean speech", "noise": "noise", "noisy": "noisy recordings"}[content]
            hint = f"or noise in {root}/noise" if content == "noisy" else "docs/data.md names public corpora"
            raise InputError(root, f"holds no {what}", f"recordings in {root}/{content}", hint)
