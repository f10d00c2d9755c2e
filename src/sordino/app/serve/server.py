"""The server behind the page: bound to this machine, without telemetry, with a folder that goes when it stops.

A policy forbids the browser to fetch anything from elsewhere, so that not even a fault of Gradio's sends
anything.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordino.app.serve.jobs import Limits
from sordino.app.serve.models import offers
from sordino.app.serve.service import Service
from sordino.app.serve.sessions import Sessions
from sordino.errors import InputError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
SWEEP_S = 15.0
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_HEARTBEAT_INTERVAL": "1",  # seconds until a closed tab is noticed
    "HF_HUB_OFFLINE": "1",
}
OWN = "'self' data: blob:"
POLICY = f"default-src {OWN}; script-src {OWN} 'unsafe-inline' 'unsafe-eval'; style-src {OWN} 'unsafe-inline'"


class OnlyHere:
    """Lets a page fetch from its own server alone, and the server from nowhere.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; one for an address elsewhere, which Gradio would fetch, is for nothing here."""
        from starlette.requests import ClientDisconnect

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        if scope["type"] == "http" and "=http" in scope["path"]:
            scope = {**scope, "path": "/nowhere", "raw_path": b"/nowhere"}
        with suppress(ClientDisconnect):  # whoever left in the middle of an upload waits for no answer
            await self.app(scope, receive, send_with_policy)


@contextmanager
def serving(
    models: Sequence[str] = (), host: str = HOST, port: int | None = None, limits: Limits | None = None
) -> Generator[str, None, None]:
    """Serve the page while the context lasts; yields its address.

    Args:
        models: files, or names of functions, offered beside the students that ship.
        host: the address to listen on; anything but this machine's own lets others in.
        port: to listen on; the first free one from 7860 when left out.
        limits: for what is taken.

    Raises:
        InputError: a model cannot be opened, the port is taken, or what the page needs is not installed.
    """
    missing = [name for name in ("gradio", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError("sordino serve", f"needs {' and '.join(missing)}", hint="run pip install 'sordino[web]'")
    if port is not None and not 1 <= port <= 65535:
        raise InputError("--port", str(port), "1 to 65535")
    found = offers(models)
    with ExitStack() as stack:
        root = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sordino-serve-", ignore_cleanup_errors=True))
        )
        visitors = Sessions(root)
        stack.enter_context(_environment({**SETTINGS, "GRADIO_TEMP_DIR": str(visitors.uploads)}))
        service = stack.enter_context(closing(Service(found, limits or Limits(), visitors)))
        page, address = _launch(service, host, port)
        stack.callback(page.close, verbose=False)
        stack.enter_context(_sweeping(visitors))
        yield address


def _launch(service: Service, host: str, port: int | None) -> tuple[Any, str]:
    """Start Gradio in threads of its own; returns what stops it, and the address."""
    from starlette.middleware import Middleware

    from sordino.app.serve import page

    blocks = page.build(service)
    blocks.queue(default_concurrency_limit=1)
    try:
        _, address, _ = blocks.launch(
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            server_name=host,
            server_port=port,
            max_file_size=round(service.limits.megabytes * 1e6),
            allowed_paths=[str(service.visitors.work)],
            app_kwargs={"middleware": [Middleware(OnlyHere)]},
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            theme=page.theme(),
            css=page.STYLE,
            head=page.HEAD,
        )
    except OSError as error:
        found = "none is free" if port is None else f"{port} is not free"
        raise InputError("port", found, hint="give another with --port") from error
    return blocks, address


@contextmanager
def _environment(settings: Mapping[str, str]) -> Generator[None, None, None]:
    """Set variables of the environment, which is where Gradio looks, and set them back."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _sweeping(visitors: Sessions) -> Generator[None, None, None]:
    """Sweep now and then, in a thread that ends with the context."""
    over = threading.Event()

    def sweep() -> None:
        while not over.wait(SWEEP_S):
            visitors.sweep()

    thread = threading.Thread(target=sweep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
