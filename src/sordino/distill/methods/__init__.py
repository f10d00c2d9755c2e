"""The distillation methods, one file per paper."""

from __future__ import annotations

import inspect
from typing import Any

from sordino.distill.base import Method
from sordino.distill.methods.abc_kd import AttentionCompression
from sordino.distill.methods.afd import AttentionFeatureDistillation
from sordino.distill.methods.alp import AttentionLayerProjection
from sordino.distill.methods.at import AttentionTransfer
from sordino.distill.methods.bounded import Bounded
from sordino.distill.methods.channel_time import ChannelTime
from sordino.distill.methods.clskd import CrossLayerSimilarity
from sordino.distill.methods.cosine import CosineAlignment
from sordino.distill.methods.dispatch import Dispatch
from sordino.distill.methods.factor import FactorTransfer
from sordino.distill.methods.fitnets import FitNets
from sordino.distill.methods.fsp import Flow
from sordino.distill.methods.mvat import MultiViewAttentionTransfer
from sordino.distill.methods.output import Output
from sordino.distill.methods.pkt import Probabilistic
from sordino.distill.methods.reviewkd import KnowledgeReview
from sordino.distill.methods.rkd import Relational
from sordino.distill.methods.semckd import SemanticCalibrationDistillation
from sordino.distill.methods.similarity import Similarity, TwoStep
from sordino.distill.methods.vid import Variational
from sordino.plugins import catalogue

METHODS: dict[str, type[Method]] = {
    "output": Output,
    "bounded": Bounded,
    "at": AttentionTransfer,
    "mvat": MultiViewAttentionTransfer,
    "abc": AttentionCompression,
    "afd": AttentionFeatureDistillation,
    "semckd": SemanticCalibrationDistillation,
    "alp": AttentionLayerProjection,
    "reviewkd": KnowledgeReview,
    "cosine": CosineAlignment,
    "fitnets": FitNets,
    "similarity": Similarity,
    "clskd": CrossLayerSimilarity,
    "two_step": TwoStep,
    "rkd": Relational,
    "dispatch": Dispatch,
    "pkt": Probabilistic,
    "vid": Variational,
    "fsp": Flow,
    "factor": FactorTransfer,
    "channel_time": ChannelTime,
}
"""Methods by the name that recipes use; the arguments of a constructor are the keys of its recipe section."""

__all__ = ["METHODS", "create"]


def create(name: str, **arguments: Any) -> Method:
    """Make a method.

    Args:
        name: a key of ``METHODS``; a name that an installed package adds; or ``package.module:Class``.
        arguments: of its constructor.

    Raises:
        InputError: no such method, or arguments that its constructor refuses.
    """
    member = catalogue.find("method", name, METHODS, _is_method, "a class derived from sordino.distill.base.Method")
    return catalogue.made(f"distill.{name}", member, arguments)


def _is_method(member: Any) -> bool:
    return inspect.isclass(member) and issubclass(member, Method)
