"""DNSMOS P.835: Reddy, Gopal, Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to
evaluate noise suppressors", ICASSP 2022.

A network predicts listeners' ratings of the signal (SIG), the background (BAK) and the overall quality (OVRL), each
from 1 to 5, from the estimate alone. Its ONNX file ``sig_bak_ovr.onnx`` does not ship with sordino: it comes with the
package ``speechmos``, or from a path. The values equal those of ``speechmos.dnsmos`` and of the DNS Challenge's own
script.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sordino.errors import InputError
from sordino.files import identity
from sordino.metrics.pair import usable

if TYPE_CHECKING:
    from sordino.inference.graphs.onnx_graph import Graph

FILE = "SORDINO_DNSMOS"
"""Environment variable that names the ONNX file; worker processes inherit it."""

SAMPLE_RATE = 16000
WINDOW_S = 9.01
_WINDOW = int(WINDOW_S * SAMPLE_RATE)
_PACKAGE = "speechmos"
_PLACE = Path("dnsmos_models", "sig_bak_ovr.onnx")

# Column -> index of the network's output, and the published polynomial to the listeners' scale, highest power first.
_SCALES = {
    "dnsmos_ovrl": (2, np.array([-0.06766283, 1.11546468, 0.04602535])),
    "dnsmos_sig": (0, np.array([-0.08397278, 1.22083953, 0.0052439])),
    "dnsmos_bak": (1, np.array([-0.13166888, 1.60915514, -0.39604546])),
}


def dnsmos(estimate: ArrayLike, sample_rate: int, file: str | Path | None = None) -> dict[str, float]:
    """Predict the three ratings of ITU-T P.835 without a clean reference.

    The recording is rated in windows of 9.01 s, one every second, whose ratings are averaged. A shorter recording is
    repeated until it fills a window. Samples beyond full scale are clipped, as writing them to a file would.

    Args:
        estimate: [T].
        sample_rate: 16000 Hz.
        file: path of ``sig_bak_ovr.onnx``; None searches for it as :func:`model_file` does.

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
    known: dict[bytes, NDArray[np.float32]] = {}  # a short recording of whole seconds gives the same windows again
    rated = []
    for window in _windows(signal):
        if (key := window.tobytes()) not in known:
            known[key] = graph.run([window[None]])[0][0]
        rated.append(known[key])
    outputs = np.array(rated, np.float64)
    return {name: float(np.polyval(scale, outputs[:, place]).mean()) for name, (place, scale) in _SCALES.items()}


def model_file(file: str | Path | None = None) -> Path:
    """Find the network's file: ``file``, or the one that ``SORDINO_DNSMOS`` names, or that of ``speechmos``.

    Raises:
        InputError: the file does not exist, or the package is not installed.
    """
    named = file or os.environ.get(FILE)
    if named:
        if not Path(named).is_file():
            raise InputError(named, "there is no such file", f"{_PLACE.name} of DNSMOS P.835")
        return Path(named)
    # The package itself is not imported: it needs librosa, for metrics that are not used here.
    package = find_spec(_PACKAGE)
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        if (Path(folder) / _PLACE).is_file():
            return Path(folder) / _PLACE
    hint = f"pip install {_PACKAGE}, or name the file: --dnsmos FILE or {FILE}=FILE"
    raise InputError("dnsmos", f"its network {_PLACE.name} is not installed", hint=hint)


def fingerprint(file: str | Path | None = None) -> str:
    """Return the start of the SHA-256 of the network's file, which identifies its release."""
    path = model_file(file)
    return f"sha256:{_digest(str(path), identity(path))}"


@lru_cache(4)
def _digest(path: str, _changed: tuple[int, ...]) -> str:
    """Hash a file; its identity is an argument so that a changed file is hashed again."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def _network(path: Path) -> Graph:
    """Open the network; an InputError if the file holds another one."""
    from sordino.inference.graphs.onnx_graph import open_graph  # imports onnxruntime, which no other metric needs

    graph = open_graph(path, threads=1)
    inputs = [tensor.shape[1:] for tensor in graph.inputs]
    outputs = [tensor.shape[1:] for tensor in graph.outputs]
    if inputs != [[_WINDOW]] or outputs != [[len(_SCALES)]]:
        expected = f"DNSMOS P.835: [N, {_WINDOW}] to [N, {len(_SCALES)}]"
        raise InputError(path, f"a network that takes {graph.describe()}", expected)
    return graph


def _windows(signal: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the windows of a signal [T] as published.

    A short signal is doubled until it is long enough. Where rounding makes a window one sample too short (at the 8th to
    the 24th second, then from the 120th on), that window is left out.
    """
    while len(signal) < _WINDOW:
        signal = np.concatenate([signal, signal])
    for second in range(int(len(signal) // SAMPLE_RATE - WINDOW_S) + 1):
        window = signal[second * SAMPLE_RATE : int((second + WINDOW_S) * SAMPLE_RATE)]
        if len(window) == _WINDOW:
            yield window
