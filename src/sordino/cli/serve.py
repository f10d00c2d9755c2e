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
            help="checkpoints, ONNX files, PRESET:FILE, model cards or module:function, besides the shipped students",
        ),
        flag("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine only)"),
        flag("--name", action="append", default=[], help="name under which a proxy shows the page; may be repeated"),
        flag("--port", type=int, help="port to listen on; the first free one from 7860 by default"),
        flag("--minutes", type=float, default=10.0, help="longest recording in minutes (default 10)"),
        flag("--megabytes", type=float, default=100.0, help="largest file in megabytes (default 100)"),
        TRUST,
    ),
    "Open a page to enhance recordings and to compare models, blind or by name. Nothing leaves this machine, and\n"
    "files are deleted when the page is closed.",
    lambda: "examples:\n  sordino serve\n  sordino serve runs/teacher/best.safetensors other.onnx",
)
