"""Properties of rendered files that their record states as intended, so that a check does not report them as faults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sordino.data.augmentation import DEFAULT, augmentation
from sordino.json_files import read_json

RECORD = "render.json"
"""Name of the file in the output folder that describes what was rendered there."""
_AUGMENTED = ("mix", "dns")
"""Sources that augment where ``augment`` is left out."""
HINT = "remove it with its folder, and render again"


class Intended(NamedTuple):
    """Properties that look like faults of a corpus, but are intended."""

    clipping: bool = False
    """Noisy files may be clipped, as the augmentation clips some."""
    noisy_only: bool = False
    """Training files have no clean partners."""


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a rendering; see ``sordino.json_files.read_json``."""
    return read_json(folder / RECORD, dict[str, Any], "record of a rendering", HINT)


def intended(folder: str | Path) -> Intended:
    """Return what was intended in a folder; nothing where it holds no rendering.

    Raises:
        InputError: the record cannot be read, or its augmentation is none.
    """
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        return Intended()
    record = read_record(folder)
    about = record.get("about")
    default = DEFAULT if record.get("source") in _AUGMENTED else None
    given = about.get("augment", default) if isinstance(about, Mapping) else default
    changes = augmentation(given)
    return Intended(changes is not None and changes.clipping > 0, record.get("noisy_only") is True)
