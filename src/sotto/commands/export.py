"""``sotto export``: a checkpoint as ONNX, and a page on which a student works in the browser."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sotto.commands.base import Answer, Command, flag, needs_training_tier
from sotto.errors import InputError
from sotto.shelf import locate


def export(given: Namespace) -> Answer:
    if not (given.output or given.web):
        raise InputError("export", "nothing to write", "-o FILE.onnx, --web FOLDER, or both")
    if not given.web:
        return _export(given.student, given.output, given.licence)
    if given.output:
        (value, text), (page, more) = (
            _export(given.student, given.output, given.licence),
            _page(given.output, given.web),
        )
        return value | {"page": page}, f"{text}\n{more}"
    source = locate(given.student)
    if source.suffix == ".onnx":
        return _page(source, given.web)
    with tempfile.TemporaryDirectory() as folder:
        student = Path(folder) / f"{source.stem}.onnx"
        _export(source, student, given.licence)
        return _page(student, given.web)


def _export(checkpoint: str | Path, output: str | Path, licence: str) -> tuple[dict[str, Any], str]:
    needs_training_tier()
    from sotto import recipes
    from sotto.runtime import stream_file

    parity = recipes.export(checkpoint, output, licence)
    text = f"{output}: differs from the network by at most {parity.largest_difference:.1e} on speech"
    streamed = None
    if parity.stream_difference is not None:
        streamed = str(stream_file(output))
        text += f"\n{streamed}: block by block, by at most {parity.stream_difference:.1e}"
    return asdict(parity) | {"output": str(output), "stream_output": streamed}, text


def _page(student: str | Path, folder: str) -> tuple[dict[str, Any], str]:
    from sotto.site import write_site

    site = write_site(student, folder)
    works = "files and the microphone" if site.streams else "files; this student cannot run live"
    text = f"{folder}: a page of {site.megabytes:.1f} MB, for {works}"
    return asdict(site), f"{text}\ntry it: python -m http.server --bind 127.0.0.1 --directory {folder}"


EXPORT = Command(
    "write a checkpoint as ONNX, or a page for browsers",
    export,
    (
        flag("student", help="a checkpoint; for --web alone also an ONNX file or the name of a student that ships"),
        flag("-o", "--output", help="the .onnx file to write"),
        flag("--web", metavar="FOLDER", help="write a page that runs the student in the browser, as plain files"),
        flag("--licence", default="", help="licence of the weights, for the file's metadata"),
    ),
    "Export a network for any input length; one that streams gets a second file, .stream.onnx, for blocks.\n"
    "What is written equals the network on real speech to 1e-4, or nothing is. With --web, a page that enhances files\n"
    "and the microphone in the browser; it needs onnxruntime-web from the npm registry, once.",
    lambda: (
        "examples:\n  sotto export runs/student/best.safetensors -o student.onnx\n  sotto export unet-24 --web page"
    ),
)
