"""Long signals through a model that wants the whole of one: window by window, in memory that does not grow.

A window hears more than it says: what it makes of the first and last ``CONTEXT_S`` is left to its neighbours, and
where the two that remain meet they are cross-faded. The weights of the fade sum to one, so a model that changes nothing
leaves no seam. The last window reaches back to be as long as the others. A signal no longer than a window is enhanced
as a whole.

What these lengths cost in PESQ, against the whole, is measured by benchmarks/windows.py on real recordings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WINDOW_S = 30.0
CONTEXT_S = 0.5
FADE_S = 0.1


class Windows:
    """One sound on its way through a model, at the model's rate, float32 [C,n]; see
    ``sordino.inference.pipeline.Process``.

    Args:
        run: one channel, [T] -> [T], for any T up to a window.
        sample_rate: Hz.
        channels: enhanced one by one.
        window_s: seconds; more than twice the context and the fade.
        context_s: what a window hears beyond what it says, on either side.
        fade_s: how long neighbours overlap in what they say.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        sample_rate: int,
        channels: int,
        window_s: float = WINDOW_S,
        context_s: float = CONTEXT_S,
        fade_s: float = FADE_S,
    ) -> None:
        self.sample_rate, self._run = sample_rate, run
        self._window, self._context, fade = (round(seconds * sample_rate) for seconds in (window_s, context_s, fade_s))
        # In the middle between two steps, so that the ramp and its mirror image sum to one.
        self._ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
        self._heard = np.zeros((channels, 0), np.float32)
        # Places in what is kept of the signal: where the next window begins, and up to where all is said.
        self._start = self._said = 0
        self._fading: np.ndarray | None = None

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next piece, of any length; return what is ready."""
        self._heard = np.concatenate([self._heard, audio], axis=1)
        parts = [audio[:, :0]]
        # A window that would be the last waits for the end.
        while self._heard.shape[1] - self._start > self._window:
            # The last window may reach back up to where this one begins, no further.
            self._heard, self._said, self._start = self._heard[:, self._start :], self._said - self._start, 0
            estimate = self._estimate(0)
            ready = estimate.shape[1] - self._context - len(self._ramp)
            parts.append(estimate[:, :ready])
            self._fading = estimate[:, ready : ready + len(self._ramp)].copy()
            self._said += ready
            self._start = self._said - self._context
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return the rest; nothing may be fed afterwards."""
        length = self._heard.shape[1]
        return self._estimate(max(length - self._window, 0)) if length else self._heard

    def _estimate(self, start: int) -> np.ndarray:
        """What the window at ``start`` makes of that which is not said yet, faded in."""
        window = self._heard[:, start : start + self._window]
        estimate = np.stack([self._run(channel) for channel in window])[:, self._said - start :]
        if self._fading is not None:
            faded_in = estimate[:, : len(self._ramp)]
            faded_in += (1 - self._ramp) * (self._fading - faded_in)
        return estimate
