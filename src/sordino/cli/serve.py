"""``sordino serve``: a page on this machine to listen to models."""

from __future__ import annotations

import threading
from argparse import Namespace

from sordino.cli.base import TRUST, Answer, Command, flag
from sordino.cli.progress import say


def serve(given: Namespace) -> Answer:
    from sordino.app.serve import Limits, serving

    address = ""
    try:
        limits = Limits(given.minutes, given.megabytes)
        with serving(given.models, given.host, given.port, limits, given.name) as address:
            say(f"sordino listens on {address} (Ctrl-C ends it)")
            threading.Event().wait()
    except KeyboardInterrupt:
        if not address:
            raise
    return {"address": address}, "stopped; no recording is kept"


SERVE = Command(
    serve,
    (
        flag(
            "models",
            nargs="*",
            help="checkpoints, ONNX files, PRESET:FILE, model cards or module:function beside the students that ship",
        ),
        flag("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine alone)"),
        flag("--name", action="append", default=[], help="name under which a proxy shows the page; may be repeated"),
        flag("--port", type=int, help="port to listen on; the first free one from 7860 by default"),
        flag("--minutes", type=float, default=10.0, help="how long a recording may be (default 10)"),
        flag("--megabytes", type=float, default=100.0, help="how large a file may be (default 100)"),
        TRUST,
    ),
    "Show a page on which recordings are enhanced, and models compared, blind or open. Nothing leaves this machine,\n"
    "and files are deleted when the page is closed.",
    lambda: "examples:\n  sordino serve\n  sordino serve runs/teacher/best.safetensors other.onnx",
)
