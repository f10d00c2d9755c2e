"""A teacher from elsewhere: any function from noisy to estimate, be it an ONNX graph or somebody else's program.

It teaches by its estimate alone (output distillation), as there is no network here whose features could be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from sordino.errors import InputError
from sordino.types import Batch, Tap, View


class ExternalTeacher:
    """A function that answers a batch with its estimates, item by item.

    The same noisy speech must get the same estimate each time, or a resumed run is not the run that was stopped.

    Args:
        run: noisy [T] to estimate [T], float32 at ``sample_rate``;
            ``functools.partial(sordino.inference.enhance.enhance, sample_rate=..., model=...)`` makes one of any model
            at any rate.
        name: what messages call it.
        sample_rate: in Hz; the student's.
    """

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], name: str, sample_rate: int) -> None:
        self.run, self.name, self.sample_rate = run, name, sample_rate
        self.taps: Mapping[str, Tap] = {}

    def to(self, device: torch.device) -> ExternalTeacher:
        """Nothing moves: the function computes where it computes. Returns self."""
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """The estimates of ``batch.noisy``, on its device and without a gradient.

        Raises:
            InputError: a tap is asked for, or an estimate has another shape than the noisy speech, or is not finite.
        """
        asked = list(taps)
        if asked:
            raise InputError(f"tap {asked[0]}", f"{self.name} has no such tap: it shows its estimate alone")
        device = batch.noisy.device
        # The function may compute with torch too, and is to do so as it would anywhere else.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            heard = batch.noisy.float().cpu().numpy()
            waves = [self._estimate(noisy, batch.ids[i] if batch.ids else f"item {i}") for i, noisy in enumerate(heard)]
        return View(torch.from_numpy(np.stack(waves)).to(device))

    def _estimate(self, noisy: np.ndarray, name: str) -> np.ndarray:
        estimate = np.asarray(self.run(noisy.copy()), np.float32)  # whatever it does to its input stays its own affair
        if estimate.shape != noisy.shape:
            found = f"gave an array of shape {estimate.shape} for the {len(noisy)} samples of {name}"
            raise InputError(f"teacher {self.name}", found, "as many samples, [T]")
        if not np.isfinite(estimate).all():
            raise InputError(f"teacher {self.name}", f"gave NaN or infinite samples for {name}", "a finite estimate")
        return estimate
