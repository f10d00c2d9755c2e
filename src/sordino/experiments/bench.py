"""Costs of models: one of any kind, or all networks that ship as recipes, beside the figures that the paper prints."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from sordino import models
from sordino.assets import recipes, students
from sordino.errors import InputError, did_you_mean
from sordino.evaluation import speed
from sordino.evaluation.efficiency import Cost, count
from sordino.experiments.build import build_network
from sordino.experiments.recipe import Recipe, read
from sordino.experiments.schema import Component, Pretrained
from sordino.export import count_weights
from sordino.inference.model import open_model
from sordino.inference.resolve import ModelSource, resolve
from sordino.json_files import parse_json
from sordino.report.costs import CostRow
from sordino.report.paper import PaperRow, results
from sordino.types import Progress

TABLE = 1
"""The paper's table that prints sizes."""
LONGEST_S = 600.0
"""Seconds of audio in one timed pass."""
TOYS = "demo/"
"""Recipes whose networks only show how things go."""


def bench(
    model: str | Path,
    seconds: float = 4.0,
    repeats: int = 5,
    threads: int = 1,
    clocked: bool = True,
    model_rate: int | None = None,
) -> Cost:
    """Measure a model: parameters, FLOPs as the paper counts them, all multiply-accumulates, speed and memory.

    Args:
        model: a checkpoint, a recipe, whose network is measured with fresh weights, an ONNX file, the name of a
            shipped model, or of a function (``package.module:function``), or a model card. What is not known of a model
            that is no network of sordino's is None.
        seconds: of audio in one pass.
        repeats: timed passes, after one that is not.
        threads: of arithmetic.
        clocked: False leaves out speed and memory, and takes a moment.
        model_rate: Hz at which a function works, or an ONNX file that does not say; 16000 when left out.

    Raises:
        InputError: no such model, or a number out of range.
    """
    _demand_sizes(seconds, repeats, threads)
    source = resolve(model, otherwise="recipe")
    if source.is_graph or source.kind in ("import", "external", "mean"):
        runner = str(model)
        cost = _of_source(source, seconds, model_rate)
    elif source.kind == "checkpoint":
        runner = models.load(source.checkpoint)
        cost = _of_checkpoint(source, runner, seconds)
    else:
        hint = did_you_mean(str(model), [*students(), *recipes()])
        if hint and not os.path.isfile(model) and str(model).removesuffix(".yaml") not in recipes():
            raise InputError(model, "no such model or recipe", hint=hint)
        runner = build_network(read(model).model)
        cost = count(runner, seconds)
    if not clocked:
        return cost
    return _clock(cost, runner, seconds, repeats, threads, model_rate)


def bench_all(
    seconds: float = 4.0,
    repeats: int = 5,
    threads: int = 1,
    clocked: bool = True,
    progress: Progress | None = None,
) -> list[CostRow]:
    """Measure every network of the recipes that ship, once, with fresh weights; the rows of the paper's table go first.

    Args:
        seconds, repeats, threads, clocked: as for ``bench``.
        progress: called after every network.

    Raises:
        InputError: a number out of range.
    """
    _demand_sizes(seconds, repeats, threads)
    networks, rows = _networks(), []
    for title, section, printed in networks:
        network = build_network(section)
        cost = count(network, seconds)
        if clocked:
            cost = _clock(cost, network, seconds, repeats, threads)
        rows.append(CostRow(title, cost, printed))
        if progress is not None:
            progress("measuring networks", len(rows), len(networks), {})
    return rows


def _demand_sizes(seconds: float, repeats: int, threads: int) -> None:
    """Check how much is measured."""
    if not 0 < seconds <= LONGEST_S:
        raise InputError("seconds", f"{seconds:g}", f"more than 0, and at most {LONGEST_S:g}")
    for name, value in (("repeats", repeats), ("threads", threads)):
        if value < 1:
            raise InputError(name, str(value), "1 or more")


def _networks() -> list[tuple[str, Component, PaperRow | None]]:
    """Title, network and published row of every network that ships; recipes that share one are one row."""
    rows = results(TABLE)
    places = {row.name: place for place, row in enumerate(rows)}

    def place(recipe: Recipe) -> int:
        """Position of the recipe's row in the paper's table; behind the last one if it has none."""
        if recipe.paper is None or recipe.paper.table != TABLE:
            return len(rows)
        return places.get(recipe.paper.row, len(rows))

    recipes_read = [read(name) for name in recipes() if not name.startswith(TOYS)]
    networks: dict[str, tuple[str, Component, PaperRow | None]] = {}
    # The plain recipe of a network goes before those that distil into it, and gives the line its name.
    for recipe in sorted(recipes_read, key=lambda recipe: (place(recipe), bool(recipe.methods))):
        if isinstance(recipe.model, Pretrained):
            continue
        at = place(recipe)
        printed = rows[at] if at < len(rows) else None
        networks.setdefault(_identity(recipe.model), (recipe.title, recipe.model, printed))
    return list(networks.values())


def _identity(model: Component) -> str:
    """Key that two equal networks share: the constructor and its arguments, defaults among them."""
    bound = inspect.signature(models.MODELS[model.name]).bind(**model.arguments)
    bound.apply_defaults()
    return json.dumps([model.name, bound.arguments], sort_keys=True)


def _of_source(source: ModelSource, seconds: float, model_rate: int | None) -> Cost:
    """Cost of a file, a function, or several models as one: sums, where every member has the figure."""
    if source.kind == "checkpoint":
        return _of_checkpoint(source, models.load(source.checkpoint), seconds)
    if source.kind != "mean":
        return _outside(source, seconds, model_rate)
    costs = [_of_source(one, seconds, one.sample_rate) for one in source.value]

    def total(name: str) -> Any:
        values = [getattr(cost, name) for cost in costs]
        return None if None in values else sum(values)

    return Cost(
        source.name,
        parameters=total("parameters"),
        flops_paper=total("flops_paper"),
        macs_per_second=total("macs_per_second"),
        file_bytes=total("file_bytes"),
    )


def _of_checkpoint(source: ModelSource, network: models.Enhancer, seconds: float) -> Cost:
    return replace(count(network, seconds), file_bytes=source.checkpoint.stat().st_size)


def _outside(source: ModelSource, seconds: float, model_rate: int | None) -> Cost:
    """Cost of an ONNX file or a function; complete where sordino wrote the file."""
    opened = open_model(source, sample_rate=model_rate)
    files = source.files
    size = None
    if files:
        size = sum(file.stat().st_size for file in files)
    if opened.about.get("name") in models.MODELS and "arguments" in opened.about:
        arguments = parse_json(source.file, opened.about["arguments"], "arguments of a network")
        network = models.rebuild(opened.about["name"], arguments, source.file)
        return replace(count(network, seconds), file_bytes=size)
    graphs = [file for file in files if file.suffix.lower() == ".onnx"]
    parameters = None  # a library, as of RNNoise, says nothing of its weights
    if graphs:
        parameters = sum(count_weights(file) for file in graphs)
    return Cost(opened.name, parameters=parameters, file_bytes=size)


def _clock(cost: Cost, runner: Any, seconds: float, repeats: int, threads: int, model_rate: int | None = None) -> Cost:
    """Add speed and peak memory to what was counted."""
    ready = open_model(runner, threads, model_rate)
    return replace(
        cost,
        speed=speed.real_time_factor(ready, seconds=seconds, repeats=repeats, threads=threads),
        peak_memory_bytes=speed.peak_memory(runner, seconds, threads, model_rate),
    )
