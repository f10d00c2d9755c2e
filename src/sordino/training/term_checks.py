"""Checks of what losses and methods are and return: at which sample rate, of which shape, and whether it is finite."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordino.errors import InputError
from sordino.training.collectives import mean
from sordino.training.divergence import Diverged
from sordino.types import Batch, Terms, View


def check_parts_rate(where: str, part: nn.Module, rate: int) -> None:
    """Refuse a loss or method with a part that is defined at another sample rate than ``rate``."""
    for module in part.modules():
        needed = getattr(module, "sample_rate", rate)
        if needed != rate:
            found = f"{type(module).__name__} is defined at {needed} Hz alone"
            raise InputError(where, found, f"a loss for {rate} Hz, the student's rate", "take another loss")


def check_estimate(whose: str, view: View, batch: Batch) -> None:
    """Refuse an estimate of another shape than its input's, which losses would stretch or compare crosswise."""
    if view.wave.shape != batch.noisy.shape:
        found = f"its estimate has the shape {list(view.wave.shape)}"
        raise InputError(whose, found, f"that of its input, {list(batch.noisy.shape)}")


def check_shape(term: str, values: Tensor, shape: tuple[int, ...], expected: str) -> None:
    """Refuse what a loss or a method of the user's returns in another shape."""
    if not isinstance(values, Tensor):
        raise InputError(term, f"returned a {type(values).__name__}", f"a tensor of shape {expected}")
    if values.shape != shape:
        raise InputError(term, f"returned the shape {list(values.shape)}", expected)


def check_finite(terms: Terms, batch: Batch) -> None:
    """Refuse terms that are not finite in one process, in all of them: the first one mends the folder of the run."""
    finite = mean(torch.stack([torch.isfinite(term) for term in terms.values()]).float())
    for name, share_finite in zip(terms, finite.tolist(), strict=True):
        if share_finite < 1:
            value = terms[name]
            found = f"{value.item()} on the batch {', '.join(batch.ids)}"
            if torch.isfinite(value):
                found = "not finite in another process"
            hint = "lower train.max_lr, set train.grad_clip, or check these recordings"
            raise Diverged(name, found, "a finite loss", hint)
