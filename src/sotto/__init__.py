"""sotto: knowledge distillation for speech enhancement.

Large denoising networks made into small ones that run in real time on a CPU core, and the small ones put to use::

    import sotto

    estimate = sotto.enhance(noisy, sample_rate)          # the student that ships with the package, without torch
    streamer = sotto.Streamer(sample_rate=48000)          # the same block by block: feed, and flush at the end
    network = sotto.load("runs/student/best.safetensors")  # a torch network
    scores = sotto.evaluate(network, ("noisy/", "clean/"))  # PESQ, STOI, CSIG, CBAK, COVL, SI-SDR

Importing this package imports neither torch nor anything else that is slow. It turns off the telemetry of onnxruntime,
which from 1.29 on reports sessions and model files to its makers unless it is told not to before it is imported.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from sotto.version import __version__

if TYPE_CHECKING:
    from sotto.enhance import enhance as enhance
    from sotto.evaluate import evaluate as evaluate
    from sotto.models import load as load
    from sotto.stream import Streamer as Streamer

__all__ = ["Streamer", "__version__", "enhance", "evaluate", "load"]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_ROOMS = ("audio", "data", "distill", "enhance", "evaluate", "export", "losses", "metrics", "models", "stream", "train")


def __getattr__(name: str) -> Any:
    """Import a verb or a room when it is first asked for: ``sotto.enhance``, ``sotto.models``, ..."""
    if name == "load":
        from sotto.models import load

        return load
    if name == "Streamer":
        from sotto.stream import Streamer

        return Streamer
    if name in _ROOMS:
        return importlib.import_module(f"sotto.{name}")
    raise AttributeError(f"module 'sotto' has no attribute {name!r}")
