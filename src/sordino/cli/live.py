"""``sordino live``: enhance the input of a microphone and play it at once."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.enhance import BLEND, blend_of
from sordino.cli.progress import Line
from sordino.report.table import Table

EXAMPLES = """examples:
  sordino live --devices
  sordino live
  sordino live --model runs/unet/best.safetensors --microphone USB --speaker 3 --strength 12
"""


def live(given: Namespace) -> Answer:
    from sordino.inference import live as streams

    if given.devices:
        devices = streams.devices()
        return devices, _devices(devices) if devices else "there are no sound devices"
    with Line() as show:

        def report_status(status: streams.LiveStatus) -> None:
            state = _state(status.latency_s, status.overflows, status.underflows)
            show(f"{status.seconds:.0f} s, {state}; Ctrl-C ends")

        report = streams.live(
            given.model,
            _device(given.microphone),
            _device(given.speaker),
            given.rate,
            given.block_ms / 1000,
            limit_s=math.inf if given.seconds is None else given.seconds,
            on_status=report_status,
            **blend_of(given),
        )
    state = _state(report["latency_s"], report["overflows"], report["underflows"])
    length = f"{report['seconds']:.1f} s at {report['sample_rate']} Hz"
    text = f"{report['microphone']} to {report['speaker']}: {length}, {state}"
    if timing := report["timing"]:
        text += ", blocks of {:g} ms: p50 {p50_ms:.2f}, p99 {p99_ms:.2f} ms".format(report["block_s"] * 1000, **timing)
    return report, text


def _devices(devices: Sequence[Mapping[str, Any]]) -> str:
    """Return the sound devices as a table; the number of a row is what --microphone and --speaker take."""
    rows = [
        [device["index"], device["name"], device["inputs"], device["outputs"], f"{device['sample_rate']:.0f}"]
        for device in devices
    ]
    return Table.of(["number", "name", "inputs", "outputs", "Hz"], rows).write("text").rstrip("\n")


def _state(latency_s: float, overflows: int, underflows: int) -> str:
    return f"latency {latency_s * 1000:.0f} ms, {overflows + underflows} xruns ({overflows} in, {underflows} out)"


def _device(word: str | None) -> int | str | None:
    return int(word) if word is not None and word.isdecimal() else word


LIVE = Command(
    live,
    (
        flag("--model", help="a model that streams: shipped, ONNX or a checkpoint (default: the default student)"),
        flag(
            "--microphone",
            metavar="DEVICE",
            help="index or part of the name (default: the system's)",
        ),
        flag("--speaker", metavar="DEVICE", help="index or part of the name (default: the system's)"),
        flag("--devices", action="store_true", help="list the devices and stop"),
        flag(
            "--rate",
            type=int,
            help="sample rate of both devices in Hz (default: the model's if both support it, else the microphone's)",
        ),
        flag("--block-ms", type=float, default=10.0, help="length of a block in milliseconds (default 10)"),
        flag("--seconds", type=float, help="stop after this time (default: at Ctrl-C)"),
        *BLEND,
        TRUST,
    ),
    "Enhance the input of a microphone and play it at once, until Ctrl-C. Wear headphones to avoid feedback.\n"
    "Needs sounddevice: pip install 'sordino[live]'. Xruns count blocks that were lost or came too late: if there\n"
    "are more than a few at the start, choose a larger --block-ms.",
    lambda: EXAMPLES,
)
