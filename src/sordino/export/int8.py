"""Quantisation of an exported network to 8 bits, accepted only if its score drops by little.

All parts of a float export are quantised (``sordino.export.quantise``) and the result is scored. If the score has
fallen too far, the part that does the most damage stays in float, then the next, and so on; last of all, only what can
be quantised dynamically is. The first attempt that passes is written. The damage of a part is measured on the
calibration signals, without scores: it is the power of the change in the output when this part alone is quantised. The
graphs for recordings and for streams are quantised alike, and both must pass.

The caller supplies the score: a function that gets the model as a function of [T] -> [T] and returns a score for each
recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import TensorsData

from sordino.errors import InputError
from sordino.export.graphs import SHORTEST
from sordino.export.onnx_files import run_stream, run_whole
from sordino.export.quantise import DYNAMIC, Plan, feeds_of_recordings, feeds_of_stream, parts, quantised, ranges
from sordino.files import atomic
from sordino.inference.graphs.onnx_graph import check_name, stream_file
from sordino.types import Enhance, Status

MAX_DROP = 0.05
"""Largest accepted fall of the mean score."""
ScoreFunction = Callable[[Enhance], Mapping[str, float]]
"""Function from a model to a score by recording, higher is better; recordings without a score are left out."""


@dataclass(frozen=True)
class Attempt:
    """One way of quantising, and its result."""

    plan: Plan
    drop: float
    """Fall of the mean score; the larger one of the graphs for recordings and for streams."""
    bytes: int
    """Size of the file, or of both files."""

    def __str__(self) -> str:
        return f"{self.plan}: {-self.drop:+.3f} PESQ, {self.bytes / 1e6:.2f} MB"


@dataclass(frozen=True)
class Quantised:
    """Result of a quantisation, beside the float files."""

    attempts: tuple[Attempt, ...]
    """All attempts; the last one was written."""
    score: float
    """Mean score of the float network."""
    bytes: int
    """Size of the float files."""
    streams: bool
    """Whether there is a graph for streams."""

    @property
    def is_smaller(self) -> bool:
        """Whether what was written takes less than the float files do."""
        return self.attempts[-1].bytes < self.bytes


@dataclass(frozen=True)
class _FloatGraph:
    """A float graph with all that it takes to quantise it and to score the result."""

    proto: onnx.ModelProto
    ranges: TensorsData
    open: Callable[[Path], Enhance]
    scores: Mapping[str, float]


def to_int8(
    source: str | Path,
    target: str | Path,
    calibration: Sequence[np.ndarray],
    judge: ScoreFunction,
    max_drop: float = MAX_DROP,
    status: Status | None = None,
) -> Quantised:
    """Quantise an exported network, and the graph for streams beside it if there is one.

    Args:
        source: the file that ``to_onnx`` wrote.
        target: ends in ``.onnx``; replaced atomically, and left alone if no attempt passes.
        calibration: noisy signals, float32 [T], like those in later use, at the network's sample rate.
        judge: scores a function from noisy [T] to estimate [T], such as by PESQ.
        max_drop: largest allowed drop of the mean score.
        status: called with a line for each attempt.

    Raises:
        InputError: the score drops further in every attempt, there are no signals to calibrate or score on, or
            ``target`` is not a valid name.
    """
    source, target = Path(source), check_name(target)
    if source.resolve() == target.resolve():
        raise InputError(target, "is the float network itself, which would be lost", "another name")
    calibration = _usable(calibration)
    targets = {source: target}
    if stream_file(source).exists():
        targets[stream_file(source)] = stream_file(target)
    graphs = [_float_graph(path, calibration, judge) for path in targets]
    score = float(np.mean(list(graphs[0].scores.values())))
    attempts: list[Attempt] = []
    with TemporaryDirectory() as folder:
        temporary = [Path(folder) / path.name for path in targets.values()]
        for plan in _plans(graphs[0], calibration):
            attempt = _attempt(plan, graphs, temporary, judge)
            attempts.append(attempt)
            if status is not None:
                status(str(attempt))
            if attempt.drop <= max_drop:
                _write(temporary, list(targets.values()), attempt)
                size = sum(path.stat().st_size for path in targets)
                return Quantised(tuple(attempts), score, size, len(targets) == 2)
    least = min((attempt.drop for attempt in attempts), default=float("inf"))
    found = f"int8 lost {least:.3f} PESQ in the best of {len(attempts)} attempts"
    raise InputError(target, found, f"at most {max_drop:g}", "nothing was written")


def _usable(calibration: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the signals in float32; those of less than ``SHORTEST`` samples say nothing of ranges."""
    if not calibration:
        raise InputError("calibration", "there is no signal", "one recording or more")
    usable = [np.asarray(signal, np.float32) for signal in calibration if len(signal) >= SHORTEST]
    if not usable:
        found = f"none of {len(calibration)} signals has {SHORTEST} samples"
        raise InputError("calibration", found, "one recording or more")
    return usable


def _float_graph(path: Path, calibration: Sequence[np.ndarray], judge: ScoreFunction) -> _FloatGraph:
    """Load a float graph, measure the ranges of its features, and score it."""
    if stream_file(path) == path:
        feeds, opener = feeds_of_stream(path, calibration), run_stream
    else:
        feeds, opener = feeds_of_recordings(path, calibration), run_whole
    scores = judge(opener(path))
    if not scores:
        raise InputError(path, "scored on none of the recordings", "pairs of speech that PESQ can judge")
    return _FloatGraph(onnx.load(path), ranges(path, feeds), opener, scores)


def _attempt(plan: Plan, graphs: Sequence[_FloatGraph], paths: Sequence[Path], judge: ScoreFunction) -> Attempt:
    """Quantise the graphs by ``plan`` into files at ``paths``, and score them."""
    drops = []
    for graph, path in zip(graphs, paths, strict=True):
        onnx.save(quantised(graph.proto, plan, graph.ranges), path)
        scores = judge(graph.open(path))
        # A recording on which only the float network has a score counts as an infinite fall, not as none.
        falls = [before - scores.get(name, -np.inf) for name, before in graph.scores.items()]
        drops.append(float(np.mean(falls)))
    return Attempt(plan, max(drops), sum(path.stat().st_size for path in paths))


def _plans(graph: _FloatGraph, calibration: Sequence[np.ndarray]) -> Iterator[Plan]:
    """Yield static quantisation of all parts, then of fewer and fewer, the worst kept in float first, then dynamic."""
    yield Plan("static")
    nodes_by_part = parts(graph.proto.graph)
    damage = _damage(graph, list(nodes_by_part), calibration)
    names = sorted(nodes_by_part, key=lambda name: -damage[name])
    for count in range(1, len(names)):
        yield Plan("static", tuple(names[:count]))
    dynamic = {node.name for node in graph.proto.graph.node if node.op_type in DYNAMIC}
    if any(dynamic.intersection(nodes) for nodes in nodes_by_part.values()):
        yield Plan("dynamic")


def _damage(graph: _FloatGraph, names: Sequence[str], calibration: Sequence[np.ndarray]) -> dict[str, float]:
    """Return, for each part, the power of the change in the output when this part alone is quantised."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"

        def outputs(kept: Sequence[str]) -> list[np.ndarray]:
            onnx.save(quantised(graph.proto, Plan("static", tuple(kept)), graph.ranges), path)
            run = graph.open(path)
            return [run(signal) for signal in calibration]

        # The float output comes from the same path with every part kept, so that only the part makes a difference.
        floats = outputs(names)
        damage = {}
        for name in names:
            estimates = outputs([other for other in names if other != name])
            powers = []
            for estimate, expected in zip(estimates, floats, strict=True):
                powers.append(float(np.square(estimate - expected).sum()))
            damage[name] = sum(powers)
    return damage


def _write(paths: Sequence[Path], targets: Sequence[Path], attempt: Attempt) -> None:
    """Move the files to their targets, with the attempt in their metadata; a stream's graph of before is removed."""
    with ExitStack() as files:  # no target is replaced before all files are whole
        for path, target in zip(paths, targets, strict=True):
            proto = onnx.load(path)
            proto.metadata_props.add(key="int8", value=json.dumps(asdict(attempt)))
            onnx.checker.check_model(proto)
            onnx.save(proto, files.enter_context(atomic(target, alone=True)))
    if len(targets) == 1:
        stream_file(targets[0]).unlink(missing_ok=True)
