"""One recording in several versions, to see and to hear: pictures on one scale, and a player that switches versions.

Switching keeps the position in the recording. The script is ``assets/page/player.js``, on pages of results and on the
one of ``sordino serve``; where no script runs, each version has a player of the browser's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sordino.assets import PAGE
from sordino.errors import InputError
from sordino.report.pages import parts
from sordino.report.pages.drawing import INK, inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCRIPT = (PAGE / "player.js").read_text("utf-8")
POINTS = 400  # of a picture across, at most
RANGE_DB = 80
WINDOW = 512
SIZE = (4.2, 2.9)  # of a picture, in inches

_CONTROLS = """<div class="controls" hidden>
<button type="button" class="play">Play</button>
<input type="range" class="position" min="0" step="0.01" value="0" aria-label="Position in {label}">
<output class="time" aria-live="off"></output>
<fieldset class="switch"><legend>Hear</legend>
{switches}
</fieldset>
</div>"""


class Version(NamedTuple):
    """One version of a recording, as the player takes it."""

    name: str
    address: str
    """Of the sound, for a browser: relative, or a data address."""
    picture: str
    """SVG."""


def player(label: str, versions: Sequence[Version]) -> str:
    """Write the versions side by side with the controls above them; the first one is selected.

    Args:
        label: what the recording is called, as plain text.
        versions: of one length.
    """
    switches = "\n".join(
        f'<label><input type="radio"{"" if index else " checked"}> {escape(version.name)}</label>'
        for index, version in enumerate(versions)
    )
    cards = []
    for name, address, picture in versions:
        spoken_label = escape(f"{label}, {name}")
        sound = f'<audio controls preload="auto" aria-label="{spoken_label}" src="{escape(address)}"></audio>'
        cards.append(parts.figure(name, picture, sound))
    controls = _CONTROLS.format(label=escape(label), switches=switches)
    around = f'<div class="player" role="group" aria-label="{escape(label)}">'
    return f"{around}\n{controls}\n{parts.grid(cards)}\n</div>"


def note(gain: float) -> str:
    """Return what the pictures show, and by how much the versions are turned down if ``gain`` is below 1."""
    text = f"Frequency in kHz over time in s, the colours span {RANGE_DB} dB, and the waveform above; "
    text += "the scales are the same in all pictures."
    if gain < 1:
        text += f" All versions are turned down by {-20 * math.log10(gain):.1f} dB to avoid clipping."
    return text


def pictures(label: str, waves: Mapping[str, np.ndarray], sample_rate: int) -> dict[str, str]:
    """Draw spectrogram and waveform of each version as SVG, all on the scales of the loudest.

    Args:
        label: what the recording is called, as plain text.
        waves: name to [T].
        sample_rate: Hz.

    Raises:
        InputError: there is no version, or one has no sound.
    """
    if not waves or not all(samples.ndim == 1 and samples.size for samples in waves.values()):
        raise InputError(f"example {label}", "has no sound", "arrays of shape [T], noisy and clean and others")
    levels = {name: _levels_db(samples) for name, samples in waves.items()}
    top = max(float(level.max()) for level in levels.values())
    peak = max(float(np.abs(samples).max()) for samples in waves.values()) or 1.0

    def picture(name: str) -> str:
        description = f"Spectrogram and waveform of {label}, {name}"
        return inline(
            lambda figure: _draw(figure, waves[name], levels[name], sample_rate, top, peak), description, SIZE
        )

    return {name: picture(name) for name in waves}


def _levels_db(samples: np.ndarray) -> np.ndarray:
    """Compute the power in dB, [T] -> [257, N], of no more than about ``POINTS`` frames."""
    hop = max(WINDOW // 4, len(samples) // POINTS)
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop] * np.hanning(WINDOW)
    return 10 * np.log10(np.abs(np.fft.rfft(frames)).T ** 2 + 1e-12)


def _draw(figure: Figure, samples: np.ndarray, levels: np.ndarray, sample_rate: int, top: float, peak: float) -> None:
    seconds = len(samples) / sample_rate
    wave, spectrogram = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.5))
    # Each column shows how far the samples below it reach.
    edges = np.unique(np.linspace(0, len(samples), POINTS, endpoint=False).astype(int))
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    wave.fill_between(edges / sample_rate, low, high, color=INK, linewidth=0.4, step="post")
    wave.set_ylim(-peak, peak)
    wave.set_yticks([])
    wave.spines[["left", "top", "right", "bottom"]].set_visible(False)
    wave.tick_params(axis="x", length=0)
    extent = (0, seconds, 0, sample_rate / 2000)
    shades = {"vmin": top - RANGE_DB, "vmax": top}
    spectrogram.imshow(levels, "magma", origin="lower", aspect="auto", extent=extent, **shades)
