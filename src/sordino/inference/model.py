"""Models ready to run: a student that ships, an ONNX file, a checkpoint, a network, a function, or a mean of several.

Torch is imported only when a checkpoint or a network is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from sordino.assets import STREAM_SUFFIX
from sordino.audio.pcm import as_estimate, one_channel, optional_rate
from sordino.errors import InputError
from sordino.inference.contracts import Engine, Process
from sordino.inference.engine import load_checkpoint, open_engine, whole_threads
from sordino.inference.functions import as_long, open_function
from sordino.inference.graphs.source import SAMPLE_RATE, GraphSource
from sordino.inference.mean import MeanEngine, MeanProcess, apart
from sordino.inference.pipeline import EngineProcess
from sordino.inference.resolve import ModelSource, resolve
from sordino.inference.windows import CONTEXT_S, WINDOW_S, Windows
from sordino.types import Enhance

NETWORK = "arguments"
"""Key in the metadata of every graph that sordino wrote, and of no other graph."""

MINIMUM = 256
CONTEXT = 0.25
"""Largest share of a window that is context, on either side; it bounds the context of short windows."""


@dataclass(frozen=True)
class Model:
    """A model ready to run: ``model(noisy) -> estimate``, float32 [T] at ``sample_rate``."""

    name: str
    sample_rate: int
    run: Enhance | None
    """[T] -> [T], on a whole signal; None for a model that only runs block by block."""
    minimum: int = MINIMUM
    """The shortest input, in samples, that the model takes; shorter ones are padded with silence."""
    about: Mapping[str, str] = field(default_factory=dict)
    """The metadata of its file."""
    engine: Engine | None = None
    """The same model block by block, where it can: signals of any length are then enhanced with it."""
    shareable: bool = False
    """Whether several threads may run it at once."""
    finish: Callable[[], object] = lambda: None
    """Called when a signal is done or given up, to free what was taken for it."""
    run_batch: Enhance | None = None
    """[C,T] -> [C,T], where the model takes several signals at once."""
    longest: int | None = None
    """The most samples that it takes at once; None where any number."""
    members: tuple[Model, ...] = ()
    """The models whose mean it is."""

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Enhance one channel of any length, [T] -> [T]; errors as in ``one_channel``."""
        channel = one_channel(noisy, "noisy")
        with self.open(1) as process:
            return np.concatenate([process.feed(channel[None]), process.flush()], axis=1)[0]

    @contextmanager
    def open(self, channels: int) -> Iterator[Process]:
        """Context manager that enhances one signal of ``channels`` channels and frees its resources on exit."""
        if self.members:
            with ExitStack() as stack:
                processes = [stack.enter_context(member.open(channels)) for member in self.members]
                yield MeanProcess(self.name, self.sample_rate, channels, processes)
            return
        try:
            if self.engine is not None:
                yield EngineProcess(self.engine, channels)
            else:
                run_batch = None if self.run_batch is None else self._whole_batch
                window = WINDOW_S if self.longest is None else min(WINDOW_S, self.longest / self.sample_rate)
                context = min(CONTEXT_S, CONTEXT * window)
                yield Windows(
                    self._whole, self.sample_rate, channels, window, context, run_batch=run_batch, name=self.name
                )
        finally:
            self.finish()

    @property
    def parts(self) -> list[Model]:
        """The models that it is made of: all members of a mean, and of means among them; of any other itself."""
        parts: list[Model] = []
        for member in self.members:
            parts += member.parts
        return parts or [self]

    def _whole(self, noisy: np.ndarray) -> np.ndarray:
        """Run a signal [T] as a whole: padded to the shortest input, checked, and cut to its length again."""
        assert self.run is not None  # or there is an engine
        return self._checked(self.run(self._padded(noisy)), noisy)

    def _whole_batch(self, noisy: np.ndarray) -> np.ndarray:
        """Run signals [C,T] at once; see ``_whole``."""
        assert self.run_batch is not None
        return self._checked(self.run_batch(self._padded(noisy)), noisy)

    def _padded(self, noisy: np.ndarray) -> np.ndarray:
        *channels, length = noisy.shape
        silence = np.zeros((*channels, max(self.minimum - length, 0)), np.float32)
        return np.concatenate([noisy, silence], axis=-1).astype(np.float32, copy=False)

    def _checked(self, estimate: Any, noisy: np.ndarray) -> np.ndarray:
        return as_long(estimate, noisy, self.name, self.sample_rate, self.minimum)


def open_model(model: Any = None, threads: int | None = None, sample_rate: int | None = None) -> Model:
    """Make a model ready to run.

    Args:
        model: None for the default student; the name of a shipped one; a path to an ONNX file or to a checkpoint (which
            needs ``sordino[train]``); a published network, ``"PRESET:FILE"`` or a ``GraphSource``; a model card, also
            that of a mean; a network in torch; an ``Engine``; or a function from noisy [T] to estimate [T], float32. If
            a function is given by its name, ``"package.module:function"``, its delay is removed.
        threads: threads of an ONNX model, 1 to 1024. By default one per core, and 1 for a model that runs block by
            block, because its hops are too small to divide. Torch has its own setting.
        sample_rate: Hz of a function, or of an ONNX file that does not state its rate; 16000 when left out.

    Raises:
        InputError: no such model, a file that is not a model, a model with another rate than ``sample_rate``, or an
            invalid rate or number of threads.
    """
    threads, sample_rate = whole_threads(threads), optional_rate(sample_rate, "sample_rate")
    source = resolve(model)
    sample_rate = sample_rate or source.sample_rate
    ready = source.value if source.kind == "model" else _opened(source, threads, sample_rate)
    if sample_rate not in (None, ready.sample_rate):
        raise InputError("sample_rate", f"{sample_rate} Hz, but {ready.name} works at {ready.sample_rate} Hz")
    return ready


def _opened(source: ModelSource, threads: int | None, sample_rate: int | None) -> Model:
    """Open what is not open yet; ``sample_rate`` is for models that do not say theirs."""
    if source.kind == "external":
        return _from_external(source.value, threads, sample_rate)
    if source.kind == "mean":
        return _from_members(source, threads)
    if source.path is not None and source.is_graph:
        from sordino.inference.graphs.onnx_graph import recordings_file, stream_file

        # Of a pair of graphs that of the stream alone: a file of any length passes through it in blocks. Named by that
        # of the stream itself it is opened only where there is no other.
        if stream_file(source.path).is_file() and not (source.kind == "stream" and recordings_file(source.path)):
            return _from_stream(source.path, source.name, threads)
        return _from_onnx(source.path, source.name, threads, sample_rate)
    if source.kind == "checkpoint":
        network = load_checkpoint(source)
        from sordino.models import read_about  # which needs torch, too

        about = {"about": json.dumps(read_about(source.checkpoint))}
        return replace(_from_network(network, source.name), about=about)
    if source.kind == "network":
        return _from_network(source.value, source.name)
    if source.kind == "import":
        rate = sample_rate or SAMPLE_RATE
        run, notes = open_function(source.name, rate)
        return Model(source.name, rate, run, about={"external": notes})
    if source.kind == "function":
        return Model(source.name, sample_rate or SAMPLE_RATE, cast("Enhance", source.value))
    engine = source.value
    return Model(engine.name, engine.sample_rate, None, engine=engine)


def _from_stream(path: Path, name: str, threads: int | None) -> Model:
    from sordino.inference.graphs.stream_graph import open_stream

    graph = open_stream(path, threads or 1, long_blocks=True)
    return Model(name, graph.sample_rate, None, about=graph.about, engine=graph, shareable=True)


def _from_onnx(path: Path, name: str, threads: int | None, sample_rate: int | None) -> Model:
    from sordino.inference.graphs.onnx_graph import open_graph, recordings_file

    graph = open_graph(path, threads or 0)
    if NETWORK not in graph.about and not path.name.endswith(STREAM_SUFFIX):
        return _from_external(GraphSource(path), threads, sample_rate)
    source, *others = graph.inputs
    # An axis is a number where the graph takes no other length, else a name or None.
    fixed = [axis for axis in source.shape if isinstance(axis, int)]
    if others or len(source.shape) != 2 or fixed not in ([], [1]) or source.type != "tensor(float)":
        recordings = recordings_file(path)
        hint = f"that is the graph of a stream; name {recordings.name}" if recordings else ""
        raise InputError(path, f"takes {graph.describe()}", "one float input of [1, samples], of any length", hint)

    def run(noisy: np.ndarray) -> np.ndarray:
        return graph.run([noisy[None]])[0][0]

    rate = graph.sample_rate(sample_rate or SAMPLE_RATE)
    minimum = graph.number("minimum_samples", MINIMUM)
    finish = partial(graph.give_back, [np.zeros((1, minimum), np.float32)])
    return Model(name, rate, run, minimum, graph.about, shareable=True, finish=finish)


def _from_external(source: GraphSource, threads: int | None, sample_rate: int | None) -> Model:
    """Open a network that another project published: a stream, spectra, or samples of another shape."""
    from sordino.inference.graphs.external import open_external

    if source.sample_rate is None and source.facts is None:
        source = replace(source, sample_rate=sample_rate)
    opened = open_external(source, threads=threads)
    return Model(
        source.name,
        opened.sample_rate,
        opened.run,
        about={"external": opened.notes},
        engine=opened.engine,
        shareable=True,
        finish=opened.finish,
        run_batch=opened.run_batch,
        longest=opened.longest,
    )


def _from_members(source: ModelSource, threads: int | None) -> Model:
    """Open the mean of several models; block by block it runs where all of them can, together."""
    members = tuple(open_model(one, threads) for one in source.value)
    sample_rate = min(member.sample_rate for member in members)
    shareable = all(member.shareable for member in members)
    engine = None
    if not apart([member.engine for member in members]):
        engine = MeanEngine(source.name, [member.engine for member in members if member.engine])
    return Model(source.name, sample_rate, None, engine=engine, shareable=shareable, members=members)


def _from_network(network: Any, name: str) -> Model:
    import torch

    from sordino.models.base import evaluating, input_like

    like = input_like(network)

    def run(noisy: np.ndarray) -> np.ndarray:
        # A user's autocast would give another estimate.
        with torch.inference_mode(), torch.autocast(like.device.type, enabled=False), evaluating(network):
            estimate = network(torch.from_numpy(noisy).to(like)[None])[0]
        return as_estimate(estimate, name).astype(np.float32, copy=False)

    engine = open_engine(network) if network.streams else None
    return Model(name, network.sample_rate, run, engine=engine)
