"""Checks before a run: faults that would make hours of training worthless and that one batch can show.

They run on copies and change nothing: no weight, no batch-norm statistic and no random generator.
"""

from __future__ import annotations

import copy

import torch

from sordino.distill.base import Method
from sordino.distill.teachers import CachedTeacher, JointTeacher, Teacher
from sordino.distributed import all_gather
from sordino.errors import InputError
from sordino.losses.silence import is_silent
from sordino.models import Enhancer
from sordino.training.objective import Objective, with_term
from sordino.types import Batch, View

ZERO = 1e-5
"""Loss of a student that equals its teacher, below which it counts as 0 in float32."""
MISALIGNED = 0.02
"""Loss after padding the teacher's features, as a share of the loss against another recording, that is still accepted.

A method that matches features by position hardly notices the padding. One that stretches them to a common length does.
"""


def check(objective: Objective, student: Enhancer, batch: Batch, labels: str = "all") -> dict[str, float]:
    """Check every term of every stage of ``objective`` on ``batch``.

    Args:
        objective: prepared.
        student: the network to train.
        batch: the first of the run.
        labels: ``all``, ``some`` or ``none``: how much of the data has clean references.

    Returns:
        The terms before training, by name.

    Raises:
        InputError: the named term is not finite, or is 0. It should be 0 for a student that equals its teacher, and is
            not, or not if one of the two pads its input further. Its gradient does not reach the student or the
            method's own parameters, or it reaches the teacher. Or the data lack the references that it needs.
    """
    if labels == "some" and not objective.methods:
        hint = "add distill, whose teacher gives them targets, or leave unlabelled out"
        raise InputError("unlabelled", "recordings that nothing learns from", hint=hint)
    terms = {}
    rows = batch.labelled
    # Asked of all processes: terms are averaged over them, so all must check the same ones.
    lacking = any(all_gather(lambda: rows is not None and not len(rows)))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        for name in objective.weighting.used:
            needs = name.startswith("loss/") or objective.methods[name.removeprefix("kd/")].needs_clean
            if needs and labels == "none":
                hint = "leave it out"
                if name.startswith("loss/"):
                    hint = f"set {name.replace('/', '.')}=null, or add recordings with references"
                raise InputError(name, "needs clean speech, and none of the recordings has a reference", hint=hint)
            if needs and lacking:
                continue  # a batch of partly labelled data may have no reference by chance
            terms[name] = _check_term(objective, student, batch, name)
    teacher = _teacher_network(objective)
    for name, method in objective.methods.items():
        if method.zero_when_equal and teacher is not None:
            _check_zero(name, method, teacher, batch)
    return terms


def pulls(objective: Objective, student: Enhancer, batch: Batch, step: int = 0) -> dict[str, float]:
    """Measure the pull of every method before training, in the first stage with a loss beside it: ``kd/NAME`` -> ratio.

    The pull is the weighted gradient of a term over that of the supervised loss; see ``sordino.training.pulls``.

    Args:
        objective: prepared.
        student: the network to train.
        batch: the first of the run.
        step: the step whose weights count; the last step counts ramps at their end.
    """
    twin, weighting = copy.deepcopy(student).train(), copy.deepcopy(objective.weighting)
    methods = {name: copy.deepcopy(method) for name, method in objective.methods.items()}
    ratios: dict[str, float] = {}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        for stage in range(len(weighting.stages)):
            weighting.stage = stage
            losses = with_term("loss", objective.losses, weighting.active)
            active = with_term("kd", methods, weighting.active)
            terms = objective.terms(twin, batch, losses, active)
            weighting.measure(terms, [one for one in twin.parameters() if one.requires_grad], step)
            ratios = weighting.pulls(step) | ratios  # the first stage that has a ratio wins
    return {name.removeprefix("pull/"): ratio for name, ratio in ratios.items()}


def _check_term(objective: Objective, student: Enhancer, batch: Batch, name: str) -> float:
    """Return the value of one term, after checking on copies where its gradient goes."""
    twin = copy.deepcopy(student).train()
    losses = with_term("loss", objective.losses, [name])
    methods = copy.deepcopy(with_term("kd", objective.methods, [name]))
    term = objective.terms(twin, batch, losses, methods)[name]
    if not torch.isfinite(term):
        raise InputError(name, f"{term.item()} on the first batch", "a finite loss")
    if _is_silent(name, batch) or (term == 0 and any(method.may_be_zero for method in methods.values())):
        return term.item()  # by chance, this batch has nothing to learn from
    if term == 0:  # below 0 is right for a likelihood
        raise InputError(name, "0 on the first batch", "another value: as it is, it has nothing to teach")
    if term.requires_grad:
        term.backward()
    if not any(one.grad is not None and one.grad.any() for one in twin.parameters()):
        raise InputError(name, "its gradient does not reach the student", hint="read taps that the student computes")
    for method in methods.values():
        for learnt, parameter in method.named_parameters():
            if parameter.requires_grad and parameter.grad is None:
                raise InputError(name, f"its gradient does not reach {learnt}, which the method learns")
    teacher = _teacher_network(objective)
    if teacher is not None and any(one.grad is not None for one in teacher.network.parameters()):
        raise InputError(name, "its gradient reaches the teacher", "a teacher that does not learn")
    return term.item()


def _is_silent(name: str, batch: Batch) -> bool:
    """Whether all that a term compares with is silent: clean speech, or what the networks are given."""
    sound = batch.clean if name.startswith("loss/") else batch.noisy
    return sound is not None and bool(is_silent(sound).all())


def _teacher_network(objective: Objective) -> Teacher | None:
    """Return the teacher whose features are read, if it is a network and loaded.

    Behind a cache that already has the outputs for the first batch it need not be loaded.
    """
    teacher = objective.teacher
    if isinstance(teacher, CachedTeacher):
        teacher = teacher.loaded
    if isinstance(teacher, JointTeacher):
        teacher = teacher.features
    return teacher if isinstance(teacher, Teacher) else None


def _check_zero(name: str, method: Method, teacher: Teacher, batch: Batch) -> None:
    """Check the loss of a student that equals its teacher, with the teacher in both roles."""
    rows = batch.labelled if method.needs_clean else None
    if rows is not None:
        if not len(rows):
            return  # the batch has no reference, by chance
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
        equal = twin(view, view, batch).item()
        padded = twin(view, _padded(view, twin), batch).item()
        other = twin(view, _other(view), batch).item()
    if not abs(equal) < ZERO:
        raise InputError(f"kd/{name}", f"{equal:g} for a student that equals its teacher", "0")
    if not abs(padded) < max(ZERO, MISALIGNED * abs(other)):
        found = f"{padded:g} for equal networks that pad their input differently, {other:g} for different speech"
        hint = "match the features by position, as sordino.distill.layers.positions does, not by their lengths"
        raise InputError(f"kd/{name}", found, f"the first below {MISALIGNED:.0%} of the second", hint)


def _padded(view: View, method: Method) -> View:
    """Return the View of a deeper network, which pads the signal further, so that its features have more frames."""
    feats = dict(view.feats)
    coarsest = max((place.stride for place in method.teacher_places.values()), default=0)
    for name, place in method.teacher_places.items():
        feature = feats[name]
        silence = feature.new_zeros(*feature.shape[:2], round(coarsest / place.stride), *feature.shape[3:])
        feats[name] = torch.cat([feature, silence], dim=2)
    return View(view.wave, feats)


def _other(view: View) -> View:
    """Return a View of other recordings: of another item of the batch, or of a single item reversed in time."""
    if len(view.wave) > 1:
        return View(view.wave.roll(1, 0), {name: feature.roll(1, 0) for name, feature in view.feats.items()})
    return View(view.wave.flip(-1), {name: feature.flip(2) for name, feature in view.feats.items()})
