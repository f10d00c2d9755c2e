"""``sordino export``: a checkpoint as ONNX, in float or in 8 bits, and a page that runs a student in the browser."""

from __future__ import annotations

import shlex
import tempfile
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sordino.assets import STREAM_SUFFIX, student_file
from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import Display, say
from sordino.errors import InputError, needs_training_tier
from sordino.files import atomic
from sordino.inference.resolve import ModelSource, resolve


def export(given: Namespace) -> Answer:
    if not (given.output or given.web):
        raise InputError("export", "nothing to write", "-o FILE.onnx, --web FOLDER, or both")
    if not given.int8 and (given.data or given.calibrate or given.max_drop is not None):
        raise InputError("export", "--data, --calibrate or --max-drop without --int8", "--int8, or none of them")
    return _with_page(given) if given.web else _export(given, given.student, given.output)


def _with_page(given: Namespace) -> Answer:
    """Write the page, and the ONNX files if they are asked for, too."""
    from sordino.app.site import check_folder

    check_folder(given.web)  # before a network is exported, which takes a while
    if given.output and Path(given.output).resolve().is_relative_to(Path(given.web).resolve()):
        raise InputError(
            "-o", f"{given.output} lies in the folder of the page", "a file elsewhere", "the page has its own"
        )
    if given.output:
        value, text = _export(given, given.student, given.output)
        page, more = _page(given.output, given.web)
        return value | {"page": page}, f"{text}\n{more}"
    source = resolve(given.student)
    if _as_it_ships(given, source):
        return _page(source.file, given.web)
    if source.is_graph and source.kind != "shipped":
        if given.int8 or given.licence:
            raise InputError(source.file, "is exported already", "a checkpoint for --int8 and --licence")
        return _page(source.file, given.web)
    with tempfile.TemporaryDirectory() as folder:
        student = Path(folder) / f"{source.name}.onnx"
        value, text = _export(given, given.student, student, given.web)
        page, more = _page(student, given.web)
    measured = {key: one for key, one in value.items() if key not in ("output", "stream_output")}  # files now gone
    return page | {"export": measured}, f"{text}\n{more}"


def _as_it_ships(given: Namespace, source: ModelSource) -> bool:
    """Return whether a student that ships is written unchanged, which takes no torch."""
    return source.kind == "shipped" and not (given.int8 or given.licence)


def _export(given: Namespace, checkpoint: str, output: str | Path, named: str = "") -> tuple[dict[str, Any], str]:
    """Write the ONNX files of a checkpoint; the text calls them ``named``, or by their paths when left out."""
    source = resolve(checkpoint)
    if _as_it_ships(given, source):
        return _copied(source.name, output)
    needs_training_tier("--int8 or --licence" if source.kind == "shipped" else "this command")
    if given.int8:
        return _int8(given, source.checkpoint, output, named)
    say(f"{checkpoint}: reading the network")  # before torch is imported, which takes time
    from sordino.experiments import run
    from sordino.inference.graphs.onnx_graph import stream_file

    parity = run.export(source.checkpoint, output, given.licence, say)
    text = f"{named or output}: differs from the network by at most {parity.largest_difference:.1e} on speech"
    streamed = None
    if parity.stream_difference is not None:
        streamed = str(stream_file(output))
        text += f"\n{named or streamed}: block by block, by at most {parity.stream_difference:.1e}"
    return asdict(parity) | {"output": str(output), "stream_output": streamed}, text


def _copied(student: str, output: str | Path) -> tuple[dict[str, Any], str]:
    """Copy the files of a student that ships, which takes no torch; one that does not stream has a single file."""
    from sordino.inference.graphs.onnx_graph import check_name, stream_file

    whole = check_name(output)
    targets = {student_file(student): whole, student_file(student, STREAM_SUFFIX): stream_file(whole)}
    copied = {source: target for source, target in targets.items() if source.is_file()}
    for source, target in copied.items():
        with atomic(target) as temporary:
            temporary.write_bytes(source.read_bytes())
    streamed = str(stream_file(whole)) if len(copied) > 1 else None
    if streamed is None:
        stream_file(whole).unlink(missing_ok=True)  # it belongs to another network
    text = "\n".join(f"{target}: {source.name}, as it ships" for source, target in copied.items())
    return {"output": str(output), "stream_output": streamed, "copied": student}, text


def _int8(given: Namespace, checkpoint: Path, output: str | Path, named: str) -> tuple[dict[str, Any], str]:
    if not given.data:
        raise InputError("export", "--int8 needs pairs on which PESQ is measured", "--data NOISY CLEAN")
    from sordino.experiments.export import export_int8
    from sordino.export.int8 import MAX_DROP
    from sordino.inference.graphs.onnx_graph import stream_file

    max_drop = MAX_DROP if given.max_drop is None else given.max_drop
    data = tuple(given.data)
    with Display() as show:
        done = export_int8(checkpoint, output, data, given.calibrate, max_drop, given.licence, status=show.status)
    text = f"{named or output}: {done.attempts[-1]}; in float {done.score:.3f} PESQ, {done.bytes / 1e6:.2f} MB"
    if not done.is_smaller:
        text += "\n8 bits make it no smaller: what converts to 8 bits and back takes more than the weights save"
    streamed = str(stream_file(output)) if done.streams else None
    return asdict(done) | {"output": str(output), "stream_output": streamed}, text


def _page(student: str | Path, folder: str) -> tuple[dict[str, Any], str]:
    from sordino.app.site import write_site

    site = write_site(student, folder)
    inputs = "files and the microphone" if site.streams else "files; this student cannot run live"
    text = f"{folder}: a page of {site.megabytes:.1f} MB, for {inputs}"
    return asdict(site), f"{text}\ntry it: python -m http.server --bind 127.0.0.1 --directory {shlex.quote(folder)}"


EXPORT = Command(
    export,
    (
        flag(
            "student",
            help="a checkpoint, the folder of a run, or the name of a shipped student; with --web, also an ONNX file",
        ),
        flag("-o", "--output", help="the .onnx file to write"),
        flag("--web", metavar="FOLDER", help="write a page that runs the student in the browser, as plain files"),
        flag("--licence", default="", help="licence of the weights, for the file's metadata"),
        flag("--int8", action="store_true", help="quantise to 8 bits, if PESQ on --data drops by at most --max-drop"),
        flag("--data", nargs=2, metavar=("NOISY", "CLEAN"), help="two folders whose files pair by name"),
        flag("--calibrate", help="folder of noisy recordings to calibrate on (default: NOISY of --data)"),
        flag("--max-drop", type=float, help="largest loss of mean PESQ (default 0.05)"),
        TRUST,
    ),
    "Export a network for any input length; a network that streams gets a second file, .stream.onnx, for blocks.\n"
    "A shipped student is copied as it is, without torch, unless --int8 or --licence is given.\n"
    "The files are compared with the network on real speech: if they differ by more than 1e-4, nothing is written.\n"
    "--web writes a page that enhances files and the microphone in the browser. The first time, it downloads\n"
    "onnxruntime-web from the npm registry.",
    lambda: (
        "examples:\n  sordino export runs/student/best.safetensors -o student.onnx\n"
        "  sordino export dualpath-24 -o student.onnx\n"
        "  sordino export dualpath-24 --web page\n"
        "  sordino export runs/student/best.safetensors -o student.onnx --int8 --data noisy/ clean/"
    ),
)
