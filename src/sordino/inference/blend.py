"""Blend of the output: the estimate, some of the noise, and the band that the model does not cover.

Strength is an attenuation limit of L dB: the noise is lowered by at most that much. With k = 10^(-L/20),

    output = estimate + k (noisy - estimate)

is what DeepFilterNet's ``atten_lim_db`` does to spectra (H. Schroeter et al., "DeepFilterNet: a low complexity speech
enhancement framework for full-band audio based on deep filtering", ICASSP 2022, and its code); mixing is linear, so
waveforms serve as well. The speech in the estimate is unchanged; where the estimate has removed noise, k of it is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sordino.errors import InputError

HighBand = Literal["follow", "drop", "keep"]


@dataclass(frozen=True)
class Blend:
    """Settings for blending the estimate with the noisy input.

    Args:
        strength_db: the noise is lowered by at most this many dB; None sets no limit, 0 returns the input. A text that
            is a number is accepted, as for a sample rate.
        high_band: how to treat the band above half the model's sample rate, which the model does not process:
            ``follow`` lowers it by as many dB as the model lowers its top octave at the time, ``drop`` removes it,
            ``keep`` passes it on unchanged. ``strength_db`` also limits by how much ``follow`` and ``drop`` lower this
            band.
        keep_rate: True writes at the sample rate of the input, False at the model's, which has no high band.

    Raises:
        InputError: a strength that is not a number or is below 0, or ``keep`` for the high band at the model's rate.
    """

    strength_db: float | None = None
    high_band: HighBand = "follow"
    keep_rate: bool = True

    def __post_init__(self) -> None:
        if self.strength_db is not None:
            object.__setattr__(self, "strength_db", _strength(self.strength_db))
        if self.high_band not in get_args(HighBand):
            raise InputError("high band", repr(self.high_band), "follow, drop or keep")
        if self.high_band == "keep" and not self.keep_rate:
            raise InputError("high band", "there is none at the model's rate", hint="keep the rate, or drop the band")

    @property
    def noisy_share(self) -> float:
        """The factor k by which the noisy input is mixed in, 0 to 1."""
        return 0.0 if self.strength_db is None else 10 ** (-self.strength_db / 20)


USUAL = Blend()
"""No limit, the high band follows, and the rate is kept."""


def _strength(given: object) -> float:
    """Return an attenuation limit in dB as a float.

    Raises:
        InputError: no number, or below 0.
    """
    expected = "0 dB or more, by which the noise is lowered at most"
    try:
        strength_db = float(given)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("strength", repr(given), expected) from error
    if not strength_db >= 0:  # so that NaN is refused too
        raise InputError("strength", f"{strength_db:g} dB", expected)
    return strength_db
