"""The way of a sound through a model: to its rate and back, block by block, as long as it came; and how much of the
noise is left in.

Strength is an attenuation limit of L dB: the noise is lowered by at most that much. With k = 10^(-L/20),

    output = estimate + k (noisy - estimate)

is what DeepFilterNet's ``atten_lim_db`` does to spectra (H. Schroeter et al., "DeepFilterNet: a low complexity speech
enhancement framework for full-band audio based on deep filtering", ICASSP 2022, and its code); mixing is linear, so
waveforms serve as well. What the estimate keeps of the speech is unchanged; where it holds no noise, k of it is left.
Torch-free.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from sordino.audio.resampling import open_resampler
from sordino.errors import InputError
from sordino.inference.contracts import Engine, Process

STEP_S = 1.0
"""The most that goes through the network at once, so that its memory does not grow with what is fed."""

HighBand = Literal["drop", "keep"]


class Stepper:
    """An engine, its state carried on: pieces are put together into whole hops, and its delay is taken off."""

    def __init__(self, engine: Engine, channels: int) -> None:
        self.sample_rate = engine.sample_rate
        self._engine, self._state = engine, engine.start(channels)
        self._waiting = np.zeros((channels, 0), np.float32)  # less than a hop
        self._to_drop = engine.delay
        self._heard = self._said = 0

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Put ``audio`` behind what waits, and all whole hops of it through the network."""
        engine = self._engine
        self._heard += audio.shape[1]
        waiting = np.concatenate([self._waiting, audio], axis=1)
        whole = waiting.shape[1] - waiting.shape[1] % engine.hop
        at_once = max(round(STEP_S * engine.sample_rate) // engine.hop, 1) * engine.hop
        parts = [waiting[:, :0]]
        for start in range(0, whole, at_once):
            part, self._state = engine.step(waiting[:, start : min(start + at_once, whole)], self._state)
            parts.append(part)
        self._waiting = waiting[:, whole:]
        estimate = np.concatenate(parts, axis=1)
        dropped = min(self._to_drop, estimate.shape[1])
        self._to_drop -= dropped
        self._said += estimate.shape[1] - dropped
        return estimate[:, dropped:]

    def flush(self) -> np.ndarray:
        """Silence behind the signal pushes out the estimate of its end, in whole hops."""
        engine, left = self._engine, self._heard - self._said
        silence = engine.delay + -(self._heard + engine.delay) % engine.hop
        return self.feed(np.zeros((len(self._waiting), silence), np.float32))[:, :left]


class StreamPipeline:
    """One sound on its way through a model, float32 [C,n].

    Args:
        process: the enhancement, fresh.
        sample_rate: Hz of what is fed; at another rate than the model's it is resampled there and back.
        channels: fed together.
        strength_db: the noise is lowered by at most that much; None sets no limit, 0 changes nothing.
        high_band: what lies above half the model's rate, where the model hears nothing: ``drop`` leaves it out,
            ``keep`` hands it on as it came, noise and all.
        keep_rate: False leaves the output at the model's rate.
        low_delay: resample by short filters; see ``sordino.audio.resampling``.

    Attributes:
        sample_rate: Hz of what comes out.
        resampling_s: the most that resampling holds back, there and back.

    Raises:
        InputError: a strength below 0, or a high band to keep at the model's rate.
    """

    def __init__(
        self,
        process: Process,
        sample_rate: int,
        channels: int,
        *,
        strength_db: float | None = None,
        high_band: HighBand = "drop",
        keep_rate: bool = True,
        low_delay: bool = False,
    ) -> None:
        check_blend(strength_db, high_band, keep_rate)
        inner, self.sample_rate = process.sample_rate, sample_rate if keep_rate else process.sample_rate
        self._process = process
        self._inward = open_resampler(sample_rate, inner, channels, low_delay)
        self._outward = open_resampler(inner, self.sample_rate, channels, low_delay)
        self.resampling_s = self._inward.delay_s + self._outward.delay_s
        self._keep_rate, self._fed, self._returned = keep_rate, 0, 0
        self._left_in = 0.0 if strength_db is None else 10 ** (-strength_db / 20)
        # In the band of the model, estimate and sound differ by what goes back to the full rate and is added there.
        self._narrow = Delayed(channels) if high_band == "keep" and inner != self.sample_rate else None
        self._noisy = Delayed(channels) if self._left_in or self._narrow else None

    def feed(self, audio: np.ndarray) -> np.ndarray:
        """Take the next block [C,n], and return what is ready, [C,m]."""
        heard = self._hear(audio, self._inward.feed(audio))
        return self._blend(self._outward.feed(self._enhance(heard, self._process.feed(heard))))

    def flush(self) -> np.ndarray:
        """Return the rest; all together is as long as what was fed."""
        rest = self._inward.flush()
        heard = self._hear(rest[:, :0], rest)
        estimate = self._enhance(heard, np.concatenate([self._process.feed(heard), self._process.flush()], axis=1))
        tail = np.concatenate([self._outward.feed(estimate), self._outward.flush()], axis=1)
        # Resampling there and back may be a sample off.
        left = self._fed - self._returned
        return self._blend(np.pad(tail, ((0, 0), (0, max(left - tail.shape[1], 0))))[:, :left])

    def _hear(self, audio: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """Remember what the output is blended with and as long as: ``audio``, or at the model's rate ``heard``."""
        outer = audio if self._keep_rate else heard
        self._fed += outer.shape[1]
        if self._noisy is not None:
            self._noisy.put(outer)
        return heard

    def _enhance(self, heard: np.ndarray, estimate: np.ndarray) -> np.ndarray:
        if self._narrow is None:
            return estimate
        self._narrow.put(heard)
        return estimate - self._narrow.take(estimate.shape[1])

    def _blend(self, ready: np.ndarray) -> np.ndarray:
        self._returned += ready.shape[1]
        if self._noisy is None:
            return ready
        noisy, taken_out = self._noisy.take(ready.shape[1]), 1 - self._left_in
        return taken_out * ready + (noisy if self._narrow else self._left_in * noisy)


class Delayed:
    """Sound [C,n] that waits for its estimate."""

    def __init__(self, channels: int) -> None:
        self._waiting = np.zeros((channels, 0), np.float32)

    def put(self, audio: np.ndarray) -> None:
        self._waiting = np.concatenate([self._waiting, audio], axis=1)

    def take(self, length: int) -> np.ndarray:
        taken, self._waiting = self._waiting[:, :length], self._waiting[:, length:]
        return taken


def check_blend(strength_db: float | None, high_band: str, keep_rate: bool = True) -> None:
    """Refuse what cannot be blended; see :class:`StreamPipeline`."""
    if strength_db is not None and not strength_db >= 0:
        raise InputError("strength", f"{strength_db:g} dB", "0 dB or more, by which the noise is lowered at most")
    if high_band not in ("drop", "keep"):
        raise InputError("high band", repr(high_band), "drop or keep")
    if high_band == "keep" and not keep_rate:
        raise InputError("high band", "there is none at the model's rate", hint="keep the rate, or drop the band")
