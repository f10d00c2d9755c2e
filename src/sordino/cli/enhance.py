"""``sordino enhance``: remove the noise from a file, a folder or a stream."""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import Display
from sordino.errors import InputError

if TYPE_CHECKING:
    from sordino.inference.blend import Blend
    from sordino.types import Progress

ENHANCE_EXAMPLES = """examples:
  sordino enhance noisy.wav -o clean.wav
  sordino enhance recordings/ -o enhanced/
  sordino enhance one.wav two.mp3 -o enhanced/ --skip-existing
  sordino enhance talk.flac -o clean.flac --strength 12
  arecord -f S16_LE -r 16000 -t wav | sordino enhance --stream | aplay
"""

LONG_S = 60.0

STREAM = (
    flag("--rate", type=int, help="with --stream: Hz of raw samples (default 16000)"),
    flag("--channels", type=int, help="with --stream: channels of raw samples (default 1)"),
    flag(
        "--format",
        choices=("wav", "s16le", "f32le"),
        help="with --stream: type of raw samples, input and output; wav writes WAV",
    ),
    flag("--block-ms", type=float, help="with --stream: length of a block in milliseconds (default 20)"),
    flag(
        "--low-delay",
        action=BooleanOptionalAction,
        help="with --stream: resample with short filters (default), or with the filters of files (--no-low-delay)",
    ),
)


def enhance(given: Namespace) -> Answer:
    from sordino.inference.blend import Blend
    from sordino.inference.files import enhance_file, place

    if given.stream:
        return _stream(given)
    for option in ("rate", "channels", "format", "block_ms", "low_delay"):
        if getattr(given, option) is not None:
            raise InputError(f"--{option.replace('_', '-')}", "is for streams alone", hint="add --stream")
    inputs, output = given.input, given.output
    if not inputs or output is None or "-" in (*inputs, output):
        do = "add --stream for standard input and output"
        if output is None and len(inputs) == 2:
            do = f"did you mean -o {inputs[1]}?"
        found = "nothing to read, or nowhere to write to" if output or not inputs else "there is no -o OUTPUT"
        raise InputError("sordino enhance", found, "INPUT -o OUTPUT", do)
    if not all((*inputs, output)):
        raise InputError("sordino enhance", "an empty name", "INPUT -o OUTPUT")
    if given.workers is not None and given.workers < 1:
        raise InputError("--workers", str(given.workers), "1 or more")
    blend = Blend(**blend_of(given), keep_rate=given.keep_rate)
    if len(inputs) > 1 or Path(inputs[0]).is_dir():
        return _many(given, blend)
    [source] = inputs
    target = place(Path(source), output)
    # A recording that is missing is an error, although an earlier output is there.
    if given.skip_existing and target.is_file() and Path(source).is_file():
        skipped = {"input": source, "output": str(target), "skipped": True}
        return skipped, _done(skipped)
    with Display() as show:
        report = enhance_file(source, target, given.model, blend, _if_long(show))
    return report, _done(report)


def _many(given: Namespace, blend: Blend) -> Answer:
    """Enhance a folder, or several files, into another folder."""
    from sordino.audio.blocks import FORMATS
    from sordino.inference.folders import enhance_files, enhance_folder, recordings_of

    inputs, target = list(map(Path, given.input)), Path(given.output)
    if target.is_file():
        raise InputError(target, "is a file", "a folder for several recordings")
    if target.suffix.lower() in FORMATS and not target.is_dir():
        raise InputError(target, "is the name of one file", "a folder for several recordings")
    options = (target, given.model, blend, given.workers, given.skip_existing)
    if len(inputs) == 1:
        [source] = inputs
        count, coming = len(recordings_of(source, target, [])), enhance_folder(source, *options)
        if not count:
            raise InputError(source, "holds no audio files", hint="name a file, or a folder with audio in it")
    else:
        for path in inputs:
            if path.is_dir():
                raise InputError(path, "is a folder among several inputs", "several files, or one folder")
        count, coming = len(inputs), enhance_files(inputs, *options)
    reports = []
    with Display() as show:
        show("enhancing", 0, count, {})  # the first file may take minutes, and the time left counts from here
        for report in coming:
            reports.append(report)
            show("enhancing", len(reports), max(count, len(reports)), {})
    reports.sort(key=lambda report: report["input"])
    failed = [report for report in reports if "error" in report]
    skipped = sum("skipped" in report for report in reports)
    lines = [report.get("error") or f"{report['input']} -> {_done(report)}" for report in reports]
    written = len(reports) - len(failed) - skipped
    counts = [f"{written} file{'' if written == 1 else 's'}"]
    counts += [f"{skipped} there already"] if skipped else []
    counts += [f"{len(failed)} failed"] if failed else []
    lines.append(f"{target}: {', '.join(counts)}")
    return {"files": reports, "failed": len(failed), "ok": not failed}, "\n".join(lines)


def _stream(given: Namespace) -> Answer:
    """Enhance standard input to standard output, which has no buffer, so that a reader gets every block at once."""
    from sordino.inference.pipe import enhance_stream

    for option, usual in (("keep_rate", True), ("workers", None), ("skip_existing", False)):
        if getattr(given, option) != usual:
            raise InputError(f"--{option.replace('_', '-')}", "is for files and folders alone", hint="leave it out")
    for name in (*given.input, given.output):
        if name not in (None, "-"):
            raise InputError(name, "is a name", "a stream", "write sordino enhance --stream < noisy.wav > clean.wav")
    for file, name in ((sys.stdin, "standard input"), (sys.stdout, "standard output")):
        if file is None:
            raise InputError(name, "is closed", "sound", "write < noisy.wav > clean.wav, or use a pipe")
        if file.isatty():
            raise InputError(name, "is a terminal", "sound", "write < noisy.wav > clean.wav, or use a pipe")
    with (
        open(sys.stdin.fileno(), "rb", closefd=False) as source,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as target,
    ):
        block_s = 0.02 if given.block_ms is None else given.block_ms / 1000
        raw = given.rate, given.channels, given.format
        options = blend_of(given) | {"low_delay": given.low_delay is not False, "threads": 1}
        report = enhance_stream(source, target, given.model, *raw, block_s, **options)
    if not report["seconds"]:
        hint = "see why the program before it sent none"
        raise InputError("standard input", "holds no sound", "a recording", hint)
    text = f"{report['seconds']:.2f} s at {report['sample_rate']} Hz, latency {report['latency_s'] * 1000:.1f} ms"
    if timing := report["timing"]:
        times = "p50 {p50_ms:.2f}, p95 {p95_ms:.2f}, p99 {p99_ms:.2f}, longest {max_ms:.2f} ms".format(**timing)
        text += f", blocks of {report['block_s'] * 1000:g} ms: {times}"
        text += f", RTF {timing['real_time_factor']:.3f}"
    return report, text + (f", {report['clipped']} samples clipped" if report["clipped"] else "")


def _if_long(progress: Progress) -> Progress:
    """Return a progress that reports on recordings of ``LONG_S`` or more alone."""

    def report(task: str, done: int, total: int, numbers: Mapping[str, float]) -> None:
        if total >= LONG_S:
            progress(task, done, total, numbers)

    return report


def _done(report: dict[str, Any]) -> str:
    """Say what was written, and what is not as expected: a lower level, or what the format could not keep."""
    from sordino.inference.files import remarks

    if "skipped" in report:
        return f"{report['output']}: is there already"
    written = f"{report['output']}: {report['seconds']:.2f} s at {report['sample_rate']} Hz"
    return ", ".join([written, *remarks(report)])


def blend_of(given: Namespace) -> dict[str, Any]:
    """Return what the flags of ``BLEND`` say, as arguments of ``Blend`` and of ``sordino.Streamer``."""
    return {"strength_db": given.strength, "high_band": given.high_band}


BLEND = (
    flag("--strength", type=float, metavar="DB", help="lower the noise by at most this many dB (default: no limit)"),
    flag(
        "--high-band",
        choices=("follow", "drop", "keep"),
        default="follow",
        help="the band above half the model's sample rate, 8 kHz for shipped models: lowered like the model's top "
        "octave (follow, the default), removed (drop), or kept unchanged (keep)",
    ),
)

ENHANCE = Command(
    enhance,
    (
        flag("input", nargs="*", help="one or several audio files, or a folder"),
        flag("-o", "--output", help="the file or folder to write"),
        flag(
            "--model",
            help="a shipped model, an ONNX file, a checkpoint, PRESET:FILE or a model card (default: the default "
            "student)",
        ),
        *BLEND,
        flag(
            "--keep-rate",
            action=BooleanOptionalAction,
            default=True,
            help="write at the sample rate of the input (default), or at the model's (--no-keep-rate)",
        ),
        flag("--workers", type=int, help="files processed in parallel (default: one per core with ONNX models)"),
        flag(
            "--skip-existing",
            action="store_true",
            help="skip recordings that already have an output, to continue an interrupted folder",
        ),
        flag("--stream", action="store_true", help="enhance standard input block by block, to standard output"),
        *STREAM,
        TRUST,
    ),
    "Enhance recordings; the output keeps their length, sample rate and number of channels. The band above half the\n"
    "model's sample rate, which the model does not process, is lowered by as much as the model lowers its top octave;\n"
    "--high-band drop removes this band, and --high-band keep passes it on unchanged.\n"
    "With --stream, WAV or raw samples are enhanced as they arrive, and the report goes to standard error.",
    lambda: ENHANCE_EXAMPLES,
)
