"""Teacher with a cache on disk: it computes its outputs for each segment once, and reads them in every later epoch.

A frozen teacher gives the same outputs for the same speech, so all passes after the first are wasted, and a large
teacher costs several times a step of its student. The cache stores what the methods read and no more: the taps that
they observe, reduced as they declare (``Method.reductions``), in half precision. A batch always gets the values as they
would be read back, even if they were computed just now, so that a run does not depend on whether the cache was full or
empty.

It is NOT a cache of data. Augmentation goes on, and outputs belong to one random draw of an item. To draw the same
again, the data have to repeat themselves (``sordino.data.sources.FixedAugmentation``).

What keeps a cache from giving wrong targets:

* the header of the folder holds the facts on which the outputs depend (checkpoint, sample rate, ...) and the list of
  what is stored, each with the repr of its reduction. A run with other facts or other needs is refused with the first
  difference;
* the key of a segment is a hash of its noisy samples, keyed by a digest of that header;
* where facts cannot describe a teacher, such as a function, ``verify`` recomputes the first outputs and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sordino.distill.base import Method, Reduction
from sordino.distill.teachers.keys import hash_key, segment_keys
from sordino.distill.teachers.network import AnyTeacher
from sordino.distill.teachers.outputs import WAVE, Whole, close, needs
from sordino.distill.teachers.store import Plan, Store, size_of, to_half
from sordino.errors import InputError, written
from sordino.types import Batch, Tap, View


class CachedTeacher:
    """Teacher that reads its outputs from a folder, and computes and stores those that are missing.

    The underlying teacher is loaded when it is first needed, which is never if the cache is full. It computes in
    float32, whatever the precision of the training. Outputs for speech of another length than the training segments,
    such as validation recordings, are not stored.

    Args:
        load: loads the underlying teacher.
        folder: of the cache.
        facts: what the outputs depend on, as flat JSON values by the names that messages use. A folder that was
            written with other facts is refused.
        verify: compare the stored outputs for the first segment with newly computed ones; for teachers that ``facts``
            cannot describe completely, such as functions.

    Attributes:
        loaded: the underlying teacher, once it was needed; None before.

    Raises:
        InputError: the folder holds other outputs; the first difference is named.
    """

    def __init__(
        self, load: Callable[[], AnyTeacher], folder: str | Path, facts: Mapping[str, Any], verify: bool = False
    ) -> None:
        self._load, self.verify = load, verify
        self.store, self.facts = Store(folder), dict(facts)
        self.loaded: AnyTeacher | None = None
        self._device = torch.device("cpu")
        self._reductions: dict[str, Reduction] | None = None  # what is stored, by name; None until ``keep`` was called
        self._answers: dict[str, Any] = {}  # the same for the header, as plain values
        self._bytes = 0  # of the outputs for one segment
        self._writes = True  # whether this run stores what is missing
        self._begun = True  # whether the first answer is there: a folder may have those of other seeds alone
        # A full cache must not load the teacher: what a run asks of it (name, rate, taps) stands in the header.
        # Until ``keep`` decides what is stored, keys follow the header; a new folder has no file under any key.
        header = self._checked_header("facts", self.facts)
        if header is None:
            teacher, self._hash_key = self._describe(), b""
        else:
            teacher, self._hash_key = header["teacher"], hash_key(header["facts"], header["answers"])
        self.name, self.sample_rate = teacher["name"], teacher["sample_rate"]
        self.taps: Mapping[str, Tap] = {name: Tap(**place) for name, place in teacher["taps"].items()}

    def to(self, device: torch.device) -> CachedTeacher:
        """Give outputs on ``device``, and move the underlying teacher there if it is loaded; return self."""
        self._device = device
        if self.loaded is not None:
            self.loaded.to(device)
        return self

    def keep(self, methods: Iterable[Method], batch: Batch) -> None:
        """Decide what is stored: all that ``methods``, connected and prepared, read. Nothing is written yet.

        A folder that already stores the estimate or further features as they are goes on storing them. Of a folder
        that stores reduced features, which the methods of this run could not make, what is there is read and nothing
        written. So runs with several methods can share the folder of the one that reads most.

        Args:
            methods: all methods that will read outputs.
            batch: the first of the run; it gives the length of the segments and the size of the outputs.

        Raises:
            InputError: the folder holds other outputs; the first difference is named.
        """
        kept = needs(methods)
        further = self.store.reductions()
        for name in kept:
            further.pop(name, None)
        for name, reduction in further.items():
            if reduction == repr(Whole()):
                kept[name] = Whole()
        self._writes = further.keys() <= kept.keys()

        reductions = dict(further)
        for name, reduction in kept.items():
            reductions[name] = repr(reduction)
        answers: dict[str, Any] = {"samples": batch.noisy.shape[1]}
        for name in sorted(reductions):
            answers[name] = reductions[name]
        self._checked_header("answers", answers)

        self._answers, self._reductions = answers, kept
        self._hash_key = hash_key(self.facts, answers)
        self._bytes = size_of(self._first_outputs(batch)) if self._writes else 0

    def _first_outputs(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the outputs for the first item: those on disk, verified if that is wanted, or newly computed ones."""
        first = batch.first
        stored = self.store.read(segment_keys(first.noisy, self._hash_key)[0])
        self._begun = stored is not None
        if stored is not None and not self.verify:
            return stored
        computed = {name: value[0] for name, value in self._compute(first).items()}
        if stored is not None:
            for name, value in computed.items():
                if not close(stored[name], value):
                    raise self._stale("the teacher's outputs are no longer those that were stored here")
        return computed

    def plan(self, total: int) -> Plan:
        """Return how many of ``total`` segments are stored, and the bytes that the others will take.

        Raises:
            InputError: the disk has less free space.
        """
        kept = min(self.store.count(), total) if self._begun else 0
        return self.store.plan(kept, total, self._bytes)

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` and the reduced features at ``taps``, without a gradient.

        If features are asked for and the estimate is not stored, the estimate is NaN: no method reads it.

        Raises:
            InputError: a file of the cache is damaged, or cannot be written.
        """
        names = list(taps)
        rows = self._rows(batch, set(names or [WAVE]))
        if rows is None:
            return self._live(batch, names)
        return self._view(rows, names, batch)

    def _rows(self, batch: Batch, names: set[str]) -> list[dict[str, Tensor]] | None:
        """Return the stored outputs for each item, after computing those that are missing; None if they are not stored.

        That is so for speech of another length, and for features that no method reads in training.
        """
        reductions = self._reductions
        if reductions is not None and not names <= reductions.keys():
            return None
        if reductions is not None and batch.noisy.shape[1] != self._answers["samples"]:
            return None
        keys = segment_keys(batch.noisy, self._hash_key)
        rows = self.store.read_all(keys)
        if reductions is None:
            # Before ``keep``, methods ask for sizes of features; an older run's files may already have them.
            for key in keys:
                if key not in rows or not names <= rows[key].keys():
                    return None
            return [rows[key] for key in keys]
        if len(rows) < len(set(keys)):
            # The whole batch is computed, even if some of it is there: the last bits may depend on the batch.
            # Rows from disk win, as another process may have written them meanwhile.
            rows = self._write(keys, self._compute(batch)) | rows
        return [rows[key] for key in keys]

    def _view(self, rows: list[dict[str, Tensor]], taps: list[str], batch: Batch) -> View:
        """Return the stored outputs for the items of a batch as a View in float32; see ``__call__``."""
        feats = {name: self._stacked(rows, name) for name in taps}
        if all(WAVE in row for row in rows):
            return View(self._stacked(rows, WAVE), feats)
        return View(torch.full_like(batch.noisy, torch.nan), feats)

    def _stacked(self, rows: list[dict[str, Tensor]], name: str) -> Tensor:
        """Return one output for all items, on the device."""
        with torch.autocast("cpu", enabled=False):  # it does not know float16 on CPUs
            stack = torch.stack([row[name] for row in rows])
        return stack.to(self._device).float()

    def _teacher(self) -> AnyTeacher:
        if self.loaded is None:
            self.loaded = self._load().to(self._device)
        return self.loaded

    def _live(self, batch: Batch, taps: Iterable[str]) -> View:
        """Run the underlying teacher in full precision."""
        with torch.autocast(batch.noisy.device.type, enabled=False):
            return self._teacher()(batch, taps)

    def _compute(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the outputs that are stored, by name: float16 tensors [B,...]."""
        reductions = self._reductions or {}
        view = self._live(batch, [name for name in reductions if name != WAVE])
        outputs = {**view.feats, WAVE: view.wave}
        with torch.no_grad(), torch.autocast(batch.noisy.device.type, enabled=False):
            return to_half({name: reduce(outputs[name]) for name, reduce in reductions.items()}, self.name)

    def _write(self, keys: list[str], outputs: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Write the outputs of a batch that are not stored yet, if this run may; return those of all items by key."""
        rows = {}
        for index, key in enumerate(keys):
            rows[key] = {name: value[index] for name, value in outputs.items()}
        if not self._writes:
            return rows
        if self._checked_header("answers", self._answers) is None:
            self.store.write_header({"teacher": self._describe(), "facts": self.facts, "answers": self._answers})
        for key, row in rows.items():
            if not self.store.holds(key):
                self.store.write(key, row)
        return rows

    def _describe(self) -> dict[str, Any]:
        """Return what a run needs to know of the teacher while it is not loaded."""
        teacher = self._teacher()
        taps = {name: asdict(tap) for name, tap in teacher.taps.items()}
        return {"name": teacher.name, "sample_rate": teacher.sample_rate, "taps": taps}

    def _checked_header(self, part: str, expected: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the header of the folder, if there is one, after checking that its ``part`` equals ``expected``."""
        header = self.store.header()
        before = header[part] if header else expected
        for key in [*before, *expected]:
            old, new = before.get(key), expected.get(key)
            if old != new:
                raise self._stale(f"{key} was {written(old)} when its answers were stored, and is {written(new)}")
        return header

    def _stale(self, found: str) -> InputError:
        return InputError(self.store.folder, found, hint="give teacher.cache another folder, or delete this one")
