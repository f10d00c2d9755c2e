"""A checkpoint in int8: exported, calibrated on noisy recordings, and judged by PESQ on pairs."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from sordino import models
from sordino.audio import sound_files
from sordino.audio.folders import list_audio
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate
from sordino.experiments import run as recipes
from sordino.export import Quantised, to_int8
from sordino.export.int8 import MAX_DROP
from sordino.types import Enhance, Status

CALIBRATION_FILES, CALIBRATION_S = 32, 4.0
"""What of a folder is calibrated on: the beginnings of its first recordings."""


def export_int8(
    checkpoint: str | Path,
    out: str | Path,
    data: tuple[str, str],
    calibrate: str | Path | None = None,
    max_drop: float = MAX_DROP,
    licence: str = "",
    status: Status | None = None,
) -> Quantised:
    """Write a checkpoint as ONNX in 8 bits, if it scores nearly as well as in float; see ``sordino.export.to_int8``.

    Args:
        checkpoint: of a network at 16 kHz, which PESQ needs.
        out: ends in ``.onnx``.
        data: two folders, noisy and clean, whose files pair by name; not those of a test set, as they choose.
        calibrate: folder of noisy recordings; the noisy one of ``data`` when left out.
        max_drop: largest loss of mean wide-band PESQ.
        licence: of the weights, for the metadata.
        status: called with a line for each attempt.

    Raises:
        InputError: ``max_drop`` is below 0 or not finite; the others are those of ``to_int8``.
    """
    if not 0 <= max_drop < math.inf:
        raise InputError("--max-drop", f"{max_drop:g}", "0 or more")
    rate = models.load(checkpoint).sample_rate
    sound = islice(list_audio(Path(calibrate or data[0])), CALIBRATION_FILES)
    signals = [sound_files.read_mono(path, rate)[: round(CALIBRATION_S * rate)] for path in sound]

    def judge(run: Enhance) -> dict[str, float]:
        scores = evaluate(run, data, metrics=("pesq_wb",), model_rate=rate)
        return scores.values("pesq_wb")

    with TemporaryDirectory() as folder:
        exported = Path(folder) / "float.onnx"
        recipes.export(checkpoint, exported, licence)
        return to_int8(exported, out, signals, judge, max_drop, status)
