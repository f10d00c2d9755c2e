"""Model cards: small JSON files that say how to run a network of another project, for which one word is too little.

    {"onnx": "theirs.onnx", "stft": {"n_fft": 512, "hop": 256, "window": "hann"}, "sample_rate": 16000}

A card holds the keys that ``teacher`` has in a recipe for such a network. Files are looked for beside the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sordino.errors import InputError, did_you_mean
from sordino.files import read_json
from sordino.inference.graphs.presets import GraphSource
from sordino.inference.graphs.stft import Stft

SUFFIX = ".json"
KEYS = ("onnx", "preset", "file", "stft", "sample_rate")


def is_card(model: str | Path) -> bool:
    """Tell whether a file that exists is called as cards are."""
    return Path(model).suffix.lower() == SUFFIX and Path(model).is_file()


def read_card(path: str | Path) -> GraphSource:
    """Read a card.

    Raises:
        InputError: no JSON, unknown keys, or values that are none.
    """
    path = Path(path)
    try:
        values = read_json(path, object, "model card")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "a model card") from error
    if not isinstance(values, dict) or ("onnx" in values) == ("preset" in values):
        raise InputError(path, "no model card", "onnx: FILE, or preset: NAME and file: FILE")
    _known(path, values, KEYS)
    stft = values.get("stft")
    file, preset = values.get("onnx", values.get("file")), values.get("preset")
    for key, value in (("onnx" if "onnx" in values else "file", file), ("preset", preset)):
        if not isinstance(value, str | None):
            raise InputError(path, f"{key} is {value!r}", "a text")
    try:
        return GraphSource(
            None if file is None else path.parent / file,
            preset,
            None if stft is None else _transform(path, stft),
            values.get("sample_rate"),
            path.stem,
        )
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.found, error.expected, error.hint) from error


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
