"""Knowledge distillation for speech enhancement.

Large denoising networks are made into small ones that run in real time on a CPU core, and the small ones are put to
use::

    import sordino

    estimate = sordino.enhance(noisy, sample_rate)  # the student that ships with the package, without torch
    streamer = sordino.Streamer(sample_rate=48000)  # the same block by block: feed, and flush at the end
    network = sordino.load("runs/student/best.safetensors")  # a torch network
    scores = sordino.evaluate(network, ("noisy/", "clean/"))  # PESQ, STOI, CSIG, CBAK, COVL, SI-SDR
    outcome = sordino.train("unet/student", ["train.steps=1000"], "runs/student")

Importing this package imports neither torch nor anything else that is slow. It turns off the telemetry of onnxruntime,
which from 1.29 on reports sessions and model files to its makers unless that is switched off before it is imported.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from sordino.version import __version__

if TYPE_CHECKING:
    from sordino.evaluation.evaluate import evaluate as evaluate
    from sordino.experiments.run import train as train
    from sordino.inference.enhance import enhance as enhance
    from sordino.inference.streamer import Streamer as Streamer
    from sordino.models import load as load

__all__ = ["Streamer", "__version__", "enhance", "evaluate", "load", "train"]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_VERBS = {
    "enhance": "inference.enhance",
    "evaluate": "evaluation.evaluate",
    "load": "models",
    "train": "experiments.run",
    "Streamer": "inference.streamer",
}
"""The public functions and classes, and the modules that define them."""
_ROOMS = (
    "audio",
    "data",
    "distill",
    "evaluation",
    "experiments",
    "export",
    "inference",
    "losses",
    "metrics",
    "models",
    "report",
    "training",
)


def __getattr__(name: str) -> Any:
    """Import a function or a package when it is first asked for: ``sordino.enhance``, ``sordino.models``, ..."""
    if name in _VERBS:
        return getattr(importlib.import_module(f"sordino.{_VERBS[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"sordino.{name}")
    raise AttributeError(f"module 'sordino' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those that are not imported yet included."""
    return sorted([*globals(), *__all__, *_ROOMS])
