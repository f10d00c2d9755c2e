"""Distillation: one paper, one file; each a pure function of two Views and a batch."""

from __future__ import annotations

from sotto.distill.abc import AttentionCompression
from sotto.distill.afd import AttentionFeatureDistillation
from sotto.distill.alp import AttentionLayerProjection
from sotto.distill.at import AttentionTransfer
from sotto.distill.base import Method
from sotto.distill.bounded import Bounded
from sotto.distill.cached import CachedTeacher
from sotto.distill.channel_time import ChannelTime
from sotto.distill.clskd import CrossLayerSimilarity
from sotto.distill.cosine import CosineAlignment
from sotto.distill.dispatch import Dispatch
from sotto.distill.factor import FactorTransfer
from sotto.distill.fitnets import FitNets
from sotto.distill.fsp import Flow
from sotto.distill.joint import JointTeacher
from sotto.distill.mvat import MultiViewAttentionTransfer
from sotto.distill.output import Output
from sotto.distill.outside import OutsideTeacher
from sotto.distill.pkt import Probabilistic
from sotto.distill.reviewkd import KnowledgeReview
from sotto.distill.rkd import Relational
from sotto.distill.semckd import SemanticCalibrationDistillation
from sotto.distill.similarity import Similarity, TwoStep
from sotto.distill.taps import observe, unwrap
from sotto.distill.teacher import AnyTeacher, Teacher
from sotto.distill.vid import Variational

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
"""The catalogue: name -> method, whose constructor is the recipe's schema."""

__all__ = [
    "METHODS",
    "AnyTeacher",
    "CachedTeacher",
    "JointTeacher",
    "Method",
    "OutsideTeacher",
    "Teacher",
    "observe",
    "unwrap",
]
