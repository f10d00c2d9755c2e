"""Progress on standard error: bars with the time left on a terminal, a line now and then in a log file.

``rich`` draws it. It is imported when there is something to show, as its import takes longer than many a command.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from sordino.errors import duration, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.status import Status as Spinner

LINE_EVERY_S = 30.0
SPEED_OVER_S = 3600.0
"""The time left follows the speed of the last hour: some tasks report once in minutes."""


def say(line: str) -> None:
    """Print a line on standard error, at once."""
    _print(_console(), line)


class Display:
    """Context manager that shows the progress of tasks on standard error: a ``sordino.types.Progress``."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        # task -> when and at which step it began, and when its last line was printed
        self._printed: dict[str, tuple[float, int, float]] = {}
        self._done: dict[str, int] = {}

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tasks:
            self._bars.stop()

    def __call__(self, task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
        """Show that ``done`` of ``total`` steps of ``task`` are done, and the latest figures."""
        figures = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        if done < self._done.get(task, done):  # another task of the same name
            self._forget(task)
        self._done[task] = done
        if not self._console.is_terminal:
            self._line(task, done, total, figures)
            return
        if task not in self._tasks:
            self._bars.start()
            self._tasks[task] = self._bars.add_task(printable(task), total=total, completed=done, numbers="")
        self._bars.update(self._tasks[task], completed=done, total=total, numbers=figures)

    def _forget(self, task: str) -> None:
        """Let a task begin anew."""
        self._printed.pop(task, None)
        if task in self._tasks:
            self._bars.reset(self._tasks[task])

    def status(self, line: str) -> None:
        """Print a line above the bars: a ``sordino.types.Status``."""
        _print(self._console, line)

    @cached_property
    def _console(self) -> Console:
        return _console()

    @cached_property
    def _bars(self) -> Bars:
        from rich import progress

        return progress.Progress(
            # Titles and paths are text, not markup: brackets in them are brackets.
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("gone,"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left"),
            progress.TextColumn("{task.fields[numbers]}", markup=False),
            console=self._console,
            speed_estimate_period=SPEED_OVER_S,
        )

    def _line(self, task: str, done: int, total: int, figures: str) -> None:
        now = time.monotonic()
        started, first, printed = self._printed.setdefault(task, (now, done, now))
        if now - printed < LINE_EVERY_S and done < total:
            return
        self._printed[task] = (started, first, now)
        # The rate is that of the steps since the first report: a resumed run does not begin at 0.
        left = ""
        if done > first:
            left = f", {duration(round((now - started) / (done - first) * (total - done)))} left"
        _print(self._console, f"{task}: {done}/{total}{left}  {figures}")


class Line:
    """Context manager that keeps one line on standard error up to date; call it with the text."""

    def __init__(self) -> None:
        self._console = _console()
        self._spinner: Spinner = self._console.status("")
        self._printed = -LINE_EVERY_S

    def __enter__(self) -> Line:
        if self._console.is_terminal:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._spinner.stop()

    def __call__(self, text: str) -> None:
        """Show ``text`` in place of the last one; a log file gets one now and then."""
        from rich.text import Text

        now = time.monotonic()
        if self._console.is_terminal:
            self._spinner.update(Text(printable(text)))
        elif now - self._printed >= LINE_EVERY_S:
            self._printed = now
            _print(self._console, text)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False)


def _print(console: Console, line: str) -> None:
    # What is computed is worth more than the line that tells of it: a reader of the log may have left.
    with suppress(OSError):
        console.print(printable(line), highlight=False, soft_wrap=True)
