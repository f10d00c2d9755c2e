"""``sordino train``, ``study`` and ``demo``: teachers, baselines and distilled students."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from sordino.assets import recipes, studies
from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import Display
from sordino.distributed import launched
from sordino.errors import duration, needs_training_tier

if TYPE_CHECKING:
    from sordino.experiments.dry_run import DryRun
    from sordino.experiments.study_check import Planned

TRAIN_EXAMPLES = """examples:
  sordino train valentini/manner-s-1.5gf data.root=data/valentini
  sordino train my-recipe.yaml train.steps=1000 model.hidden=24 --out runs/trial
  sordino train my-recipe.yaml --resume
"""


SAVED = "stopped; what the runs have done is saved"


@contextmanager
def _told_how_to_go_on(words: Sequence[str], saved: str = "") -> Iterator[None]:
    """Context manager: after Ctrl-C the message has the command that goes on, if it says that something was saved.

    Args:
        words: of that command.
        saved: what was saved, for an interruption that does not say so itself.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if done := str(stop) or saved:
            launcher = " the same launcher and" if launched().processes > 1 else ""
            raise KeyboardInterrupt(f"{done}; go on with{launcher}: {shlex.join(['sordino', *words])}") from stop
        raise


def _trusted(given: Namespace) -> list[str]:
    """The words by which a command trusts code."""
    return [word for code in given.trust for word in ("--trust", code)]


def _shipped_recipes() -> str:
    return f"{TRAIN_EXAMPLES}\nShipped recipes:\n" + "\n".join(f"  {name}" for name in recipes())


def train(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.experiments.recipe import read

    recipe = read(given.recipe, given.overrides)  # before torch is imported, so that a mistake is reported at once
    show = Display()
    if given.dry_run:
        # Before torch is imported, which takes time.
        show.status(f"{given.recipe}: reading the recordings and building the networks")
        from sordino.experiments.dry_run import dry_run
        from sordino.experiments.run_folder import demand_folder

        demand_folder(recipe, given.out, given.resume)
        tried = dry_run(recipe, status=show.status)
        return asdict(tried), _tried(tried)
    from sordino.experiments import run
    from sordino.metrics import format_scores

    out = ["--out", given.out] if given.out else []
    with _told_how_to_go_on(["train", given.recipe, *given.overrides, *out, *_trusted(given), "--resume"]), show:
        outcome = run.train(recipe, (), given.out, given.resume, show, show.status)
    value = asdict(outcome) | {"checkpoint": str(outcome.checkpoint)}
    text = f"{outcome.checkpoint}: {outcome.steps} steps in {duration(outcome.seconds)}"
    if outcome.best_step is not None:
        text += f"; best at step {outcome.best_step}: {format_scores(outcome.valid)}"
    if outcome.best_step == 0:
        text += (
            "\nno validation was better than before the first step, so these are the weights that the run began with; "
            "those of its end are in last.safetensors. More steps or a lower train.max_lr may help."
        )
    return value, text


def _tried(tried: DryRun) -> str:
    """A dry run as text: the terms at the start, what is trained, and how long it would take."""
    lines = []
    for name, value in tried.terms.items():
        lines.append(f"{name:24} {value:.4g} at the start{_pull(name, tried.pulls)}")
    took = duration(tried.seconds_per_step * tried.steps)
    learnt = f", and {tried.learnt:,} of the methods" if tried.learnt else ""
    lines.append(f"trains {tried.parameters:,} parameters of the student{learnt}")
    lines.append(f"{tried.steps} steps, about {took} here; validation, save and resume work")
    lines += tried.teacher
    lines += filter(None, [tried.cache, tried.hint])
    return "\n".join(lines)


def _pull(name: str, pulls: Mapping[str, float]) -> str:
    if not name.startswith("kd/"):
        return ""
    pull = pulls.get(name)
    if pull is None:
        return ", with no loss beside it"
    return f", pulls {pull:.3g} times as hard as the loss (docs/weights.md)"


def study(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.experiments.study_plan import read_study

    plan, runs = read_study(given.study)  # before torch is imported, so that a mistake is reported at once
    if given.dry_run or given.try_each:
        from sordino.experiments.study_check import planned, tried
        from sordino.experiments.study_jobs import jobs_of

        with Display() as show:
            show.status(f"{given.study}: {len(runs)} runs; looking for their recordings and checkpoints")
            planned_runs = planned(plan, runs)
            if given.try_each:
                planned_runs = tried(plan, runs, planned_runs, show.status)
        value = {
            "runs": [one._asdict() for one in planned_runs],
            "ok": not any(one.obstacle for one in planned_runs),
        }
        return value, _planned(planned_runs, jobs_of(plan))
    from sordino.experiments.study import run_all

    with _told_how_to_go_on(["study", given.study, *_trusted(given)], SAVED), Display() as show:
        tables, text = run_all(plan, runs, show)
    value = {}
    for name, rows in tables.items():
        value[name] = [row.as_json() for row in rows]
    return value, text


def _planned(planned_runs: Sequence[Planned], jobs: int) -> str:
    """The runs of a study as text, and each obstacle once, with the number of runs that it stops.

    Args:
        planned_runs: all of them.
        jobs: runs at a time.
    """
    from sordino.report.table import Table

    rows = [[one.scenario, one.method, str(one.seed), one.state, one.folder] for one in planned_runs]
    hindered = Counter(one.obstacle for one in planned_runs if one.obstacle)
    notes = [f"{count} of {len(planned_runs)} runs would fail: {obstacle}" for obstacle, count in hindered.items()]
    states: Counter[str] = Counter()
    for one in planned_runs:
        states["done" if one.state == "done" else "to do"] += 1
    notes.append(", ".join(f"{count} {state}" for state, count in states.items()))
    # The seeds of a method in a scenario take as long as each other.
    timed: dict[tuple[str, str], str] = {}
    for one in planned_runs:
        if one.seconds_per_step is not None and one.hours is not None:
            took = f"{duration(one.seconds_per_step)} a step, {duration(3600 * one.hours)} a run"
            timed[one.scenario, one.method] = f"{one.scenario}/{one.method}: {took}"
    notes += timed.values()
    hours = [one.hours for one in planned_runs if one.hours is not None]
    if hours:
        jobs = min(jobs, len(hours))
        whole = max(sum(hours) / jobs, *hours)
        notes.append(f"{duration(3600 * whole)} for all unfinished runs, from their first step and {jobs} at a time")
    return Table.of(["scenario", "method", "seed", "state", "folder"], rows, notes).to_text().rstrip()


def demo(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.app.demo import demo

    with _told_how_to_go_on(["demo", "--out", given.out], SAVED), Display() as show:
        return demo(given.out, show, show.status)


TRAIN = Command(
    train,
    (
        flag("recipe", help="a YAML file, or the name of a shipped recipe"),
        flag("-o", "--out", help="folder of the run; the recipe's own by default"),
        flag("--resume", action="store_true", help="continue the run in that folder"),
        flag("--dry-run", action="store_true", help="check everything, try a few steps, and leave no files behind"),
        TRUST,
    ),
    "Train the network of a recipe. key=value or --section.key value after its name changes the recipe, such as\n"
    "train.steps=1000. Ctrl-C saves the run; --resume continues it, with the same result.",
    _shipped_recipes,
)

STUDY = Command(
    study,
    (
        flag("study", help="a YAML file, or the name of a shipped study"),
        flag("--dry-run", action="store_true", help="list the runs, and why any of them would fail; train nothing"),
        flag(
            "--try",
            dest="try_each",
            action="store_true",
            help="like --dry-run, but also run a few steps of every method, and say how long the study would take",
        ),
        TRUST,
    ),
    "Train the missing runs of a study, several in parallel, and write its tables. A run that has scores is not\n"
    "repeated, and a stopped run continues.",
    lambda: (
        "examples:\n  sordino study mismatch --dry-run\n  sordino study mismatch --try\n  sordino study mismatch\n\n"
        "Shipped studies:\n  " + "\n  ".join(studies())
    ),
)

DEMO = Command(
    demo,
    (flag("-o", "--out", default="runs/demo", help="folder to write to (default runs/demo)"),),
    "Train a small teacher and three students on a synthetic corpus, score them and write a report.",
    lambda: "example:\n  sordino demo",
)
