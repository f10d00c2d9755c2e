"""Teachers: a network, an external model, several as one, features under two noises, and a cache in front of them."""

from __future__ import annotations

from sordino.distill.teachers.cached import CachedTeacher
from sordino.distill.teachers.external import ExternalTeacher
from sordino.distill.teachers.joint import JointTeacher
from sordino.distill.teachers.network import AnyTeacher, Teacher
from sordino.distill.teachers.observe import observe, unwrap
from sordino.distill.teachers.other_noise import OtherNoiseTeacher
from sordino.distill.teachers.several import SeveralTeachers

__all__ = [
    "AnyTeacher",
    "CachedTeacher",
    "ExternalTeacher",
    "JointTeacher",
    "OtherNoiseTeacher",
    "SeveralTeachers",
    "Teacher",
    "observe",
    "unwrap",
]
