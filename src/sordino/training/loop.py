"""The one loop: every teacher, baseline and distilled student trains here, in one process or in many.

A run lives in a folder: ``state.pt`` (everything that a resumed run needs), ``best.safetensors`` (the best on the
validation recordings, by ``train.select``), ``last.safetensors``, ``log.jsonl`` and ``tensorboard/``. Of several
processes the first writes them; all take the same steps, and stop at the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from sordino import models
from sordino.data.base import Segments, Source
from sordino.distributed import broadcast, rank
from sordino.errors import InputError
from sordino.files import sweep
from sordino.models import Enhancer
from sordino.training.average import average_of
from sordino.training.batches import Batches
from sordino.training.checks import check
from sordino.training.collectives import follow_first, mean
from sordino.training.fabric import open_fabric, wrap
from sordino.training.interrupt import Interruptible
from sordino.training.judge import Judge
from sordino.training.log import Log
from sordino.training.objective import Objective
from sordino.training.optimizer import Stepper, optimizer_of
from sordino.training.outcome import Outcome
from sordino.training.polarity import Watch, fix_polarity
from sordino.training.schedule import schedule
from sordino.training.selection import Selection
from sordino.training.settings import Settings
from sordino.training.stages import Stage, range_at, stage_at, stage_ranges
from sordino.training.state import CHECKPOINT, LAST, STATE, chosen, load_state, save_state
from sordino.training.validation import choose
from sordino.types import Batch, Progress


class Trainer:
    """Trains ``student`` on ``source`` for ``objective`` inside ``folder``; see ``fit``.

    Args:
        student: the network to train.
        objective: what to minimise.
        source: where the segments and the validation recordings come from.
        settings: how.
        folder: of the run.
        about: facts to store in the checkpoints' header, such as the recipe.
        stages: of the run; their weights are the objective's affair.
        trained: whether the student has learnt already. It is then validated before the first step, so that the best
            checkpoint is never worse than it.

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
            raise InputError(
                "data", f"comes at {source.sample_rate} Hz", f"{student.sample_rate} Hz, the network's rate"
            )
        self.student, self.objective, self.source = student, objective, source
        self.settings, self.folder, self.about = settings, folder, about or {}
        selection = Selection(settings.select)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.fabric = open_fabric(settings, unused=bool(objective.methods))
        self.segments: Segments = source.train(settings.seed)
        self.batches = Batches(self.segments, settings, self.fabric.device)
        self.per_epoch = self.batches.per_epoch
        self.steps = settings.steps if settings.steps is not None else settings.epochs * self.per_epoch
        self.plan = stage_ranges(stages, self.steps, self.per_epoch)
        self.step, self.validated, self.seconds = 0, -1 if trained else 0, 0.0
        self.sums: dict[str, float] = {}
        self.span = (0, 0)
        self._prepare(selection)

    def _prepare(self, selection: Selection) -> None:
        self.objective.to(self.fabric.device)
        if self.objective.teacher is not None:
            self.objective.teacher.to(self.fabric.device)
        self.student.to(self.fabric.device)
        first = self.batches.first()
        fix_polarity(self.student, [batch.noisy for batch in first])
        self.objective.prepare(self.student, first[0])
        self.model = wrap(self.fabric, self.student, self.objective, self.settings)
        self.stepper = Stepper(self.fabric, self.settings.grad_clip)
        decay = self.settings.ema
        self.average = None if decay is None else average_of(self.student, decay)
        items = choose(self.source.valid(), self.settings.validate_items)
        teacher, average = self.objective.teacher, None if self.average is None else cast(Enhancer, self.average.module)
        self.judge = Judge(average or self.student, items, selection, teacher, self.fabric, self.folder, self.about)
        self.watch = Watch(self.student, average, teacher, self.steps, str(self.folder))
        self.enter(0)

    def enter(self, step: int) -> None:
        """Make the stage of ``step`` the present one, with an optimiser of its own where it begins with a reset."""
        self.objective.weighting.stage = range_at(self.plan, step)
        span = stage_at(self.plan, step)
        if span != self.span:
            self.span = span
            optimizer = optimizer_of([self.student, self.objective], self.settings)
            self.schedule = schedule(optimizer, self.settings, span[1] - span[0])
            self.optimizer: Any = self.fabric.setup_optimizers(optimizer)

    def first_batch(self) -> Batch:
        """Return the batch that the run begins with."""
        return self.batches.first()[0]

    def check(self) -> dict[str, float]:
        """Check the objective on the first batch, changing nothing; see ``sordino.training.checks``."""
        return check(self.objective, self.student, self.first_batch(), self.source.labels)

    def fit(
        self,
        resume: bool = False,
        progress: Progress | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Train to the end.

        Args:
            resume: go on from the state in the folder; on a CPU the weights then end up as if never interrupted,
                bit for bit.
            progress: told of every step, by the first process.
            tell: given a line when something happens that a person should know, by the first process.

        Raises:
            InputError: the folder holds a run already and ``resume`` is not asked for, or none and it is.
            KeyboardInterrupt: asked to stop; the state after the last whole step has been saved.
        """
        state = broadcast(lambda: self._state(resume))
        if state is None:
            self.check()
        else:
            self._restore(state)
        first = rank() == 0
        if tell is not None and first:
            self.watch.tell = tell
        with Log(self.folder if first else None, self.step, self.validated) as log, Interruptible() as signals:
            self._run(log, signals, progress if first else None)
        if first:
            models.save(self.judge.network, self.folder / LAST, step=self.step, **self.about)
        best = self.judge.best
        if best is None:
            return Outcome(self.step, None, None, chosen(self.folder), self.seconds)
        return Outcome(self.step, best.score, best.step, self.folder / CHECKPOINT, self.seconds, best.scores)

    def _state(self, resume: bool) -> dict[str, Any] | None:
        """What to go on from, if anything, in a folder that is cleared of what a killed run left half written."""
        if not resume and (self.folder / STATE).exists():
            raise InputError(self.folder, "holds a run already", hint="go on with --resume, or choose another --out")
        state = load_state(self.folder) if resume else None
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        return state

    def _run(self, log: Log, signals: Interruptible, progress: Progress | None) -> None:
        started = time.monotonic() - self.seconds
        self.model.train()
        self._validate_if_due(log)  # a run that was stopped between a step and its validation makes up for it
        for batch in self.batches.between(self.step, self.steps):
            self.enter(self.step)
            values = self._train_step(batch)
            self.step += 1
            self.seconds = time.monotonic() - started
            self._record(log, values)
            if self.step in self.watch.steps:
                self.watch.look(batch, self.step, self.optimizer, log)
            if progress is not None:
                progress("training", self.step, self.steps, values)
            stop = bool(mean(torch.tensor(float(signals.asked), device=self.fabric.device)))  # all at the same step
            if self._unvalidated() or stop or self._due(self.settings.save_every):
                self._save()
            if stop:
                raise KeyboardInterrupt
            self._validate_if_due(log)

    def _train_step(self, batch: Batch) -> dict[str, float]:
        """One step; returns what it says of the batches of all processes."""
        self.optimizer.zero_grad()
        total, terms = self.model(lambda: batch, self.step)
        self.fabric.backward(total)
        if self.stepper.step(self.model, self.optimizer) and self.average is not None:
            self.average.update_parameters(self.student)
        self.schedule.step()
        values = mean(torch.stack([total, *terms.values()])).tolist()
        return dict(zip(("total", *terms), values, strict=True)) | self.objective.weighting.moving(self.step)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _record(self, log: Log, values: dict[str, float]) -> None:
        """Add ``values`` to the running sums; log their means when a record is due."""
        if self.stepper.in_a_row:
            log.write(self.step, {"refused": self.stepper.refused})
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in values.items()}
        if self._due(self.settings.log_every):
            count = (self.step - 1) % self.settings.log_every + 1
            means = {name: total / count for name, total in self.sums.items()}
            rate = float(self.schedule.get_last_lr()[0])
            pulls = self.objective.weighting.pulls(self.step - 1)
            log.write(self.step, {**means, **pulls, "lr": rate, "seconds": round(self.seconds, 1)})
            log.draw(self.step, self.objective.active)
            self.sums = {}

    def _unvalidated(self) -> bool:
        """Whether a validation is due that has not been done."""
        return self.step > self.validated and self._due(self.settings.validate_every or self.per_epoch)

    def _validate_if_due(self, log: Log) -> None:
        if self._unvalidated():
            self._validate(log)
            self.validated = self.step
            self._save()

    def _validate(self, log: Log) -> None:
        """Score the validation recordings, see which way up the network is, and keep the weights if they are best."""
        if not self.judge.items:
            return
        follow_first(self.model)
        scores = self.judge.scores()
        if self.watch.turns(scores.get("correlation"), self.step, self.optimizer, log):
            scores = self.judge.scores()
        log.write(self.step, {f"valid/{name}": value for name, value in scores.items()})
        self.judge.keep(self.step, scores)

    def _save(self) -> None:
        if rank() > 0:
            return
        save_state(
            self.folder,
            {
                "step": self.step,
                "validated": self.validated,
                "precision": self.fabric.strategy.precision.state_dict(),
                "seconds": self.seconds,
                "judge": self.judge.state_dict(),
                "stepper": self.stepper.state_dict(),
                "sums": self.sums,
                "student": self.student.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "random": torch.get_rng_state(),
            },
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.validated, self.seconds = state["step"], state["validated"], state["seconds"]
        self.sums = state["sums"]
        self.judge.load_state_dict(state["judge"])
        self.stepper.load_state_dict(state["stepper"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.student.load_state_dict(state["student"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.objective.load_state_dict(state["objective"])
        self.enter(max(self.step - 1, 0))  # the optimiser that made the last step, also right before a reset
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
