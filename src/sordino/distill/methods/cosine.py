"""Latent alignment: the student's latent should have the direction of the teacher's.

Luong, Heikkinen, Drossos, Virtanen: "Knowledge Distillation for Speech Denoising by Latent Representation Alignment
with Cosine Distance", AES 158, 2025, arXiv 2505.03442. An enhancement network is seen as a denoising autoencoder. A
squared difference of latents binds the student to the scale and the distribution of the teacher's latent, to the order
of its channels and to their number. The direction of a latent after a linear inverted bottleneck does not:

    Z~_S = W2 (W1 Z_S),   L = 1 - mean over items and frames of cos(Z~_S, Z~_T).

The abstract, all that was at hand of it, names the parts and says that the whole outperforms another method. It does
not say that the cosine outperforms a squared difference on the same latents: ``distance: mse`` is our own comparison.

What follows is our reading. Z is what the networks declare as ``latent``, with its frequencies folded into channels,
cropped to the samples that both networks cover (``positions.py``); where one network then has more frames, they are
averaged down to the other's. W1 maps C to r C channels and W2 these to the teacher's. A bottleneck on the student's
side belongs to this method and trains with the student. One on the teacher's side was trained as a part of the teacher:
if both trained on this loss alone, both latents could collapse to one direction. A frame in which the teacher's latent
is zero has no direction and does not count; a student that is silent where the teacher is not costs 1 there, without a
gradient.

It is NOT a loss on the estimate: the student's decoder gets no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sordino.distill.base import Method, check_choice
from sordino.distill.layers.pairing import nothing_shared
from sordino.distill.layers.positions import match_views
from sordino.distill.layers.resize import channels, fold, resample_time
from sordino.errors import InputError
from sordino.models.layers.bottleneck import LinearBottleneck
from sordino.types import Batch, Tap, View

Side = Literal["student", "teacher", "both", "none"]
Distance = Literal["cosine", "mse"]
Mode = Literal["frame", "utterance", "channel"]

AXES: dict[str, tuple[int, ...]] = {"frame": (1,), "utterance": (1, 2), "channel": (2,)}
"""Axes of [B,C,N] along which the vectors lie: the channels of a frame, a whole item, or the frames of a channel."""
LATENT, BOTTLENECK = "latent", "latent.bottleneck"
NORM_FLOOR = 1e-6


def cosine_distance(student: Tensor, teacher: Tensor, mode: Mode = "frame") -> Tensor:
    """Return 1 - mean cosine of two latents [B,C,N] of the same size: a scalar in 0..2.

    Args:
        student, teacher: the latents; vectors shorter than 1e-6 count as zero.
        mode: the vectors compared, one per ``frame``, per ``utterance`` or per ``channel``.
    """
    axes = AXES[mode]
    direction, target = _direction(student, axes), _direction(teacher, axes)
    cosine = (direction * target).sum(dim=axes)
    counted = target.abs().amax(dim=axes) > 0
    return ((1 - cosine) * counted).sum() / counted.sum().clamp(min=1)


def _direction(latent: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Scale a latent to unit vectors along ``axes``; vectors that count as zero become 0, with a zero gradient."""
    norm = torch.linalg.vector_norm(latent, dim=axes, keepdim=True)
    return torch.where(norm > NORM_FLOOR, latent / norm.clamp(min=NORM_FLOOR), 0)


class CosineAlignment(Method):
    """Latent alignment with the cosine distance; also with the squared difference, and without bottlenecks.

    Args:
        side: which networks have a linear bottleneck: ``student``, whose bottleneck is created and trained here;
            ``teacher``, whose bottleneck was trained with it (``model.bottleneck`` of a U-Net); ``both``; or ``none``.
            Without one on the student's side, the two latents must have the same size.
        expansion: r of the student's bottleneck.
        distance: ``cosine``, or ``mse``: the mean squared difference of the same latents, the usual loss on features.
        mode: the vectors whose cosines are taken: one per ``frame``, ``utterance`` or ``channel``.

    Raises:
        ValueError: no such side, distance or mode, a mode of the squared distance, or an expansion below 1.
    """

    zero_when_equal: ClassVar[bool] = False  # the student's bottleneck does not begin as the identity

    def __init__(
        self, side: Side = "student", expansion: int = 2, distance: Distance = "cosine", mode: Mode = "frame"
    ) -> None:
        super().__init__()
        check_choice("side", side, get_args(Side))
        check_choice("distance", distance, get_args(Distance))
        check_choice("mode", mode, get_args(Mode))
        if distance == "mse" and mode != "frame":
            raise ValueError(f"mode {mode} belongs to the cosine distance; the squared one compares all values alike")
        if expansion < 1:
            raise ValueError(f"the expansion of a bottleneck is at least 1, not {expansion}")
        self.side, self.expansion, self.distance = side, expansion, distance
        self.mode: Mode = mode
        self.bottleneck: LinearBottleneck | None = None

    def connect(self, student: Mapping[str, Tap], teacher: Mapping[str, Tap]) -> None:
        name = type(self).__name__
        if LATENT not in student or LATENT not in teacher:
            network = "teacher" if LATENT in student else "student"
            raise nothing_shared(name, f"the {network} declares no latent", student, teacher, f"{LATENT} in both")
        target = BOTTLENECK if self.side in ("teacher", "both") else LATENT
        if target not in teacher:
            found, expected = "there is no bottleneck on the teacher's side", "a teacher that was trained with one"
            hint = "train such a U-Net with model.bottleneck=2, or take side: student"
            raise InputError(name, found, expected, hint)
        self.read(student, teacher, [LATENT], [target])

    def prepare(self, student: View, teacher: View) -> None:
        latent, target = student.feats[LATENT], teacher.feats[self.teacher_taps[0]]
        inputs, outputs = channels(latent, folded=True), channels(target, folded=True)
        if self.side in ("student", "both"):
            self.bottleneck = LinearBottleneck(inputs, outputs, self.expansion)
        elif inputs != outputs:
            found = f"the student's latent has {_size(latent)} and the teacher's {_size(target)}"
            hint = f"take side: {'both' if self.side == 'teacher' else 'student'}"
            raise InputError(type(self).__name__, found, "equal sizes where the student has no bottleneck", hint)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        student, teacher = match_views(student, teacher, self.student_places, self.teacher_places)
        latent, target = fold(student.feats[LATENT]), fold(teacher.feats[self.teacher_taps[0]])
        length = min(latent.shape[-1], target.shape[-1])
        latent, target = resample_time(latent, length), resample_time(target, length)
        if self.bottleneck is not None:
            latent = self.bottleneck(latent.unsqueeze(-1)).squeeze(-1)
            latent = latent.to(target.dtype)  # autocast may have given half precision
        if self.distance == "mse":
            return F.mse_loss(latent, target)
        return cosine_distance(latent, target, self.mode)


def _size(latent: Tensor) -> str:
    """Describe the number of channels of a latent [B,C,N] or [B,C,N,F]."""
    size = f"{channels(latent, folded=True)} channels"
    if latent.ndim == 4:
        size += f" ({latent.shape[1]} x {latent.shape[3]} frequencies)"
    return size
