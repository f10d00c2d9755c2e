"""The teachers of a study: which models they are, the rows that show them, and the folders of their scores."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import count

from sordino.experiments.recipe import Recipe
from sordino.inference.resolve import ModelSource
from sordino.report.study_cells import StudyCell


def teachers(recipes: Iterable[Recipe]) -> dict[StudyCell, ModelSource]:
    """Return the teachers by their rows in the tables; a mean of several has its own row and one for each member."""
    rows: dict[StudyCell, ModelSource] = {}
    for recipe in recipes:
        for source in [] if recipe.teacher is None else recipe.teacher.models():
            if source not in rows.values():
                rows[_row(source, rows)] = source
    return rows


def _row(source: ModelSource, taken: Container[StudyCell]) -> StudyCell:
    """Return the row of a teacher, under its first name that is not in ``taken``."""
    cells = (StudyCell("", f"{name} (teacher)") for name in _names(source))
    return next(cell for cell in cells if cell not in taken)


def _names(source: ModelSource) -> Iterator[str]:
    """Give names from the shortest on."""
    yield source.name
    if source.path is not None:
        yield str(source.path.parent)
    yield from (f"{source.name}, {number}" for number in count(2))


def whole_name(source: ModelSource) -> str:
    """Return what tells a model from all others, for the folder of its scores.

    That of its row may change when another teacher of the same name joins the study.
    """
    if source.kind == "mean" and source.path is None:
        return " ".join(map(whole_name, source.value))
    if source.path is None or source.kind == "shipped":
        return source.name if source.sample_rate is None else f"{source.name} {source.sample_rate}"
    return str(source.path)
