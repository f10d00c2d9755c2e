"""The models on the page: the students that ship, and those that were named when the server was started."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sordino.assets import shipped, student_file
from sordino.evaluation.score import CLEAN, NOISY
from sordino.evaluation.speed import real_time_factor
from sordino.inference.contracts import latency_s
from sordino.inference.model import Model, open_model
from sordino.inference.resolve import resolve, shown_name


@dataclass(frozen=True)
class ServedModel:
    """One model, open and ready to run."""

    name: str
    model: Model
    summary: str = ""
    parameters: int | None = None
    flops: float | None = None
    """On 4 s of audio, as the MV-AT paper counts them."""
    file_bytes: int | None = None
    latency_s: float | None = None
    """Algorithmic latency of a model that streams; None for one that needs the whole recording."""
    test: str = ""
    """The test set of the scores."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Metric column to mean, from its card."""

    @cached_property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound on this machine; measured once, which takes a moment."""
        return real_time_factor(self.model, seconds=2.0, repeats=1).median

    def __str__(self) -> str:
        """Size, cost and latency in words; what is not known is left out."""
        parts = []
        if self.parameters is not None:
            parts.append(f"{self.parameters:,} parameters")
        if self.file_bytes is not None:
            parts.append(f"{self.file_bytes / 1e6:.2f} MB")
        if self.flops is not None:
            parts.append(f"{self.flops / 1e9:.2f} G operations on 4 s of sound")
        if self.latency_s is None:
            parts.append("needs the whole recording")
        else:
            parts.append(f"latency {self.latency_s * 1000:.0f} ms")
        parts.append(f"{self.real_time_factor:.3f} s of work per second of sound here")
        words = ", ".join(parts)
        return f"{self.summary}: {words}" if self.summary else words


def served_models(models: Sequence[str] = ()) -> dict[str, ServedModel]:
    """Open every model: name on the page -> model, the default student first.

    Args:
        models: files, or names of functions, beside the students that ship.

    Raises:
        InputError: one cannot be opened.
    """
    served = {name: _shipped(name, card) for name, card in shipped().items()}
    for model in models:
        name = _name(model)
        if name in served or name in (NOISY, CLEAN):  # two runs may lie in folders of one name
            name = model  # in full
        served[name] = _other(model, name)
    return served


def _shipped(name: str, card: Mapping[str, Any]) -> ServedModel:
    return ServedModel(
        name,
        open_model(name),
        card["summary"],
        card["parameters"],
        card["flops_paper"],
        student_file(name).stat().st_size,
        card["latency_s"],
        card["scores"]["test"],
        card["scores"]["model"],
    )


def _other(model: str, name: str) -> ServedModel:
    """Describe a model by its file or function; without torch only the size of the file is known."""
    source, opened = resolve(model), open_model(model)
    if importlib.util.find_spec("torch") is None:
        size = sum(file.stat().st_size for file in source.files) or None
        return ServedModel(name, opened, file_bytes=size, latency_s=_latency_s(opened))
    from sordino.experiments.bench import bench

    cost = bench(model, clocked=False)
    return ServedModel(name, opened, "", cost.parameters, cost.flops_paper, cost.file_bytes, _latency_s(opened))


def _latency_s(opened: Model) -> float | None:
    """Return the latency of a model that runs block by block; None for one that needs the whole recording."""
    return None if opened.engine is None else latency_s(opened.engine)


def _name(model: str) -> str:
    return shown_name(Path(model)) if Path(model).is_file() else model
