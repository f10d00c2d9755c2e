"""The objective that training minimises: the weighted sum of the supervised losses and the methods' terms.

Supervised training is distillation with no teacher and no method; label-free training is distillation with no loss.
Where some items of a batch have no clean reference, terms that need one are computed from the others. Where several
processes train on parts of a batch, the mean of their terms is the term of the whole batch; ``collectives.py`` explains
how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.teachers import AnyTeacher, CachedTeacher, observe, unwrap
from sordino.distill.unchanged import unchanged
from sordino.errors import InputError
from sordino.models.base import evaluating
from sordino.plugins.catalogue import outside
from sordino.training.collectives import gathered_batch, gathered_view, mean, references, share
from sordino.training.loss_weights import Weighting
from sordino.training.term_checks import check_estimate, check_finite, check_parts_rate, check_shape
from sordino.training.term_weights import Weight
from sordino.types import Batch, Terms, View

Part = TypeVar("Part", bound=nn.Module)


class Objective(nn.Module):
    """Computes the named terms of a batch and their weighted sum.

    Its parameters are those of the methods, which train with the student. The teacher is no submodule, so its
    parameters are neither trained nor saved.

    Args:
        losses: name -> loss of (clean, estimate, noisy), as ``sordino.losses.create`` makes it: whatever it learnt
            would train with the student. Each gives a term ``loss/NAME``.
        methods: name -> method, connected by this constructor; each gives a term ``kd/NAME``.
        student: the network that will train; only its taps and its sample rate are read here.
        teacher: needed when there is any method.
        weights: term -> weight; a term that is not named weighs 1, and one of weight 0 is not computed.
        stages: for each stage of the run, what it changes in ``weights``; ``weighting.stage`` is the current one.

    Raises:
        InputError: methods without a teacher, a weight for a term that does not exist, networks at different sample
            rates, or nothing to minimise.
    """

    def __init__(
        self,
        losses: Mapping[str, nn.Module],
        methods: Mapping[str, Method],
        student: nn.Module,
        teacher: AnyTeacher | None = None,
        weights: Mapping[str, Weight] | None = None,
        stages: Sequence[Mapping[str, Weight]] = (),
    ) -> None:
        super().__init__()
        self.losses, self.methods = dict(losses), dict(methods)
        # Torch does not see modules in a plain dict; the list registers them, for their parameters and their device.
        self.parts = nn.ModuleList([*losses.values(), *methods.values()])
        self.teacher = teacher
        terms = [f"loss/{name}" for name in losses] + [f"kd/{name}" for name in methods]
        if not terms:
            raise InputError("loss", "nothing to minimise", "at least one loss or one distillation method")
        self._check_rate(student)
        self.weighting = Weighting(terms, weights or {}, stages)
        if methods:
            self._connect(student, teacher)

    def _check_rate(self, student: nn.Module) -> None:
        """Refuse losses, also those inside methods, that are defined at another sample rate than the student's."""
        rate = unwrap(student).sample_rate
        for name, loss in self.losses.items():
            check_parts_rate(f"loss.{name}", loss, rate)
        for name, method in self.methods.items():
            check_parts_rate(f"distill.{name}", method, rate)

    def _connect(self, student: nn.Module, teacher: AnyTeacher | None) -> None:
        """Let every method choose its taps."""
        if teacher is None:
            raise InputError("distill", "methods but no teacher", "teacher.checkpoint: PATH")
        network = unwrap(student)
        if network.sample_rate != teacher.sample_rate:
            expected = f"{network.sample_rate} Hz, the student's rate"
            raise InputError("teacher", f"works at {teacher.sample_rate} Hz", expected)
        for name, method in self.methods.items():
            try:
                method.connect(network.taps, teacher.taps)
            except InputError as error:
                found, hint = f"{error.found}, with {teacher.name} as the teacher", error.hint
                if not teacher.taps:
                    found += ", which shows its estimate alone"
                    hint = "take output, or a teacher that is a checkpoint"
                raise InputError(f"distill.{name}", found, error.expected if teacher.taps else "", hint) from error

    def prepare(self, student: nn.Module, batch: Batch) -> None:
        """Let the methods create their parameters, sized by the features of ``batch``; called once, before training.

        Raises:
            InputError: features that a method cannot compare.
        """
        if self.teacher is None:
            return
        for name, method in self.methods.items():
            with torch.no_grad(), evaluating(student):
                view = observe(student, batch.noisy, method.student_taps)
                target = self.teacher(batch, method.teacher_taps)
            check_estimate("student", view, batch)
            check_estimate("teacher", target, batch)
            view, target, _ = _gathered_for(method, view, target, batch)
            try:
                method.prepare(view, target)
            except InputError as error:
                raise InputError(f"distill.{name}", error.found, error.expected, error.hint) from error
            method.to(batch.noisy.device)
        used = with_term("kd", self.methods, self.weighting.used)
        if used and isinstance(self.teacher, CachedTeacher):
            self.teacher.keep(used.values(), batch)

    @property
    def active(self) -> dict[str, Method]:
        """The methods whose terms are computed in the current stage."""
        return with_term("kd", self.methods, self.weighting.active)

    def forward(self, student: nn.Module, batch: Batch, step: int = 0) -> tuple[Tensor, Terms]:
        """Run the student on the ``batch`` of ``step``, and the teacher once if any method needs it.

        Returns:
            The weighted sum, a scalar, and the unweighted terms by name.

        Raises:
            InputError: a term is not finite, or the batch lacks what a loss needs; the message names both.
        """
        losses = with_term("loss", self.losses, self.weighting.active)
        terms = self.terms(student, batch, losses, self.active)
        check_finite(terms, batch)
        if torch.is_grad_enabled():
            trained = [one for one in unwrap(student).parameters() if one.requires_grad]
            self.weighting.measure(terms, trained, step)
        weights = self.weighting.at(step)
        weighted = [weights[name] * term for name, term in terms.items()]
        return torch.stack(weighted).sum(), terms

    def meaningful(self, terms: Iterable[str], batch: Batch) -> list[str]:
        """Return the terms that some item of a batch has a part in; those that need clean speech may have none."""
        if mean(references(batch)):
            return list(terms)
        return [name for name in terms if not self._needs_clean(name)]

    def _needs_clean(self, term: str) -> bool:
        kind, _, name = term.partition("/")
        return kind == "loss" or self.methods[name].needs_clean

    def terms(
        self, student: nn.Module, batch: Batch, losses: Mapping[str, nn.Module], methods: Mapping[str, Method]
    ) -> Terms:
        """Return the unweighted terms of ``losses`` and ``methods``, from one pass of each network."""
        with outside(unwrap(student)):
            view = observe(student, batch.noisy, _unique(method.student_taps for method in methods.values()))
        check_estimate("student", view, batch)
        needs_clean = bool(losses) or any(method.needs_clean for method in methods.values())
        scale = share(batch) if needs_clean else 1.0
        return self._supervised(losses, view, batch, scale) | self._distilled(methods, view, batch, scale)

    def _supervised(self, losses: Mapping[str, nn.Module], view: View, batch: Batch, scale: Tensor | float) -> Terms:
        """Return the terms of ``losses`` over the items with a reference, times ``scale``; see ``share``."""
        if not losses:
            return {}
        if batch.clean is None and not self.methods:
            expected = "clean speech, which the loss compares with"
            raise InputError("data", "recordings without clean references", expected)
        rows = batch.labelled
        if rows is not None:
            view, batch = _part(view, rows), batch.part(rows)
        if batch.clean is None or not len(batch.clean):
            # In partly labelled data a whole batch may lack references by chance. A term of 0 that still depends on
            # the student keeps the backward pass alike in all processes.
            return {f"loss/{name}": 0 * view.wave.sum() for name in losses}
        terms: Terms = {}
        for name, loss in losses.items():
            given = batch.clean, view.wave, batch.noisy
            with outside(loss), unchanged(f"loss/{name}", *given):
                values = loss(*given)
            check_shape(f"loss/{name}", values, (len(view.wave),), "[B], a value for each recording")
            terms[f"loss/{name}"] = scale * values.mean()
        return terms

    def _distilled(self, methods: Mapping[str, Method], view: View, batch: Batch, scale: Tensor | float) -> Terms:
        """Return the terms of ``methods``, from one pass of the teacher; ``scale`` as for ``_supervised``."""
        if not methods or self.teacher is None:
            return {}
        with torch.no_grad():  # whatever a teacher of the user's does
            target = self.teacher(batch, _unique(method.teacher_taps for method in methods.values()))
        check_estimate("teacher", target, batch)
        terms: Terms = {}
        for name, method in methods.items():
            rows = batch.labelled if method.needs_clean else None
            with outside(method), unchanged(f"kd/{name}", *_tensors(view, target, batch)):
                if rows is None:
                    term = method(*_gathered_for(method, view, target, batch))
                elif len(rows):
                    term = method(_part(view, rows), _part(target, rows), batch.part(rows))
                else:
                    term = 0 * view.wave.sum()
            check_shape(f"kd/{name}", term, (), "[], the mean over the batch")
            if method.needs_clean:
                term = scale * term
            terms[f"kd/{name}"] = term
        return terms


def with_term(kind: Literal["loss", "kd"], parts: Mapping[str, Part], terms: Iterable[str]) -> dict[str, Part]:
    """Return the losses or methods whose terms, ``loss/NAME`` or ``kd/NAME``, are among ``terms``."""
    wanted = set(terms)
    return {name: part for name, part in parts.items() if f"{kind}/{name}" in wanted}


def _unique(taps: Iterable[Iterable[str]]) -> list[str]:
    """Return every tap that some method reads, once, in the order of the methods."""
    return list(dict.fromkeys(chain.from_iterable(taps)))


def _gathered_for(method: Method, view: View, target: View, batch: Batch) -> tuple[View, View, Batch]:
    """Return the inputs of a method: this process's items, or those of all processes if it compares items."""
    if not method.across_items:
        return view, target, batch
    view = gathered_view(view, method.student_taps)
    target = gathered_view(target, method.teacher_taps)
    return view, target, gathered_batch(batch)


def _tensors(view: View, target: View, batch: Batch) -> list[Tensor]:
    """Return the tensors that a method gets."""
    known = [view.wave, target.wave, batch.noisy, *view.feats.values(), *target.feats.values()]
    return known if batch.clean is None else [*known, batch.clean]


def _part(view: View, rows: Tensor) -> View:
    """Return the View of the items with the indices ``rows``."""
    return View(view.wave[rows], {name: feature[rows] for name, feature in view.feats.items()})
