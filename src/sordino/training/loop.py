"""The one training loop: every teacher, baseline and distilled student trains here, in one process or in many.

A run lives in a folder; ``docs/training.md`` says what is in it. With several processes the first one writes the files;
all take the same steps and stop at the same one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from sordino import models
from sordino.data.base import Segments, Source
from sordino.distributed import broadcast, rank
from sordino.errors import InputError
from sordino.training.batches import Batches
from sordino.training.checks import check
from sordino.training.collectives import mean
from sordino.training.divergence import GOOD, back_to_good, demand_finite, keep_good
from sordino.training.fabric import open_fabric, wrap
from sordino.training.interrupt import Interruptible, stopped
from sordino.training.judge import Judge, Validation
from sordino.training.log import Log, RunningMeans
from sordino.training.objective import Objective
from sordino.training.outcome import Outcome
from sordino.training.polarity import PolarityWatch, fix_polarity
from sordino.training.schedule import warmup_of
from sordino.training.selection import Selection
from sordino.training.settings import Settings
from sordino.training.stages import Stage, stage_ranges
from sordino.training.state import CHECKPOINT, LAST, chosen, matching, open_folder, same_data, save_state
from sordino.training.trackers import check_installed
from sordino.training.updater import Updater
from sordino.training.validation import choose
from sordino.types import Batch, Progress, Status


class Trainer:
    """Trains ``student`` on ``source`` for ``objective`` inside ``folder``; see ``fit``.

    Args:
        student: the network to train.
        objective: what to minimise.
        source: of the training segments and the validation recordings.
        settings: how to train.
        folder: of the run.
        about: facts to store in the checkpoints' header, such as the recipe.
        stages: of the run; their weights of the terms are given to ``objective``.
        trained: whether the student has been trained before. It is then validated before the first step, so that the
            best checkpoint is never worse than it.

    Raises:
        InputError: data, network and settings that do not fit together.
    """

    def __init__(
        self,
        student: models.Enhancer,
        objective: Objective,
        source: Source,
        settings: Settings,
        folder: Path,
        about: dict[str, Any] | None = None,
        stages: Sequence[Stage] = (),
        trained: bool = False,
    ) -> None:
        if source.sample_rate != student.sample_rate:
            found, expected = f"comes at {source.sample_rate} Hz", f"{student.sample_rate} Hz, the network's rate"
            raise InputError("data", found, expected)
        self.student, self.objective, self.source = student, objective, source
        self.settings, self.folder, self.about = settings, folder, about or {}
        selection = Selection(settings.select, student.sample_rate)
        check_installed(settings.log)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.fabric = open_fabric(settings, unused=bool(objective.methods))
        self.segments: Segments = source.train(settings.seed)
        self.batches = Batches(self.segments, settings, self.fabric.device)
        per_epoch = self.batches.per_epoch
        self.steps = settings.steps if settings.steps is not None else settings.epochs * per_epoch
        plan = stage_ranges(stages, self.steps, per_epoch)
        self.step, self.seconds = 0, 0.0
        self.running = RunningMeans()
        self._prepare_networks()
        self.model = wrap(self.fabric, student, objective, settings)
        self.updater = Updater(self.fabric, student, objective, settings, plan)
        self._prepare_validation(selection, trained)

    def _prepare_networks(self) -> None:
        """Move the networks to their device, check the student's polarity, and size what the methods learn."""
        device, teacher = self.fabric.device, self.objective.teacher
        self.objective.to(device)
        if teacher is not None:
            teacher.to(device)
        self.student.to(device)
        first = self.batches.first()
        fix_polarity(self.student, [batch.noisy for batch in first])
        self.objective.prepare(self.student, first[0])

    def _prepare_validation(self, selection: Selection, trained: bool) -> None:
        """Choose the validation recordings, and what judges and watches the network that will be used."""
        items = choose(self.source.valid(), self.settings.validate_items)
        teacher, average, begin = self.objective.teacher, self.updater.averaged, self.updater.estimate_from
        self.judge = Judge(average or self.student, items, selection, teacher, self.fabric, self.folder, self.about)
        self.watch = PolarityWatch(self.student, average, teacher, self.steps, str(self.folder), begin)
        warmup, last = warmup_of(self.settings, self.steps), -1 if trained else 0
        self.validation = Validation(self.judge, self.watch, warmup, self.steps, last)

    def first_batch(self) -> Batch:
        """Return the batch that the run begins with."""
        return self.batches.first()[0]

    def check(self) -> dict[str, float]:
        """Check the objective on the first batch, changing nothing; see ``sordino.training.checks``."""
        return check(self.objective, self.student, self.first_batch(), self.source.labels)

    def fit(self, resume: bool = False, progress: Progress | None = None, status: Status | None = None) -> Outcome:
        """Train to the end.

        Args:
            resume: go on from the state in the folder; on a CPU the weights then end up as if never interrupted,
                bit for bit.
            progress: called after every step, by the first process.
            status: called with a line when something happens that the user should know, by the first process.

        Raises:
            InputError: the folder holds a run already and ``resume`` is not given, or it holds none and it is.
            KeyboardInterrupt: asked to stop; the state after the last whole step has been saved, and the error says so.
        """
        state = broadcast(lambda: open_folder(self.folder, resume))
        if state is None:
            self.check()
        else:
            self._restore(state)
        first = rank() == 0
        if status is not None and first:
            self.watch.status = status
        log = Log(self.folder if first else None, self.step, self.validation.last, self.settings.log, self.about)
        with log, Interruptible() as signals, back_to_good(self.folder):
            self._run(log, signals, progress if first else None)
        if first:
            if not self.validation.fallen:
                (self.folder / GOOD).unlink(missing_ok=True)
            models.save(self.judge.network, self.folder / LAST, step=self.step, **self.about)
        best = self.judge.best
        if best is None:
            return Outcome(self.step, None, None, chosen(self.folder), self.seconds)
        return Outcome(self.step, best.score, best.step, self.folder / CHECKPOINT, self.seconds, best.scores)

    def _run(self, log: Log, signals: Interruptible, progress: Progress | None) -> None:
        started = time.monotonic() - self.seconds
        self.model.train()
        self._validate_if_due(log)  # a run that was stopped between a step and its validation makes up for it
        for batch in self._loaded(signals):
            self.updater.enter(self.step)
            values = self.updater.train_step(self.model, batch, self.step)
            self.step += 1
            self.seconds = time.monotonic() - started
            self._record(log, values)
            if self.step in self.watch.steps:
                self.watch.check_batch(batch, self.step, self.updater.optimizer, log)
            if progress is not None:
                progress("training", self.step, self.steps, values)
            # A signal may reach one process alone, or all at different steps; they must leave at the same one.
            stop = bool(mean(torch.tensor(float(signals.asked), device=self.fabric.device)))
            if self._unvalidated() or stop or self._due(self.settings.save_every):
                self._save()
            if stop:
                raise stopped(self.step)
            self._validate_if_due(log)

    def _loaded(self, signals: Interruptible) -> Iterator[Batch]:
        """Yield the batches that are left; if one cannot be loaded, save the state after the last whole step."""
        try:
            yield from self.batches.between(self.step, self.steps)
        except InputError as error:
            self._save()
            if signals.asked:  # a signal to all processes of a job ends those that load data, too
                raise stopped(self.step) from error
            raise

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _record(self, log: Log, values: dict[str, float]) -> None:
        """Add ``values`` to the running sums; log their means when a record is due."""
        if self.updater.stepper.skipped_in_a_row:
            log.write(self.step, {"skipped": self.updater.stepper.skipped})
        self.running.add(values)
        if self._due(self.settings.log_every):
            pulls = self.objective.weighting.pulls(self.step - 1)
            rate, seconds = self.updater.learning_rate, round(self.seconds, 1)
            log.write(self.step, {**self.running.take(), **pulls, "lr": rate, "seconds": seconds})
            log.draw(self.step, self.objective.active)

    def _unvalidated(self) -> bool:
        """Whether a validation is due that has not been done."""
        every = self.settings.validation_steps(self.batches.per_epoch)
        return self.step > self.validation.last and self._due(every)

    def _validate_if_due(self, log: Log) -> None:
        if self._unvalidated():
            self.validation.run(self.model, self.step, self.updater.optimizer, log)
            self._save()
            if self.judge.items and not self.validation.fallen and rank() == 0:
                keep_good(self.folder)

    def _save(self) -> None:
        """Write all that a resumed run needs; what can be recomputed from the recipe is not part of it."""
        demand_finite(self.student)  # a run could not go on from weights that its last update has ruined
        if rank() > 0:
            return
        state = {
            "step": self.step,
            "segments": len(self.segments),
            "first_ids": self.batches.first_ids,
            "validated": self.validation.last,
            "precision": self.fabric.strategy.precision.state_dict(),
            "seconds": self.seconds,
            "judge": self.judge.state_dict(),
            "sums": self.running.sums,
            "counts": self.running.counts,
            "student": self.student.state_dict(),
            "objective": self.objective.state_dict(),
            "random": torch.get_rng_state(),
            "fallen": self.validation.fallen,
        }
        save_state(self.folder, state | self.updater.state_dict())

    def _restore(self, state: dict[str, Any]) -> None:
        broadcast(lambda: same_data(state, len(self.segments), self.batches.first_ids))
        with matching(self.folder):
            self.step, self.seconds = state["step"], state["seconds"]
            since_record = self.step % self.settings.log_every  # what an earlier version counted for every term
            self.running = RunningMeans(state["sums"], state.get("counts", dict.fromkeys(state["sums"], since_record)))
            self.validation.last, self.validation.fallen = state["validated"], state.get("fallen", False)
            self.judge.load_state_dict(state["judge"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            self.student.load_state_dict(state["student"])
            self.objective.load_state_dict(state["objective"])
            self.updater.load_state_dict(state, self.step)
            torch.set_rng_state(state["random"])
