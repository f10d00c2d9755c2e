"""int8 behind a gate: a network in 8 bits is kept only if it loses little of what it is for.

A float export is quantised in every part (``sordino.export.quantise``) and judged; if it lost too much, the part that
hurt most stays in float, then the next, and last of all only what can be quantised dynamically is. The first that
passes is written. What hurts is asked of the calibration sound alone: each part is quantised by itself, and the power
by which the output differs is compared. Whole recordings and the stream are quantised alike, and both must pass.

Who judges is the caller's affair: a function of [T] -> [T] goes in, a score for each recording comes out.
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
from sordino.export.onnx_files import Run, check_name, run_stream, run_whole
from sordino.export.quantise import DYNAMIC, Plan, feeds_of_recordings, feeds_of_stream, parts, quantised, ranges
from sordino.files import atomic
from sordino.inference.onnx_graph import stream_file
from sordino.types import Status

MAX_DROP = 0.05
Judge = Callable[[Run], Mapping[str, float]]
"""Recording -> score, higher is better; what could not be scored is not there."""


@dataclass(frozen=True)
class Attempt:
    """One way of quantising, and what it cost."""

    plan: Plan
    drop: float
    """Mean loss of score; of whole recordings or of the stream, whichever lost more."""
    bytes: int
    """Of the file or of both."""

    def __str__(self) -> str:
        return f"{self.plan}: {-self.drop:+.3f} PESQ, {self.bytes / 1e6:.2f} MB"


@dataclass(frozen=True)
class Quantised:
    """What was tried, the last one kept, beside the float files."""

    attempts: tuple[Attempt, ...]
    score: float
    """Mean of the float network."""
    bytes: int
    streams: bool


@dataclass(frozen=True)
class _Source:
    """A float graph, ready to be quantised."""

    proto: onnx.ModelProto
    reach: TensorsData
    open: Callable[[Path], Run]
    scores: Mapping[str, float]


def to_int8(
    source: str | Path,
    target: str | Path,
    calibration: Sequence[np.ndarray],
    judge: Judge,
    max_drop: float = MAX_DROP,
    status: Status | None = None,
) -> Quantised:
    """Write an exported network, and its stream where one lies beside it, in 8 bits.

    Args:
        source: what ``to_onnx`` wrote.
        target: ends in ``.onnx``; replaced atomically, and left alone when nothing passes.
        calibration: float32 [T] noisy signals such as the network will hear, at its rate.
        judge: scores a function from noisy [T] to estimate [T], such as by PESQ.
        max_drop: largest loss of the mean score.
        status: called with a line for each attempt.

    Raises:
        InputError: every attempt lost more, there is nothing to calibrate or score on, or ``target`` is no name.
    """
    source, target = Path(source), check_name(target)
    if not calibration:
        raise InputError("calibration", "there is no sound", "one recording or more")
    files = {source: target, stream_file(source): stream_file(target)}
    files = {path: place for path, place in files.items() if path.exists()}
    sources = [_source(path, calibration, judge) for path in files]
    score = float(np.mean(list(sources[0].scores.values())))
    attempts: list[Attempt] = []
    with TemporaryDirectory() as folder:
        for plan in _plans(sources[0], calibration):
            made = [Path(folder) / place.name for place in files.values()]
            attempts.append(_tried(plan, sources, made, judge))
            if status is not None:
                status(str(attempts[-1]))
            if attempts[-1].drop <= max_drop:
                _keep(made, list(files.values()), attempts[-1])
                return Quantised(tuple(attempts), score, sum(path.stat().st_size for path in files), len(files) == 2)
    least = min((attempt.drop for attempt in attempts), default=float("inf"))
    found = f"int8 lost {least:.3f} PESQ at the least, in {len(attempts)} attempts"
    raise InputError(target, found, f"at most {max_drop:g}", "nothing was written")


def _source(path: Path, calibration: Sequence[np.ndarray], judge: Judge) -> _Source:
    streams = stream_file(path) == path
    feeds = (feeds_of_stream if streams else feeds_of_recordings)(path, calibration)
    opened = run_stream if streams else run_whole
    scores = judge(opened(path))
    if not scores:
        raise InputError(path, "scored on none of the recordings", "pairs of speech that PESQ can judge")
    return _Source(onnx.load(path), ranges(path, feeds), opened, scores)


def _tried(plan: Plan, sources: Sequence[_Source], made: Sequence[Path], judge: Judge) -> Attempt:
    drops = []
    for source, path in zip(sources, made, strict=True):
        onnx.save(quantised(source.proto, plan, source.reach), path)
        found = judge(source.open(path))
        # A recording that only the float network has a score for must not count as none lost.
        drops.append(float(np.mean([before - found.get(name, -np.inf) for name, before in source.scores.items()])))
    return Attempt(plan, max(drops), sum(path.stat().st_size for path in made))


def _plans(source: _Source, calibration: Sequence[np.ndarray]) -> Iterator[Plan]:
    """Everything static; then ever more parts in float, those that hurt most first; then dynamic."""
    yield Plan("static")
    names = list(parts(source.proto.graph))
    hurt = _hurt(source, names, calibration)
    names.sort(key=lambda name: -hurt[name])
    for count in range(1, len(names)):
        yield Plan("static", tuple(names[:count]))
    kinds = {node.name: node.op_type for node in source.proto.graph.node}
    if any(kinds[node] in DYNAMIC for nodes in parts(source.proto.graph).values() for node in nodes):
        yield Plan("dynamic")


def _hurt(source: _Source, names: Sequence[str], calibration: Sequence[np.ndarray]) -> dict[str, float]:
    """Part -> power of what quantising it alone changes in the output, over the calibration sound."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"

        def outputs(kept: Sequence[str]) -> list[np.ndarray]:
            onnx.save(quantised(source.proto, Plan("static", tuple(kept)), source.reach), path)
            run = source.open(path)
            return [run(signal) for signal in calibration]

        wanted = outputs(names)
        found = {name: outputs([other for other in names if other != name]) for name in names}
    return {
        name: sum(float(np.square(one - other).sum()) for one, other in zip(estimates, wanted, strict=True))
        for name, estimates in found.items()
    }


def _keep(made: Sequence[Path], places: Sequence[Path], attempt: Attempt) -> None:
    """Put the files in their places, with how they were made in their metadata."""
    with ExitStack() as files:
        for path, place in zip(made, places, strict=True):
            proto = onnx.load(path)
            proto.metadata_props.add(key="int8", value=json.dumps(asdict(attempt)))
            onnx.checker.check_model(proto)
            onnx.save(proto, files.enter_context(atomic(place)))
    if len(places) == 1:
        stream_file(places[0]).unlink(missing_ok=True)
