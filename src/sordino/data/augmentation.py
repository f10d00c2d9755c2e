"""Settings of the augmentation: the probabilities and ranges of all changes to speech, noise and mixtures in training.

A recipe sets them in ``data.augment``; ``docs/augmentation.md`` shows each in a picture. ``data/augmentation_apply.py``
draws and applies them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from sordino.audio.rooms import Part
from sordino.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and ranges of every change to a training item.

    A plain number is a probability per item. Values are drawn uniformly from the ranges.

    Args:
        shaping: probability that the spectrum of speech is shaped, and independently that of the noise: by Valin's
            random filter (RNNoise, 2018), a tilt, shelves, peaks, high-pass and low-pass. The reference is shaped like
            the speech: a network should remove noise, not correct a microphone.
        shaping_db: largest gain or attenuation of a shelf or peak in dB.
        noises: probability that a second noise is added to the first, and then again for a third.
        bursts: probability that short sounds, cut from the loudest part of another noise, are added to the noise.
        bursts_db: their level relative to the noise in dB.
        rumble: probability that low-frequency noise of slowly changing level is added to the noise.
        rumble_db: its level relative to the noise in dB.
        rumble_hz: its upper limit in Hz, drawn uniformly on a logarithmic scale. In field recordings most of the energy
            of the noise is often below 30 Hz, which is inaudible.
        hum: probability that mains hum (harmonics of 50 or 60 Hz) is added to the noise.
        hum_db: its level relative to the noise in dB.
        clean: probability that there is no noise at all, so that a network learns to leave clean speech unchanged.
        noise_only: probability that there is no speech, and the reference is silence. Never in validation.
        rooms: probability that speech is reverberated by a synthetic room, if the source has not used a recorded one.
        reference: part of a recorded or synthetic room that the reference keeps: ``wet`` all of it, ``early`` the
            direct path and 50 ms of reflections, ``dry`` the direct path alone.
        band: probability that speech, noise and reference are limited to a narrower band: the telephone's 300 to
            3400 Hz, or all below a cut such as MP3 encoders make. It includes the reference because a network cannot
            restore what was cut off.
        clipping: probability that the mixture is clipped. The reference is not.
        clipping_db: level of clipping below the mixture's peak in dB.
        codec: probability that the mixture is encoded by Opus, Vorbis or MP3. The reference is not.
    """

    shaping: float = 0.7
    shaping_db: float = 9.0
    noises: float = 0.25
    bursts: float = 0.15
    bursts_db: tuple[float, float] = (0.0, 15.0)
    rumble: float = 0.5
    rumble_db: tuple[float, float] = (-5.0, 20.0)
    rumble_hz: tuple[float, float] = (12.0, 200.0)
    hum: float = 0.1
    hum_db: tuple[float, float] = (-15.0, 10.0)
    clean: float = 0.04
    noise_only: float = 0.04
    rooms: float = 0.1
    reference: Part = "wet"
    band: float = 0.1
    clipping: float = 0.05
    clipping_db: tuple[float, float] = (1.0, 12.0)
    codec: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            value, where = getattr(self, field.name), f"augment.{field.name}"
            if field.name == "reference":
                if value not in get_args(Part):
                    raise InputError(where, f"{value!r}", "one of " + ", ".join(get_args(Part)))
            elif isinstance(field.default, tuple):
                if not (len(value) == 2 and value[0] <= value[1] and all(map(math.isfinite, value))):
                    raise InputError(where, f"{list(value)}", "[lowest, highest]")
            elif field.name == "shaping_db":
                if not 0 <= value <= 40:
                    raise InputError(where, f"{value} dB", "between 0 and 40")
            elif not 0 <= value <= 1:
                raise InputError(where, f"{value}", "a probability between 0 and 1")
        if self.clean + self.noise_only > 1:
            raise InputError("augment", f"clean {self.clean} and noise_only {self.noise_only}", "a sum of at most 1")
        if not 10 <= self.rumble_hz[0] <= self.rumble_hz[1] <= 400:
            raise InputError("augment.rumble_hz", f"{list(self.rumble_hz)}", "between 10 and 400 Hz")
        if self.clipping_db[0] < 0:
            raise InputError("augment.clipping_db", f"{list(self.clipping_db)}", "0 or more dB below the peak")


NOTHING = Augmentation(
    **dict.fromkeys(("shaping", "noises", "bursts", "rumble", "hum", "clean", "noise_only", "rooms"), 0.0),
    **dict.fromkeys(("band", "clipping", "codec"), 0.0),
)
"""No change at all; only the ratio and the level of a mixture may still be drawn."""

DEFAULT = Augmentation()
"""Default augmentation of ``mix`` and ``dns``."""


def augmentation(given: Augmentation | Mapping[str, Any] | None) -> Augmentation | None:
    """Convert a source's argument ``augment``: an object, a recipe's mapping of its fields, or None for nothing."""
    return Augmentation(**given) if isinstance(given, Mapping) else given
