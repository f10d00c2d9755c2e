"""Teachers outside the project: any function from noisy to estimate, such as an ONNX graph or another program.

Such a teacher gives its estimate alone (output distillation): there is no network whose features could be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from sordino.audio.pcm import MAX_CHANNELS, as_estimate
from sordino.errors import InputError
from sordino.types import Batch, Enhance, Tap, View


class ExternalTeacher:
    """Teacher that calls a function for each item of a batch.

    The same noisy speech must give the same estimate each time, or a resumed run will differ from an uninterrupted one.

    Args:
        run: function from noisy [T] to estimate [T], float32 at ``sample_rate``;
            ``functools.partial(sordino.inference.enhance.enhance, sample_rate=..., model=...)`` makes one of any model
            at any rate.
        name: its name in messages.
        sample_rate: in Hz; the student's.
        batches: whether ``run`` also takes the items of a batch at once, [B,T] to [B,T], and so uses more of the
            machine.
        notes: one line for the log: how the model runs.
    """

    def __init__(
        self,
        run: Enhance,
        name: str,
        sample_rate: int,
        batches: bool = False,
        notes: str = "",
    ) -> None:
        self.run, self.name, self.sample_rate, self.batches, self.notes = run, name, sample_rate, batches, notes
        self.taps: Mapping[str, Tap] = {}

    def to(self, device: torch.device) -> ExternalTeacher:
        """Return self; the function keeps its own device."""
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimates of ``batch.noisy``, on its device and without a gradient.

        Raises:
            InputError: a tap is asked for, or an estimate has another shape than the noisy speech, or is not
                finite floating point.
        """
        asked = list(taps)
        if asked:
            raise InputError(f"tap {asked[0]}", f"{self.name} has no such tap: it shows its estimate alone")
        device = batch.noisy.device
        noisy = batch.noisy.float().cpu().numpy()
        names = batch.ids or [f"item {index}" for index in range(len(noisy))]
        # A function that uses torch must not compute in the training's precision.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            if self.batches:
                parts = [noisy[start : start + MAX_CHANNELS].copy() for start in range(0, len(noisy), MAX_CHANNELS)]
                waves = [wave for part in parts for wave in self._run(part)]
            else:
                waves = [self._run(one.copy()) for one in noisy]  # it may change its input
        for one, wave, name in zip(noisy, waves, names, strict=True):
            self._check(one, wave, name)
        return View(torch.from_numpy(np.stack(waves)).to(device))

    def _run(self, noisy: np.ndarray) -> np.ndarray:
        return as_estimate(self.run(noisy), f"teacher {self.name}").astype(np.float32)

    def _check(self, noisy: np.ndarray, estimate: np.ndarray, name: str) -> None:
        if estimate.shape != noisy.shape:
            found = f"gave an array of shape {estimate.shape} for the {len(noisy)} samples of {name}"
            raise InputError(f"teacher {self.name}", found, "as many samples, [T]")
        if not np.isfinite(estimate).all():
            raise InputError(f"teacher {self.name}", f"gave NaN or infinite samples for {name}", "a finite estimate")
