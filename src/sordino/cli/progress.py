"""Progress for a person: bars with the time left on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 30.0


def say(line: str) -> None:
    """Tell a line on standard error, at once."""
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)


class Display:
    """A context that shows progress on standard error; call it with (task, done, in all, latest numbers)."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._live = console.is_terminal
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._spoke: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, task: str, done: int, total: int, numbers: dict[str, float] | None = None) -> None:
        """Show that ``done`` of ``total`` is done; with a total of 0, ``task`` is a line to tell."""
        told = "  ".join(f"{name} {value:.4g}" for name, value in (numbers or {}).items())
        if not total:
            self._console.print(task, highlight=False, soft_wrap=True)
            return
        if not self._live:
            self._line(task, done, total, told)
            return
        if task not in self._tasks:
            self._bars.start()  # only now: of several processes the first alone has anything to show
            self._tasks[task] = self._bars.add_task(task, total=total, numbers="")
        self._bars.update(self._tasks[task], completed=done, total=total, numbers=told)

    def _line(self, task: str, done: int, total: int, told: str) -> None:
        now = time.monotonic()
        started, spoke = self._spoke.setdefault(task, (now, now))
        if now - spoke < LINE_EVERY_S and done < total:
            return
        # The first report comes after the first step, so the rate is that of the steps since.
        left = (now - started) / max(done - 1, 1) * (total - done)
        self._spoke[task] = (started, now)
        self._console.print(f"{task}: {done}/{total}, {left:.0f} s left  {told}", highlight=False, soft_wrap=True)


class Line:
    """A context that keeps one line on standard error up to date; call it with the text."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("")
        self._spoke = -LINE_EVERY_S

    def __enter__(self) -> Line:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def __call__(self, text: str) -> None:
        """Show ``text`` instead of what was there; a log file gets one now and then."""
        now = time.monotonic()
        if self._console.is_terminal:
            self._status.update(text)
        elif now - self._spoke >= LINE_EVERY_S:
            self._spoke = now
            self._console.print(text, highlight=False, soft_wrap=True)
