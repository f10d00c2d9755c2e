"""Augmentation: what may happen to speech, to noise and to their mixture in training, and how often.

A recipe states it below ``data.augment``; ``docs/data.md`` shows each in a picture. What is drawn, and how it is done,
is in ``data/degrading.py``.
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
    """Chances and ranges of every degradation of a training item.

    A plain number is a probability per item. Ranges are drawn from uniformly.

    Args:
        shaping: that the spectrum of speech is shaped, and, drawn apart, that of the noise. Valin's random filter
            (RNNoise, 2018), a tilt, shelves, peaks, high-pass and low-pass. Speech is shaped in the reference too:
            a network is to take noise away, not to undo a microphone.
        shaping_db: the most that a shelf or peak gives or takes, in dB.
        noises: that a second noise is heard with the first, and, drawn again, a third.
        bursts: that short sounds, cut from another noise where it is loudest, lie over the noise.
        bursts_db: their level over the noise in dB.
        rumble: that low-frequency noise (below 200 Hz, of slowly changing level) is added to the noise.
        rumble_db: its level over the noise in dB.
        hum: that mains hum (harmonics of 50 or 60 Hz) is added to the noise.
        hum_db: its level over the noise in dB.
        clean: that there is no noise at all, so that a network learns to leave speech alone.
        noise_only: that there is no speech, and the reference is silence. Never in validation.
        rooms: that speech is heard in a synthetic room, unless the source has put it in a recorded one.
        reference: what the reference keeps of a room, recorded or synthetic: ``wet`` all of it, ``early`` the direct
            path and 50 ms of reflections, ``dry`` the direct path alone.
        band: that speech, noise and reference are limited to a narrower band: the telephone's 300 to 3400 Hz, or all
            below a cut such as MP3 encoders make. The reference too: what a line has cut off cannot be filtered back.
        clipping: that the mixture is clipped. The reference is not.
        clipping_db: how far below its peak in dB.
        codec: that the mixture goes through Opus, Vorbis or MP3. The reference does not.
    """

    shaping: float = 0.7
    shaping_db: float = 9.0
    noises: float = 0.25
    bursts: float = 0.15
    bursts_db: tuple[float, float] = (0.0, 15.0)
    rumble: float = 0.5
    rumble_db: tuple[float, float] = (-5.0, 15.0)
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
        if self.clipping_db[0] < 0:
            raise InputError("augment.clipping_db", f"{list(self.clipping_db)}", "0 or more dB below the peak")


NOTHING = Augmentation(
    **dict.fromkeys(("shaping", "noises", "bursts", "rumble", "hum", "clean", "noise_only", "rooms"), 0.0),
    **dict.fromkeys(("band", "clipping", "codec"), 0.0),
)
"""No degradation at all; ratio and level may be drawn anew all the same."""

DEFAULT = Augmentation()
"""What ``mix`` and ``dns`` do unless a recipe says otherwise."""


def augmentation(given: Augmentation | Mapping[str, Any] | None) -> Augmentation | None:
    """Read the argument ``augment`` of a source: its fields by name, as a recipe states them, or None for nothing."""
    return Augmentation(**given) if isinstance(given, Mapping) else given
