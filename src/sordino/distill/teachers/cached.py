"""A teacher whose answers are kept: each is computed once, written to disk, and read back in every later epoch.

A teacher that never changes says the same of the same speech, so that all but the first answer are wasted work; and a
large teacher costs several times a step of its student. What is kept is what the methods read and no more, reduced as
they declare (``Method.reductions``), in half precision. A batch is answered by what would be read back, also when it
was just computed, so that a run is the same whether it found its answers or made them.

It is NOT a cache of data: augmentation goes on, and an answer belongs to one draw of an item. For a draw to come back,
the data must repeat (``sordino.data.sources.FixedAugmentation``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sordino.distill.base import Method, Reduction
from sordino.distill.teachers.network import AnyTeacher
from sordino.distill.teachers.store import FORMAT, Store, digest, halved, size_of
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

WAVE = "estimate"
CLOSE = 2e-3
"""Two answers of one teacher differ by less than this share of the largest value: twice the step of half precision."""


@dataclass(frozen=True)
class Whole:
    """A feature or an estimate as it is."""

    def __call__(self, feature: Tensor) -> Tensor:
        return feature


class Plan(NamedTuple):
    """How full a cache is: answers that it has, answers that it will have, and bytes that are still to be written."""

    kept: int
    total: int
    bytes: int


class CachedTeacher:
    """Answers from a folder, and from the teacher itself where the folder has none yet.

    The teacher is loaded when it is first needed; behind a full cache it never is. It computes in float32, whatever
    the precision of the training. Speech of another length than the training segments is not kept.

    Args:
        load: makes the teacher.
        folder: of the answers.
        facts: what the answers depend on, as flat JSON values by the names that messages use. A folder that was made
            with others is refused.
        verify: compare one kept answer with the teacher's own at the start; for teachers of which ``facts`` cannot say
            all, such as functions.

    Attributes:
        loaded: the teacher itself, once it was needed.

    Raises:
        InputError: the folder holds other answers; the first difference is named.
    """

    def __init__(
        self, load: Callable[[], AnyTeacher], folder: str | Path, facts: Mapping[str, Any], verify: bool = False
    ) -> None:
        self._load, self.store, self.facts, self.verify = load, Store(folder), dict(facts), verify
        self.loaded: AnyTeacher | None = None
        self._device = torch.device("cpu")
        self._kept: dict[str, Reduction] | None = None
        self._answers: dict[str, Any] = {}
        self._bytes = 0
        header = self._checked("facts", self.facts)
        teacher = header["teacher"] if header else self._describe()
        self.name, self.sample_rate = teacher["name"], teacher["sample_rate"]
        self.taps: Mapping[str, Tap] = {name: Tap(**place) for name, place in teacher["taps"].items()}
        # Until ``keep`` has settled it, what the folder says; in a new folder nothing is found under any name.
        self._mark = _mark(header["facts"], header["answers"]) if header else b""

    def to(self, device: torch.device) -> CachedTeacher:
        """Answer on that device, and move the teacher there if it is loaded; returns self."""
        self._device = device
        if self.loaded is not None:
            self.loaded.to(device)
        return self

    def keep(self, methods: Iterable[Method], batch: Batch) -> None:
        """Settle what is kept of an answer: what ``methods``, connected and prepared, read. Nothing is written yet.

        A folder that keeps the estimate, or further features as they are, goes on keeping them: runs of several methods
        may share the folder of the one that reads most.

        Args:
            methods: all that will ask.
            batch: the first that will be asked about; it gives the length of the segments and the size of an answer.

        Raises:
            InputError: the folder holds other answers; the first difference is named.
        """
        kept = needs(methods)
        header = self.store.header()
        more = [name for name, how in (header["answers"] if header else {}).items() if how == repr(Whole())]
        kept |= {name: Whole() for name in more if name not in kept}
        answers = {"samples": batch.noisy.shape[1], **{name: repr(kept[name]) for name in sorted(kept)}}
        self._checked("answers", answers)
        self._answers, self._kept, self._mark = answers, kept, _mark(self.facts, answers)
        first = Batch(batch.noisy[:1], None, batch.lengths[:1], batch.ids[:1])
        before = self.store.read(self._keys(first)[0])
        if before is None or self.verify:
            now = {name: value[0] for name, value in self._answer(first).items()}
            if before is not None and not all(_close(before[name], now[name]) for name in now):
                raise self._stale("the teacher no longer says what it said when these answers were kept")
            before = now
        self._bytes = size_of(before)

    def plan(self, total: int) -> Plan:
        """How much is there of ``total`` answers, and what the others will take.

        Raises:
            InputError: the disk has less free.
        """
        kept = min(self.store.count(), total)
        plan, free = Plan(kept, total, (total - kept) * self._bytes), self.store.free()
        if plan.bytes > free:
            found = f"{total - kept:,} more answers take {plan.bytes / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"
            raise InputError(self.store.folder, found, hint="choose another disk, or fewer teacher.draws")
        return plan

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimate of ``batch.noisy`` and the features at ``taps``, reduced; without a gradient.

        An estimate that is not kept is NaN, unless it is all that is asked for.

        Raises:
            InputError: an answer on disk is damaged, or cannot be written.
        """
        asked = list(taps)
        rows = self._rows(batch, {*(asked or [WAVE])})
        return self._live(batch, asked) if rows is None else self._view(rows, asked, batch)

    def _rows(self, batch: Batch, wanted: set[str]) -> list[dict[str, Tensor]] | None:
        """The answer to each item, made and written where it is missing; None if such answers are not kept."""
        kept = self._kept
        if kept is not None and not (wanted <= kept.keys() and batch.noisy.shape[1] == self._answers["samples"]):
            return None
        keys = self._keys(batch)
        found = {key: row for key in keys if (row := self.store.read(key)) is not None}
        if kept is None:
            # Methods still ask for the sizes of features; a folder from before may know them.
            return [found[key] for key in keys] if all(wanted <= found.get(key, {}).keys() for key in keys) else None
        if len(found) < len({*keys}):
            # The whole batch again, even if some of it is there: an answer's last bit may depend on its company.
            found = self._write(keys, self._answer(batch)) | found
        return [found[key] for key in keys]

    def _view(self, rows: list[dict[str, Tensor]], asked: list[str], batch: Batch) -> View:
        names = [*asked, WAVE] if all(WAVE in row for row in rows) else asked
        with torch.autocast("cpu", enabled=False):  # which knows no float16 there
            stacks = {name: torch.stack([row[name] for row in rows]) for name in names}
        feats = {name: stack.to(self._device).float() for name, stack in stacks.items()}
        return View(feats.pop(WAVE) if WAVE in feats else torch.full_like(batch.noisy, torch.nan), feats)

    def _keys(self, batch: Batch) -> list[str]:
        heard = batch.noisy.detach().float().cpu().numpy()
        return [hashlib.blake2b(row.tobytes(), key=self._mark, digest_size=20).hexdigest() for row in heard]

    def _teacher(self) -> AnyTeacher:
        if self.loaded is None:
            self.loaded = self._load().to(self._device)
        return self.loaded

    def _live(self, batch: Batch, taps: Iterable[str]) -> View:
        with torch.autocast(batch.noisy.device.type, enabled=False):
            return self._teacher()(batch, taps)

    def _answer(self, batch: Batch) -> dict[str, Tensor]:
        """What is kept of the teacher's View: float16 tensors [B,...]."""
        kept = self._kept or {}
        view = self._live(batch, [name for name in kept if name != WAVE])
        shown = {**view.feats, WAVE: view.wave}
        with torch.no_grad(), torch.autocast(batch.noisy.device.type, enabled=False):
            return halved({name: reduce(shown[name]) for name, reduce in kept.items()}, self.name)

    def _write(self, keys: list[str], answer: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Write the rows of an answer that are not there yet; returns all of them by their keys."""
        if self._checked("answers", self._answers) is None:
            self.store.claim({"teacher": self._describe(), "facts": self.facts, "answers": self._answers})
        rows = {key: {name: value[i] for name, value in answer.items()} for i, key in enumerate(keys)}
        for key, row in rows.items():
            if not self.store.holds(key):
                self.store.write(key, row)
        return rows

    def _describe(self) -> dict[str, Any]:
        teacher = self._teacher()
        taps = {name: asdict(tap) for name, tap in teacher.taps.items()}
        return {"name": teacher.name, "sample_rate": teacher.sample_rate, "taps": taps}

    def _checked(self, part: str, mine: Mapping[str, Any]) -> dict[str, Any] | None:
        """The header of the folder, if there is one, whose ``part`` must say what ``mine`` says."""
        header = self.store.header()
        before = header[part] if header else mine
        for key in [*before, *mine]:
            if before.get(key) != mine.get(key):
                raise self._stale(f"{key} was {before.get(key)!r} when its answers were kept, and is {mine.get(key)!r}")
        return header

    def _stale(self, found: str) -> InputError:
        return InputError(self.store.folder, found, hint="give teacher.cache another folder, or delete this one")


def needs(methods: Iterable[Method]) -> dict[str, Reduction]:
    """What ``methods`` read of a teacher, by name, and how it is reduced; whole where two disagree."""
    kept: dict[str, Reduction] = {}
    for method in methods:
        for tap in method.teacher_taps:
            mine = method.reductions.get(tap, Whole())
            kept[tap] = mine if kept.get(tap, mine) == mine else Whole()
        if method.needs_estimate:
            kept[WAVE] = Whole()
    return kept


def _mark(*parts: Mapping[str, Any]) -> bytes:
    """What the names of answers are mixed with."""
    return digest((FORMAT, *parts))


def _close(before: Tensor, now: Tensor) -> bool:
    scale = before.float().abs().max()
    return before.shape == now.shape and bool((before.float() - now.float()).abs().max() <= CLOSE * scale)
