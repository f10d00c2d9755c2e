"""Microphone to speaker, live: ``sordino live``. It uses PortAudio, through the package sounddevice.

A block is read, enhanced and written, in one thread. The streamer returns samples later than it takes them; as much
silence is played first, so that for every block that is read one is ready to be played.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sordino.errors import InputError
from sordino.inference.engine import open_engine
from sordino.inference.pipe import LONGEST_BLOCK_S
from sordino.inference.pipeline import SampleQueue
from sordino.inference.streamer import Streamer

Device = int | str
LIST = "sordino live --devices lists those there are"
ROUNDING = 2
"""Samples by which a stream may come later than it says, as latencies and rates are no whole samples."""


@dataclass(frozen=True)
class LiveStatus:
    """The state of a live stream.

    Attributes:
        seconds: of input so far.
        latency_s: from microphone to speaker: the network, the resampling, a block, and what the devices report.
        overflows: times that input from the microphone was lost, because this program came late for it.
        underflows: times that the speaker had nothing to play.
    """

    seconds: float
    latency_s: float
    overflows: int
    underflows: int


def live(
    model: Any = None,
    microphone: Device | None = None,
    speaker: Device | None = None,
    sample_rate: int | None = None,
    block_s: float = 0.01,
    *,
    limit_s: float = math.inf,
    on_status: Callable[[LiveStatus], object] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Enhance the input of a microphone and play it at once, until Ctrl-C.

    Args:
        model: see ``Streamer``.
        microphone: index or part of the name, as ``devices`` lists them; the system's default when left out.
        speaker: likewise.
        sample_rate: Hz of both devices; when left out the model's if they can, else the microphone's default.
        block_s: length of the blocks; longer ones are safer and come later.
        limit_s: when to stop.
        on_status: called after every block.
        options: of ``Streamer``: ``strength_db``, ``high_band``.

    Returns:
        The last ``LiveStatus`` as a dictionary, with ``microphone``, ``speaker``, ``sample_rate``, ``block_s`` and
        ``timing``.

    Raises:
        InputError: no PortAudio, no such device or none that takes the rate, one that goes away, or a model that cannot
            stream.
    """
    if not 0 < block_s <= LONGEST_BLOCK_S:
        raise InputError("block length", f"{block_s:g} s", f"more than 0, and at most {LONGEST_BLOCK_S:g} s")
    if not limit_s > 0:
        raise InputError("time to listen", f"{limit_s:g} s", "more than 0")
    engine = open_engine(model, threads=1)
    audio = _sounddevice()
    try:
        ends = _find(audio, microphone, "input"), _find(audio, speaker, "output")
        rate = _rate(audio, engine.sample_rate, ends) if sample_rate is None else sample_rate
        streamer = Streamer(engine, rate, **options)
        block = max(round(block_s * rate), 1)
        indices = tuple(end["index"] for end in ends)
        with audio.Stream(rate, block, indices, channels=1, dtype="float32", latency="low") as stream:
            status = _run(stream, streamer, block, limit_s, on_status)
    except audio.PortAudioError as error:
        raise InputError("sound devices", str(error), hint=LIST) from error
    about = {"microphone": ends[0]["name"], "speaker": ends[1]["name"], "sample_rate": rate, "block_s": block / rate}
    return about | asdict(status) | {"timing": asdict(streamer.timing) if streamer.timing else None}


def devices() -> list[dict[str, Any]]:
    """List the sound devices: ``index``, ``name``, ``inputs`` and ``outputs`` (channels), and default ``sample_rate``.

    Raises:
        InputError: no PortAudio.
    """
    return [
        {
            "index": index,
            "name": device["name"],
            "inputs": device["max_input_channels"],
            "outputs": device["max_output_channels"],
            "sample_rate": device["default_samplerate"],
        }
        for index, device in enumerate(_sounddevice().query_devices())
    ]


def _run(
    stream: Any, streamer: Streamer, block: int, limit_s: float, on_status: Callable[[LiveStatus], object] | None
) -> LiveStatus:
    """Read, enhance, write, until the time is up or Ctrl-C; what is not played by then is dropped."""
    rate = streamer.sample_rate
    latency_s = streamer.latency_s + block / rate + sum(stream.latency)
    status = LiveStatus(0.0, latency_s, 0, 0)
    ready = SampleQueue(1)
    ready.put(np.zeros((1, round(streamer.latency_s * rate) + ROUNDING), np.float32))
    frames = overflows = underflows = 0
    try:
        while frames < limit_s * rate:
            noisy, lost = stream.read(block)
            ready.put(streamer.feed(noisy.T))
            # Beyond full scale a device would wrap around, or do worse.
            late = stream.write(np.ascontiguousarray(np.clip(ready.take(block), -1, 1).T))
            frames, overflows, underflows = frames + block, overflows + bool(lost), underflows + bool(late)
            status = LiveStatus(frames / rate, latency_s, overflows, underflows)
            if on_status is not None:
                on_status(status)
    except KeyboardInterrupt:
        pass  # the usual end
    return status


def _find(audio: Any, device: Device | None, kind: str) -> dict[str, Any]:
    """Return a device for this direction; PortAudio's default where none is named."""
    try:
        return audio.query_devices(device, kind)
    except ValueError as error:  # no such name, several of it, or one that cannot do this
        raise InputError(f"{kind} device", str(error), hint=LIST) from error


def _rate(audio: Any, wanted: int, ends: tuple[dict[str, Any], dict[str, Any]]) -> int:
    """Return the model's rate, which needs no resampling, if both devices take it; else the microphone's own."""
    microphone, speaker = ends
    try:
        audio.check_input_settings(microphone["index"], 1, "float32", samplerate=wanted)
        audio.check_output_settings(speaker["index"], 1, "float32", samplerate=wanted)
    except audio.PortAudioError:
        return round(microphone["default_samplerate"])
    return wanted


def _sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ModuleNotFoundError as error:
        raise InputError("sordino live", "needs sounddevice", hint="run pip install 'sordino[live]'") from error
    except OSError as error:  # the package is there, the library that it stands for is not
        do = "install it, on Debian and Ubuntu with apt install libportaudio2"
        raise InputError("sordino live", f"needs PortAudio ({error})", hint=do) from error
