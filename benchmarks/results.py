"""All results, from the corpus to the page, with one command that goes on where it was stopped.

    python benchmarks/results.py benchmarks/real/results.yaml
    python benchmarks/results.py benchmarks/tiny/results.yaml   # the same road, on synthetic sound

A list says what to do, in its order, and where to tell of it; recipes and studies lie beside the list::

    title: MV-AT on real speech
    out: benchmarks/results/study.md
    steps:
    - corpus: runs/tiny/corpus          # a synthetic corpus
    - train: study-teacher.yaml
    - study: study-manner.yaml

What is finished is left alone, what was stopped goes on, and a run whose recipe has changed since is refused. The page
has the tables of the studies, their plots (as SVG in a folder of the page's name), what each run took by its log, and
the commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paired import machine

from sordino import models
from sordino.cli.progress import Display, say
from sordino.data.recordings import SYNTHETIC_MARK
from sordino.data.sources import Synthetic
from sordino.errors import InputError
from sordino.experiments import run, study
from sordino.experiments.merge import parse
from sordino.experiments.recipe import read as read_recipe
from sordino.experiments.run_folder import same_run
from sordino.experiments.run_recipe import RECIPE
from sordino.experiments.study_plan import read_study
from sordino.files import write_text
from sordino.report.table import Table
from sordino.training import read_log
from sordino.training.state import LAST, chosen
from sordino.types import Progress

KEYS = {"title", "out", "steps"}
HEADER = ["Run", "Steps", "Hours", "Seconds a step", "Validation PESQ of the best", "at step", "Commit"]


@dataclass(frozen=True)
class Done:
    """What a step leaves behind: its command, the folders of its runs, and the folder of a study with its title."""

    command: str
    runs: list[Path] = field(default_factory=list)
    study: Path | None = None
    title: str = ""


def corpus(folder: Path, number: int, progress: Progress) -> Done:
    """Write a synthetic corpus whose voices are those of its number, if it is not there."""
    if not (folder / SYNTHETIC_MARK).is_file():
        Synthetic(seed=number).write(folder)
    return Done(f"sordino.data.sources.Synthetic(seed={number}).write({str(folder)!r})")


def train(recipe: Path, number: int, progress: Progress) -> Done:
    """Train what is not trained to its end."""
    checked = read_recipe(recipe)
    if not checked.out:
        raise InputError(recipe, "does not say where its run is", "out: FOLDER")
    folder = checked.folder
    resume = (folder / RECIPE).is_file() or (folder / LAST).is_file()
    resumed = same_run(folder, checked) if resume else checked  # at the rate that it was last resumed with
    if not (folder / LAST).is_file():
        run.train(resumed, resume=resume, progress=progress, status=say)
    return Done(f"sordino train {recipe}", [folder])


def run_study(path: Path, number: int, progress: Progress) -> Done:
    """Do what is missing of a study."""
    study.run(path, progress)
    plan, runs = read_study(path)
    return Done(f"sordino study {path}", [one.folder for one in runs], Path(plan.out), plan.title)


VERBS: dict[str, Callable[[Path, int, Progress], Done]] = {"corpus": corpus, "train": train, "study": run_study}


def read(path: Path) -> tuple[str, Path, list[tuple[str, Path]]]:
    """The title, the page and the steps of a list, each a verb and what it is done to.

    Raises:
        InputError: no such list, or something else in it.
    """
    if not path.is_file():
        raise InputError(path, "no such list", "a YAML file such as benchmarks/real/results.yaml")
    values: Any = parse(path.read_text("utf-8"), path)
    if not isinstance(values, dict) or set(values) != KEYS or not isinstance(values["steps"], list):
        raise InputError(path, "no list of results", f"the keys {', '.join(sorted(KEYS))}")
    steps = []
    for step in values["steps"]:
        if not isinstance(step, dict) or len(step) != 1 or not set(step) <= set(VERBS):
            raise InputError(path, f"no step: {step!r}", f"one of {', '.join(VERBS)}, and what of")
        ((verb, what),) = step.items()
        beside = path.parent / what
        steps.append((verb, beside if beside.is_file() else Path(what)))
    return values["title"], Path(values["out"]), steps


def redo(path: Path, progress: Progress) -> Path:
    """Do what is missing of a list, and write its page; returns where that is."""
    title, page, steps = read(path)
    done = [VERBS[verb](what, number, progress) for number, (verb, what) in enumerate(steps)]
    parts = [f"# {title}", *(_study(one.title, one.study, page) for one in done if one.study is not None)]
    runs = [folder for one in done for folder in one.runs]
    note = "Hours and seconds are those of the training loop, validations included, by the runs' own logs."
    table = Table.of(HEADER, [_row(folder) for folder in runs], [note])
    parts += ["## Runs", table.to_markdown().rstrip()]
    commands = "\n".join(["python benchmarks/results.py " + str(path), "", *(f"# {one.command}" for one in done)])
    parts += ["## How", f"The first of these does the others.\n\n```\n{commands}\n```", f"Written on: {machine()}"]
    write_text(page, "\n\n".join(parts) + "\n")
    return page


def _study(title: str, folder: Path, page: Path) -> str:
    """A study's tables, and its plots beside the page."""
    plots = sorted(folder.glob("plot-*.svg"), key=lambda path: len(path.stem))
    home = Path(page.stem) / folder.name
    for plot in plots:
        write_text(page.parent / home / plot.name, plot.read_text("utf-8"))
    shown = [plot.name for kind in ("-pesq_wb", "-learning") for plot in plots if plot.stem.endswith(kind)]
    images = "\n\n".join(f"![{title}: {Path(name).stem}]({(home / name).as_posix()})" for name in shown)
    return "\n\n".join([f"## {title}", (folder / "table.md").read_text("utf-8").rstrip(), images])


def _row(folder: Path) -> list[str]:
    """What a run took and came to."""
    steps, seconds = next((one["step"], one["seconds"]) for one in reversed(read_log(folder)) if "seconds" in one)
    about = models.read_header(chosen(folder))["about"]
    pesq = about.get("valid", {}).get("pesq_wb", about.get("valid_pesq_wb"))  # the latter before there was another
    best = "–" if pesq is None else f"{pesq:.3f}"
    took = [f"{seconds / 3600:.2f}", f"{seconds / steps:.3f}"]
    return [str(folder), str(steps), *took, best, str(about["step"]), about.get("commit") or "unknown"]


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line and do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="what to do")
    given = parser.parse_args(words)
    try:
        with Display() as show:
            page = redo(given.list, show)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    print(page)


if __name__ == "__main__":
    main()
