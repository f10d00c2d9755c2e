"""What a step minimises: the supervised loss and the methods' terms, weighed and summed in this one place.

Supervised training is distillation with no teacher and no method.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sotto.distill import Method, Teacher, observe, unwrap
from sotto.errors import InputError
from sotto.types import Batch, Terms, View


class Objective(nn.Module):
    """Named terms of a batch and their weighted sum.

    Its parameters are the methods' own, which train with the student; the teacher's are out of reach.

    Args:
        losses: name -> loss of (clean, estimate, noisy); a term ``loss/NAME`` each.
        methods: name -> method, connected by this constructor; a term ``kd/NAME`` each.
        student: the network that will train; only its taps are read here.
        teacher: needed when there is any method.
        weights: term -> weight; a term that is not named weighs 1.

    Raises:
        InputError: methods without a teacher, a weight for a term that does not exist, networks at different sample
            rates, or nothing to minimise.
    """

    def __init__(
        self,
        losses: Mapping[str, nn.Module],
        methods: Mapping[str, Method],
        student: nn.Module,
        teacher: Teacher | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.losses, self.methods = dict(losses), dict(methods)
        # A plain dict hides its modules from torch; here they are registered, for their parameters and their device.
        self.parts = nn.ModuleList([*losses.values(), *methods.values()])
        self.teacher = teacher
        self.weights = {f"loss/{name}": 1.0 for name in losses} | {f"kd/{name}": 1.0 for name in methods}
        for name in weights or {}:
            if name not in self.weights:
                near = difflib.get_close_matches(name, self.weights, n=1)
                hint = f"did you mean {near[0]}?" if near else ""
                raise InputError(f"weights.{name}", "no such term", f"one of {', '.join(self.weights)}", hint)
        self.weights |= weights or {}
        if not self.weights:
            raise InputError("loss", "nothing to minimise", "at least one loss or one distillation method")
        if methods:
            self._connect(student, teacher)

    def _connect(self, student: nn.Module, teacher: Teacher | None) -> None:
        if teacher is None:
            raise InputError("distill", "methods but no teacher", "teacher.checkpoint: PATH")
        ours, theirs = unwrap(student), teacher.network
        if ours.sample_rate != theirs.sample_rate:
            raise InputError(
                "teacher", f"works at {theirs.sample_rate} Hz", f"{ours.sample_rate} Hz, the student's rate"
            )
        for method in self.methods.values():
            method.connect(ours.taps, theirs.taps)

    @property
    def student_taps(self) -> list[str]:
        """Every tap of the student that some method reads, once."""
        return list(dict.fromkeys(tap for method in self.methods.values() for tap in method.student_taps))

    @property
    def teacher_taps(self) -> list[str]:
        """Every tap of the teacher that some method reads, once."""
        return list(dict.fromkeys(tap for method in self.methods.values() for tap in method.teacher_taps))

    def forward(self, student: nn.Module, batch: Batch) -> tuple[Tensor, Terms]:
        """Run the student, and the teacher once if any method reads it, on ``batch``.

        Returns:
            The weighted sum, and the unweighted terms by name.

        Raises:
            InputError: a term is not finite, or the batch lacks what a loss needs; the message names both.
        """
        view = observe(student, batch.noisy, self.student_taps)
        terms = self._supervised(view, batch) | self._distilled(view, batch)
        for name, term in terms.items():
            if not torch.isfinite(term):
                found = f"{term.item()} on the batch {', '.join(batch.ids)}"
                raise InputError(name, found, "a finite loss", "lower train.max_lr, set train.grad_clip, or look there")
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return total, terms

    def _supervised(self, view: View, batch: Batch) -> Terms:
        if self.losses and batch.clean is None:
            raise InputError(
                "data", "recordings without clean references", "clean speech, which the loss compares with"
            )
        return {f"loss/{name}": loss(batch.clean, view.wave, batch.noisy).mean() for name, loss in self.losses.items()}

    def _distilled(self, view: View, batch: Batch) -> Terms:
        if not self.methods or self.teacher is None:
            return {}
        for name, method in self.methods.items():
            if method.needs_clean and batch.clean is None:
                raise InputError(f"distill.{name}", "needs clean speech, and the recordings have none")
        target = self.teacher(batch, self.teacher_taps)
        return {f"kd/{name}": method(view, target, batch) for name, method in self.methods.items()}
