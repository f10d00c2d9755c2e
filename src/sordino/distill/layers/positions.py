"""Features matched by position: frames that stand for the same samples of the signal are compared with each other.

Networks of unlike depth pad their input differently, so that the features of one recording have 999 frames here and
1,000 there. Stretching one onto the other by the ratio of lengths would shift and blur it. Instead all features are
cropped to the span of samples that they have in common, by the strides and offsets that their taps declare. From then
on features of equal stride are equally long, and for others the ratio of lengths is the inverse ratio of strides, so
that the functions of ``sordino.distill.layers.resize`` average or interpolate by position.

Cropping takes whole frames. The span begins and ends with frames of the coarsest feature, and every other feature is
cropped to its nearest frames: it is off by half of its own stride at most, and by nothing between networks of the same
kernels and strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from sordino.errors import InputError
from sordino.types import Tap, View


def common_frames(lengths: Sequence[int], taps: Sequence[Tap]) -> list[slice]:
    """The frames of each feature that lie in the span of samples that all features cover.

    Args:
        lengths: frames of each feature.
        taps: where these frames lie.

    Raises:
        InputError: the span is shorter than a frame of the coarsest feature.
    """
    edges = [tap.offset - tap.stride / 2 for tap in taps]
    stride, edge = max((tap.stride, edge) for tap, edge in zip(taps, edges, strict=True))
    slack = min(tap.stride for tap in taps) / stride / 2
    begin = edge + stride * max(0, math.ceil((max(edges) - edge) / stride - slack))
    firsts = [max(0, round((begin - edge) / tap.stride)) for tap, edge in zip(taps, edges, strict=True)]
    left = [length - first for length, first in zip(lengths, firsts, strict=True)]
    whole = min(math.floor(count * tap.stride / stride + slack) for count, tap in zip(left, taps, strict=True))
    if whole < 1:
        found = f"features of {', '.join(map(str, lengths))} frames, which share no stretch of the signal"
        raise InputError("features", found, f"a common span of {stride:g} samples", "take longer segments")
    counts = [min(round(whole * stride / tap.stride), count) for tap, count in zip(taps, left, strict=True)]
    return [slice(first, first + max(count, 1)) for first, count in zip(firsts, counts, strict=True)]


def match(features: Sequence[Tensor], taps: Sequence[Tap]) -> list[Tensor]:
    """Features [B,C,N] or [B,C,N,F], cropped along time to the span that all of them cover.

    Raises:
        InputError: they have no frame in common.
    """
    frames = common_frames([feature.shape[2] for feature in features], taps)
    return [feature[:, :, kept] for feature, kept in zip(features, frames, strict=True)]


def match_views(student: View, teacher: View, ours: Mapping[str, Tap], theirs: Mapping[str, Tap]) -> tuple[View, View]:
    """Two Views whose features, at the taps ``ours`` and ``theirs``, are all cropped to one span.

    For methods that compare every layer with every other, or layers of one network with each other.

    Raises:
        InputError: they have no frame in common.
    """
    features = [*(student.feats[name] for name in ours), *(teacher.feats[name] for name in theirs)]
    matched = iter(match(features, [*ours.values(), *theirs.values()]))
    first, second = ({name: next(matched) for name in names} for names in (ours, theirs))
    return View(student.wave, first), View(teacher.wave, second)
