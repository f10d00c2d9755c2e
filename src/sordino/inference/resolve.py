"""Resolution of a model's name, path or object into what it is: for every function and every command.

A user names a model in many ways: not at all, by a word, by a file, or by an object of Python. ``resolve`` looks at
what was given and says which of these it is and where it lies. It opens no file but a model card, imports no module
that a word names, and needs neither torch nor onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sordino import assets
from sordino.errors import InputError, MissingFile, did_you_mean
from sordino.inference.contracts import Engine, OpenModel
from sordino.inference.graphs.card import MeanSource, graph_of, is_card, mean_of, named_by, read_card
from sordino.inference.graphs.presets import PRESETS, preset_and_file, preset_of
from sordino.inference.graphs.source import GraphSource
from sordino.plugins.import_string import is_name
from sordino.plugins.modules import demand

Kind = Literal[
    "shipped",  # a student of the package, by its name: a graph in ONNX and mostly a checkpoint
    "onnx",  # a graph of whole recordings
    "external",  # a published network with its preset, or a graph with its transform
    "mean",  # several models, whose estimates are averaged
    "stream",  # the graph of a stream, which an export writes beside the former
    "checkpoint",  # .safetensors of sordino's own, or a published one
    "recipe",  # a network with fresh weights, where a function takes one
    "import",  # package.module:function
    "network",  # in torch
    "function",  # from noisy [T] to estimate [T]
    "model",  # opened already, by open_model
    "engine",  # opened already, block by block
]

MOST = 64
"""Models of a mean."""


@dataclass(frozen=True)
class ModelSource:
    """Source of a model: its kind, name and place.

    Attributes:
        kind: what it is.
        name: for people: that of the student, of the file without its suffix, of the function or network.
        path: its file, if it has one; of a student that ships the graph in ONNX.
        value: the object that was given, if it was no word and no path; the ``GraphSource`` of an external one; a
            ``ModelSource`` for each member of a mean.
        sample_rate: Hz at which a function works, or a file that does not declare it, where a card or a recipe says so.
    """

    kind: Kind
    name: str
    path: Path | None = None
    value: Any = None
    sample_rate: int | None = None

    @property
    def is_graph(self) -> bool:
        """Whether it is a file in ONNX."""
        return self.kind in ("shipped", "onnx", "stream")

    @property
    def files(self) -> list[Path]:
        """All files of the model; none where it has none.

        Raises:
            InputError: one of several is missing.
        """
        if self.kind == "external":
            return self.value.files
        if self.kind == "mean":
            files: dict[Path, None] = {}  # each once, in the order of the members
            for member in self.value:
                files |= dict.fromkeys(member.files)
            return list(files)
        if self.path is None or self.kind == "recipe":
            return []
        return [self.path]

    @property
    def file(self) -> Path:
        """The file of the model.

        Raises:
            InputError: it is none.
        """
        if self.path is None or self.kind == "recipe":
            raise InputError(self.path or self.name, "is no file of a model", _expected())
        return self.path

    @property
    def checkpoint(self) -> Path:
        """The file of its weights.

        Raises:
            InputError: it has no checkpoint.
        """
        if self.kind == "shipped":
            return assets.weights(self.name)
        if self.kind != "checkpoint":
            raise InputError(self.path or self.name, "is no checkpoint", f"a file {', '.join(assets.CHECKPOINTS)}")
        return self.file


def resolve(model: Any = None, otherwise: Literal["checkpoint", "recipe"] | None = None) -> ModelSource:
    """Say what ``model`` is.

    Args:
        model: None for the default student; the name of one that ships; a path to ONNX, to a checkpoint or to the
            folder of a run, whose best weights it stands for; a published network, ``PRESET:FILE``, or the folder of
            its files; a model card; the name of a function, ``package.module:function``; a network; a function; a
            ``GraphSource``; what ``open_model`` or ``open_engine`` returned; or what this function did.
        otherwise: what a word is that is none of those. With it, nobody checks here that a file exists: what reads
            the file knows better what to say.

    Raises:
        InputError: no such model; the nearest name is given.
    """
    if model is None:
        model = assets.DEFAULT_STUDENT
    if isinstance(model, (str, Path)):
        return _word(model, otherwise)
    if isinstance(model, ModelSource):
        return model
    if isinstance(model, GraphSource):
        return ModelSource("external", model.name, model.path, model)
    if isinstance(model, OpenModel):
        return ModelSource("model", model.name, value=model)
    if isinstance(model, Engine):
        return ModelSource("engine", model.name, value=model)
    if isinstance(model, type):
        raise InputError("model", f"{model.__name__} is a class", "an object of it")
    if hasattr(model, "taps") and hasattr(model, "sample_rate"):
        return ModelSource("network", getattr(model, "name", type(model).__name__), value=model)
    if hasattr(model, "register_forward_hook"):  # by which a module of torch is known without an import of torch
        raise InputError("model", f"a {type(model).__name__}", "a sordino.models.Enhancer, or a numpy function")
    if callable(model):
        return ModelSource("function", getattr(model, "__name__", type(model).__name__), value=model)
    raise InputError("model", f"a {type(model).__name__}", "a name, a path, a network or a function")


def shown_name(path: Path) -> str:
    """Return a short name for a file of weights: the folder of its run, or its own name without the suffix."""
    of_run = path.stem in {Path(name).stem for name in assets.RUN_WEIGHTS}
    return os.path.basename(os.path.dirname(os.path.abspath(path))) if of_run else path.stem


def _word(model: str | Path, otherwise: Literal["checkpoint", "recipe"] | None) -> ModelSource:
    """Say what a word or a path is; see ``resolve``."""
    word, path = str(model), assets.run_weights(model)
    if is_card(path):
        return _card(path, ())
    external = _external(model)
    if external is not None:
        return resolve(external)
    if isinstance(model, str) and is_name(word):
        return ModelSource("import", word)
    if word in assets.students():
        return ModelSource("shipped", word, assets.student_file(word))
    kind = _kind_of_file(path) or otherwise
    if kind is None or not (otherwise or os.path.isfile(path)):
        raise _no_model(path)
    if kind == "stream":
        return ModelSource(kind, path.name[: -len(assets.STREAM_SUFFIX)], path)
    return ModelSource(kind, shown_name(path), path)


def _card(path: Path, within: tuple[Path, ...]) -> ModelSource:
    """Return what a card says, which other cards may name: those are ``within``."""
    if path.resolve() in within:
        raise InputError(path, "is a mean of itself", "other models")
    source = read_card(path)
    if isinstance(source, GraphSource):
        return resolve(source)
    return _mean(path, source, (*within, path.resolve()))


def _mean(path: Path, mean: MeanSource, within: tuple[Path, ...]) -> ModelSource:
    members = [_member(path, one, within) for one in mean.members]
    source = ModelSource("mean", mean.title, path, tuple(members))
    if _count(source) > MOST:  # few cards that name each other twice are billions
        raise InputError(path, "is a mean of too many models", f"at most {MOST}")
    return source


def _count(source: ModelSource) -> int:
    """Return the number of models that are run: of a mean, and of means among its members, all of them."""
    if source.kind == "mean":
        return sum(map(_count, source.value))
    return 1


def _member(path: Path, given: str | Mapping[str, Any], within: tuple[Path, ...]) -> ModelSource:
    """Return a member of the mean that the card at ``path`` describes."""
    if isinstance(given, Mapping):
        if "mean" in given:
            return _mean(path, mean_of(path, given, "the mean"), within)
        if "onnx" in given or "preset" in given:
            return resolve(graph_of(path, given))
        word = named_by(path, given)
        return replace(_member(path, word, within), sample_rate=given.get("sample_rate"))
    if is_card(given):
        return _card(Path(given), within)
    source = resolve(given)
    if source.kind == "import":
        demand(given, path)
    return source


def _external(model: str | Path) -> GraphSource | None:
    """Return the network that ``PRESET:FILE``, a preset with a package or a folder of parts names."""
    if model in PRESETS and PRESETS[str(model)].package:
        return GraphSource(None, str(model))
    named = preset_and_file(str(model))
    if named is not None:
        preset, file = named
        if preset not in PRESETS:
            hint = did_you_mean(preset, PRESETS)
            raise InputError(model, f"no preset {preset!r}", f"one of {', '.join(PRESETS)}", hint)
        return GraphSource(file, preset)
    if os.path.isdir(model) and preset_of(Path(model)):
        return GraphSource(model)
    return None


def _kind_of_file(path: Path) -> Literal["onnx", "stream", "checkpoint"] | None:
    name = path.name.lower()
    if name.endswith(assets.STREAM_SUFFIX):
        return "stream"
    if name.endswith(".onnx"):
        return "onnx"
    if name.endswith(assets.CHECKPOINTS):
        return "checkpoint"
    return None


def _no_model(model: str | Path) -> InputError:
    kind, found = (InputError, "not a model") if os.path.exists(model) else (MissingFile, "no such model")
    return kind(model, found, _expected(), assets.nearest_student(model))


def _expected() -> str:
    others = ", ".join(assets.students())
    return f"a .onnx file, a checkpoint, the folder of a run, or one of {others}, PRESET:FILE or a model card"
