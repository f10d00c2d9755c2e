"""``sordino new``: a first recipe for a folder of the user's own recordings."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sordino.assets import DEFAULT_STUDENT
from sordino.cli.base import Answer, Command, flag
from sordino.cli.progress import Display
from sordino.data.tools.survey import Survey
from sordino.errors import InputError, needs_training_tier
from sordino.report.table import Table

LITTLE_SPEECH_S = 600

VARIED = (
    "# Recordings are varied in training and validation, and a few keep no noise at all (docs/augmentation.md);\n"
    "# data.augment: null leaves them as they are.\n"
)
"""What a recipe of one's own says of the changes that are made without a word in it."""


def new(given: Namespace) -> Answer:
    needs_training_tier()
    import yaml

    from sordino.data.tools.survey import survey
    from sordino.experiments.draft import CORPUS_KINDS, draft
    from sordino.files import write_text

    out = Path(given.output or f"{Path(given.folder).resolve().name}.yaml")
    if out.exists():
        raise InputError(out, "is there already", hint="name another file with -o")
    with Display() as show:
        surveyed = survey(given.folder, show)
    recipe = draft(surveyed, given.student, given.teacher, out.stem)
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    comments = f"# {CORPUS_KINDS[surveyed.layout.kind]}. docs/recipe.md explains every section.\n"
    if surveyed.layout.kind != "noisy":
        comments += VARIED
    write_text(out, comments + text)
    lines = [f"{given.folder}: {CORPUS_KINDS[surveyed.layout.kind]}", _folders(surveyed), *_advice(surveyed)]
    lines += [f"\n{out} is written. Next:", *(f"  {command}" for command in commands(surveyed, out, recipe))]
    return {"recipe": str(out), "kind": surveyed.layout.kind, "values": recipe}, "\n".join(lines)


def commands(surveyed: Survey, recipe: Path, values: Mapping[str, Any]) -> list[str]:
    """The commands that lead from the folder to an enhanced recording."""
    from sordino.experiments.draft import prepared

    given, wanted = surveyed.layout.root, prepared(surveyed.layout.root, surveyed)
    root, home, best = (shlex.quote(str(path)) for path in (given, wanted, f"{values['out']}/best.safetensors"))
    # sordino train takes a word with = for a setting, unless there is a slash before the =.
    written = shlex.quote(f"./{recipe}" if "=" in recipe.parts[0] else str(recipe))
    first = [f"sordino data prepare {root} {home}"] if wanted != given else []
    compared = " ".join(["noisy", *filter(None, [values["model"].get("checkpoint")]), best])
    scored = []
    if surveyed.layout.kind != "noisy":
        scored = [f"sordino evaluate {compared} --recipe {written}    # before and after, in one table"]
    return [
        *first,
        f"sordino data check {home}",
        f"sordino data check {written}    # the speakers and noises of validation and test",
        f"sordino train {written} --dry-run    # how long it takes here",
        f"sordino train {written}",
        *scored,
        f"sordino enhance NOISY.wav -o OUT.wav --model {best}",
    ]


def _folders(surveyed: Survey) -> str:
    """Return what the folders hold, as a table."""
    rows = []
    for folder in surveyed.folders:
        rates = ", ".join(map(str, sorted(folder.rates))) or "cannot be read"
        sources = f"{folder.sources} {'recordings' if folder.content == 'noise' else 'speakers'}"
        minutes = f"{folder.seconds / 60:.1f}"
        rows.append([folder.split, folder.content, folder.files, minutes, sources, rates])
    return Table.of(["part", "content", "files", "minutes", "from", "Hz"], rows).write("text").rstrip("\n")


def _advice(surveyed: Survey) -> list[str]:
    """List the warnings that matter before training."""
    advice = [f"cannot be read: {reason}" for folder in surveyed.folders for reason in folder.unreadable]
    for folder in surveyed.folders:
        if folder.content == "clean" and folder.split in ("speech", "train") and folder.seconds < LITTLE_SPEECH_S:
            advice.append("little speech: less than ten minutes. docs/data.md names public corpora to put beside it")
        if folder.content == "noise" and 0 < folder.sources < 8:
            advice.append(
                f"{folder.sources} recordings of noise: validation and test have one each, so they say little"
            )
    return advice


NEW = Command(
    new,
    (
        flag("folder", help="has clean/ and noise/, noisy/ and clean/, or noisy files; and test/noisy and test/clean"),
        flag("-o", "--output", help="the recipe to write (default: the folder's name with .yaml)"),
        flag(
            "--student",
            help=f"a shipped student to train further, or new for an untrained one (default: {DEFAULT_STUDENT}; "
            f"for noisy recordings without --teacher: unet-24, taught by {DEFAULT_STUDENT})",
        ),
        flag("--teacher", help="a shipped student, a checkpoint, or PRESET:FILE, such as gtcrn:gtcrn_simple.onnx"),
    ),
    "Write a ready-to-run recipe for a folder of recordings. It trains a shipped student further, or a new one. Some\n"
    "speakers and noises are kept for validation, and others for a test.",
    lambda: (
        "examples:\n  sordino new my/recordings\n  sordino new my/recordings --student new --teacher dualpath-24\n"
        "  sordino new phone-calls    # noisy alone: dualpath-24 teaches unet-24"
    ),
)
