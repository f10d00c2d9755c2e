"""Recognise what an ONNX graph of another project takes and gives, by the names, shapes and types of its inputs.

Five kinds can be told apart. B is 1 and T is the number of samples, fixed or open:

* **wave**: one input [T], [B,T] or [B,1,T], and an output of the same shape;
* **wave stream**: samples of a fixed number and the state, each array of which comes out again in its own shape. Where
  more samples go in than come out, the input is a window that moves on by the length of the output;
* **spectrum**: one input [B,F,N,2], [B,N,F,2], [B,2,F,N] or [B,2,N,F] with an open number of frames N: real and
  imaginary part;
* **spectrum stream**: one frame in any of these orders, with or without the axis of frames, and the state;
* **gains**: features [B,N,F] in, a gain for every bin out. What the features are no graph says: only a preset does.

In a stream, the noisy signal and its estimate usually come first, and sometimes last. Shapes tell which they are. Where
shapes do not, names do: what is called a state, a cache or a memory is not the signal. Otherwise the first is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, Protocol

from sordino.errors import InputError
from sordino.inference.graphs.onnx_graph import TYPES, Graph

FLOAT = "tensor(float)"
Kind = Literal["wave", "wave stream", "spectrum", "spectrum stream", "gains"]

FITTING = (
    "samples [1,T] in and out; samples of a fixed number and a state; frames [1,F,N,2], [1,N,F,2], [1,2,F,N] or "
    "[1,2,N,F] with an open number N; or one frame, such as [1,F,1,2], and a state. Each state comes out again in its "
    "own shape, and in the order in which it went in"
)
_STATE = re.compile(
    r"(?i)state|cache|hidden|mem|buf|past|prev|carry|context|ctx|gru|lstm|rnn|(?<![a-z])[hc][nx]?\d*(?![a-z])"
)
"""Pattern that the names of states match, and those of signals do not."""


class Port(Protocol):
    """An input or output of a graph."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Sequence[int | str | None]: ...

    @property
    def type(self) -> str: ...


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, by the kind that was recognised.

    Attributes:
        kind: see the module.
        length: samples of a wave's input; None where any number may go in.
        hop: samples that a wave stream gives at once.
        bins: frequency bins F of a spectrum.
        axes: order of a spectrum's axes: ``FN2``, ``NF2``, ``2FN`` or ``2NF``; of one frame ``F2`` or ``2F``.
        rank: axes of a wave.
        batches: whether a wave's graph takes several signals at once.
        source, target: places of the sound among the inputs, and of its estimate among the outputs.
    """

    kind: Kind
    length: int | None = None
    hop: int | None = None
    bins: int | None = None
    axes: str = ""
    rank: int = 2
    batches: bool = False
    source: int = 0
    target: int = 0

    @property
    def streams(self) -> bool:
        """Whether it carries a state from hop to hop."""
        return self.kind in ("wave stream", "spectrum stream")

    def describe(self) -> str:
        """Return the kind in words, for the log."""
        if self.kind == "wave":
            number = "any number" if self.length is None else f"{self.length} at once"
            signals = ", several signals at once" if self.batches else ""
            return f"samples in and out, {number}{signals}"
        if self.kind == "wave stream":
            return f"a stream of {self.hop} samples at once, with its state"
        if self.kind == "gains":
            return f"features and gains of {self.bins} bins, any number of frames"
        frames = "one frame at once, with its state" if self.kind == "spectrum stream" else "any number of frames"
        return f"spectra of {self.bins} bins, {frames}"


def recognise(graph: Graph) -> Signature:
    """Name the kind of ``graph``.

    Raises:
        InputError: it fits none; the message says what it takes and what would fit.
    """
    inputs, outputs = graph.inputs, graph.outputs
    signature, hint = None, ""
    if len(inputs) > 1:
        candidates = _streams(inputs, outputs)
        signature = _chosen(candidates, inputs, outputs)
        if candidates:
            hint = "several inputs may be the noisy signal: export the signal and its estimate first"
    elif len(outputs) > 1:
        hint = "export it with the estimate as its only output"
    else:
        signature = _whole(inputs[0], outputs[0])
    if signature is None:
        given = ", ".join(f"{port.name} {port.shape}" for port in outputs[:3])
        raise InputError(graph.path, f"takes {graph.describe()} and gives {given}", FITTING, hint)
    return signature


def _streams(inputs: Sequence[Port], outputs: Sequence[Port]) -> list[Signature]:
    """Return what the graph may be: the sound and its estimate are the first or the last, and the rest is the state."""
    found = []
    for source, target in product({0, len(inputs) - 1}, {0, len(outputs) - 1}):
        state_in = [*inputs[:source], *inputs[source + 1 :]]
        state_out = [*outputs[:target], *outputs[target + 1 :]]
        signature = _stream(inputs[source], outputs[target])
        if signature is not None and _returns_state(state_in, state_out):
            found.append(replace(signature, source=source, target=target))
    return found


def _chosen(candidates: Sequence[Signature], inputs: Sequence[Port], outputs: Sequence[Port]) -> Signature | None:
    """Choose the signal among candidates whose shapes all fit, by name and position; None if that is not enough."""
    no_states = []
    for signature in candidates:
        names = (inputs[signature.source].name, outputs[signature.target].name)
        if not any(map(_STATE.search, names)):
            no_states.append(signature)
    possible = no_states or list(candidates)
    first = [signature for signature in possible if signature.source == signature.target == 0]
    # A graph that gives the state before the estimate mostly takes it before the sound, too.
    same_place = [signature for signature in possible if signature.source == signature.target]
    for choice in (first, possible, same_place):
        if len(choice) == 1:
            return choice[0]
    return None


def _returns_state(state_in: Sequence[Port], state_out: Sequence[Port]) -> bool:
    """Tell whether every further input has a fixed shape, but for its batch, and comes out again, in the same order."""
    if len(state_in) != len(state_out):
        return False
    for before, after in zip(state_in, state_out, strict=True):
        if not all(isinstance(axis, int) for axis in before.shape[1:]):
            return False
        if len(before.shape) != len(after.shape) or list(before.shape[1:]) != list(after.shape[1:]):
            return False
        if before.type not in TYPES or before.type != after.type:
            return False
    return True


def _stream(source: Port, target: Port) -> Signature | None:
    """Recognise a hop of samples, or one frame of a spectrum, and its estimate."""
    if not _are_floats(source, target):
        return None
    ranks = {len(source.shape), len(target.shape)}
    sizes_in, sizes_out = _telling_axes(source), _telling_axes(target)
    if min([*sizes_in, *sizes_out], default=0) < 2:
        return None
    if len(sizes_in) == 2 and sizes_in == sizes_out and 2 in sizes_in and ranks in ({3}, {4}):
        axes = "F2" if sizes_in[1] == 2 else "2F"
        return Signature("spectrum stream", bins=max(sizes_in), axes=axes)
    if len(sizes_in) == len(sizes_out) == 1 and sizes_in[0] >= sizes_out[0] and max(ranks) <= 3:
        return Signature("wave stream", length=sizes_in[0], hop=sizes_out[0])
    return None


def _are_floats(source: Port, target: Port) -> bool:
    return source.type == target.type == FLOAT


def _telling_axes(port: Port) -> list[int]:
    """Return the lengths of the axes but for those of one, which say nothing.

    An open axis says nothing either: it is that of signals or frames, of which one goes in.
    """
    return [axis for axis in port.shape if isinstance(axis, int) and axis != 1]


def _spectrum(shape: Sequence[int | str | None]) -> Signature | None:
    """Recognise all frames of a spectrum, [B,...]: two parts, bins of a fixed number, and any number of frames."""
    for axes in ("FN2", "NF2", "2FN", "2NF"):
        sizes = dict(zip(axes, shape[1:], strict=True))
        if sizes["2"] == 2 and isinstance(sizes["F"], int) and not isinstance(sizes["N"], int):
            return Signature("spectrum", bins=sizes["F"], axes=axes)
    return None


def _whole(source: Port, target: Port) -> Signature | None:
    """Recognise a whole recording, as samples, frames of a spectrum or features, and its estimate or gains."""
    if not _are_floats(source, target):
        return None
    shape = list(source.shape)
    if len(shape) == 4 and len(target.shape) == 4:
        return _spectrum(shape)
    if len(shape) not in (1, 2, 3) or len(target.shape) != len(shape):
        return None
    if any(isinstance(axis, int) and axis != 1 for axis in shape[:-1]):
        return None
    if len(shape) == 3 and not isinstance(shape[1], int) and isinstance(shape[2], int):
        return Signature("gains", bins=shape[2])
    length = shape[-1] if isinstance(shape[-1], int) else None
    batches = len(shape) > 1 and not isinstance(shape[0], int)
    return Signature("wave", length=length, rank=len(shape), batches=batches)
