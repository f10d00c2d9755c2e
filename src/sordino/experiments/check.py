"""Checks of one method, network, loss, metric or source: sordino's own, an installed package's, or the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from sordino import losses, metrics, models
from sordino.conformance import losses as of_losses
from sordino.conformance import methods as of_methods
from sordino.conformance import metrics as of_metrics
from sordino.conformance import networks as of_networks
from sordino.conformance import sources as of_sources
from sordino.conformance.base import Check, Result, run
from sordino.conformance.methods import PAIRS, connected
from sordino.data import sources
from sordino.distill import methods
from sordino.distill.base import Method
from sordino.errors import InputError, did_you_mean
from sordino.experiments.merge import overriding
from sordino.experiments.recipe_values import arguments
from sordino.experiments.signatures import named
from sordino.plugins.catalogue import KINDS, Kind, attribute, is_known
from sordino.plugins.import_string import is_name
from sordino.plugins.modules import trust_names
from sordino.types import Status

CHECKS: dict[Kind, tuple[Mapping[str, Check], Callable[..., Any]]] = {
    "method": (of_methods.CHECKS, methods.create),
    "network": (of_networks.CHECKS, models.create),
    "loss": (of_losses.CHECKS, losses.create),
    "metric": (of_metrics.CHECKS, lambda name: metrics.metric(name) and name),
    "source": (of_sources.CHECKS, sources.create),
}
"""What has checks -> its checks, and what makes one by its name."""
OWN: dict[Kind, Mapping[str, Any]] = {
    "method": methods.METHODS,
    "network": models.MODELS,
    "loss": losses.LOSSES,
    "metric": metrics.METRICS,
    "source": sources.SOURCES,
}

EXPECTED = (
    "a class derived from sordino.distill.base.Method or sordino.models.Enhancer, a loss or a metric of (reference or "
    f"clean, estimate, ...), a source with train, valid and test; or --kind {' or '.join(KINDS)} to say which"
)


def check(
    name: str, kind: Kind | None = None, overrides: Sequence[str] = (), status: Status = lambda _: None
) -> tuple[Kind, list[Result]]:
    """Check whether a member of a catalogue meets the requirements of all members.

    Args:
        name: one of sordino's, of an installed package's, or ``package.module:Class``, from the installed packages or
            the working folder.
        kind: what it is; recognised by its class when left out.
        overrides: its arguments, ``key=value``.
        status: called with a line before each check.

    Returns:
        What it is, and what became of each check.

    Raises:
        InputError: no such name, arguments that it does not take, or a method that can compare nothing of the pairs of
            networks on which methods are checked.
    """
    trust_names(name, Path())
    kind = kind or _kind(name)
    errors: list[str] = []
    given = arguments("", {} if kind == "metric" else named(kind, name), overriding(overrides), errors)
    if errors:
        raise InputError(name, "; ".join(errors))
    checks, create = CHECKS[kind]
    make = partial(create, name, **given)
    if kind == "method":
        connected(make, None, PAIRS)
    else:
        make()
    return kind, run(checks, make, lambda one: status(f"{name}: {one}"))


def _kind(name: str) -> Kind:
    """Kind of the object that a name stands for."""
    if is_name(name):
        return _kind_of(name, attribute(name))
    kinds: list[Kind] = [kind for kind in KINDS if is_known(kind, name, OWN[kind])]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise InputError(name, f"is {' and '.join(kinds)}", f"--kind {' or '.join(kinds)} beside it")
    known = [own for kind in KINDS for own in OWN[kind]]
    hint = did_you_mean(name, known)
    if ":" in name:
        hint = "name one of yours as package.module:Class, with no folder and no .py"
    raise InputError(name, "no such method, network, loss, metric or source", hint=hint)


def _kind_of(name: str, subject: Any) -> Kind:
    """Kind of a class or a function of the user's."""
    if isinstance(subject, metrics.Metric):
        return "metric"
    if inspect.isclass(subject):
        kinds: dict[type, Kind] = {Method: "method", models.Enhancer: "network", nn.Module: "loss"}
        for base, kind in kinds.items():
            if issubclass(subject, base) and (kind != "loss" or _takes_signals(subject)):
                return kind
        if all(hasattr(subject, member) for member in ("train", "valid", "test")):
            return "source"
    elif inspect.isfunction(subject):
        first = next(iter(inspect.signature(subject).parameters), "")
        if first in ("reference", "clean"):
            return "loss" if first == "reference" else "metric"
    hint = f"a function that enhances is none of them: score it with sordino evaluate noisy {name} --data NOISY CLEAN"
    raise InputError(name, "its kind is not clear from its base class or its signature", EXPECTED, hint)


def _takes_signals(loss: Any) -> bool:
    """Whether it can be called as a loss is: a network derived from ``nn.Module`` alone cannot, and no method is."""
    taken = inspect.signature(loss.forward)
    try:
        taken.bind(None, "reference", "estimate", "noisy")
    except TypeError:
        return False
    return "student" not in taken.parameters
