"""``sordino live``: noise out of what a microphone hears, at once."""

from __future__ import annotations

import math
from argparse import Namespace

from sordino.cli.base import Answer, Command, flag
from sordino.cli.enhance import BLEND
from sordino.cli.progress import Line

EXAMPLES = """examples:
  sordino live --devices
  sordino live
  sordino live --model runs/unet/best.safetensors --microphone USB --speaker 3 --strength 12
"""


def live(given: Namespace) -> Answer:
    from sordino.inference import live as streams

    if given.devices:
        found = streams.devices()
        lines = ["{index:3}  {inputs} in, {outputs} out  {sample_rate:.0f} Hz  {name}".format(**one) for one in found]
        return found, "\n".join(lines) or "there are no sound devices"
    with Line() as show:

        def tell(status: streams.Status) -> None:
            show(
                f"{status.seconds:.0f} s, {_state(status.latency_s, status.overflows, status.underflows)}; Ctrl-C ends"
            )

        report = streams.live(
            given.model,
            _device(given.microphone),
            _device(given.speaker),
            given.rate,
            given.block_ms / 1000,
            strength_db=given.strength,
            high_band=given.high_band,
            limit_s=math.inf if given.seconds is None else given.seconds,
            tell=tell,
        )
    went = _state(report["latency_s"], report["overflows"], report["underflows"])
    heard = f"{report['seconds']:.1f} s at {report['sample_rate']} Hz"
    text = f"{report['microphone']} to {report['speaker']}: {heard}, {went}"
    if timing := report["timing"]:
        text += ", blocks of {:g} ms: p50 {p50_ms:.2f}, p99 {p99_ms:.2f} ms".format(report["block_s"] * 1000, **timing)
    return report, text


def _state(latency_s: float, overflows: int, underflows: int) -> str:
    return f"latency {latency_s * 1000:.0f} ms, {overflows + underflows} xruns ({overflows} in, {underflows} out)"


def _device(word: str | None) -> int | str | None:
    return int(word) if word is not None and word.isdecimal() else word


LIVE = Command(
    live,
    (
        flag("--model", help="one that streams: shipped, ONNX or a checkpoint (default: the default student)"),
        flag("--microphone", metavar="DEVICE", help="its index or a part of its name (default: the system's)"),
        flag("--speaker", metavar="DEVICE", help="likewise"),
        flag("--devices", action="store_true", help="list the devices instead"),
        flag("--rate", type=int, help="Hz of both (default: the model's where they can, or the microphone's own)"),
        flag("--block-ms", type=float, default=10.0, help="milliseconds that are read at once (default 10)"),
        flag("--seconds", type=float, help="stop by itself"),
        *BLEND,
    ),
    "Enhance what a microphone hears and play it at once, until Ctrl-C; wear headphones, or it feeds back.\n"
    "Needs sounddevice: pip install 'sordino[live]'. Xruns count sound that was lost, or not there in time: where\n"
    "there are more than a few at the start, take a larger --block-ms.",
    lambda: EXAMPLES,
)
