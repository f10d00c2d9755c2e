"""Demonstration of every step in a few minutes: corpus, teacher, three students, scores, report, and an enhanced file.

Everything is real but the recordings, which are synthesised; every table and page says so.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sordino.data.sources import Synthetic
from sordino.distributed import init_worker
from sordino.errors import InputError
from sordino.experiments import run
from sordino.experiments.compare import compare
from sordino.experiments.study import fresh_processes
from sordino.inference.files import enhance_file
from sordino.report.runs import run_table
from sordino.training.state import CHECKPOINT, STATE
from sordino.types import Progress, Status

ROUNDS = (("teacher", "student"), ("student-output", "student-label-free"))
"""Runs that train side by side, one core each: the first two need no teacher, the others the one of the first round."""
EXPECT = (
    "The sound is made up and every network is trained for a few minutes: the students lie close together, and a "
    "taught one may be behind the one alone. What distillation gains on real speech is on the page docs/results.md."
)
CLOSING = {
    "What to expect": f"<p>{EXPECT}</p>",
    "Now yours": "<p>This was made-up sound. For a student of your own recordings, run</p>\n"
    "<pre><code>sordino new FOLDER</code></pre>\n"
    "<p>It says what lies in the folder (clean speech and noise, pairs, or noisy recordings alone), writes a recipe "
    "that works on it at once, and tells the next commands.</p>",
}
"""The last sections of the page: heading to HTML."""
RUNS = tuple(name for names in ROUNDS for name in names)


def demo(
    out: str | Path,
    progress: Progress | None = None,
    status: Status | None = None,
    overrides: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Run the demo in ``out``; a demo that was stopped goes on where it was.

    Every run trains in a process of its own.

    Args:
        out: a folder.
        progress: called during every training and every scoring.
        status: called with a line when something happens that the user should know.
        overrides: changes to the recipe of every network, such as ``train.steps=10`` for a quick look.

    Returns:
        The rows of the table as plain values, and the table with the places of what was written.

    Raises:
        InputError: a run failed; the one beside it has been stopped and saved.
        KeyboardInterrupt: Ctrl-C; the runs have been stopped and saved.
    """
    out = Path(out)
    Synthetic().write(out / "corpus")
    for names in ROUNDS:
        _train_side_by_side(names, out, overrides, progress, status)
    report = out / "report.html"
    rows, _ = compare([out / name for name in RUNS], report, progress=progress, closing=CLOSING)
    student = out / "student.onnx"
    run.export(out / RUNS[-1] / CHECKPOINT, student, licence="MIT")
    noisy = sorted((out / "corpus" / "test" / "noisy").glob("*.flac"))[0]
    enhanced = out / "enhanced.wav"
    enhance_file(noisy, enhanced, student)
    text = f"{run_table(rows).to_text()}\n{EXPECT}\nReport: {report}\nStudent: {student}\n"
    text += f"Enhanced: {enhanced}, from {noisy}\nNow yours: sordino new FOLDER"
    return {"rows": [row.as_json() for row in rows], "report": str(report), "enhanced": str(enhanced)}, text


def _train_side_by_side(
    names: Sequence[str], out: Path, overrides: Sequence[str], progress: Progress | None, status: Status | None
) -> None:
    """Train runs in a process each and pass on what they report; when one fails, the others are stopped."""
    context = fresh_processes()
    running: dict[Connection, BaseProcess] = {}
    try:
        for name in names:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_train, args=(sender, name, out, overrides), name=name)
            process.start()
            sender.close()  # so that the end of the process is the end of the pipe
            running[receiver] = process
        while running:
            ready = wait(list(running))
            for receiver in [one for one in running if one in ready]:
                try:
                    report = receiver.recv()
                except EOFError:
                    _end(running.pop(receiver))
                    continue
                if isinstance(report, InputError):
                    raise report
                if isinstance(report, str) and status is not None:
                    status(report)
                if isinstance(report, tuple) and progress is not None:
                    progress(*report)
    finally:
        for process in running.values():
            process.terminate()  # a run that gets this signal finishes its step and saves
        for receiver, process in running.items():
            read_out(receiver)
            process.join()


def read_out(receiver: Connection) -> None:
    """Read reports until the process ends: it waits while the pipe is full, and would neither save nor end."""
    with suppress(EOFError):
        while True:
            receiver.recv()


def _end(process: BaseProcess) -> None:
    """Wait for a process that has finished its work."""
    process.join()
    if process.exitcode:
        found = f"its process ended early, with code {process.exitcode}"
        raise InputError(process.name, found, hint="the demo goes on where it was when it is run again")


def _train(sender: Connection, name: str, out: Path, overrides: Sequence[str]) -> None:
    """Train one run in this process; send the arguments of its progress, its status lines and a user's error."""
    # Ctrl-C on a terminal reaches a whole group of processes. The parent alone gets it and stops the runs, because a
    # run that was asked twice ends without saving.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    init_worker()
    folder = out / name
    changes = [*_places(out, name), *overrides]
    try:
        run.train(
            f"demo/{name}",
            changes,
            folder,
            (folder / STATE).is_file(),
            lambda task, done, total, numbers: sender.send((task, done, total, dict(numbers))),
            sender.send,
        )
    except InputError as error:
        sender.send(error)
    except KeyboardInterrupt:
        sys.exit(130)  # not finished: whoever asked for it knows why


def _places(out: Path, name: str) -> list[str]:
    """Overrides that point a demo recipe to its corpus and teacher below ``out``."""
    corpus = out / "corpus"
    places = {
        "data.clean": corpus / "clean",
        "data.noise": corpus / "noise",
        "data.test_noisy": corpus / "test" / "noisy",
        "data.test_clean": corpus / "test" / "clean",
    }
    if name.startswith("student-"):
        places["teacher.checkpoint"] = out / "teacher" / CHECKPOINT
    # As JSON, which is YAML too, so that a place may hold any character.
    return [f"{key}={json.dumps(str(place))}" for key, place in places.items()]
