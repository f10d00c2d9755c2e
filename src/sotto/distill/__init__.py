"""Distillation: one paper, one file; each a pure function of two Views and a batch."""

from __future__ import annotations

from sotto.distill.at import AttentionTransfer
from sotto.distill.base import Method
from sotto.distill.mvat import MultiViewAttentionTransfer
from sotto.distill.output import Output
from sotto.distill.taps import observe, unwrap
from sotto.distill.teacher import Teacher

METHODS: dict[str, type[Method]] = {
    "output": Output,
    "at": AttentionTransfer,
    "mvat": MultiViewAttentionTransfer,
}
"""The catalogue: name -> method, whose constructor is the recipe's schema."""

__all__ = ["METHODS", "Method", "Teacher", "observe", "unwrap"]
