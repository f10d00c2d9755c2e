"""The page of a student in a browser: a server of it, what it makes of a recording, and what it should."""

from __future__ import annotations

import base64
import functools
import http.server
import re
import threading
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

import sordino
from helpers.corpora import RATE
from sordino.app.site import npm, write_site
from sordino.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Page

onnx = pytest.importorskip("onnx", reason="needs sordino[train]")

CLOSE = 1e-3
"""The largest difference of two samples that counts as none."""


class Server:
    """A server of files that says nothing, of one folder; it refuses ``refused``."""

    def __init__(self, folder: Path, refused: str = "") -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if self.path == refused:
                    self.send_error(403)
                else:
                    super().do_GET()

        self.folder = folder
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def serving(student: str | Path, folder: Path) -> Server:
    try:
        npm.runtime()
    except InputError as error:
        pytest.skip(str(error))
    write_site(student, folder)
    return Server(folder)


def visit(page: Page, site: Server) -> None:
    page.goto(site.address)
    page.get_by_text("Ready.").wait_for()


def enhanced(page: Page, path: Path) -> np.ndarray:
    """What the page makes of a file, as it is downloaded, [T] or [T,C]."""
    page.locator("#file").set_input_files(path)
    page.get_by_text(re.compile(r"Done: \d+\.\d s of sound in \d+\.\d s, a load of \d+ %")).wait_for()
    with page.expect_download() as saved:
        page.get_by_role("link", name=f"Download {path.stem}-enhanced.wav").click()
    estimate, rate = soundfile.read(saved.value.path(), dtype="float32")
    assert rate == RATE
    return estimate


def check(estimate: np.ndarray, noisy: np.ndarray, model: str | Path) -> None:
    """Equal to what Python makes of it, and no copy of the input."""
    wanted = sordino.enhance(noisy.T, RATE, model).T
    assert estimate.shape == wanted.shape
    assert np.abs(estimate - wanted).max() < CLOSE < 20 * CLOSE < np.abs(noisy - wanted).max()


def sounds(page: Page, index: int) -> np.ndarray:
    """One of the sounds in the player."""
    read = """async (one) => {
      const bytes = new Uint8Array(await (await fetch(one.src)).arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }"""
    content = base64.b64decode(page.locator(".player audio").nth(index).evaluate(read))
    return soundfile.read(BytesIO(content), dtype="float32")[0]


def save_loudest(path: Path) -> None:
    """A student that divides by the loudest sample of its input, so that where windows lie changes the output."""
    names = [onnx.helper.make_tensor_value_info(name, 1, [1, "samples"]) for name in ("noisy", "estimate")]
    nodes = [
        onnx.helper.make_node("Abs", ["noisy"], ["size"]),
        onnx.helper.make_node("ReduceMax", ["size"], ["most"], keepdims=1),
        onnx.helper.make_node("Div", ["noisy", "most"], ["estimate"]),
    ]
    graph = onnx.helper.make_graph(nodes, "loudest", names[:1], names[1:])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.helper.set_model_props(proto, {"name": "loudest", "sample_rate": str(RATE)})
    onnx.save(proto, path)
