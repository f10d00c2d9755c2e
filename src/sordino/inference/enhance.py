"""Enhance a recording, from an array to an array: ``sordino.enhance``.

The first tier: torch is imported only when a checkpoint or a network is asked for.
``import sordino; sordino.enhance(noisy, sample_rate)`` runs the student that ships with the package on onnxruntime.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sordino.audio.pcm import MAX_CHANNELS, as_array, check_shape, from_float, to_float, whole_rate
from sordino.errors import InputError
from sordino.inference.blend import Blend, HighBand
from sordino.inference.model import open_model
from sordino.inference.pipeline import StreamPipeline


def enhance(
    noisy: np.ndarray,
    sample_rate: int,
    model: Any = None,
    *,
    strength_db: float | None = None,
    high_band: HighBand = "follow",
) -> np.ndarray:
    """Remove the noise from a recording.

    Args:
        noisy: [T] or [C,T], floating point with full scale at 1, or int16; channels are enhanced one by one.
        sample_rate: Hz; the signal is resampled to the model's rate and back.
        model: see ``open_model``.
        strength_db: attenuation limit: the noise is lowered by at most this many dB, by mixing the estimate with
            10^(-strength_db/20) of the noise that it removed; None sets no limit, 0 returns the input.
        high_band: how to treat the band above half the model's sample rate (8 kHz for the shipped students), which the
            model does not process: ``follow`` lowers it by as many dB as the model lowers its top octave at the time,
            ``drop`` removes it, ``keep`` passes it on unchanged.

    Returns:
        An array of the same shape and type.

    Raises:
        InputError: no valid audio (a wrong shape, type or rate, no samples, or NaN), or a strength below 0.
    """
    blend = Blend(strength_db, high_band)
    noisy, sample_rate = as_array(noisy, "noisy"), whole_rate(sample_rate)
    if noisy.ndim not in (1, 2) or noisy.size == 0:
        raise InputError("noisy", f"an array of shape {noisy.shape}", "[samples] or [channels, samples]")
    if noisy.ndim == 2 and noisy.shape[0] > MAX_CHANNELS:
        hint = "transpose [samples, channels], which many readers return: sordino.enhance(noisy.T, sample_rate)"
        raise InputError("noisy", f"an array of shape {noisy.shape}", "[channels, samples]", hint)
    channels = np.atleast_2d(to_float(noisy, "noisy"))
    check_shape("sample_rate", sample_rate, len(channels))
    with open_model(model).open(len(channels)) as process:
        pipeline = StreamPipeline(process, sample_rate, len(channels), blend)
        estimate = np.concatenate([pipeline.feed(channels), pipeline.flush()], axis=1)
    return from_float(estimate, noisy.dtype).reshape(noisy.shape)
