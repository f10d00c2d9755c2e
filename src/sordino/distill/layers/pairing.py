"""Which layer of the teacher teaches which layer of the student.

Dual-depth matching (Shin et al., Interspeech 2022, section 2.4): layers of equal depth are paired one to one, and
where the student is shallower its deepest layer L_S also learns from every deeper layer of the teacher, L_S to L_T.
A decoder layer counts as deep as the encoder layer that it mirrors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sordino.types import Tap


def layer_pairs(
    student: Mapping[str, Tap], teacher: Mapping[str, Tap], kinds: Sequence[str], dual_depth: bool = True
) -> list[tuple[str, str]]:
    """Pairs (student tap, teacher tap), encoder and decoder alike.

    Args:
        student, teacher: the taps that the two networks declare.
        kinds: the parts of a tap's name after its layer, ``("channel", "global", "local")`` for MV-AT's views or
            ``("",)`` for the output of the layer itself.
        dual_depth: False pairs equal depths only.

    A pair of which either network lacks the tap is left out: small MANNERs have views in the deepest layer only.
    """
    student_depth, teacher_depth = _depth(student), _depth(teacher)
    pairs = [(layer, layer) for layer in range(1, min(student_depth, teacher_depth) + 1)]
    if dual_depth:
        pairs += [(student_depth, deeper) for deeper in range(student_depth + 1, teacher_depth + 1)]
    candidates = [
        (_name(side, ours, kind), _name(side, theirs, kind))
        for side in ("encoder", "decoder")
        for ours, theirs in pairs
        for kind in kinds
    ]
    return [(ours, theirs) for ours, theirs in candidates if ours in student and theirs in teacher]


def layer_taps(taps: Mapping[str, Tap], side: str = "both") -> list[str]:
    """The outputs of whole layers, in the order in which a signal passes them: encoder 1 to L, decoder L to 1.

    Args:
        taps: those that a network declares.
        side: ``encoder``, ``decoder`` or ``both``.
    """
    depth = _depth(taps)
    order = [f"encoder.{layer}" for layer in range(1, depth + 1)] if side != "decoder" else []
    order += [f"decoder.{layer}" for layer in range(depth, 0, -1)] if side != "encoder" else []
    return [name for name in order if name in taps]


def _depth(taps: Mapping[str, Tap]) -> int:
    return max((int(match[1]) for name in taps if (match := re.match(r"encoder\.(\d+)", name))), default=0)


def _name(side: str, layer: int, kind: str) -> str:
    return f"{side}.{layer}.{kind}" if kind else f"{side}.{layer}"
