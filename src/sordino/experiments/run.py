"""What the project does with a recipe: train it, try it, score a model on its data; and export what was trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sordino import models
from sordino.distributed import broadcast, join, rank
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate as measure
from sordino.evaluation.score import NOISY, Scores
from sordino.experiments.build import build_source, build_trainer
from sordino.experiments.origins import data_of
from sordino.experiments.recipe import RECIPE, RECOVERY, Recipe, RecipeLike, read, read_data, same_recipe, write_recipe
from sordino.experiments.teacher import cache_plan, idle, notes
from sordino.experiments.teacher_cost import teacher_cost
from sordino.files import demand_own
from sordino.inference.resolve import resolve
from sordino.metrics import DEFAULT, Align
from sordino.training import Outcome
from sordino.training.checks import pulls
from sordino.training.divergence import return_to_good
from sordino.training.state import CHECKPOINT, STATE, held, load_state
from sordino.types import Progress, Status, retitled

if TYPE_CHECKING:
    from sordino.export import Parity

SCORES, SCORES_CSV = "scores.json", "scores.csv"


def train(
    recipe: RecipeLike,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    status: Status | None = None,
) -> Outcome:
    """Train what a recipe describes: a teacher, a baseline or a distilled student.

    ``train("unet/student", ["train.steps=1000"], "runs/student")`` trains a recipe that ships, changed in one value.

    Args:
        recipe: a YAML file, the name of a recipe that ships, or the recipe itself, as a mapping of its sections or as
            ``sordino.experiments.recipe.read`` returns it.
        overrides: ``key=value`` with dots between the levels of the key.
        out: folder of the run; the recipe's ``out``, or ``runs/`` and the name of its file, when left out.
        resume: go on with the run in that folder; on a CPU it ends as if it had never been interrupted, bit for bit.
        progress: called after every step.
        status: called with a line when something happens that a person should know.

    Returns:
        The steps that were taken, the best validation, and the checkpoint to use.

    Raises:
        InputError: an error in the recipe or its data, or a folder that does not fit ``resume``.
        KeyboardInterrupt: Ctrl-C; the state after the last whole step has been saved.
    """
    checked = read(recipe, overrides)
    folder = checked.folder if out is None else Path(out)
    trainer = build_trainer(checked, folder)
    title, planned = checked.title or checked.name, cache_plan(trainer)
    if status is not None and rank() == 0:
        for line in [*(f"teacher {note}" for note in notes(trainer.objective.teacher)), *idle(checked), planned]:
            if line:
                status(line)
    saved = broadcast(lambda: _prepare_folder(folder, checked, resume, recipe))
    with ExitStack() as stack:
        broadcast(lambda: stack.enter_context(held(folder)))  # one process stands for all of a run
        return trainer.fit(saved, retitled(progress, title), status)


def _prepare_folder(folder: Path, recipe: Recipe, resume: bool, given: RecipeLike) -> bool:
    """Write the recipe into the folder of its run; returns whether there is a state to go on from.

    A run that was killed before it first saved starts anew.

    Raises:
        InputError: the run that is to be resumed has another recipe, or the file of the recipe would be written over.
    """
    if resume and same_recipe(folder, recipe, RECOVERY):
        if (folder / STATE).exists() and load_state(folder).get("fallen"):
            return_to_good(folder)
        write_recipe(folder, recipe)
    saved = (folder / STATE).exists()
    if not saved and not resume:
        write_recipe(folder, recipe, given)
    return saved and resume


@dataclass(frozen=True)
class DryRun:
    """What a few steps tell of a run."""

    terms: dict[str, float]
    """Unweighted terms at the start, by name."""
    pulls: dict[str, float]
    """Methods' terms -> weighted gradient over that of the loss, at the start; see ``sordino.training.pulls``."""
    parameters: int
    """Of the student."""
    learnt: int
    """Parameters of the methods."""
    steps: int
    """That the run would take."""
    seconds_per_step: float
    """Of those that were tried."""
    cache: str
    """What the teacher's cache would take, in words; empty if there is none."""
    teacher: tuple[str, ...] = ()
    """What its networks of other projects were recognised as, and what an epoch costs with it, live and cached."""


def dry_run(recipe: RecipeLike, overrides: Sequence[str] = (), status: Status = lambda _: None) -> DryRun:
    """Try a recipe without leaving a trace: the self-checks, then a few steps, one validation, one save, one resume.

    Args:
        recipe, overrides: as for :func:`train`.
        status: called with a line before each of its parts.

    Raises:
        InputError: whatever would stop the run.
    """
    checked = read(recipe, overrides)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = build_trainer(checked, folder)
        cache = cache_plan(whole)
        if cache:  # it was found to fit and stays as it is
            checked = read(checked, layers=[{"teacher": {"cache": str(folder / "cache")}}])
            whole = build_trainer(checked, folder)
        status("checking the losses and methods on the first batch")
        terms = whole.check()
        status("measuring what the teacher costs and how hard methods pull")
        cost = teacher_cost(whole, folder / "timed")
        teacher = (*notes(whole.objective.teacher), *idle(checked), *([cost.describe()] if cost else []))
        pulled = pulls(whole.objective, whole.student, whole.first_batch(), whole.steps - 1)
        short = _shortened(checked)
        status("trying a few steps, a validation, a save and a resume")
        outcome = build_trainer(short, folder).fit()
        build_trainer(short, folder).fit(resume=True)
    parameters, learnt = models.count_parameters(whole.student), models.count_parameters(whole.objective)
    return DryRun(terms, pulled, parameters, learnt, whole.steps, outcome.seconds / outcome.steps, cache, teacher)


def _shortened(recipe: Recipe) -> Recipe:
    """The recipe with as many stages, of two steps each, whatever their length in the run."""
    count = max(len(recipe.stages), 1)
    stages = [{**stage, "epochs": None, "share": 1 / count} for stage in recipe.stated.get("stages", [])]
    if stages:
        stages[-1]["share"] = None
    steps = 2 * count
    every = dict.fromkeys(("steps", "validate_every", "log_every", "save_every"), steps)
    return read(recipe, layers=[{"train": {**every, "validate_items": 1, "log": []}, "stages": stages}])


def evaluate(
    model: str | Path,
    folders: tuple[str, str] | str | None = None,
    recipe: RecipeLike | None = None,
    split: Literal["test", "valid"] = "test",
    metrics: Sequence[str] | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    align: Align = "exact",
    sample_rate: int | None = None,
    model_rate: int | None = None,
) -> Scores:
    """Score a model on recordings, with clean references unless every metric judges the estimate alone.

    Args:
        model: a checkpoint, an ONNX file, the name of a shipped model or of a function (``package.module:function``),
            or ``noisy`` for the input itself.
        folders: (noisy, clean), files paired by name; or a folder of noisy recordings.
        recipe: whose data to use instead; a checkpoint's own when both are left out.
        split: of a recipe's data.
        metrics: names as ``sordino.metrics.metric`` takes them; the paper's and SI-SDR when left out.
        out: folder for ``scores.json`` and ``scores.csv``. When left out, the best checkpoint of a run, scored on its
            own test set by all of ``sordino.metrics.DEFAULT`` at least, gets them in its folder, and nothing else
            writes any.
        workers: processes that compute the metrics.
        progress: called after every file, in the first of the processes that a launcher started; these share the files.
        align, sample_rate, model_rate: see ``sordino.evaluate``.
    """
    join()
    if out:
        demand_own(Path(out) / SCORES, b'"failures": ', "table of scores")
        demand_own(Path(out) / SCORES_CSV, b"id,speaker,seconds,", "table of scores")
    source: Any = folders
    if source is None:
        source = build_source(data_of(model) if recipe is None else read_data(recipe))
    with _named(None if folders is not None else model if recipe is None else str(recipe)):
        scores = measure(
            None if str(model) == NOISY else model,
            source,
            metrics=tuple(metrics or DEFAULT),
            split=split,
            workers=workers,
            progress=retitled(progress, f"scoring {model}"),
            align=align,
            sample_rate=sample_rate,
            model_rate=model_rate,
        )
    if str(model) != NOISY and resolve(model).kind == "checkpoint":
        scores.metadata["step"] = models.read_about(model).get("step")
    # A run's own scores are those that a report shows: its best weights on its own test set, by all the metrics.
    complete = set(DEFAULT) <= set(metrics or DEFAULT)
    usual = folders is None and recipe is None and split == "test" and complete and align == "exact"
    own = usual and Path(model).name == CHECKPOINT and (Path(model).parent / RECIPE).is_file()
    folder = Path(out) if out else Path(model).parent if own else None
    if folder is not None and rank() == 0:
        scores.to_json(folder / SCORES)
        scores.to_csv(folder / SCORES_CSV)
    return scores


@contextmanager
def _named(recipe: str | Path | None) -> Iterator[None]:
    """Name the recipe, or the checkpoint that holds it, whose data cannot be scored on, and what can be."""
    try:
        yield
    except InputError as error:
        if error.where != "data" or recipe is None:
            raise
        hint = f"score it with --data NOISY CLEAN or --split valid; or {error.hint}"
        raise InputError(recipe, f"its data {error.found}", hint=hint) from error


def export(checkpoint: str | Path, out: str | Path, licence: str = "", status: Status = lambda _: None) -> Parity:
    """Write a checkpoint as ONNX, with the facts of its training in the metadata; see ``sordino.export.to_onnx``.

    Args:
        checkpoint: a file, or the name of a student that ships.
        out: ends in ``.onnx``; a network that streams gets a second file beside it, for blocks.
        licence: of the weights, for the metadata.
        status: called with a line before each part that takes long.

    Returns:
        How far the files are from the network on speech.

    Raises:
        InputError: no checkpoint, or a graph that differs from it; nothing is written then.
    """
    from sordino.export import to_onnx

    about = models.read_about(checkpoint)
    facts = about | ({"licence": licence} if licence else {})
    return to_onnx(models.load(checkpoint), out, about=facts, status=status)
