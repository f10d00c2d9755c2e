"""The requests of the page, from any number of visitors; results are HTML. It does not depend on Gradio.

A user's mistake is one sentence on the page. When a visitor has closed the page, ``Left`` is raised and the work stops.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import numpy as np

from sordino.app.serve import jobs
from sordino.app.serve.blind_test import MOST, BlindTest, scores_table, tally
from sordino.app.serve.models import ServedModel
from sordino.app.serve.sessions import Sessions
from sordino.audio.blocks import FORMATS
from sordino.audio.doubts import doubts
from sordino.errors import InputError
from sordino.evaluation.score import CLEAN, NOISY
from sordino.inference.files import remarks
from sordino.types import Progress

WITHOUT_LIMIT_DB = 60.0
"""The end of the slider, where it lowers the noise by as much as the model can."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class Left(Exception):
    """Error: the visitor has closed the page."""


def _alone(method: Callable[Concatenate[Service, Asked], Answer]) -> Callable[Concatenate[Service, Asked], Answer]:
    """Decorator: run a method in the service's one worker thread, after earlier requests, in the caller's context.

    One thread, as memory that a thread has freed stays with it for a while: twenty threads would keep twenty times
    as much.
    """

    @wraps(method)
    def wait(service: Service, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        return service.worker.submit(copy_context().run, method, service, *args, **kwargs).result()

    return wait


class Service:
    """Takes recordings and returns players and tables.

    Args:
        models: by name.
        limits: of recordings.
        sessions: of the visitors, with their files.
    """

    def __init__(self, models: Mapping[str, ServedModel], limits: jobs.Limits, sessions: Sessions) -> None:
        self.models, self.limits, self.sessions = models, limits, sessions
        self.worker = ThreadPoolExecutor(1, "sordino-work")

    def close(self) -> None:
        """End all sessions, and cancel running and waiting work."""
        self.sessions.close()
        self.worker.shutdown()

    def admit(self, session: str, upload: str | None) -> str:
        """Check an uploaded file and describe it; empty when the file was removed again."""
        if upload is None:
            return ""
        self.sessions.came(session, Path(upload))
        about = jobs.look(Path(upload), self.limits)
        channels = "1 channel" if about.channels == 1 else f"{about.channels} channels"
        return note(f"{about.seconds:.2f} s, {about.sample_rate} Hz, {channels}.")

    @_alone
    def about(self, name: str | None) -> str:
        """Describe a model and its cost; its speed is measured at the first request."""
        return note(f"{self._model(name)}.")

    @_alone
    def enhance(self, session: str, upload: str | None, name: str | None, limit_db: float, progress: Progress) -> str:
        """Enhance with one model: a link to the file, and a player of noisy and enhanced."""
        source = self._source(session, upload, "noisy recording")
        with self._results(session, "enhance") as results:
            progress = self._while_here(session, progress)
            report = self._enhanced(session, source, results, name, limit_db, progress)
            target = Path(report["output"])
            progress("drawing", 1, 1, {})
            gains_db = {"enhanced": report["gain_db"]}
            player = jobs.player_of(source.stem, {NOISY: source, "enhanced": target}, results, gains_db)
        address = escape(f"gradio_api/file={quote(target.as_posix())}")
        file = escape(target.name)
        link = f'<a class="download" href="{address}" download="{file}">Download {file}</a>'
        return f"<p>{link}</p>\n{_noted(target.name, remarks(report))}{player}"

    @_alone
    def compare(
        self,
        session: str,
        uploads: tuple[str | None, str | None],
        names: Sequence[str],
        blind: bool,
        blind_test: BlindTest,
        progress: Progress,
    ) -> tuple[str, BlindTest]:
        """Enhance with up to four models: a player of all, under letters if blind, and scores if there is a reference.

        Args:
            session: the visitor's.
            uploads: the noisy recording, and a clean one or None.
            names: the models.
            blind: hide which is which, and keep the scores for the tally.
            blind_test: of the visitor, with the votes so far.
            progress: called as the work goes on.

        Returns:
            HTML, and the test, with a new round if blind.
        """
        noisy = self._source(session, uploads[0], "noisy recording")
        clean = None if uploads[1] is None else self._source(session, uploads[1], "clean reference")
        if not 1 <= len(names) <= MOST:
            raise InputError("models", f"{len(names)} are chosen", f"1 to {MOST}")
        shown = {name: name for name in names}
        if blind:
            blind_test = blind_test.begin(names, np.random.default_rng())
            shown = dict(blind_test.letters)
        with self._results(session, "compare") as results:
            progress = self._while_here(session, progress)
            files, reports = {NOISY: noisy}, {}
            for index, (label, name) in enumerate(shown.items()):
                part, folder = f"model {index + 1} of {len(shown)}", results / str(index)
                within = _part(progress, part, index, len(shown))
                reports[label] = self._enhanced(session, noisy, folder, name, WITHOUT_LIMIT_DB, within)
                files[label] = Path(reports[label]["output"])
            rows = []
            if clean is not None:
                rows = jobs.scored(clean, files, progress).rows
                files[CLEAN] = clean
            progress("drawing", 1, 1, {})
            gains_db = {label: report["gain_db"] for label, report in reports.items()}
            player = jobs.player_of(noisy.stem, files, results, gains_db)
        player = _noted(noisy.name, doubts(noisy)) + player
        if blind:
            of_models = [{**row, "id": shown[row["id"]]} for row in rows if row["id"] in shown]
            return player, blind_test.measure(of_models)
        if rows:
            player += scores_table(rows)
        return player, blind_test

    def tally(self, blind_test: BlindTest) -> str:
        """Show the votes so far, under the models' names."""
        return tally(blind_test, self.models)

    def _model(self, name: str | None) -> ServedModel:
        if name is None:
            raise InputError("student", "none is chosen", f"one of {', '.join(self.models)}")
        return self.models[name]

    def _source(self, session: str, upload: str | None, what: str) -> Path:
        if upload is None:
            raise InputError(what, "there is none", hint="drop a file, or record one")
        path = Path(upload)
        if not self.sessions.has(session, path):
            raise InputError(what, "is no longer here", hint="drop the file once more")
        jobs.look(path, self.limits)
        return path

    def _enhanced(
        self, session: str, source: Path, folder: Path, name: str | None, limit_db: float, progress: Progress
    ) -> dict[str, Any]:
        """Enhance with one model into a folder, and return what ``enhance_file`` reports."""
        suffix = source.suffix if source.suffix.lower() in FORMATS else ".wav"
        target = folder / f"{source.stem}-enhanced{suffix}"
        limit = None if limit_db >= WITHOUT_LIMIT_DB else limit_db
        try:
            return jobs.enhanced(source, target, self._model(name).model, limit, progress)
        except InputError:
            self._check(session)  # the folder may have gone with its visitor
            raise

    def _while_here(self, session: str, progress: Progress) -> Progress:
        """Return ``progress`` for work that stops, by ``Left``, when its visitor has gone."""

        def report(task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
            self._check(session)
            progress(task, done, total, numbers)

        return report

    def _check(self, session: str) -> None:
        if session not in self.sessions:
            raise Left

    @contextmanager
    def _results(self, session: str, use: str) -> Generator[Path, None, None]:
        """Context manager with a folder for results, which is deleted at once if its visitor has gone."""
        results = self.sessions.results(session, use)
        try:
            yield results
        finally:
            if session not in self.sessions:
                self.sessions.clear(results)


def _part(progress: Progress, title: str, index: int, parts: int) -> Progress:
    """Return a progress for one of several equal parts, which reports how much of the whole is done."""
    return lambda _task, done, total, numbers: progress(title, index * total + done, parts * total, numbers)


def _noted(name: str, said: Sequence[str]) -> str:
    """Remarks on a file as a note; empty where there is none."""
    return note(f"{name}: {', '.join(said)}.") + "\n" if said else ""


def note(text: str) -> str:
    """One sentence in small print, as HTML that screen readers announce when it appears."""
    return f'<p class="note" role="status">{escape(text)}</p>'


def problem(error: InputError) -> str:
    """A user's mistake in one sentence, as HTML that screen readers announce."""
    return f'<p class="banner" role="alert">{escape(str(error))}</p>'
