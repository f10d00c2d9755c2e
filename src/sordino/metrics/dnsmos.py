"""DNSMOS P.835: Reddy, Gopal, Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to
evaluate noise suppressors", ICASSP 2022.

A network predicts what listeners would say of the signal (SIG), the background (BAK) and the whole (OVRL), each from 1
to 5, from the estimate alone. Its ONNX file ``sig_bak_ovr.onnx`` does not ship with sordino: it comes with the package
``speechmos``, or from a path. Figures equal those of ``speechmos.dnsmos`` and of the DNS Challenge's own script.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sordino.errors import InputError
from sordino.inference.onnx_graph import Graph, open_graph
from sordino.metrics.pair import usable

FILE = "SORDINO_DNSMOS"
"""The environment variable that names the ONNX file. Processes that measure inherit it."""

SAMPLE_RATE = 16000
WINDOW_S = 9.01
_WINDOW = int(WINDOW_S * SAMPLE_RATE)
_PACKAGE = "speechmos"
_PLACE = Path("dnsmos_models", "sig_bak_ovr.onnx")

# Which output of the network it is, and the published polynomial to the listeners' scale, highest power first.
_SCALES = {
    "dnsmos_ovrl": (2, np.array([-0.06766283, 1.11546468, 0.04602535])),
    "dnsmos_sig": (0, np.array([-0.08397278, 1.22083953, 0.0052439])),
    "dnsmos_bak": (1, np.array([-0.13166888, 1.60915514, -0.39604546])),
}


def dnsmos(estimate: ArrayLike, sample_rate: int, file: str | Path | None = None) -> dict[str, float]:
    """Predict the three ratings of ITU-T P.835 without a clean reference.

    The recording is judged in windows of 9.01 s, one every second, whose ratings are averaged. A shorter one is
    repeated until it fills a window. Samples beyond full scale are clipped, as writing them to a file would.

    Args:
        estimate: [T], what is judged.
        sample_rate: 16000 Hz.
        file: ``sig_bak_ovr.onnx``; where :func:`model_file` looks by default.

    Returns:
        ``dnsmos_ovrl``, ``dnsmos_sig`` and ``dnsmos_bak``.

    Raises:
        InputError: another sample rate, no ONNX file, or one of another network.
        MetricFailure: the estimate is empty, silent, or holds NaN or infinite samples.
    """
    if sample_rate != SAMPLE_RATE:
        found = f"a sample rate of {sample_rate} Hz"
        raise InputError("dnsmos", found, f"{SAMPLE_RATE} Hz", "resample the estimate first")
    signal = np.clip(usable("estimate", estimate), -1, 1).astype(np.float32)
    graph = _network(model_file(file))
    outputs = np.array([graph.run([window[None]])[0][0] for window in _windows(signal)], np.float64)
    return {name: float(np.polyval(scale, outputs[:, place]).mean()) for name, (place, scale) in _SCALES.items()}


def model_file(file: str | Path | None = None) -> Path:
    """Find the network: ``file``, else what the variable ``SORDINO_DNSMOS`` names, else that of ``speechmos``.

    Raises:
        InputError: there is none.
    """
    named = file or os.environ.get(FILE)
    if named:
        if not Path(named).is_file():
            raise InputError(named, "there is no such file", f"{_PLACE.name} of DNSMOS P.835")
        return Path(named)
    # The package itself is not imported: it wants librosa, for measures that are not used here.
    package = find_spec(_PACKAGE)
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (Path(folder) / _PLACE).is_file():
            return Path(folder) / _PLACE
    do = f"pip install {_PACKAGE}, or name the file: --dnsmos FILE or {FILE}=FILE"
    raise InputError("dnsmos", f"its network {_PLACE.name} is not installed", hint=do)


def fingerprint(file: str | Path | None = None) -> str:
    """The start of the SHA-256 of the network's file, which tells one release from another."""
    return f"sha256:{_digest(str(path := model_file(file)), path.stat().st_mtime_ns)}"


@lru_cache(4)
def _digest(path: str, _changed: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _network(path: Path) -> Graph:
    graph = open_graph(path, threads=1)
    shapes = [[one.shape[1:] for one in side] for side in (graph.inputs, graph.outputs)]
    if shapes != [[[_WINDOW]], [[len(_SCALES)]]]:
        expected = f"DNSMOS P.835: [N, {_WINDOW}] to [N, {len(_SCALES)}]"
        raise InputError(path, f"a network that takes {graph.describe()}", expected)
    return graph


def _windows(signal: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The windows of [T], as published: a short signal doubles until it is long enough, and where rounding leaves a
    window a sample short (the 8th to the 24th second, then from the 120th on) that window is left out."""
    while len(signal) < _WINDOW:
        signal = np.concatenate([signal, signal])
    for second in range(int(len(signal) // SAMPLE_RATE - WINDOW_S) + 1):
        window = signal[second * SAMPLE_RATE : int((second + WINDOW_S) * SAMPLE_RATE)]
        if len(window) == _WINDOW:
            yield window
