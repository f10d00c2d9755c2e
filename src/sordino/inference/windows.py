"""Long signals through a model that needs all of its input at once: window by window, in memory that does not grow.

A model that sees the whole signal is worse near the cut ends of a window, where it lacks context. So each window
reaches ``CONTEXT_S`` further than the part of its estimate that is used, on either side, and where the used parts of
two neighbours meet they overlap by ``FADE_S`` and are cross-faded. The weights of the fade sum to one, so a model that
changes nothing leaves no seam:

    window n      |context|  used               |fade|context|
    window n + 1                        |context|fade|  used               |fade|context|

The last window begins early enough to be as long as the others. A signal no longer than a window is enhanced as a
whole.
"""

from __future__ import annotations

import numpy as np

from sordino.types import Enhance

WINDOW_S = 30.0
CONTEXT_S = 0.5
FADE_S = 0.1


class Windows:
    """A ``Process`` (see ``sordino.inference.contracts``) for one signal, float32 [C,n] at the model's rate.

    Args:
        run: one channel, [T] -> [T], for any T up to a window.
        sample_rate: Hz.
        channels: enhanced one by one.
        window_s: seconds; more than twice the context and the fade.
        context_s: by how much a window reaches beyond its used part, on either side.
        fade_s: by how much the used parts of neighbours overlap.
        run_batch: all channels at once, [C,T] -> [C,T], where the model can.
        name: of the model, in messages.
    """

    def __init__(
        self,
        run: Enhance,
        sample_rate: int,
        channels: int,
        window_s: float = WINDOW_S,
        context_s: float = CONTEXT_S,
        fade_s: float = FADE_S,
        run_batch: Enhance | None = None,
        name: str = "the model",
    ) -> None:
        self.name, self.sample_rate, self._run, self._run_batch = name, sample_rate, run, run_batch
        self._window, self._context, fade = (round(seconds * sample_rate) for seconds in (window_s, context_s, fade_s))
        # Sampled half a step off the ends, so that the ramp and its mirror image sum to one.
        self._ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
        self._input = np.zeros((channels, 0), np.float32)
        # Places in ``_input``: where the next window begins, and the end of what has been returned.
        self._start = self._returned = 0
        self._fading: np.ndarray | None = None  # the last window's estimate of the samples that the next one fades in

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block, of any length; return the part of the estimate that is ready."""
        self._input = np.concatenate([self._input, audio], axis=1)
        parts = [audio[:, :0]]
        # Strictly more than a window: one that may be the last waits for the end, as it may have to begin earlier.
        while self._input.shape[1] - self._start > self._window:
            # The last window begins at this one's start at the earliest, so everything before can go.
            self._input = self._input[:, self._start :]
            self._returned, self._start = self._returned - self._start, 0
            estimate = self._estimate(0)
            ready = estimate.shape[1] - self._context - len(self._ramp)
            parts.append(estimate[:, :ready])
            self._fading = estimate[:, ready : ready + len(self._ramp)].copy()
            self._returned += ready
            self._start = self._returned - self._context
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return the rest of the estimate; nothing may be fed afterwards."""
        length = self._input.shape[1]
        return self._estimate(max(length - self._window, 0)) if length else self._input

    def _estimate(self, start: int) -> np.ndarray:
        """Return the estimate of the window at ``start`` from the first sample that was not returned yet, faded in."""
        window = self._input[:, start : start + self._window]
        batch = self._run_batch if len(window) > 1 else None
        whole = np.stack([self._run(channel) for channel in window]) if batch is None else batch(window)
        estimate = whole[:, self._returned - start :]
        if self._fading is not None:
            faded_in = estimate[:, : len(self._ramp)]
            faded_in += (1 - self._ramp) * (self._fading - faded_in)
        return estimate
