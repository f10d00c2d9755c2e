"""``sotto enhance`` and ``sotto models``: noise out of a file, a folder or a stream."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from sotto.commands.base import Answer, Command, flag
from sotto.errors import InputError
from sotto.terminal import Display

ENHANCE_EXAMPLES = """examples:
  sotto enhance noisy.wav -o clean.wav
  sotto enhance recordings/ -o enhanced/
  arecord -f S16_LE -r 16000 -t wav | sotto enhance --stream | aplay
"""

STREAM = (
    flag("--rate", type=int, help="with --stream: Hz of raw samples (default 16000)"),
    flag("--channels", type=int, help="with --stream: of raw samples (default 1)"),
    flag("--format", choices=("wav", "s16le", "f32le"), help="with --stream: of the output, and of raw samples"),
    flag("--block-ms", type=float, help="with --stream: milliseconds that are read at once (default 20)"),
    flag("--low-delay", action="store_true", default=None, help="with --stream: resample by short filters"),
)


def enhance(given: Namespace) -> Answer:
    from sotto.enhance import enhance_file, enhance_folder, open_model

    if given.stream:
        return _stream(given)
    for option in ("rate", "channels", "format", "block_ms", "low_delay"):
        if getattr(given, option) is not None:
            raise InputError(f"--{option.replace('_', '-')}", "is for streams alone", do="add --stream")
    if not {None, "-"}.isdisjoint((given.input, given.output)):
        do = "add --stream for standard input and output"
        raise InputError("sotto enhance", "nothing to read, or nowhere to write to", "INPUT -o OUTPUT", do)
    source, target = Path(given.input), Path(given.output)
    if not source.is_dir():
        report = enhance_file(source, target, given.model)
        return report, f"{report['output']}: {report['seconds']:.2f} s at {report['sample_rate']} Hz{_turned(report)}"
    count = len(_audio(source))
    reports = []
    with Display() as show:
        for report in enhance_folder(source, target, open_model(given.model)):
            reports.append(report)
            show("enhancing", len(reports), count)
    failed = [report for report in reports if "error" in report]
    text = f"{target}: {len(reports) - len(failed)} files" + "".join(f"\n{report['error']}" for report in failed)
    return {"files": reports, "failed": len(failed), "ok": not failed}, text


def _stream(given: Namespace) -> Answer:
    """Standard input to standard output; what is written is at once with whoever reads it, hence no buffer."""
    from sotto.stream import enhance_stream

    for name in (given.input, given.output):
        if name not in (None, "-"):
            raise InputError(name, "is a name", "a stream", "write sotto enhance --stream < noisy.wav > clean.wav")
    for file, name in ((sys.stdin, "standard input"), (sys.stdout, "standard output")):
        if file.isatty():
            raise InputError(name, "is a terminal", "sound", "write < noisy.wav > clean.wav, or use a pipe")
    with (
        open(sys.stdin.fileno(), "rb", closefd=False) as source,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as target,
    ):
        block_s = 0.02 if given.block_ms is None else given.block_ms / 1000
        raw = given.rate, given.channels, given.format
        report = enhance_stream(source, target, given.model, *raw, block_s, low_delay=bool(given.low_delay), threads=1)
    text = f"{report['seconds']:.2f} s at {report['sample_rate']} Hz, latency {report['latency_s'] * 1000:.1f} ms"
    if timing := report["timing"]:
        times = "p50 {p50_ms:.2f}, p95 {p95_ms:.2f}, p99 {p99_ms:.2f}, longest {max_ms:.2f} ms".format(**timing)
        text += f", blocks of {report['block_s'] * 1000:g} ms: {times}"
        text += f", RTF {timing['real_time_factor']:.3f}"
    return report, text + (f", {report['clipped']} samples clipped" if report["clipped"] else "")


def _audio(folder: Path) -> list[Path]:
    from sotto.audio.io import list_audio

    files = list_audio(folder)
    if not files:
        raise InputError(folder, "holds no audio files", do="name a file, or a folder with audio in it")
    return files


def _turned(report: dict[str, Any]) -> str:
    return f", turned down by {-report['gain_db']:.1f} dB to avoid clipping" if report["gain_db"] < 0 else ""


def models(_given: Namespace) -> Answer:
    from sotto.shelf import shipped

    cards = shipped()
    lines = [f"{name}  {card['parameters'] / 1e6:.2f} M parameters  {card['summary']}" for name, card in cards.items()]
    return cards, "\n".join(lines)


ENHANCE = Command(
    "take the noise out of a file, a folder or a stream",
    enhance,
    (
        flag("input", nargs="?", help="an audio file, or a folder of them"),
        flag("-o", "--output", help="the file or folder to write"),
        flag("--model", help="a shipped model's name, an ONNX file or a checkpoint; the best small one by default"),
        flag("--stream", action="store_true", help="standard input to standard output, as it comes"),
        *STREAM,
    ),
    "Enhance recordings of any sample rate and number of channels; the output keeps both, and the length.\n"
    "With --stream, WAV or raw samples pass through as they come, and the answer goes to standard error.",
    lambda: ENHANCE_EXAMPLES,
)

MODELS = Command("list the students that ship with sotto", models, (), "List the shipped students, the default first.")
