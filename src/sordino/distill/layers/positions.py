"""Matching of features by position, so that frames of the same samples of the signal are compared with each other.

Networks of different depth pad their input differently, so that the features of one recording may have 999 frames in
one network and 1,000 in the other. Stretching one to the length of the other would shift and blur it. Instead all
features are cropped to the samples that they have in common, by the strides and offsets that their taps declare. Then
features of equal stride are equally long, and for others the ratio of lengths is the inverse ratio of strides, so that
the functions of ``sordino.distill.layers.resize`` average or interpolate by position.

Cropping takes whole frames. The common samples begin and end with frames of the coarsest feature, and every other
feature is cropped to its nearest frames. It is off by half of its own stride, or little more where no stride divides
the other, and not at all between networks of the same kernels and strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from sordino.errors import InputError
from sordino.types import Tap, View


def common_frames(lengths: Sequence[int], taps: Sequence[Tap]) -> list[slice]:
    """Return the frames of each feature that lie in the samples that all features cover.

    Args:
        lengths: frames of each feature.
        taps: positions of these frames.

    Raises:
        InputError: the common samples are fewer than a frame of the coarsest feature.
    """
    strides = [tap.stride for tap in taps]
    starts = [tap.offset - tap.stride / 2 for tap in taps]  # the sample at which frame 0 of each feature begins
    # The coarsest feature sets the grid; of several the one that begins last.
    coarsest, grid_start = max(zip(strides, starts, strict=True))
    slack = min(strides) / coarsest / 2  # half a frame of the finest feature, in frames of the coarsest
    skipped = max(0, math.ceil((max(starts) - grid_start) / coarsest - slack))
    begin = grid_start + coarsest * skipped
    firsts = [max(0, round((begin - start) / stride)) for start, stride in zip(starts, strides, strict=True)]
    remaining = [length - first for length, first in zip(lengths, firsts, strict=True)]
    # Frames of the coarsest feature that all features cover.
    whole = min(math.floor(count * stride / coarsest + slack) for count, stride in zip(remaining, strides, strict=True))
    if whole < 1:
        found = f"features of {', '.join(map(str, lengths))} frames, which have no samples in common"
        raise InputError("features", found, f"{coarsest:g} common samples", "take longer segments")
    frames = []
    for first, count, stride in zip(firsts, remaining, strides, strict=True):
        count = min(round(whole * coarsest / stride), count)
        frames.append(slice(first, first + max(count, 1)))
    return frames


def match(features: Sequence[Tensor], taps: Sequence[Tap]) -> list[Tensor]:
    """Crop features [B,C,N] or [B,C,N,F] along time to the samples that all of them cover.

    Raises:
        InputError: they have no frame in common.
    """
    frames = common_frames([feature.shape[2] for feature in features], taps)
    return [feature[:, :, kept] for feature, kept in zip(features, frames, strict=True)]


def match_views(
    student: View, teacher: View, student_places: Mapping[str, Tap], teacher_places: Mapping[str, Tap]
) -> tuple[View, View]:
    """Return both Views with all features at these taps cropped to the samples that every one of them covers.

    It is meant for methods that compare every layer with every other, or layers of one network with each other.

    Raises:
        InputError: they have no frame in common.
    """
    features = [student.feats[name] for name in student_places]
    features += [teacher.feats[name] for name in teacher_places]
    matched = match(features, [*student_places.values(), *teacher_places.values()])
    split = len(student_places)
    student_feats = dict(zip(student_places, matched[:split], strict=True))
    teacher_feats = dict(zip(teacher_places, matched[split:], strict=True))
    return View(student.wave, student_feats), View(teacher.wave, teacher_feats)
