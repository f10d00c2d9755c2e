"""What a step minimises: the supervised loss and the methods' terms, weighed and summed in this one place.

Supervised training is distillation with no teacher and no method; label-free training is distillation with no loss.
In a batch of which some items have no clean reference, what needs one sees the others alone. Where several processes
train on parts of a batch, the mean of their terms is the term of the whole batch; ``across`` says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sordino.distill.base import Method
from sordino.distill.teachers import AnyTeacher, CachedTeacher, observe, unwrap
from sordino.errors import InputError
from sordino.training.collectives import gathered_batch, gathered_view, share
from sordino.training.loss_weights import Weighting
from sordino.training.term_weights import Weight
from sordino.types import Batch, Terms, View


class Objective(nn.Module):
    """Named terms of a batch and their weighted sum.

    Its parameters are the methods' own, which train with the student; the teacher's are out of reach.

    Args:
        losses: name -> loss of (clean, estimate, noisy); a term ``loss/NAME`` each.
        methods: name -> method, connected by this constructor; a term ``kd/NAME`` each.
        student: the network that will train; only its taps are read here.
        teacher: needed when there is any method.
        weights: term -> weight; a term that is not named weighs 1, and one of weight 0 is not computed.
        stages: for each stage of the run, what it changes in ``weights``; ``weighting.stage`` is the present one.

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
        # A plain dict hides its modules from torch; here they are registered, for their parameters and their device.
        self.parts = nn.ModuleList([*losses.values(), *methods.values()])
        self.teacher = teacher
        terms = [*(f"loss/{name}" for name in losses), *(f"kd/{name}" for name in methods)]
        if not terms:
            raise InputError("loss", "nothing to minimise", "at least one loss or one distillation method")
        self._check_rate(student)
        self.weighting = Weighting(terms, weights or {}, stages)
        if methods:
            self._connect(student, teacher)

    def _check_rate(self, student: nn.Module) -> None:
        """Refuse losses that are defined at another sample rate than the student's, inside of methods too."""
        rate = unwrap(student).sample_rate
        for term, part in [
            *((f"loss.{name}", loss) for name, loss in self.losses.items()),
            *((f"distill.{name}", method) for name, method in self.methods.items()),
        ]:
            for module in part.modules():
                needed = getattr(module, "sample_rate", rate)
                if needed != rate:
                    found = f"{type(module).__name__} is defined at {needed} Hz alone"
                    raise InputError(term, found, f"a loss for {rate} Hz, the student's rate", "take another loss")

    def _connect(self, student: nn.Module, teacher: AnyTeacher | None) -> None:
        if teacher is None:
            raise InputError("distill", "methods but no teacher", "teacher.checkpoint: PATH")
        ours = unwrap(student)
        if ours.sample_rate != teacher.sample_rate:
            raise InputError(
                "teacher", f"works at {teacher.sample_rate} Hz", f"{ours.sample_rate} Hz, the student's rate"
            )
        for name, method in self.methods.items():
            try:
                method.connect(ours.taps, teacher.taps)
            except InputError as error:
                shown = "" if teacher.taps else ", which shows its estimate alone"
                do = error.hint if teacher.taps else "take output, or a teacher that is a checkpoint"
                found = f"{error.found}, with {teacher.name} as the teacher{shown}"
                raise InputError(f"distill.{name}", found, error.expected, do) from error

    def prepare(self, student: nn.Module, batch: Batch) -> None:
        """Let the methods make what they learn, sized by the features of ``batch``; to be called once, before training.

        Raises:
            InputError: features that a method cannot compare.
        """
        if self.teacher is None:
            return
        training = student.training
        student.eval()
        for name, method in self.methods.items():
            with torch.no_grad():
                ours = observe(student, batch.noisy, method.student_taps)
                theirs = self.teacher(batch, method.teacher_taps)
            try:
                method.prepare(*_seen(method, ours, theirs, batch)[:2])
            except InputError as error:
                raise InputError(f"distill.{name}", error.found, error.expected, error.hint) from error
            method.to(batch.noisy.device)
        student.train(training)
        asking = [method for name, method in self.methods.items() if f"kd/{name}" in self.weighting.used]
        if asking and isinstance(self.teacher, CachedTeacher):
            self.teacher.keep(asking, batch)

    @property
    def active(self) -> dict[str, Method]:
        """The methods whose terms count in the present stage."""
        counted = set(self.weighting.active)
        return {name: method for name, method in self.methods.items() if f"kd/{name}" in counted}

    def forward(self, student: nn.Module, batch: Batch, step: int = 0) -> tuple[Tensor, Terms]:
        """Run the student, and the teacher once if any method reads it, on ``batch``, the one of ``step``.

        Returns:
            The weighted sum, and the unweighted terms by name.

        Raises:
            InputError: a term is not finite, or the batch lacks what a loss needs; the message names both.
        """
        losses = {name: loss for name, loss in self.losses.items() if f"loss/{name}" in self.weighting.active}
        terms = self.terms(student, batch, losses, self.active)
        for name, term in terms.items():
            if not torch.isfinite(term):
                found = f"{term.item()} on the batch {', '.join(batch.ids)}"
                raise InputError(name, found, "a finite loss", "lower train.max_lr, set train.grad_clip, or look there")
        if torch.is_grad_enabled():
            trained = [one for one in unwrap(student).parameters() if one.requires_grad]
            self.weighting.measure(terms, trained, step)
        weights = self.weighting.at(step)
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms

    def terms(
        self, student: nn.Module, batch: Batch, losses: Mapping[str, nn.Module], methods: Mapping[str, Method]
    ) -> Terms:
        """The unweighted terms of ``losses`` and ``methods``, from one pass of the student and one of the teacher."""
        view = observe(student, batch.noisy, _once(method.student_taps for method in methods.values()))
        compares = bool(losses) or any(method.needs_clean for method in methods.values())
        labelled = share(batch) if compares else 1.0
        return self._supervised(losses, view, batch, labelled) | self._distilled(methods, view, batch, labelled)

    def _supervised(self, losses: Mapping[str, nn.Module], view: View, batch: Batch, labelled: Tensor | float) -> Terms:
        if not losses:
            return {}
        if batch.clean is None and not self.methods:
            raise InputError(
                "data", "recordings without clean references", "clean speech, which the loss compares with"
            )
        rows = batch.labelled
        if rows is not None:
            view, batch = _part(view, rows), batch.part(rows)
        if batch.clean is None or not len(batch.clean):
            # Of a mixed source a whole batch may lack references by chance.
            return {f"loss/{name}": 0 * view.wave.sum() for name in losses}
        terms = {name: loss(batch.clean, view.wave, batch.noisy).mean() for name, loss in losses.items()}
        return {f"loss/{name}": labelled * term for name, term in terms.items()}

    def _distilled(self, methods: Mapping[str, Method], view: View, batch: Batch, labelled: Tensor | float) -> Terms:
        if not methods or self.teacher is None:
            return {}
        target = self.teacher(batch, _once(method.teacher_taps for method in methods.values()))
        terms: Terms = {}
        for name, method in methods.items():
            rows = batch.labelled if method.needs_clean else None
            if rows is None:
                term = method(*_seen(method, view, target, batch))
            elif len(rows):
                term = method(_part(view, rows), _part(target, rows), batch.part(rows))
            else:
                term = 0 * view.wave.sum()
            terms[f"kd/{name}"] = labelled * term if method.needs_clean else term
        return terms


def _once(taps: Iterable[Iterable[str]]) -> list[str]:
    """Every tap that some method reads, once."""
    return list(dict.fromkeys(tap for of_method in taps for tap in of_method))


def _seen(method: Method, view: View, target: View, batch: Batch) -> tuple[View, View, Batch]:
    """What a method is shown: this process's items, or those of all if it compares them with each other."""
    if not method.across_items:
        return view, target, batch
    views = gathered_view(view, method.student_taps), gathered_view(target, method.teacher_taps)
    return *views, gathered_batch(batch)


def _part(view: View, rows: Tensor) -> View:
    return View(view.wave[rows], {name: feature[rows] for name, feature in view.feats.items()})
