"""The page: plain files that any web server can serve, and that keep working without it.

    index.html, style.css, player.js, microphone.js    the visible part
    app.js, sound.js                                   its logic; reading and writing sound files
    worker.js, ort.js, ort.wasm                        the student, on onnxruntime-web, beside the page
    capture.js                                         the live microphone, in the audio thread
    service.js                                         keeps all files in the browser
    student.onnx, student.json                         the student, and the facts that the scripts need
    LICENSES.txt                                       the licences of all of these

The scripts do as ``sordino.enhance`` does: a student that streams carries its state through a recording, hop by hop,
and needs the graph of its stream alone; any other works in windows, with the constants of
``sordino.inference.windows``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from sordino.app.site import npm
from sordino.assets import ASSETS, PAGE, shipped, student_file
from sordino.errors import InputError
from sordino.files import atomic, visible
from sordino.inference.graphs.onnx_graph import Graph, stream_file
from sordino.inference.graphs.stream_graph import StreamGraph
from sordino.inference.model import MINIMUM
from sordino.inference.resolve import resolve
from sordino.inference.windows import CONTEXT_S, FADE_S, WINDOW_S
from sordino.report.pages import listen, parts

SITE = ASSETS / "site"
SCRIPTS = ("app.js", "sound.js", "worker.js", "capture.js")
GRAPH, FACTS, SERVICE, LICENCES = "student.onnx", "student.json", "service.js", "LICENSES.txt"
LONGEST_S, LARGEST_MB = 600, 200
"""Of a recording: what a browser holds in memory without trouble."""
SLACK_S = 0.05
"""How late a block of the microphone may be computed and still be played."""
AT_ONCE = 100
"""Hops of a recording that pass at once where the graph of a stream takes any number of them."""


@dataclass(frozen=True)
class Site:
    """The page that was written."""

    folder: str
    files: tuple[str, ...]
    megabytes: float
    streams: bool


def write_site(model: str | Path | None, folder: str | Path) -> Site:
    """Write the page of a student, or nothing.

    Args:
        model: the name of a student that ships, None for the default one, or an ONNX file of ``sordino export``. The
            stream's graph beside it, if there is one, makes the microphone work.
        folder: where to; an older page there is replaced.

    Raises:
        InputError: no such student, a graph that is not of sordino's export, a folder with other files, or no
            onnxruntime-web (``sordino.app.site.npm``).
    """
    source, folder = resolve(model), Path(folder)
    check_folder(folder)
    path = source.file
    if not source.is_graph:
        raise InputError(path, "is a checkpoint", "an ONNX file", "export it first")
    facts = _facts(path)
    student = (stream_file(path) if facts["stream"] else path).read_bytes()
    page = _page(facts, len(student))
    # The facts come first, as they tell a later run that the folder is its own, even where this one is killed.
    files = {FACTS: page.pop(FACTS), GRAPH: student} | npm.runtime() | page
    # The script that keeps the files is written last: until then a reader's browser keeps the page before.
    files[SERVICE] = _service(files)
    for name, content in files.items():
        with atomic(folder / name) as temporary:
            temporary.write_bytes(content)
    return Site(str(folder), tuple(files), sum(map(len, files.values())) / 1e6, bool(facts["stream"]))


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that holds anything but a page of this kind.

    Raises:
        InputError: it does.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not visible(folder)):
        return
    try:
        written_here = json.loads((folder / FACTS).read_text("utf-8"))["graph"] == GRAPH
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        written_here = False
    if not written_here:
        raise InputError(folder, "holds other files", "an empty or new folder, or an older page", "choose another")


def _facts(path: Path) -> dict[str, Any]:
    """Return the facts about the student that the scripts need."""
    graph = Graph(str(path), threads=1)
    if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 2 or isinstance(graph.inputs[0].shape[1], int):
        raise InputError(path, f"takes {graph.describe()}", "noisy [1, samples] alone, as sordino export writes it")
    rate = graph.number("sample_rate", least=1)
    facts: dict[str, Any] = {
        "name": path.stem,
        "network": graph.about.get("name", ""),
        "licence": _licence(path, graph.about),
        "sample_rate": rate,
        "graph": GRAPH,
        "window": round(WINDOW_S * rate),
        "context": round(CONTEXT_S * rate),
        "fade": round(FADE_S * rate),
        "minimum": graph.number("minimum_samples", MINIMUM),
        "longest_s": LONGEST_S,
        "largest_mb": LARGEST_MB,
        "stream": None,
    }
    if stream_file(path).is_file():
        engine = StreamGraph(stream_file(path), long_blocks=True)
        memory = [{"shape": shape, "type": np.dtype(kind).name} for shape, kind in engine.memory]
        slack = round(SLACK_S * rate)
        facts["stream"] = {"hop": engine.hop, "delay": engine.delay, "slack": slack, "memory": memory}
        facts["stream"]["at_once"] = AT_ONCE if engine.takes_many else 1
    return facts


def _licence(path: Path, metadata: Mapping[str, str]) -> str:
    """Return the licence of a student's weights: from its card if it ships, also where it was copied, or its file."""
    content = path.read_bytes()
    for name, card in shipped().items():
        if student_file(name).read_bytes() == content:
            return card["licence"]
    try:
        stated = json.loads(metadata.get("about", "{}")).get("licence")
    except (AttributeError, ValueError, RecursionError):  # of another program
        stated = None
    return str(stated) if stated else "the file states none"


def _page(facts: Mapping[str, Any], size: int) -> dict[str, bytes]:
    """Return the files of the page, except ``service.js``, by name."""
    words = f"Student {facts['name']} (network {facts['network']}), {facts['sample_rate'] / 1000:g} kHz, "
    words += f"{size / 1e6:.1f} MB, on {npm.PACKAGE} {npm.VERSION}."
    player = listen.player("the recording", [listen.Version(name, "", "") for name in ("noisy", "enhanced")])
    page = Template((SITE / "index.html").read_text("utf-8")).substitute(
        facts=escape(words), player=player, longest=LONGEST_S // 60, licences=LICENCES
    )
    licences = Template((SITE / LICENCES).read_text("utf-8")).substitute(
        name=facts["name"], licence=facts["licence"], package=npm.PACKAGE, version=npm.VERSION
    )
    texts = {
        "index.html": page,
        "style.css": parts.STYLE + (SITE / "site.css").read_text("utf-8"),
        "player.js": listen.SCRIPT,
        "microphone.js": (PAGE / "microphone.js").read_text("utf-8"),
        FACTS: json.dumps(facts, indent=1) + "\n",
        LICENCES: licences,
        **{name: (SITE / name).read_text("utf-8") for name in SCRIPTS},
    }
    return {name: text.encode() for name, text in texts.items()}


def _service(files: Mapping[str, bytes]) -> bytes:
    """Return the script that keeps the files in the browser; its version is a hash of their content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    kept = {"version": digest.hexdigest()[:16], "files": ["./", *sorted(files)]}
    return f"const SITE = {json.dumps(kept)};\n{(SITE / SERVICE).read_text('utf-8')}".encode()
