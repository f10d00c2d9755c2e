"""Self-checks before a run: whatever would make hours of training worthless and can be seen in one batch.

They run on copies and leave no trace: no weight, no statistic of a batch norm and no random generator changes.
"""

from __future__ import annotations

import copy

import torch

from sordino.distill.base import Method
from sordino.distill.teachers import CachedTeacher, JointTeacher, Teacher
from sordino.distributed import every
from sordino.errors import InputError
from sordino.losses.silence import is_silent
from sordino.models import Enhancer
from sordino.training.objective import Objective
from sordino.types import Batch, View

ZERO = 1e-5
"""What counts as 0 for the loss of a student that equals its teacher, in float32."""
SHIFTED = 0.02
"""Share of the loss against another recording from which features count as compared out of place."""


def check(objective: Objective, student: Enhancer, batch: Batch, labels: str = "all") -> dict[str, float]:
    """Check every term of every stage of ``objective`` on ``batch``.

    Args:
        objective: prepared.
        student: the network to train.
        batch: the first of the run.
        labels: whether all, some or none of the data have clean references.

    Returns:
        The terms at the start, by name.

    Raises:
        InputError: a term that is not finite or is 0, or not 0 where student and teacher are one and its paper
            says so, also if one of the two pads its input further; a term that does not reach the student, or does
            not reach what its method learns, or reaches the teacher; data without the references that a term needs.
            The term is named.
    """
    if labels == "some" and not objective.methods:
        do = "add distill, whose teacher knows what they should sound like, or leave unlabelled out"
        raise InputError("unlabelled", "recordings that nothing learns from", hint=do)
    terms = {}
    rows = batch.labelled
    lacking = any(every(lambda: rows is not None and not len(rows)))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        for name in objective.weighting.used:
            needs = name.startswith("loss/") or objective.methods[name.removeprefix("kd/")].needs_clean
            if needs and labels == "none":
                do = "set loss: null, or add recordings with references" if name.startswith("loss/") else "leave it out"
                raise InputError(name, "needs clean speech, and none of the recordings has a reference", hint=do)
            if needs and lacking:
                continue  # of partly labelled data a batch may hold no reference, by chance
            terms[name] = _check_term(objective, student, batch, name)
    teacher = _network(objective)
    for name, method in objective.methods.items():
        if method.zero_when_equal and teacher is not None:
            _check_zero(name, method, teacher, batch)
    return terms


def pulls(objective: Objective, student: Enhancer, batch: Batch, step: int = 0) -> dict[str, float]:
    """How hard every method pulls at the start, in the first stage that has a loss beside it: ``kd/NAME`` -> ratio.

    Args:
        objective: prepared.
        student: the network to train.
        batch: the first of the run.
        step: whose weights count; the last one's where ramps are to have reached their end.
    """
    twin, weighting = copy.deepcopy(student).train(), copy.deepcopy(objective.weighting)
    methods = {name: copy.deepcopy(method) for name, method in objective.methods.items()}
    found: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        for stage in range(len(weighting.stages)):
            weighting.stage = stage
            losses = {name: loss for name, loss in objective.losses.items() if f"loss/{name}" in weighting.active}
            active = {name: method for name, method in methods.items() if f"kd/{name}" in weighting.active}
            terms = objective.terms(twin, batch, losses, active)
            weighting.measure(terms, [one for one in twin.parameters() if one.requires_grad], step)
            found = weighting.pulls(step) | found
    return {name.removeprefix("pull/"): ratio for name, ratio in found.items()}


def _check_term(objective: Objective, student: Enhancer, batch: Batch, name: str) -> float:
    """The value of one term, after a backward pass on copies that must reach everyone it should."""
    twin = copy.deepcopy(student).train()
    losses = {key: loss for key, loss in objective.losses.items() if name == f"loss/{key}"}
    methods = {key: copy.deepcopy(method) for key, method in objective.methods.items() if name == f"kd/{key}"}
    term = objective.terms(twin, batch, losses, methods)[name]
    if not torch.isfinite(term):
        raise InputError(name, f"{term.item()} on the first batch", "a finite loss")
    if name.startswith("loss/") and batch.clean is not None and is_silent(batch.clean).all():
        return term.item()  # of noise alone some losses learn nothing, as they say; it is a batch by chance
    if term == 0:  # a likelihood may well be below
        raise InputError(name, "0 on the first batch", "another value: as it is, it has nothing to teach")
    if term.requires_grad:
        term.backward()
    if not any(one.grad is not None and one.grad.any() for one in twin.parameters()):
        raise InputError(name, "its gradient does not reach the student", hint="read taps that the student computes")
    for method in methods.values():
        for learnt, parameter in method.named_parameters():
            if parameter.requires_grad and parameter.grad is None:
                raise InputError(name, f"its gradient does not reach {learnt}, which the method learns")
    teacher = _network(objective)
    if teacher is not None and any(one.grad is not None for one in teacher.network.parameters()):
        raise InputError(name, "its gradient reaches the teacher", "a teacher that does not learn")
    return term.item()


def _network(objective: Objective) -> Teacher | None:
    """The teacher if it is a network and at hand; behind a cache that has the first answers it need not be loaded.

    Of two as one it is the one whose features are read.
    """
    teacher = objective.teacher.loaded if isinstance(objective.teacher, CachedTeacher) else objective.teacher
    teacher = teacher.features if isinstance(teacher, JointTeacher) else teacher
    return teacher if isinstance(teacher, Teacher) else None


def _check_zero(name: str, method: Method, teacher: Teacher, batch: Batch) -> None:
    """The loss of the teacher as its own student."""
    rows = batch.labelled if method.needs_clean else None
    if rows is not None:
        if not len(rows):
            return  # nothing in this batch to compare with, by chance
        batch = batch.part(rows)
    twin = copy.deepcopy(method)
    try:
        twin.connect(teacher.taps, teacher.taps)
    except InputError:
        return  # a network that this method cannot compare with itself
    view = teacher(batch, dict.fromkeys([*twin.student_taps, *twin.teacher_taps]))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        twin.prepare(view, view)
        twin.to(batch.noisy.device)
        equal, padded, other = (twin(view, one, batch).item() for one in (view, _padded(view, twin), _other(view)))
    if not abs(equal) < ZERO:
        raise InputError(f"kd/{name}", f"{equal:g} for a student that equals its teacher", "0")
    if not abs(padded) < max(ZERO, SHIFTED * abs(other)):
        found = f"{padded:g} for a student that equals its teacher and pads its input less, {other:g} for other speech"
        do = "match the features by position, as sordino.distill.layers.positions does, not by their lengths"
        raise InputError(f"kd/{name}", found, f"below {SHIFTED:.0%} of that", do)


def _padded(view: View, method: Method) -> View:
    """The features as a deeper network has them, which pads the signal further: with more frames at their ends."""
    feats = dict(view.feats)
    more = max((place.stride for place in method.teacher_places.values()), default=0)
    for name, place in method.teacher_places.items():
        feature = feats[name]
        silence = feature.new_zeros(*feature.shape[:2], round(more / place.stride), *feature.shape[3:])
        feats[name] = torch.cat([feature, silence], dim=2)
    return View(view.wave, feats)


def _other(view: View) -> View:
    """What the network shows of another recording: of another item of the batch, or of this one from its end."""
    if len(view.wave) > 1:
        return View(view.wave.roll(1, 0), {name: feature.roll(1, 0) for name, feature in view.feats.items()})
    return View(view.wave.flip(-1), {name: feature.flip(2) for name, feature in view.feats.items()})
