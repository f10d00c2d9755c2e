"""The server behind the page: bound to this machine, without telemetry, with a folder that is deleted when it stops.

``guard`` filters all requests before Gradio gets them.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from typing import Any

from sordino.app.serve.folder import own_folder
from sordino.app.serve.guard import Guard, check_names
from sordino.app.serve.jobs import Limits
from sordino.app.serve.models import served_models
from sordino.app.serve.service import Service
from sordino.app.serve.sessions import Sessions
from sordino.errors import InputError

HOST = "127.0.0.1"
SWEEP_S = 15.0
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_HEARTBEAT_INTERVAL": "1",  # seconds until a closed tab is noticed
    "HF_HUB_OFFLINE": "1",
}
QUEUE = 100
"""Requests that may wait; further ones are answered with 503."""


@contextmanager
def serving(
    models: Sequence[str] = (),
    host: str = HOST,
    port: int | None = None,
    limits: Limits | None = None,
    names: Sequence[str] = (),
) -> Generator[str, None, None]:
    """Serve the page while the context lasts; yields its address.

    Args:
        models: files, or names of functions, offered beside the students that ship.
        host: the address to listen on; anything but this machine's own lets others in.
        port: to listen on; the first free one from 7860 when left out.
        limits: for what is taken.
        names: under which the page is opened beside the machine's own, such as that of a proxy.

    Raises:
        InputError: a model cannot be opened, the host is no address of this machine, the port is taken, a name has more
            than the host, or what the page needs is not installed.
    """
    missing = [name for name in ("gradio", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError("sordino serve", f"needs {' and '.join(missing)}", hint="run pip install 'sordino[web]'")
    if port is not None and not 1 <= port <= 65535:
        raise InputError("--port", str(port), "1 to 65535")
    check_names(names)
    host = _bindable(host, port)
    served = served_models(models)
    with ExitStack() as stack:
        sessions = Sessions(stack.enter_context(own_folder()))
        stack.enter_context(_environment({**SETTINGS, "GRADIO_TEMP_DIR": str(sessions.uploads)}))
        service = stack.enter_context(closing(Service(served, limits or Limits(), sessions)))
        page, address = _launch(service, host, port, names)
        stack.callback(page.close, verbose=False)
        stack.enter_context(_sweeping(sessions))
        yield address


def _bindable(host: str, port: int | None) -> str:
    """Check that this machine can listen there; Gradio would try for minutes. Returns the host as Gradio takes it."""
    bare = host.strip("[]")
    try:
        family, kind, _, _, address = socket.getaddrinfo(bare, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES):
            found = f"{port} is not free ({os.strerror(error.errno)})"
            raise InputError("port", found, hint="give another with --port") from error
        expected = "an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
        raise InputError("--host", f"{host} is no address of this machine", expected) from error
    return f"[{bare}]" if ":" in bare else host


def _launch(service: Service, host: str, port: int | None, names: Sequence[str]) -> tuple[Any, str]:
    """Start Gradio in threads of its own; returns what stops it, and the address."""
    from sordino.app.serve import page

    blocks = page.build(service)
    blocks.queue(default_concurrency_limit=1, max_size=QUEUE)
    largest = round(service.limits.megabytes * 1e6)

    @asynccontextmanager
    async def guarded(app: Any) -> AsyncGenerator[None, None]:
        # Outermost: what Gradio adds itself, such as its answer to preflights of other origins, lies before its
        # middleware. And before the port is open, so that no request comes first. Once, as Gradio begins again where a
        # port turns out to be taken.
        if not isinstance(app.middleware_stack, Guard):
            app.middleware_stack = Guard(app.middleware_stack, service.sessions.uploads, largest, host, names)
        yield

    try:
        _, address, _ = blocks.launch(
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            server_name=host,
            server_port=port,
            max_file_size=largest,
            allowed_paths=[str(service.sessions.work)],
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            app_kwargs={"lifespan": guarded},
            theme=page.theme(),
            css=page.STYLE,
            head=page.HEAD,
        )
    except OSError as error:
        found = "none is free" if port is None else f"{port} is not free"
        raise InputError("port", found, hint="give another with --port") from error
    if not isinstance(blocks.app.middleware_stack, Guard):
        blocks.close(verbose=False)
        raise RuntimeError("this version of gradio does not let the guard stand before it")
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
def _sweeping(sessions: Sessions) -> Generator[None, None, None]:
    """Sweep now and then, in a thread that ends with the context."""
    over = threading.Event()

    def sweep() -> None:
        while not over.wait(SWEEP_S):
            with suppress(OSError):  # of one sweep: the next one tries again
                sessions.sweep()

    thread = threading.Thread(target=sweep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
