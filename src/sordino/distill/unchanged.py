"""Check that losses and methods do not change their inputs, such as the teacher's estimate, which others use too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from sordino.errors import InputError


@contextmanager
def unchanged(term: str, *given: Tensor) -> Iterator[None]:
    """Context manager around a call of a loss or method, which must not change its arguments."""
    before = [_version(one) for one in given]
    yield
    if before != [_version(one) for one in given]:
        raise InputError(term, "changes in place what it is given", "new tensors", "take x.mul(2), say, not x.mul_(2)")


def _version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; tensors of inference mode do not count it."""
    return 0 if tensor.is_inference() else tensor._version
