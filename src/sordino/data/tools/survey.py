"""Survey of a folder of recordings before training: its parts, their durations, rates and speakers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sordino.audio.folders import list_audio
from sordino.audio.sound_files import info
from sordino.data.names import recording_of, speaker_of
from sordino.data.tools.layouts import Layout, detect
from sordino.errors import InputError
from sordino.types import Progress

Content = Literal["clean", "noise", "noisy"]


@dataclass
class Folder:
    """One folder of recordings."""

    split: str
    """``train``, ``valid`` or ``test``; ``speech`` and ``noise`` of what is mixed."""
    content: Content
    path: Path
    files: int = 0
    seconds: float = 0.0
    rates: Counter[int] = field(default_factory=Counter)
    """Sample rates in Hz, with the number of files at each."""
    channels: Counter[int] = field(default_factory=Counter)
    sources: int = 0
    """Speakers, or recordings of noise (all pieces ``name_NN`` are one)."""
    unreadable: list[str] = field(default_factory=list)


@dataclass
class Survey:
    """What a folder holds, by the layout that was recognised."""

    layout: Layout
    folders: list[Folder]

    def rates(self) -> set[int]:
        """Return all sample rates in Hz."""
        return {rate for folder in self.folders for rate in folder.rates}


def survey(root: str | Path, progress: Progress | None = None) -> Survey:
    """Read the header of every recording below ``root``.

    Args:
        root: see :func:`sordino.data.tools.layouts.detect`.
        progress: called after every file.

    Raises:
        InputError: the folder is missing, or has none of the layouts.
    """
    layout = detect(root)
    folders = []
    for part in layout.parts:
        noisy: Content = "noise" if part.split == "noise" else "noisy"
        sides: tuple[tuple[Content, Path | None], ...] = ((noisy, part.noisy), ("clean", part.clean))
        folders += [Folder(part.split, content, path) for content, path in sides if path is not None and path.is_dir()]
    files = {folder.path: list_audio(folder.path) for folder in folders}
    total, done = sum(map(len, files.values())), 0
    for folder in folders:
        for path in files[folder.path]:
            _count(folder, path)
            done += 1
            if progress:
                progress("looking", done, total, {})
        names = recording_of if folder.content == "noise" else lambda path: speaker_of(path, folder.path)  # noqa: B023
        folder.sources = len({names(path) for path in files[folder.path]})
    return Survey(layout, folders)


def _count(folder: Folder, path: Path) -> None:
    folder.files += 1
    try:
        sound = info(path)
    except InputError as error:
        folder.unreadable.append(str(error))
        return
    folder.seconds += sound.seconds
    folder.rates[sound.sample_rate] += 1
    folder.channels[sound.channels] += 1
