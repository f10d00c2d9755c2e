"""Latent alignment: the student's latent is to point where the teacher's points.

Luong, Heikkinen, Drossos, Virtanen: "Knowledge Distillation for Speech Denoising by Latent Representation Alignment
with Cosine Distance", AES 158, 2025, arXiv 2505.03442. A network that enhances is seen as a denoising autoencoder. A
squared difference of latents binds the student to the scale and the distribution of the teacher's latent, to the order
of its channels and to their number; a direction, read through a linear inverted bottleneck, does not:

    Z~_S = W2 (W1 Z_S),   L = 1 - mean over items and frames of cos(Z~_S, Z~_T).

The abstract, all that was at hand of it, names the parts and says that the whole outperforms another method. It does
not say that the cosine outperforms a squared difference on the same latents: ``distance: mse`` is our own comparison.

What follows is our reading. Z is what the networks declare as ``latent``, with its frequencies folded into channels,
cropped to the samples that both networks show (``positions.py``); where one network then has more frames, they are
averaged down to the other's. W1 goes from C to r C channels and W2 to the teacher's. A bottleneck on the student's side
belongs to this method and trains with the student. One on the teacher's side was trained as a part of the teacher, for
if both trained on this loss alone, both latents could shrink to one direction. A frame in which the teacher's latent is
zero has no direction and does not count; a student that is silent where the teacher is not costs 1 there, without a
gradient.

It is NOT a loss on the estimate: it says nothing to the student's decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.base import Method
from sordino.distill.layers.positions import match_views
from sordino.distill.layers.resize import channels, fold, resample_time
from sordino.errors import InputError
from sordino.models.layers.bottleneck import LinearBottleneck
from sordino.types import Batch, Tap, View

Side = Literal["student", "teacher", "both", "none"]
Distance = Literal["cosine", "mse"]
Mode = Literal["frame", "utterance", "channel"]

AXES: dict[str, tuple[int, ...]] = {"frame": (1,), "utterance": (1, 2), "channel": (2,)}
"""Which axes of [B,C,N] make the vectors that are compared: a frame's channels, all of an item, a channel's course."""
LATENT, BOTTLENECK = "latent", "latent.bottleneck"
NORM_FLOOR = 1e-6


def cosine_distance(student: Tensor, teacher: Tensor, mode: Mode = "frame") -> Tensor:
    """1 - mean cosine of two latents of one size: [B,C,N], [B,C,N] -> scalar in 0..2.

    Args:
        student, teacher: the latents; vectors shorter than 1e-6 count as zero.
        mode: the vectors compared, one per ``frame``, per ``utterance`` or per ``channel``.
    """
    ours, theirs = (_direction(latent, AXES[mode]) for latent in (student, teacher))
    cosine = (ours * theirs).sum(dim=AXES[mode])
    pointing = theirs.abs().amax(dim=AXES[mode]) > 0
    return ((1 - cosine) * pointing).sum() / pointing.sum().clamp(min=1)


def _direction(latent: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Unit vectors along ``axes``; zero, with a zero gradient, where there is none."""
    norm = torch.linalg.vector_norm(latent, dim=axes, keepdim=True)
    return torch.where(norm > NORM_FLOOR, latent / norm.clamp(min=NORM_FLOOR), 0)


class CosineAlignment(Method):
    """Latent alignment with the cosine distance, and its twins with the squared one and without bottlenecks.

    Args:
        side: where there is a linear bottleneck. The ``student``'s is made and learnt here; the ``teacher``'s must have
            been trained with the teacher (``model.bottleneck`` of a U-Net); ``both``, or ``none``. Without one on the
            student's side, the two latents must have the same size.
        expansion: r of the student's bottleneck.
        distance: ``cosine``, or ``mse``: the mean squared difference of the same latents, the usual loss on features.
        mode: of the cosine, the vectors that are compared: one per ``frame``, ``utterance`` or ``channel``.

    Raises:
        ValueError: no such side, distance or mode, a mode of the squared distance, or an expansion below 1.
    """

    zero_when_equal: ClassVar[bool] = False  # the student's bottleneck does not begin as the identity

    def __init__(
        self, side: Side = "student", expansion: int = 2, distance: Distance = "cosine", mode: Mode = "frame"
    ) -> None:
        super().__init__()
        for value, known in ((side, Side), (distance, Distance), (mode, Mode)):
            if value not in get_args(known):
                raise ValueError(f"no such choice as {value!r}; there are {', '.join(get_args(known))}")
        if distance == "mse" and mode != "frame":
            raise ValueError(f"mode {mode} is one of the cosine distance; the squared one compares all values alike")
        if expansion < 1:
            raise ValueError(f"the expansion of a bottleneck is at least 1, not {expansion}")
        self.side, self.expansion, self.distance = side, expansion, distance
        self.mode: Mode = mode
        self.bottleneck: LinearBottleneck | None = None

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        theirs = BOTTLENECK if self.side in ("teacher", "both") else LATENT
        if LATENT not in student or LATENT not in teacher:
            raise InputError(
                type(self).__name__,
                f"the {'teacher' if LATENT in student else 'student'} declares no latent",
                hint="choose networks with the tap latent",
            )
        if theirs not in teacher:
            raise InputError(
                type(self).__name__,
                "there is no bottleneck on the teacher's side",
                "a teacher that was trained with one",
                "train such a U-Net with model.bottleneck=2, or take side: student",
            )
        self.read(student, teacher, [LATENT], [theirs])

    def prepare(self, student: View, teacher: View) -> None:
        ours, theirs = student.feats[LATENT], teacher.feats[self.teacher_taps[0]]
        sizes = channels(ours, folded=True), channels(theirs, folded=True)
        if self.side in ("student", "both"):
            self.bottleneck = LinearBottleneck(*sizes, self.expansion)
        elif sizes[0] != sizes[1]:
            raise InputError(
                type(self).__name__,
                f"the student's latent has {_size(ours)} and the teacher's {_size(theirs)}",
                "equal sizes where the student has no bottleneck",
                f"take side: {'both' if self.side == 'teacher' else 'student'}",
            )

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
        ours, theirs = fold(student.feats[LATENT]), fold(teacher.feats[self.teacher_taps[0]])
        length = min(ours.shape[-1], theirs.shape[-1])
        ours, theirs = resample_time(ours, length), resample_time(theirs, length)
        if self.bottleneck is not None:
            ours = self.bottleneck(ours.unsqueeze(-1)).squeeze(-1).to(theirs.dtype)  # autocast may have halved it
        if self.distance == "mse":
            return F.mse_loss(ours, theirs)
        return cosine_distance(ours, theirs, self.mode)


def _size(latent: Tensor) -> str:
    """How many channels a latent [B,C,N] or [B,C,N,F] has, in words."""
    folded = channels(latent, folded=True)
    return f"{folded} channels" + (f" ({latent.shape[1]} x {latent.shape[3]} frequencies)" if latent.ndim == 4 else "")
