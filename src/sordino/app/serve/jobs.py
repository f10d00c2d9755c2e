"""The work on an uploaded recording: check it, enhance it, prepare the player, score the result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sordino.audio import sound_files
from sordino.audio.blocks import blocks_of, open_sound
from sordino.audio.forward import ForwardFile
from sordino.audio.mix import fitting_gain
from sordino.audio.pcm import limited
from sordino.errors import InputError
from sordino.evaluation.score import Scores, score
from sordino.inference.blend import Blend
from sordino.inference.files import enhance_file
from sordino.inference.model import Model
from sordino.report.pages import listen, parts
from sordino.types import Item, Progress

SCORED_RATE = 16000
"""Hz, which PESQ needs."""
STEREO_HZ = 2 * 48000
"""Samples a second, of all channels, for which there is room over the minutes that a recording may last."""
BLOCK = 2**16
APART_S = 0.1
"""By how much a clean reference may be longer or shorter."""


@dataclass(frozen=True)
class Limits:
    """The largest recording that the page takes."""

    minutes: float = 10.0
    megabytes: float = 100.0

    @property
    def samples(self) -> int:
        """What a recording may hold decoded, over all channels; each takes four bytes."""
        return round(60 * self.minutes * STEREO_HZ)

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("megabytes", self.megabytes)):
            if not 0 < value < math.inf:
                raise InputError(name, str(value), "a number above 0")


def look(path: Path, limits: Limits) -> sound_files.Info:
    """Read the header of a recording, and decode it once, block by block, because a header may be wrong.

    Raises:
        InputError: it is no audio, holds no sound, or more than the limits allow.
    """
    try:
        if path.stat().st_size > limits.megabytes * 1e6:
            raise InputError(path, f"has {path.stat().st_size / 1e6:.0f} MB", f"{limits.megabytes:g} at most")
        with open_sound(path, ForwardFile, limits.samples) as file:
            about = sound_files.info_of(file)
            if about.seconds > 60 * limits.minutes:
                found = f"lasts {about.seconds / 60:.1f} minutes"
                raise InputError(path, found, f"{limits.minutes:g} at most", "cut it, or use sordino enhance")
            for _ in limited(blocks_of(file, path, BLOCK), limits.samples, path):
                pass
    except InputError as error:
        raise InputError(path.name, error.found, error.expected, error.hint) from error
    return about


def enhanced(source: Path, target: Path, model: Model, strength_db: float | None, progress: Progress) -> dict[str, Any]:
    """Enhance a file that ``look`` has accepted, as ``enhance_file`` does; ``progress`` may raise to stop the work."""
    progress("enhancing", 0, 1, {})
    return enhance_file(source, target, model, Blend(strength_db), progress)


def player_of(label: str, files: Mapping[str, Path], folder: Path, gains_db: Mapping[str, float]) -> str:
    """A player of several versions, as HTML whose addresses hold on the page.

    Args:
        label: what the recording is called.
        files: version name -> file, all of one length; the first sets the sample rate.
        folder: for copies that every browser plays, 16-bit WAV, all turned down alike if one would be clipped.
        gains_db: version name -> by how many dB its file alone was turned down, 0 or below; this is undone first.
    """
    _, rate = sound_files.read(next(iter(files.values())))
    waves = {}
    for name, path in files.items():
        waves[name] = sound_files.read(path, rate)[0] / 10 ** (gains_db.get(name, 0.0) / 20)
    pictures = listen.pictures(label, {name: wave.mean(axis=0) for name, wave in waves.items()}, rate)
    gain = fitting_gain(*waves.values())  # one for all versions, so that their loudness stays comparable
    versions = []
    for index, (name, wave) in enumerate(waves.items()):
        copy = folder / f"version-{index}.wav"
        sound_files.write(copy, wave * gain, rate, "PCM_16")
        versions.append(listen.Version(name, f"gradio_api/file={copy.as_posix()}", pictures[name]))
    note = f'<p class="note">{listen.note(gain)}</p>'
    return parts.unique_names(f"{listen.player(label, versions)}\n{note}", f"{folder.name}-")


def scored(clean: Path, files: Mapping[str, Path], progress: Progress) -> Scores:
    """Measure each version against the clean recording, in a process of its own: a row per version, named by it.

    Raises:
        InputError: the clean recording is longer or shorter than the others.
    """
    seconds = sound_files.info(clean).seconds, sound_files.info(next(iter(files.values()))).seconds
    if abs(seconds[0] - seconds[1]) > APART_S:
        raise InputError("clean reference", f"lasts {seconds[0]:.2f} s", f"{seconds[1]:.2f} s, as the noisy recording")
    reference = sound_files.read_mono(clean, SCORED_RATE)
    items = []
    for name, path in files.items():
        wave = sound_files.read_mono(path, SCORED_RATE)
        length = min(len(wave), len(reference))
        items.append(Item(wave[:length], reference[:length], length, name))
    return score(None, items, sample_rate=SCORED_RATE, workers=1, progress=progress)
