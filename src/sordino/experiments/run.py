"""Functions on a recipe: train it, try it, score a model on its data; and export what was trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sordino import models
from sordino.distributed import broadcast, join, rank
from sordino.errors import InputError, keeping
from sordino.evaluation.evaluate import evaluate as measure
from sordino.evaluation.score import NOISY, Scores
from sordino.experiments.build import build_source, build_trainer
from sordino.experiments.origins import data_of
from sordino.experiments.recipe import RecipeLike, read, read_data
from sordino.experiments.run_folder import SCORES, SCORES_CSV, changes_rate, prepare_folder
from sordino.experiments.run_recipe import RECIPE, stated_rate
from sordino.experiments.teacher import cache_plan
from sordino.experiments.teacher_remarks import idle, notes
from sordino.files import demand_own
from sordino.inference.resolve import ModelSource, resolve
from sordino.metrics import DEFAULT, Align
from sordino.training import Outcome
from sordino.training.state import CHECKPOINT, STATE, held, load_state, same_data
from sordino.types import Progress, Status, retitled

if TYPE_CHECKING:
    from sordino.export import Parity


def train(
    recipe: RecipeLike,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    status: Status | None = None,
) -> Outcome:
    """Train the network of a recipe: a teacher, a baseline or a distilled student.

    ``train("unet/student", ["train.steps=1000"], "runs/student")`` trains a recipe that ships, changed in one value.

    Args:
        recipe: a YAML file, the name of a recipe that ships, or the recipe itself, as a mapping of its sections or as
            ``sordino.experiments.recipe.read`` returns it.
        overrides: ``key=value`` with dots between the levels of the key.
        out: folder of the run; the recipe's ``out``, or ``runs/`` and the name of its file, when left out.
        resume: continue the run in that folder; on a CPU the result is the same, bit for bit, as without the
            interruption.
        progress: called after every step.
        status: called with a line when something happens that the user should know.

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
        objective = trainer.objective
        known = [f"teacher {note}" for note in notes(objective.teacher)]
        for line in [*known, *idle(checked, objective.methods.values(), trainer.source.labels), planned]:
            if line:
                status(line)
    # Another recipe or teacher is refused before the lock makes a folder.
    changed = resume and broadcast(lambda: changes_rate(folder, checked))
    with ExitStack() as stack:
        broadcast(lambda: stack.enter_context(held(folder)))  # one process stands for all of a run
        if resume and (folder / STATE).is_file():  # a run of other recordings or processes is refused unchanged
            broadcast(lambda: same_data(load_state(folder), len(trainer.segments), trainer.batches.first_ids))
        # Under the lock, because it writes the recipe: that of a run at work must stay.
        saved = broadcast(lambda: prepare_folder(folder, checked, resume, changed, recipe))
        if status is not None and rank() == 0:
            if resume and not saved:
                status(f"{folder}: has no {STATE}, so the run begins again")
            elif changed:
                status(f"{folder}: goes on at {stated_rate(checked)}")
        return trainer.fit(saved, retitled(progress, title), status)


def evaluate(
    model: str | Path | ModelSource,
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
            what ``sordino.inference.resolve`` made of one, or ``noisy`` for the input itself.
        folders: (noisy, clean), files paired by name; or a folder of noisy recordings.
        recipe: whose data to use instead; a checkpoint's own when both are left out.
        split: of a recipe's data.
        metrics: names as ``sordino.metrics.metric`` takes them; the paper's, ESTOI and SI-SDR when left out.
        out: folder for ``scores.json`` and ``scores.csv``. When left out, the best checkpoint of a run, scored on its
            own test set by all of ``sordino.metrics.DEFAULT`` at least, gets them in its folder, and nothing else
            writes any. They are tried before the work.
        progress: called after every file, in the first of the processes that a launcher started; these share the files.
        workers, align, sample_rate, model_rate: see ``sordino.evaluate``.
    """
    join()
    source = None if str(model) == NOISY else resolve(model, otherwise="checkpoint")
    checkpoint = source.file if source is not None and source.kind == "checkpoint" else None
    # A run's own scores are those that a report shows: its best weights on its own test set, by all the metrics.
    complete = set(DEFAULT) <= set(metrics or DEFAULT)
    usual = folders is None and recipe is None and split == "test" and complete and align == "exact"
    own = _run_of(checkpoint) if usual else None
    folder = Path(out) if out else own
    demand_scores(folder)
    data, owner = _data(model, checkpoint, folders, recipe)
    with _named(owner):
        scores = measure(
            source,
            data,
            metrics=tuple(metrics or DEFAULT),
            split=split,
            workers=workers,
            progress=retitled(progress, f"scoring {model.name if isinstance(model, ModelSource) else model}"),
            align=align,
            sample_rate=sample_rate,
            model_rate=model_rate,
        )
    if checkpoint is not None:
        scores.metadata["step"] = models.read_about(checkpoint).get("step")
    if folder is not None and rank() == 0:
        with keeping(scores):
            scores.to_json(folder / SCORES)
            scores.to_csv(folder / SCORES_CSV)
    return scores


def demand_scores(folder: str | Path | None) -> None:
    """Try before anything is scored whether a folder can take the scores; None is accepted.

    Raises:
        InputError: it cannot be written, or holds other files of these names.
    """
    if folder is not None:
        demand_own(Path(folder) / SCORES, b'"interval": "95 % interval over files', "table of scores")
        demand_own(Path(folder) / SCORES_CSV, b"id,speaker,seconds,", "table of scores")


def _data(
    model: str | Path | ModelSource,
    checkpoint: Path | None,
    folders: tuple[str, str] | str | None,
    recipe: RecipeLike | None,
) -> tuple[Any, Path | str | None]:
    """Return what a model is scored on, and the file that names these recordings, for errors."""
    if folders is not None:
        return folders, None
    if recipe is not None:
        return build_source(read_data(recipe)), str(recipe)
    return build_source(data_of(model)), checkpoint


def _run_of(checkpoint: Path | None) -> Path | None:
    """Return the folder of a run, if ``checkpoint`` is the run's best checkpoint; otherwise None."""
    if checkpoint is None or checkpoint.name != CHECKPOINT or not (checkpoint.parent / RECIPE).is_file():
        return None
    return checkpoint.parent


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
