"""The judge of a run: scores the validation recordings, and keeps the weights that score best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sordino import models
from sordino.distill.teachers import AnyTeacher
from sordino.distributed import rank
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.metrics import METRICS
from sordino.training.collectives import follow_first
from sordino.training.selection import Best, Selection
from sordino.training.state import CHECKPOINT
from sordino.training.validation import validate
from sordino.types import Item


class Judge:
    """Judges ``network`` by ``items``; called in all processes of a run.

    Args:
        network: what will be shipped, the average of the weights where there is one; in eval mode while it is scored.
        items: the validation recordings; there may be none.
        selection: what chooses.
        teacher: stands in for clean speech where a recording has none.
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

    def scores(self) -> dict[str, float]:
        """The mean of every column over the validation recordings that have a value, and ``score``, which chooses.

        ``unscored`` is the number of recordings, if any, that lack a value by which to choose. A network that answers
        with silence has no ``score``, and is never the best.

        Raises:
            InputError: a measure that chooses has no value on any of them, whatever the network answers.
        """
        follow_first(self.network)
        training = self.network.training
        self.network.eval()
        found = self._validated(self._enhance)
        self.network.train(training)
        means = found.means()
        missing = self.selection.missing(means)
        if not missing:
            means["score"] = self.selection.score(means)
        elif missing := self.selection.missing(self._validated(lambda noisy: noisy).means()):
            reasons = {column: one.reason for one in found.failures for column in METRICS[one.metric].columns}
            what = f"has no value on any validation recording ({reasons.get(missing[0], 'not a finite one')})"
            do = "choose by other measures, or validate on other recordings"
            raise InputError(f"train.select.{missing[0]}", what, hint=do)
        unscored = sum(not self.selection.weights.keys() <= row.keys() for row in found.rows)
        return means | ({"unscored": float(unscored)} if unscored else {})

    def _validated(self, enhance: Callable[[np.ndarray], np.ndarray]) -> Scores:
        rate, metrics = self.network.sample_rate, self.selection.metrics
        return validate(enhance, self.items, metrics, rate, self.teacher, self.fabric.device)

    def keep(self, step: int, scores: dict[str, float]) -> None:
        """Write the weights of ``step`` if they are the best so far.

        As long as no weights have a score, the latest are written: who asks for a run's checkpoint gets one, even if
        the run was too short for its network to say anything.
        """
        if "score" in scores:
            if self.best is not None and scores["score"] <= self.best.score:
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
        """Plain values, for a run that goes on later."""
        return {"select": self.selection.weights, "best": None if self.best is None else tuple(self.best)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on choosing by what the run began with, whatever the default is by now.

        Raises:
            InputError: a measure that this version does not know.
        """
        self.selection = Selection(state["select"])
        self.best = None if state["best"] is None else Best(*state["best"])
