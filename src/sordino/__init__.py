"""Knowledge distillation for speech enhancement.

Large denoising networks are distilled into small ones that run in real time on a CPU core, and the small ones are put
to use::

    import sordino

    estimate = sordino.enhance(noisy, sample_rate)  # with the student that ships; without torch
    streamer = sordino.Streamer(sample_rate=48000)  # the same block by block: feed, and flush at the end
    network = sordino.load("runs/student/best.safetensors")  # a torch network
    scores = sordino.evaluate(network, ("noisy/", "clean/"))  # PESQ, STOI, CSIG, CBAK, COVL, SI-SDR
    outcome = sordino.train("unet/student", ["train.steps=1000"], "runs/student")

Importing this package imports neither torch nor anything else that is slow. It turns off the telemetry of onnxruntime,
which from 1.29 on reports sessions and model files to its makers unless that is switched off before it is imported.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

from sordino.errors import INSTALL_TRAINING
from sordino.version import __version__

if TYPE_CHECKING:
    from sordino.evaluation.evaluate import evaluate as evaluate
    from sordino.experiments.run import train as train
    from sordino.inference.enhance import enhance as enhance
    from sordino.inference.streamer import Streamer as Streamer
    from sordino.models import load as load

__all__ = ["Streamer", "__version__", "enhance", "evaluate"]
if importlib.util.find_spec("torch") is not None:  # without it an import of all names would end in an error
    __all__ += ["load", "train"]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_VERBS = {
    "enhance": "inference.enhance",
    "evaluate": "evaluation.evaluate",
    "load": "models",
    "train": "experiments.run",
    "Streamer": "inference.streamer",
}
"""Public name -> the module that defines it. Nothing of the package is imported until one is asked for."""
_SUBPACKAGES = (
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
    """Import a function or a package when it is first asked for: ``sordino.enhance``, ``sordino.models``, ...

    What cannot be imported because something is not installed is no attribute, so that ``hasattr``, ``dir`` and
    ``help(sordino)`` work without torch; the error says what to install.
    """
    if name not in _VERBS and name not in _SUBPACKAGES:
        raise AttributeError(f"module 'sordino' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"sordino.{_VERBS.get(name, name)}")
    except ModuleNotFoundError as error:
        if (error.name or "sordino").startswith("sordino"):
            raise
        missing = f"sordino.{name} needs {error.name}; {INSTALL_TRAINING}"
        raise AttributeError(missing) from error
    return getattr(module, name) if name in _VERBS else module


def __dir__() -> list[str]:
    """Return the public names, those that are not imported yet included, and none of what this file itself imports."""
    return sorted({name for name in globals() if name.startswith("__")} | {*__all__, *_SUBPACKAGES})
