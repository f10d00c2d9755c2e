"""Several models of any kind on the same recordings: one table with sizes and speed, and a page to listen to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sordino.errors import InputError, keeping
from sordino.evaluation.evaluate import recordings
from sordino.evaluation.score import CLEAN, NOISY, Scores
from sordino.evaluation.speed import real_time_factor
from sordino.experiments import run
from sordino.experiments.bench import bench
from sordino.experiments.build import build_source
from sordino.experiments.recipe import read_data
from sordino.files import slug
from sordino.inference.enhance import enhance
from sordino.inference.graphs.source import SAMPLE_RATE
from sordino.inference.model import open_model
from sordino.inference.resolve import resolve
from sordino.report.differences import compared
from sordino.report.pages.parts import check_page
from sordino.report.pages.runs import Example, write_page
from sordino.report.runs import RunRow
from sordino.types import Item, Progress


def side_by_side(
    models: Sequence[str],
    folders: tuple[str, str] | str | None = None,
    recipe: str | Path | None = None,
    *,
    out: str | Path | None = None,
    page: str | Path | None = None,
    examples: int = 3,
    model_rate: int | None = None,
    against: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[RunRow]:
    """Score several models on the same recordings, and measure their size and their speed on one thread.

    Args:
        models: words as ``sordino.experiments.run.evaluate`` takes them, ``noisy`` among them.
        folders, recipe: the recordings; as for that function.
        out: folder for the scores of each model, in a folder of its own.
        page: where to write an HTML page with the table, and with examples to play.
        examples: recordings to play on the page.
        model_rate: Hz of functions, and of ONNX files that do not say.
        against: the one of ``models`` that the others are compared with, file by file.
        progress: called after every file.
        options: further arguments of that function.

    Raises:
        InputError: no recordings, no such model, one that is named twice, ``against`` is none of them, or another's
            file in the place of the page, or fewer than no examples.
    """
    check_page(page, examples)
    demand_named(against, models)
    if folders is None and recipe is None:
        raise InputError("data", "no recordings to compare on", "--data NOISY CLEAN or --recipe RECIPE")
    names = titles(models)
    places = {name: None if out is None else Path(out) / slug(name) for name in names}
    if out is not None and len(set(places.values())) < len(names):
        raise InputError("models", "two have names that make one folder", "other names, or no --out")
    for place in places.values():
        run.demand_scores(place)  # of the last model as well, before the first is scored
    scores: dict[str, Scores] = {}
    for model, (name, place) in zip(models, places.items(), strict=True):
        own = run.evaluate(model, folders, recipe, out=place, model_rate=model_rate, progress=progress, **options)
        scores[name] = own
    noisy = scores.get(NOISY)
    rows = []
    for model, (name, own) in zip(models, scores.items(), strict=True):
        rows.append(measured(model, name, own, model_rate, noisy))
    if against is not None:
        rows = compared(rows, names[models.index(against)])
    if page is not None:
        items, rate = _recordings(folders, recipe, options)
        words = dict(zip(names, models, strict=True))
        shown = played(items, rate, words, examples, model_rate)
        with keeping(rows):
            write_page(page, " / ".join(names), rows, examples=shown)
    return rows


def measured(
    model: str, name: str, scores: Scores, model_rate: int | None = None, noisy: Scores | None = None
) -> RunRow:
    """Return the row of a model: its scores beside those of the noisy input, its size, and its speed on one thread."""
    if model == NOISY:
        return RunRow.of(scores, NOISY)
    cost = bench(model, clocked=False, model_rate=model_rate)
    speed = real_time_factor(open_model(model, 1, model_rate))
    row = RunRow.of(scores, name, cost.parameters, cost.flops_paper, noisy=noisy)
    return replace(row, rtf=speed.median, in_torch=resolve(model).kind in ("checkpoint", "network"))


def demand_named(against: str | None, models: Sequence[str]) -> None:
    """Check that what models are compared with is among them, and not alone.

    Raises:
        InputError: it is not, or there is no other one.
    """
    if against is None:
        return
    if against not in models:
        raise InputError("--against", f"{against} is not in the table", f"one of {', '.join(models)}")
    if len(models) < 2:
        raise InputError("--against", f"{against} is the only model", "two or more", "name a second one")


def titles(models: Sequence[str]) -> list[str]:
    """Name models for a table; where two are called alike, or one like the noisy input or the reference, by all words.

    Names are alike if folders for them would be.

    Raises:
        InputError: the same model twice, or no such model.
    """
    demand_once(models)
    return distinct([NOISY if model == NOISY else resolve(model).name for model in models], models)


def demand_once(models: Sequence[str]) -> None:
    """Refuse a model, or the folder of a run, that is named twice."""
    for model in models:
        if models.count(model) > 1:
            raise InputError("models", f"{model} is named twice", "each model once")


def distinct(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Return a name for each row of a table, by which it is known everywhere.

    Args:
        names: some may be alike, also in what folders of that name would be called, or those of the noisy input and the
            reference.
        longer: for each, the name that it has in this case; ``noisy`` is the input itself.
    """
    slugs = [slug(name) for name in names]
    found = []
    for name, other in zip(names, longer, strict=True):
        shared = slugs.count(slug(name)) > 1 or name in (NOISY, CLEAN)
        found.append(other if shared else name)
    return found


def played(
    items: Sequence[Item], sample_rate: int, models: Mapping[str, Any], count: int, model_rate: int | None = None
) -> list[Example]:
    """Return the first recordings with the estimate of each model.

    Args:
        items: recordings at ``sample_rate`` Hz.
        models: by their titles; ``noisy`` is there in any case.
        count: of recordings.
        model_rate: as for ``side_by_side``.
    """
    opened = {name: open_model(model, sample_rate=model_rate) for name, model in models.items() if model != NOISY}
    shown: list[Example] = []
    for item in islice(items, count):
        waves: dict[str, np.ndarray] = {NOISY: item.noisy}
        waves |= {name: enhance(item.noisy, sample_rate, model) for name, model in opened.items()}
        if item.clean is not None:
            waves[CLEAN] = item.clean
        shown.append({"id": item.id, "sample_rate": sample_rate, "waves": waves})
    return shown


def _recordings(folders: Any, recipe: str | Path | None, options: Mapping[str, Any]) -> tuple[Sequence[Item], int]:
    """Return the recordings that were scored, and their rate."""
    if folders is not None:
        rate = options.get("sample_rate") or SAMPLE_RATE
        return recordings(folders, rate), rate
    source = build_source(read_data(str(recipe)))
    items = source.valid() if options.get("split") == "valid" else source.test()
    return items, source.sample_rate
