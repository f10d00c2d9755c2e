"""The composition root: each verb of the project put together from the rooms below. No maths and no loop here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import yaml

from sordino import losses, models
from sordino.data import sources
from sordino.data.base import Damaged
from sordino.data.tools.render import Rendered
from sordino.data.tools.render import render as rendered
from sordino.data.tools.shard import Sharded
from sordino.data.tools.shard import shard as sharded
from sordino.distill import base, methods
from sordino.distributed import broadcast, join, rank
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate as measure
from sordino.evaluation.pesq_trained import PERCEPTUAL, inherits_pesq
from sordino.evaluation.score import Scores
from sordino.experiments import recipe as schema
from sordino.experiments.recipe import RECIPE, plain, same_recipe
from sordino.experiments.teacher import cache_plan, draws_of, teacher_of
from sordino.files import write_text
from sordino.inference.resolve import resolve
from sordino.metrics import DEFAULT, Align
from sordino.report.runs import NOISY
from sordino.training import Objective, Outcome, Settings, Stage, Trainer, weight_of
from sordino.training.checks import pulls
from sordino.training.state import CHECKPOINT, STATE
from sordino.types import Progress, Status, retitled
from sordino.version import commit

if TYPE_CHECKING:
    from sordino.export import Parity

SCORES = "scores.json"


def train(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    status: Status | None = None,
) -> Outcome:
    """Train what a recipe describes: a teacher, a baseline or a distilled student.

    Args:
        recipe: a YAML file, the name of a shipped recipe, or a mapping; see ``sordino.experiments.recipe``.
        overrides: ``key=value`` with dots between the levels of the key.
        out: folder of the run; the recipe's ``out``, or ``runs/`` and its name, when left out.
        resume: go on with the run in that folder.
        progress: called after every step.
        status: called with a line when something happens that a person should know.

    Raises:
        InputError: an error in the recipe or its data, or a folder that does not fit ``resume``.
    """
    values = schema.read(recipe, overrides)
    name = Path(recipe).stem if isinstance(recipe, (str, Path)) else "run"
    folder = Path(out or values.get("out") or Path("runs") / name)
    trainer = build(values, folder)
    title = values.get("title", name)
    planned = cache_plan(trainer)
    if planned and status is not None and rank() == 0:
        status(planned)
    return trainer.fit(broadcast(lambda: _begun(folder, values, resume)), retitled(progress, title), status)


def _begun(folder: Path, values: Mapping[str, Any], resume: bool) -> bool:
    """Whether the folder has a state to go on from; its recipe is there from then on.

    A run that was killed before it first saved begins anew.
    """
    if resume:
        same_recipe(folder, values)
    saved = (folder / STATE).exists()
    if not saved and not resume:
        write_text(folder / RECIPE, yaml.safe_dump(plain(values), sort_keys=False))
    return saved and resume


def dry_run(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Try a recipe without leaving a trace: the self-checks, then a few steps, one validation, one save, one resume.

    Returns:
        ``terms`` at the start by name, ``pulls`` of the methods there (see ``sordino.training.pulls``), ``parameters``
        of the student, ``learnt`` values of the methods, ``steps`` that the run would take, ``seconds_per_step`` of
        those that were tried, and what the teacher's ``cache`` would take, in words.

    Raises:
        InputError: whatever would stop the run.
    """
    values = schema.read(recipe, overrides)
    with tempfile.TemporaryDirectory() as name:
        whole = build(values, Path(name))
        cache = cache_plan(whole)
        if cache:  # it was found to fit and stays as it is
            values["teacher"] = {**values["teacher"], "cache": str(Path(name) / "cache")}
            whole = build(values, Path(name))
        terms = whole.check()
        short = dict(values)
        stages = values.get("stages", [])
        # As many stages, of a step each, whatever their length in the run.
        short["stages"] = [
            {**stage, "epochs": None, "share": None if stage is stages[-1] else 1 / len(stages)} for stage in stages
        ]
        steps = 2 * max(len(stages), 1)
        few = {"steps": steps, "validate_every": steps, "validate_items": 1, "log_every": steps, "save_every": steps}
        short["train"] = {**values.get("train", {}), **few}
        outcome = build(short, Path(name)).fit()
        build(short, Path(name)).fit(resume=True)
        return {
            "terms": terms,
            "pulls": pulls(whole.objective, whole.student, whole.first_batch(), whole.steps - 1),
            "parameters": models.count_parameters(whole.student),
            "learnt": models.count_parameters(whole.objective),
            "steps": whole.steps,
            "seconds_per_step": outcome.seconds / steps,
            "cache": cache,
        }


def build(values: Mapping[str, Any], folder: Path) -> Trainer:
    """Put together the trainer of a recipe that ``schema.read`` has checked."""
    settings = Settings(**values.get("train", {}))
    torch.manual_seed(settings.seed)
    source = sources.create(**values["data"])
    if "unlabelled" in values:
        source = sources.SemiSupervised(source, **values["unlabelled"])
    if (draws := draws_of(values)) is not None:
        source = sources.FixedAugmentation(source, draws)
    student = models.build(values["model"])
    teacher = teacher_of(values, student.sample_rate, settings.threads) if "teacher" in values else None
    methods = {name: _method(name, arguments) for name, arguments in values.get("distill", {}).items()}
    terms = {name: losses.LOSSES[name](**arguments) for name, arguments in values.get("loss", {"weighted": {}}).items()}
    stages = [Stage(**stage) for stage in values.get("stages", [])]
    weights, *staged = (
        {name: weight_of(one) for name, one in section.items()}
        for section in (values.get("weights", {}), *(stage.weights for stage in stages))
    )
    objective = Objective(terms, methods, student, teacher, weights, staged)
    about = {"recipe": plain(values), "data": source.name, "synthetic": source.synthetic, "commit": commit()}
    about[PERCEPTUAL] = inherits_pesq(values)
    return Trainer(student, objective, source, settings, folder, about, stages, "checkpoint" in values["model"])


def evaluate(
    model: str | Path,
    folders: tuple[str, str] | str | None = None,
    recipe: str | Path | None = None,
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
        metrics: names from ``sordino.metrics.METRICS``; the paper's and SI-SDR when left out.
        out: folder for ``scores.json`` and ``scores.csv``. When left out, the best checkpoint of a run, scored on its
            own test set by all of ``sordino.metrics.DEFAULT`` at least, gets them in its folder, and nothing else
            writes any.
        workers: processes that compute the metrics.
        progress: called after every file, by the first of the processes that a launcher started; these share the files.
        align, sample_rate, model_rate: see ``sordino.evaluate``.
    """
    join()
    source: Any = folders
    if source is None:
        section = schema.read(recipe)["data"] if recipe is not None else _recipe_of(model)["data"]
        source = sources.create(**section)
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
        scores.to_csv(folder / "scores.csv")
    return scores


def render(
    recipe: str | Path | Mapping[str, Any],
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
        recipe, overrides: as for :func:`train`.
        out, hours, seed, noisy_only, workers, damaged, progress: see ``sordino.data.tools.render``.
    """
    section = schema.read(recipe, overrides, needed=("data",))["data"]
    source = sources.create(**section)
    return rendered(source, out, hours, seed, noisy_only, workers, damaged, plain(section), progress)


def shard(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path,
    overrides: Sequence[str] = (),
    per_shard: int = 1000,
    workers: int | None = None,
    damaged: Damaged = "refuse",
    progress: Progress | None = None,
) -> Sharded:
    """Write the recordings of a recipe's data as shards; its section ``data`` is all that it needs.

    Args:
        recipe, overrides: as for :func:`train`.
        out, per_shard, workers, damaged, progress: see ``sordino.data.tools.shard``.
    """
    source = sources.create(**schema.read(recipe, overrides, needed=("data",))["data"])
    return sharded(source, out, per_shard, workers, damaged, progress)


def export(checkpoint: str | Path, out: str | Path, licence: str = "") -> Parity:
    """Write a checkpoint as ONNX, with what it knows of its training; see ``sordino.export.to_onnx``."""
    from sordino.export import to_onnx

    about = models.read_about(checkpoint)
    return to_onnx(models.load(checkpoint), out, about=about | ({"licence": licence} if licence else {}))


def _method(name: str, arguments: Mapping[str, Any]) -> base.Method:
    try:
        return methods.METHODS[name](**arguments)
    except ValueError as error:
        raise InputError(f"distill.{name}", str(error)) from error


def _recipe_of(checkpoint: str | Path) -> dict[str, Any]:
    """The recipe that a checkpoint's header carries."""
    if resolve(checkpoint, otherwise="recipe").kind != "checkpoint":
        raise InputError("data", "no recordings to score on", "--data NOISY CLEAN or --recipe RECIPE")
    about = models.read_about(checkpoint)
    if "recipe" not in about:
        raise InputError(checkpoint, "was not trained from a recipe", hint="give --data NOISY CLEAN or --recipe RECIPE")
    return about["recipe"]
