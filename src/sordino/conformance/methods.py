"""Checks of every distillation method, on small pairs of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sordino import models
from sordino.conformance.base import Broken, Check, NotClaimed, noise, require
from sordino.conformance.gradients import require_gradient
from sordino.distill.base import Method
from sordino.distill.teachers import Teacher, observe
from sordino.distill.unchanged import unchanged
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.models.base import evaluating
from sordino.types import Batch, View

Make = Callable[[], Method]
EQUAL = 1e-6
ITEMS_CLOSE = 1e-4


class Pair(NamedTuple):
    """A student and a teacher: names and arguments of networks."""

    student: tuple[str, dict[str, Any]]
    teacher: tuple[str, dict[str, Any]]

    def build(self, seed: int = 0) -> tuple[Enhancer, Enhancer]:
        """Build both, the teacher from the next seed."""
        return _network(*self.student, seed), _network(*self.teacher, seed + 1)


MANNERS = Pair(("manner-s", {"hidden": 12, "depth": 2}), ("manner-b", {"hidden": 18, "depth": 3}))
UNETS = Pair(("unet", {"width": 8, "depth": 3, "groups": 2}), ("unet", {"width": 12, "depth": 3, "groups": 2}))
PAIRS = (MANNERS, UNETS)
"""In this order; a method is checked on the first one that it can read."""
UNLIKE = Pair(UNETS.student, MANNERS.teacher)
"""Their layers of equal depth have unequal strides, and the student's alone have frequencies."""


def learns(make: Make, pair: Pair | None = None) -> None:
    """The loss is a finite scalar above 0 whose gradient reaches all of the student, and nothing of the teacher."""
    case = _Case(make, pair)
    target, view = case.target(), observe(case.student, case.batch.noisy, case.method.student_taps)
    with unchanged("the method", view.wave, target.wave, *view.feats.values(), *target.feats.values()):
        loss = case.method(view, target, case.batch)
    require(isinstance(loss, Tensor), f"the loss is a {type(loss).__name__}, and should be a tensor")
    require(loss.shape == (), f"the loss has the shape {list(loss.shape)}, and should be a scalar")
    require(torch.isfinite(loss), "the loss is not finite")
    require(loss > 0, f"the loss of two different networks is {loss.item():.2g}, and should be above 0")
    loss.backward()
    # A network's first parameter lies before every tap.
    name, first = next(case.student.named_parameters())
    require(first.grad is not None and first.grad.abs().max() > 0, f"no gradient reaches the student's {name}")
    for name, parameter in case.student.named_parameters():
        require(parameter.grad is None or torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite")
    for name, parameter in case.method.named_parameters():
        require(parameter.grad is not None, f"the method's own {name} gets no gradient")
        assert parameter.grad is not None
        require(torch.isfinite(parameter.grad).all(), f"the gradient of the method's own {name} is not finite")
    reached = [name for name, parameter in case.teacher.named_parameters() if parameter.grad is not None]
    require(not reached, f"the gradient reaches the teacher's {', '.join(reached[:1])}")
    require(not any(tensor.requires_grad for tensor in (target.wave, *target.feats.values())), "the target learns")
    for name, figure in case.method.figures().items():
        require(
            not figure.requires_grad and torch.isfinite(figure).all(), f"the figure {name} is not finite, or learns"
        )


def equal(make: Make) -> None:
    """A student that equals its teacher has the loss 0, if the method says so, and finite gradients."""
    case = _Case(make, None, same=True)
    view = observe(case.student, case.batch.noisy, case.method.student_taps)
    loss = case.method(view, case.target(clean=False), case.batch)
    loss.backward()
    for name, parameter in case.student.named_parameters():
        require(parameter.grad is None or torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite")
    if not case.method.zero_when_equal:
        raise NotClaimed(f"zero_when_equal is False; the loss is {loss.item():.2g}")
    require(loss.abs() < EQUAL, f"the loss of equal networks is {loss.item():.2g}, though zero_when_equal")


def differences(make: Make) -> None:
    """Two calls agree, and gradients are those of finite differences, in double precision."""
    method, _, (student, teacher) = connected(make, None)
    student, teacher = student.double().eval(), teacher.double()
    batch = batch_of(1100, torch.float64)
    with torch.no_grad():
        shown = observe(student, batch.noisy, method.student_taps)
        target = Teacher(teacher)(batch, method.teacher_taps)
    target = View(noise(2, 1100, seed=3, dtype=torch.float64), target.feats)
    # Noise in the shape of the student's features, so that no value sits on the kink of a ReLU.
    feats = [noise(*feature.shape, seed=40 + i, dtype=torch.float64) for i, feature in enumerate(shown.feats.values())]
    inputs = (batch.noisy.clone().requires_grad_(), *(feature.requires_grad_() for feature in feats))
    torch.manual_seed(7)
    method.prepare(View(shown.wave, dict(zip(method.student_taps, feats, strict=True))), target)
    method.double()

    def loss(wave: Tensor, *feats: Tensor) -> Tensor:
        return method(View(wave, dict(zip(method.student_taps, feats, strict=True))), target, batch)

    require_gradient(loss, inputs)


def references(make: Make) -> None:
    """A method that does not say that it needs clean speech gives the same without it."""
    case = _Case(make, None)
    if case.method.needs_clean:
        raise NotClaimed("needs clean speech")
    case.method.eval()
    views = observe(case.student, case.batch.noisy, case.method.student_taps), case.target()
    without = Batch(case.batch.noisy, None, case.batch.lengths)
    loss = case.repeatable(*views)
    require(
        torch.equal(case.method(*views, without), loss), "the loss depends on clean speech, though needs_clean is False"
    )


def apart(make: Make) -> None:
    """The loss of a batch is the mean of those of its items, unless the method says that it compares items."""
    case = _Case(make, None)
    method, batch = case.method.eval(), case.batch
    if method.across_items:
        raise NotClaimed("across_items: compares the items of a batch")
    with torch.no_grad():
        views = observe(case.student, batch.noisy, method.student_taps), case.target()
        together = case.repeatable(*views)
        alone = torch.stack(
            [method(*(_item(view, item) for view in views), batch.part(torch.tensor([item]))) for item in range(2)]
        )
    found = f"the loss of a batch is {together.item():.6g}, and the mean of its items' {alone.mean().item():.6g}"
    same = torch.allclose(together, alone.mean(), rtol=ITEMS_CLOSE, atol=0)
    require(same, f"{found}: average over items, or set across_items")


def unlike(make: Make) -> None:
    """Features of unequal strides and axes are compared, or refused with a reason, but do not end in an error."""
    try:
        method = connected(make, UNLIKE)[0]
        if not method.teacher_taps:
            raise NotClaimed("reads no features of the teacher")
        learns(make, UNLIKE)
    except InputError as refusal:
        reason = refusal.found.partition(" (")[0]  # without the lists of taps
        raise NotClaimed(f"refuses a U-Net as the student of a MANNER: {reason}") from refusal
    except (RuntimeError, IndexError, ValueError) as error:
        text = str(error).strip().partition("\n")[0]
        hint = "compare match and aligned, as docs/your-own-method.md shows, or raise InputError in connect"
        raise Broken(f"a U-Net's features beside a MANNER's, of other strides and axes: {text}: {hint}") from error


def saved(make: Make) -> None:
    """What it learns is saved and loaded: the loss is the same."""
    case, again = _Case(make, None), _Case(make, None, seed=11)
    again.method.load_state_dict(case.method.state_dict())
    with torch.no_grad():
        view, target = observe(case.student, case.batch.noisy, case.method.student_taps), case.target()
        case.method.eval()
        loss, other = case.repeatable(view, target), again.method.eval()(view, target, case.batch)
    require(torch.equal(loss, other), "its state does not hold all that it learns")


CHECKS: dict[str, Check] = {
    "gradient to the student alone": learns,
    "zero when equal": equal,
    "finite differences": differences,
    "clean speech": references,
    "items apart": apart,
    "unlike features": unlike,
    "save and load": saved,
}
"""Every check of a method by the name that tables show."""


def batch_of(samples: int = 1600, dtype: torch.dtype = torch.float32) -> Batch:
    """Two items of noise that stand for speech in noise."""
    clean = noise(2, samples, seed=1, dtype=dtype)
    noisy = clean + noise(2, samples, seed=2, dtype=dtype)
    return Batch(noisy, clean, torch.full((2,), samples), ("first", "second"))


def connected(
    make: Make, pair: Pair | None, pairs: Sequence[Pair] = PAIRS
) -> tuple[Method, Pair, tuple[Enhancer, Enhancer]]:
    """Return a method that has chosen its taps, the pair that it can read, of several the first, and its networks.

    Raises:
        InputError: the method can compare nothing of any.
    """
    for one in [pair] if pair else pairs:
        method = make()
        student, teacher = one.build()
        try:
            method.connect(student.taps, teacher.taps)
        except InputError:
            if pair or one is pairs[-1]:
                raise
            continue
        return method, one, (student, teacher)
    raise AssertionError("there are no pairs")


class _Case:
    """A method that knows the taps and the sizes of two networks, and a batch."""

    def __init__(self, make: Make, pair: Pair | None, same: bool = False, seed: int = 7) -> None:
        self.method, pair, (self.student, self.teacher) = connected(make, pair)
        self.batch = batch_of()
        if same:
            self.student, (_, self.teacher) = self.teacher.eval(), pair.build()
            self.method.connect(self.student.taps, self.teacher.taps)
        torch.manual_seed(seed)
        self.method.prepare(
            self._seen(self.student, self.method.student_taps), self._seen(self.teacher, self.method.teacher_taps)
        )

    def _seen(self, network: Enhancer, taps: Sequence[str]) -> View:
        """Compute the views that a method gets before the first step: in eval mode, so that no statistics change."""
        with torch.no_grad(), evaluating(network):
            return observe(network, self.batch.noisy, taps)

    def repeatable(self, student: View, teacher: View) -> Tensor:
        """The loss, of a method whose two calls agree; of another one nothing that compares two losses can be told."""
        loss, again = (self.method(student, teacher, self.batch) for _ in range(2))
        if not torch.equal(loss, again):
            raise NotClaimed("cannot be told, as two calls differ")
        return loss

    def target(self, clean: bool = True) -> View:
        """The teacher's View; its estimate is the clean speech if the method asks which network is closer to that."""
        view = Teacher(self.teacher)(self.batch, self.method.teacher_taps)
        if clean and self.method.needs_clean and self.batch.clean is not None:
            return View(self.batch.clean, view.feats)
        return view


def _item(view: View, item: int) -> View:
    """One item of a View, as a batch of one."""
    return View(view.wave[item : item + 1], {name: feature[item : item + 1] for name, feature in view.feats.items()})


def _network(name: str, arguments: dict[str, Any], seed: int) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, **arguments)
