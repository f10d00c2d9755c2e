"""Pairing of the student's layers with the teacher's.

Dual-depth matching (Shin et al., Interspeech 2022, section 2.4): layers of equal depth are paired one to one, and
where the student is shallower its deepest layer L_S also learns from every deeper layer of the teacher, L_S to L_T.
A decoder layer counts as deep as the encoder layer that it mirrors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sordino.errors import InputError
from sordino.types import Tap

MOST_LISTED = 6
"""Taps of a network that an error lists."""


def layer_pairs(
    student: Mapping[str, Tap], teacher: Mapping[str, Tap], kinds: Sequence[str], dual_depth: bool = True
) -> list[tuple[str, str]]:
    """Return the pairs (student tap, teacher tap) of the encoder and then of the decoder.

    A pair is left out if either network lacks the tap: small MANNERs have views in the deepest layer only.

    Args:
        student, teacher: the taps that the two networks declare.
        kinds: the parts of a tap's name after its layer, ``("channel", "global", "local")`` for MV-AT's views or
            ``("",)`` for the output of the layer itself.
        dual_depth: False pairs equal depths only.
    """
    student_depth, teacher_depth = _depth(student), _depth(teacher)
    depths = [(depth, depth) for depth in range(1, min(student_depth, teacher_depth) + 1)]
    if dual_depth:
        depths += [(student_depth, deeper) for deeper in range(student_depth + 1, teacher_depth + 1)]
    pairs = []
    for side in ("encoder", "decoder"):
        for student_layer, teacher_layer in depths:
            for kind in kinds:
                pair = _name(side, student_layer, kind), _name(side, teacher_layer, kind)
                if pair[0] in student and pair[1] in teacher:
                    pairs.append(pair)
    return pairs


def layer_taps(taps: Mapping[str, Tap], side: str = "both") -> list[str]:
    """Return the taps of whole layers in the order in which a signal passes them: encoder 1 to L, decoder L to 1.

    Args:
        taps: the taps that a network declares.
        side: ``encoder``, ``decoder`` or ``both``.
    """
    depth = _depth(taps)
    order: list[str] = []
    if side != "decoder":
        order += [f"encoder.{layer}" for layer in range(1, depth + 1)]
    if side != "encoder":
        order += [f"decoder.{layer}" for layer in range(depth, 0, -1)]
    return [name for name in order if name in taps]


def nothing_shared(
    method: str, found: str, student: Mapping[str, Tap], teacher: Mapping[str, Tap], wanted: str, hint: str = ""
) -> InputError:
    """Return the error for networks whose taps a method cannot compare: what they declare, and what it looks for.

    Args:
        method: its name.
        found: what is missing.
        student, teacher: the taps that the two networks declare.
        wanted: the names of taps that it reads, with N for the number of a layer.
        hint: what else the user can do.
    """
    declared = f"the student declares {_listed(student)}, the teacher {_listed(teacher)}"
    numbers = ", N from 1" if ".N" in wanted else ""
    return InputError(method, f"{found} ({declared})", f"taps {wanted}{numbers}", hint)


def _listed(taps: Mapping[str, Tap]) -> str:
    names = list(taps)
    more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
    return ", ".join([*names[:MOST_LISTED], *more]) or "none"


def _depth(taps: Mapping[str, Tap]) -> int:
    """Return the number of the deepest encoder layer that has a tap."""
    matches = [re.match(r"encoder\.(\d+)", name) for name in taps]
    return max((int(match[1]) for match in matches if match), default=0)


def _name(side: str, layer: int, kind: str) -> str:
    return f"{side}.{layer}.{kind}" if kind else f"{side}.{layer}"
