"""How to run a network of another project: its files, its transform and its sample rate."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sordino.errors import InputError, MissingFile, did_you_mean
from sordino.inference.graphs.presets import PRESETS, Preset, preset_of
from sordino.inference.graphs.stft import Stft

SAMPLE_RATE = 16000
"""Hz, for a model that does not state its rate."""


@dataclass(frozen=True)
class GraphSource:
    """A network of another project: its files, and how to run it.

    Args:
        file: the ONNX file, or the folder with the files of a preset; None for a preset whose package contains them.
        preset: a name of ``PRESETS``; by default the preset that lists this file name, if there is one.
        stft: the transform around a graph of spectra; the preset's when left out.
        sample_rate: Hz; the preset's when left out.
        title: name to show; the name of the file when left out.

    Raises:
        InputError: no such preset, no file, or an invalid sample rate.
    """

    file: str | Path | None
    preset: str | None = None
    stft: Stft | None = None
    sample_rate: int | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if self.preset is not None:
            self._check_preset(self.preset)
        elif self.file is None:
            raise InputError("file", "missing", "a .onnx file")
        if self.sample_rate is not None and not (isinstance(self.sample_rate, int) and self.sample_rate > 0):
            raise InputError("sample_rate", f"{self.sample_rate!r} Hz", "a whole number above 0")

    def _check_preset(self, name: str) -> None:
        """Refuse a preset that does not exist, or that does not fit the file."""
        if name not in PRESETS:
            hint = did_you_mean(name, PRESETS)
            raise InputError("preset", f"no network {name!r}", f"one of {', '.join(PRESETS)}", hint)
        preset = PRESETS[name]
        if self.file is None:
            if not preset.package:
                raise InputError("file", "missing", preset.needs)
            return
        if preset.package:
            raise InputError("file", f"{str(self.file)!r} beside {name}", f"no file, and {preset.needs}")
        named = preset_of(Path(self.file))
        if named not in (None, name):
            # It may run all the same, and badly: networks with the same frames differ in their window alone.
            found = f"{Path(self.file).name} is the name of a file of {named}"
            raise InputError("file", found, f"the network {name}", f"give preset {named}, or rename the file")

    @property
    def path(self) -> Path:
        """The file or folder; of a package its name."""
        return Path(self.file or self.preset or "")

    @property
    def kind(self) -> str | None:
        """The name of the preset that is given, or that knows the file by its name; None without one."""
        return self.preset or preset_of(self.path)

    @property
    def facts(self) -> Preset | None:
        """What is known of the network; None where no preset is given and none knows the file."""
        return PRESETS[self.kind] if self.kind is not None else None

    @property
    def transform(self) -> Stft | None:
        """The transform that is given, or that the preset knows; None without one."""
        if self.stft is None and self.facts is not None:
            return self.facts.stft
        return self.stft

    @property
    def name(self) -> str:
        """Name to show: of the file, or of the preset and the folder."""
        if self.title:
            return self.title
        if self.facts is not None and self.facts.parts:
            return f"{self.kind} {self.path.name}"
        return self.path.stem

    @property
    def files(self) -> list[Path]:
        """Every file of the network.

        Raises:
            InputError: one is missing.
        """
        facts = self.facts
        if facts is not None and facts.package:
            if facts.installed is None:
                raise InputError(self.kind, "is not installed", facts.needs)
            return [facts.installed]
        parts = facts.parts if facts else ()
        files = [self.path / part for part in parts] or [self.path]
        missing = [file.name for file in files if not os.path.isfile(file)]  # False of a name that is too long, too
        if missing and parts:
            raise InputError(self.path, f"has no {', '.join(missing)}", f"a folder with {', '.join(parts)}")
        if missing:
            raise MissingFile(self.path, "no such file", "a .onnx file")
        return files
