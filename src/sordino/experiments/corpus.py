"""The data of a recipe, written once as files or as shards; the section ``data`` is all that such a recipe needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sordino.data.base import Damaged
from sordino.data.tools.render import Rendered
from sordino.data.tools.render import render as render_source
from sordino.data.tools.shard import Sharded
from sordino.data.tools.shard import shard as shard_source
from sordino.experiments.build import build_source
from sordino.experiments.recipe import RecipeLike, plain, read_data
from sordino.types import Progress


def render(
    recipe: RecipeLike,
    out: str | Path,
    hours: float,
    overrides: Sequence[str] = (),
    seed: int = 0,
    noisy_only: bool = False,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    progress: Progress | None = None,
) -> Rendered:
    """Write hours of a recipe's data as files; its section ``data`` is all that it needs.

    Args:
        recipe, overrides: as for ``sordino.train``.
        out, hours, seed, noisy_only, workers, damaged, progress: see ``sordino.data.tools.render``.
    """
    data = read_data(recipe, overrides)
    stated = plain({"name": data.name, **data.arguments})
    return render_source(build_source(data), out, hours, seed, noisy_only, workers, damaged, stated, progress)


def shard(
    recipe: RecipeLike,
    out: str | Path,
    overrides: Sequence[str] = (),
    per_shard: int = 1000,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    progress: Progress | None = None,
) -> Sharded:
    """Write the recordings of a recipe's data as shards; its section ``data`` is all that it needs.

    Args:
        recipe, overrides: as for ``sordino.train``.
        out, per_shard, workers, damaged, progress: see ``sordino.data.tools.shard``.
    """
    return shard_source(build_source(read_data(recipe, overrides)), out, per_shard, workers, damaged, progress)
