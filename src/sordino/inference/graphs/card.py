"""Model cards: small JSON files that say how to run a network of another project, or which models are one together.

    {"onnx": "theirs.onnx", "stft": {"n_fft": 512, "hop": 256, "window": "hann"}, "sample_rate": 16000}
    {"mean": ["theirs.json", "runs/ours/best.safetensors", {"preset": "gtcrn", "file": "renamed.onnx"}]}

A card holds the keys that ``teacher`` has in a recipe for such a network. Files are looked for beside the card.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sordino.assets import CHECKPOINTS, students
from sordino.errors import InputError, did_you_mean
from sordino.inference.graphs.presets import PRESETS, preset_and_file
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.stft import Stft
from sordino.json_files import read_json
from sordino.plugins.import_string import FORM, is_name

SUFFIX = ".json"
KEYS = ("onnx", "preset", "file", "stft", "sample_rate")
KINDS = ("onnx", "preset", "mean")
MEMBERS = (*KINDS, "checkpoint", "callable")
"""Kinds of a card, and those of a member of a mean besides, of which each names one."""
_FORMS = "onnx: FILE, or preset: NAME and file: FILE, or mean: [MODEL, MODEL]"
_MEMBER = "member"
_FILES, _WORDS = ("onnx", "file"), ("checkpoint", _MEMBER)
"""Keys whose text is a file, and those whose text may name one."""


@dataclass(frozen=True)
class MeanSource:
    """The mean of the estimates of several models.

    Attributes:
        title: name to show.
        members: two or more, as a recipe's ``teacher.mean`` has them: words for models, or mappings. Their files are
            those beside the card.
    """

    title: str
    members: tuple[str | Mapping[str, Any], ...]


def is_card(model: str | Path) -> bool:
    """Tell whether a file that exists is called as cards are."""
    return Path(model).suffix.lower() == SUFFIX and os.path.isfile(model)  # False of a name that is too long, too


def read_card(path: str | Path) -> GraphSource | MeanSource:
    """Read a card.

    Raises:
        InputError: no JSON, unknown keys, or values that are none.
    """
    path = Path(path)
    try:
        values: Any = read_json(path, object, "model card")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "a model card") from error
    kind = _kind(path, values, KINDS)
    if kind != "mean":
        return graph_of(path, _beside(values, path.parent), path.stem)
    _known(path, values, ("mean",))
    return mean_of(path, _beside(values, path.parent), path.stem)


def mean_of(path: Path, values: Mapping[str, Any], title: str) -> MeanSource:
    """Return the mean that ``values`` name, which a card or a member of a card holds.

    Raises:
        InputError: fewer than two members, or one that is none.
    """
    members = values["mean"]
    if not isinstance(members, list) or len(members) < 2:
        raise InputError(path, f"mean is {members!r}", "a list of two or more models")
    for member in members:
        if not isinstance(member, str):
            _kind(path, member, MEMBERS)
    return MeanSource(title, tuple(members))


def graph_of(path: Path, values: Mapping[str, Any], title: str = "") -> GraphSource:
    """Return the network of another project that ``values`` name; arguments as above.

    Raises:
        InputError: unknown keys, or values that are none.
    """
    _known(path, values, KEYS)
    file_key = "onnx" if "onnx" in values else "file"
    file, preset, stft = values.get(file_key), values.get("preset"), values.get("stft")
    for key, value in ((file_key, file), ("preset", preset)):
        if not isinstance(value, str | None):
            raise InputError(path, f"{key} is {value!r}", "a text")
    try:
        transform = None if stft is None else _transform(path, stft)
        return GraphSource(file and Path(file), preset, transform, values.get("sample_rate"), title)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected, error.hint) from error


def named_by(path: Path, values: Mapping[str, Any]) -> str:
    """Return the word for the checkpoint or the function that a member of a card names.

    Raises:
        InputError: unknown keys, or values that are none.
    """
    kind = _kind(path, values, MEMBERS)
    keys, form = (kind,), "a text"
    if kind == "callable":
        keys, form = (kind, "sample_rate"), FORM
    _known(path, values, keys)
    word, rate = values[kind], values.get("sample_rate")
    if not isinstance(word, str) or (kind == "callable" and not is_name(word)):
        raise InputError(path, f"{kind} is {word!r}", form)
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int) or rate <= 0):
        raise InputError(path, f"sample_rate is {rate!r}", "a whole number of Hz above 0")
    return word


def _kind(path: Path, values: Any, kinds: tuple[str, ...]) -> str:
    """Return the one of ``kinds`` that ``values`` name; an InputError if they name none or several."""
    if isinstance(values, Mapping) and "best" in values:
        found = "best chooses by the clean speech, or by DNSMOS, and a model that enhances has neither"
        hint = "to see how good the best can be, score its members side by side: sordino evaluate MODEL MODEL"
        raise InputError(path, found, "mean: [MODEL, MODEL]", hint)
    named: list[str] = []
    if isinstance(values, Mapping):
        named = [kind for kind in kinds if kind in values]
    if len(named) != 1:
        if kinds is MEMBERS:
            raise InputError(path, f"mean: {values!r} is no model", f"one word, or one of {', '.join(MEMBERS)}")
        raise InputError(path, "no model card", _FORMS)
    return named[0]


def _beside(values: Any, folder: Path, key: str = "") -> Any:
    """Return a card's values with file names made relative to its ``folder``; ``key`` is the key of ``values``."""
    if isinstance(values, Mapping):
        return {name: _beside(value, folder, name) for name, value in values.items()}
    if isinstance(values, list):
        return [_beside(value, folder, _MEMBER) for value in values]
    if isinstance(values, str) and key in _FILES:
        return str(folder / values)
    if isinstance(values, str) and key in _WORDS:
        return _word(values, folder)
    return values


def _word(word: str, folder: Path) -> str:
    """Return the word for a model with its file in ``folder``; names without a file are returned as they are."""
    named = preset_and_file(word, folder)
    if named is not None:
        return f"{named[0]}:{folder / named[1]}"
    if is_name(word) or word in students() or word in PRESETS:
        return word
    if Path(word).suffix.lower() in (".onnx", SUFFIX, *CHECKPOINTS) or os.path.exists(folder / word):
        return str(folder / word)
    return word


def _transform(path: Path, values: Any) -> Stft:
    if not isinstance(values, Mapping):
        raise InputError("stft", f"{values!r}", '{"n_fft": 512, "hop": 256, "window": "hann"}')
    names = [field.name for field in fields(Stft)]
    _known(path, values, names, "stft.")
    for name in ("n_fft", "hop"):
        if name not in values:
            raise InputError(f"stft.{name}", "missing", "a number of samples")
    return Stft(**values)


def _known(path: Path, values: Mapping[str, Any], keys: tuple[str, ...] | list[str], prefix: str = "") -> None:
    for key in values:
        if key not in keys:
            raise InputError(path, f"{prefix}{key}: no such key", f"one of {', '.join(keys)}", did_you_mean(key, keys))
