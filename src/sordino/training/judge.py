"""Judgement of a run: scores on the validation recordings, the weights that score best, and signs of divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sordino import models
from sordino.distill.teachers import AnyTeacher
from sordino.distributed import rank
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.metrics import columns
from sordino.models.base import evaluating
from sordino.plugins.modules import demand_names
from sordino.training.collectives import follow_first
from sordino.training.divergence import FALLEN, demand_finite
from sordino.training.log import Log
from sordino.training.polarity import PolarityWatch
from sordino.training.selection import Best, Selection
from sordino.training.state import CHECKPOINT
from sordino.training.validation import validate
from sordino.types import Enhance, Item


class Judge:
    """Scores ``network`` on ``items``, and saves its weights when they are the best so far.

    All processes of a run call it; the first one writes the checkpoint.

    Args:
        network: the network to be used after training: the average of the weights where there is one.
        items: the validation recordings; there may be none.
        selection: chooses the best by its scores.
        teacher: its estimate takes the place of clean speech where a recording has none.
        fabric: of the run.
        folder: of the run.
        about: facts to store in the checkpoint's header.

    Attributes:
        best: the best so far; None before the first validation.
    """

    def __init__(
        self,
        network: models.Enhancer,
        items: Sequence[Item],
        selection: Selection,
        teacher: AnyTeacher | None,
        fabric: Any,
        folder: Path,
        about: dict[str, Any],
    ) -> None:
        self.network, self.items, self.selection, self.teacher = network, items, selection, teacher
        self.fabric, self.folder, self.about = fabric, folder, about
        self.best: Best | None = None
        self._noisy: float | None = None  # the score of the noisy input, once it was needed

    def scores(self) -> dict[str, float]:
        """Return the mean of every column over the validation recordings that have a value.

        ``score``, the figure that chooses, is added; a network whose output is silent has none and is never the best.
        ``unscored`` is added where recordings lack a value by which to choose; it is their number.

        Raises:
            InputError: a measure that chooses has no value on any recording, whatever the network's output is.
        """
        follow_first(self.network)
        with evaluating(self.network):
            scores = self._validate(self._enhance)
        means = scores.means()
        if self.selection.missing(means):
            self._check_recordings(scores)
        else:
            means["score"] = self.selection.score(means)
        unscored = [row for row in scores.rows if not self.selection.weights.keys() <= row.keys()]
        if unscored:
            means["unscored"] = float(len(unscored))
        return means

    def _check_recordings(self, scores: Scores) -> None:
        """Refuse recordings on which even the noisy speech itself has no value by which to choose."""
        missing = self.selection.missing(self._noisy_means())
        if not missing:
            return  # the network is at fault, not the recordings
        reasons: dict[str, str] = {}
        for failure in scores.failures:
            reasons |= dict.fromkeys(columns([failure.metric]), failure.reason)
        found = f"has no value on any validation recording ({reasons.get(missing[0], 'not a finite one')})"
        hint = "choose by other measures, or validate on other recordings"
        raise InputError(f"train.select.{missing[0]}", found, hint=hint)

    def _noisy_means(self) -> dict[str, float]:
        """Return the mean of every column for the noisy input itself."""
        return self._validate(lambda noisy: noisy).means()

    def _validate(self, enhance: Enhance) -> Scores:
        rate, metrics = self.network.sample_rate, self.selection.metrics
        return validate(enhance, self.items, metrics, rate, self.teacher, self.fabric.device)

    def is_below_noisy(self, scores: dict[str, float]) -> bool:
        """Return whether a validation is worse than the best before it, and than the noisy input itself."""
        if self.best is None or scores.get("score", -math.inf) >= self.best.score:
            return False
        if self._noisy is None:
            means = self._noisy_means()
            self._noisy = -math.inf if self.selection.missing(means) else self.selection.score(means)
        return scores.get("score", -math.inf) < self._noisy

    def keep(self, step: int, scores: dict[str, float]) -> None:
        """Save the weights of ``step`` if they are the best so far.

        Weights whose output is silent on more recordings are never better: their mean is over easier ones.
        As long as no weights have a score, the latest are saved: every run with validation recordings has a checkpoint,
        even one that is too short for its network to output more than silence.
        """
        if "score" in scores:
            if self.best is not None and not _better(scores, self.best.scores):
                return
            self.best = Best(scores["score"], step, scores)
        elif self.best is not None:
            return
        if rank() == 0:
            chosen = {"valid": scores, "select": self.selection.weights}
            models.save(self.network, self.folder / CHECKPOINT, step=step, **chosen, **self.about)

    def _enhance(self, noisy: np.ndarray) -> np.ndarray:
        with torch.no_grad(), self.fabric.autocast():
            wave = torch.from_numpy(noisy).to(self.fabric.device).unsqueeze(0)
            return self.network(wave).float().squeeze(0).cpu().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as plain values."""
        return {"select": self.selection.weights, "best": None if self.best is None else tuple(self.best)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the measures that choose, and the best so far; the run's own measures win over a newer default.

        Raises:
            InputError: this version does not have one of the measures.
        """
        demand_names(state["select"], self.folder)
        self.selection = Selection(state["select"], self.network.sample_rate)
        self.best = None if state["best"] is None else Best(*state["best"])


def _better(scores: Mapping[str, float], best: Mapping[str, float]) -> bool:
    """Return whether a validation is better than the best one: it has a value on more recordings, or scores higher."""
    unscored, before = scores.get("unscored", 0.0), best.get("unscored", 0.0)
    if unscored != before:
        return unscored < before
    return scores["score"] > best["score"]


class Validation:
    """Validates a run, and reports when it may have diverged.

    Args:
        judge: scores the network, and keeps its best weights.
        watch: checks the polarity of the network.
        warmup: steps during which a low score says nothing.
        steps: of the run, at whose end there is nothing left to stop.
        last: the step of the last validation; 0 before the first, or -1 to validate before the first step too.

    Attributes:
        last: the step of the last validation.
        fallen: whether that was below the noisy input, and below the best before it.
    """

    def __init__(self, judge: Judge, watch: PolarityWatch, warmup: int, steps: int, last: int) -> None:
        self.judge, self.watch, self.warmup, self.steps, self.last = judge, watch, warmup, steps, last
        self.fallen = False

    def run(self, model: nn.Module, step: int, optimizer: Any, log: Log) -> None:
        """Score the validation recordings, check the polarity of the network, and keep the weights if they are best.

        Raises:
            Diverged: a weight is not finite.
        """
        demand_finite(self.judge.network)
        if self.judge.items:
            self._score(model, step, optimizer, log)
        self.last = step

    def _score(self, model: nn.Module, step: int, optimizer: Any, log: Log) -> None:
        follow_first(model)
        scores = self.judge.scores()
        if self.watch.fix(scores.get("correlation"), step, optimizer, log):
            scores = self.judge.scores()
        log.write(step, {f"valid/{name}": value for name, value in scores.items()})
        had_fallen, best = self.fallen, self.judge.best
        self.fallen = step > self.warmup and self.judge.is_below_noisy(scores)
        if self.fallen and best is not None and not had_fallen and step < self.steps:
            self.watch.status(FALLEN.format(step=step, best=best.step))
        self.judge.keep(step, scores)
