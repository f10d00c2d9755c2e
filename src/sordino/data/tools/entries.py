"""The recordings of a corpus, each with its partner if it has one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sordino.audio.folders import list_audio
from sordino.data.names import speaker_of
from sordino.data.recordings import NO_RATIO, pair_key
from sordino.data.tools.layouts import Part


@dataclass(frozen=True)
class Entry:
    """A pair, or a single recording."""

    part: Part
    id: str
    noisy: Path | None
    clean: Path | None
    speaker: str

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.noisy, self.clean) if path is not None]

    @property
    def has_no_ratio(self) -> bool:
        """Whether it was rendered as noise alone, with a silent reference, or as speech alone, which is its own."""
        return self.noisy is not None and NO_RATIO in self.noisy.stem


def entries_of(part: Part) -> list[Entry]:
    """Return the recordings of a part, each with its partner if it has one."""
    noisy, clean = _by_key(part.noisy), _by_key(part.clean)
    entries = []
    for key in sorted(noisy.keys() | clean.keys()):
        path = noisy.get(key) or clean[key]
        root = part.noisy if key in noisy else part.clean
        entries.append(Entry(part, key, noisy.get(key), clean.get(key), speaker_of(path, root or path.parent)))
    return entries


def _by_key(root: Path | None) -> dict[str, Path]:
    """Return the files of a folder by their pair ids; of two with the same id, the second's is its name with suffix."""
    keyed: dict[str, Path] = {}
    if root is None or not root.is_dir():
        return keyed
    for path in list_audio(root):
        key = pair_key(path, root)
        keyed[path.relative_to(root).as_posix() if key in keyed else key] = path
    return keyed
