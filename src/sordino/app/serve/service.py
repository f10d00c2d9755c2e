"""What the page can be asked for, by any number of visitors; answers are HTML. Nothing here knows Gradio.

A user's mistake is one sentence on the page. A visitor who has left is told of by ``Left``, and the work stops.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import wraps
from html import escape
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from sordino.app.serve import jobs
from sordino.app.serve.blind_test import MOST, BlindTest, scores_table, tally
from sordino.app.serve.models import Offer
from sordino.app.serve.sessions import Sessions
from sordino.audio.sound_files import FORMATS
from sordino.errors import InputError
from sordino.evaluation.score import NOISY

CLEAN = "clean"
WITHOUT_LIMIT_DB = 60.0
"""The end of the slider, where it lowers the noise by as much as the model can."""

Progress = Callable[[float, str], object]
Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class Left(Exception):
    """The visitor has closed the page."""


def _alone(method: Callable[Concatenate[Service, Asked], Answer]) -> Callable[Concatenate[Service, Asked], Answer]:
    """A method of the desk, done by its one worker after all that was asked for before, in the caller's context.

    Memory that a thread has freed stays with it for a while; that of twenty threads would be twenty times as much.
    """

    @wraps(method)
    def wait(desk: Service, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        return desk.worker.submit(copy_context().run, method, desk, *args, **kwargs).result()

    return wait


class Service:
    """Takes recordings in and hands players and tables out.

    Args:
        offers: the models.
        limits: for what is taken.
        visitors: whose files these are.
    """

    def __init__(self, offers: Mapping[str, Offer], limits: jobs.Limits, visitors: Sessions) -> None:
        self.offers, self.limits, self.visitors = offers, limits, visitors
        self.worker = ThreadPoolExecutor(1, "sordino-work")

    def close(self) -> None:
        """Send everyone away, and with them the work that is done or waits."""
        self.visitors.close()
        self.worker.shutdown()

    def admit(self, session: str, upload: str | None) -> str:
        """Look at what was dropped; nothing is said when it was taken away again."""
        if upload is None:
            return ""
        self.visitors.came(session, Path(upload))
        about = jobs.look(Path(upload), self.limits)
        channels = "1 channel" if about.channels == 1 else f"{about.channels} channels"
        return note(f"{about.seconds:.2f} s, {about.sample_rate} Hz, {channels}.")

    @_alone
    def about(self, name: str) -> str:
        """What a model is and costs; its speed is measured when it is asked for first."""
        return note(f"{self.offers[name]}.")

    @_alone
    def enhance(self, session: str, upload: str | None, name: str, limit_db: float, progress: Progress) -> str:
        """Enhance with one model: a link to the file, and a player of noisy and enhanced."""
        source = self._source(session, upload, "noisy recording")
        with self._room(session, "enhance") as room:
            target = self._enhanced(session, source, room, name, limit_db, lambda done: progress(done, "enhancing"))
            self._told(session, progress, 1.0, "drawing")
            player = jobs.heard(source.stem, {NOISY: source, "enhanced": target}, room)
        link = f"gradio_api/file={target.as_posix()}"
        kept = f'<a class="download" href="{escape(link)}" download="{escape(target.name)}">Download {target.name}</a>'
        return f"<p>{kept}</p>\n{player}"

    @_alone
    def compare(
        self,
        session: str,
        uploads: tuple[str | None, str | None],
        names: Sequence[str],
        blind: bool,
        trial: BlindTest,
        progress: Progress,
    ) -> tuple[str, BlindTest]:
        """Enhance with up to four models: a player of all, under letters if blind, and scores if there is a reference.

        Args:
            session: the visitor's.
            uploads: the noisy recording, and a clean one or None.
            names: the models.
            blind: hide which is which, and keep the scores for the tally.
            trial: what the visitor said so far.
            progress: hears how far the work is.

        Returns:
            HTML, and the trial, with a new round if blind.
        """
        noisy = self._source(session, uploads[0], "noisy recording")
        clean = None if uploads[1] is None else self._source(session, uploads[1], "clean reference")
        if not 1 <= len(names) <= MOST:
            raise InputError("models", f"{len(names)} are chosen", f"1 to {MOST}")
        trial = trial.begin(names, np.random.default_rng()) if blind else trial
        shown = dict(trial.letters) if blind else {name: name for name in names}
        with self._room(session, "compare") as room:
            files = {NOISY: noisy}
            for index, (label, name) in enumerate(shown.items()):
                part, folder = f"model {index + 1} of {len(shown)}", room / str(index)
                told = self._part(index / len(shown), 1 / len(shown), part, progress)
                files[label] = self._enhanced(session, noisy, folder, name, WITHOUT_LIMIT_DB, told)
            rows = [] if clean is None else self._rows(session, clean, files, progress)
            if clean is not None:
                files[CLEAN] = clean
            self._told(session, progress, 1.0, "drawing")
            player = jobs.heard(noisy.stem, files, room)
        if blind:
            return player, trial.measure([{**row, "id": shown[row["id"]]} for row in rows if row["id"] in shown])
        return player + (scores_table(rows) if rows else ""), trial

    def tally(self, trial: BlindTest) -> str:
        """The votes so far, under the models' names."""
        return tally(trial, self.offers)

    def _source(self, session: str, upload: str | None, what: str) -> Path:
        if upload is None:
            raise InputError(what, "there is none", hint="drop a file, or record one")
        path = Path(upload)
        if not self.visitors.has(session, path):
            raise InputError(what, "is no longer here", hint="drop the file once more")
        jobs.look(path, self.limits)
        return path

    def _enhanced(self, session: str, source: Path, folder: Path, name: str, limit_db: float, told: jobs.Told) -> Path:
        def heard(done: float) -> None:
            self._check(session)
            told(done)

        suffix = source.suffix if source.suffix.lower() in FORMATS else ".wav"
        target = folder / f"{source.stem}-enhanced{suffix}"
        limit = None if limit_db >= WITHOUT_LIMIT_DB else limit_db
        try:
            jobs.enhanced(source, target, self.offers[name].model, limit, heard)
        except InputError:
            self._check(session)  # the folder may have gone with its visitor
            raise
        return target

    def _rows(self, session: str, clean: Path, files: Mapping[str, Path], progress: Progress) -> list[dict]:
        return jobs.scored(clean, files, lambda done: self._told(session, progress, done, "measuring")).rows

    def _told(self, session: str, progress: Progress, done: float, what: str) -> None:
        self._check(session)
        progress(done, what)

    def _check(self, session: str) -> None:
        if session not in self.visitors:
            raise Left

    @staticmethod
    def _part(start: float, share: float, what: str, progress: Progress) -> jobs.Told:
        return lambda done: progress(start + share * done, what)

    @contextmanager
    def _room(self, session: str, use: str) -> Generator[Path, None, None]:
        """A folder for results, which goes at once if its visitor does."""
        room = self.visitors.room(session, use)
        try:
            yield room
        finally:
            if session not in self.visitors:
                self.visitors.clear(room)


def note(text: str) -> str:
    """One sentence, quietly."""
    return f'<p class="note">{escape(text)}</p>'


def problem(error: InputError) -> str:
    """A user's mistake, in one sentence that is also read out."""
    return f'<p class="banner" role="alert">{escape(str(error))}</p>'
