"""Refuses requests before they reach the page: from other sites, too large, or for files or addresses not its own.

A site that a visitor has open beside the page can send requests to it, and after DNS rebinding even under a name of its
own. The browser then states another ``Host`` or ``Origin`` than the page's. Bodies are counted as they come, since
Gradio holds JSON and the fields of forms in memory whole, and JSON may name a URL, which Gradio would fetch.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sordino.app.serve.upload_form import TooLarge, UploadForm
from sordino.errors import InputError

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES = 2**16
"""The largest body that is held in memory; those of the page have 1 kB."""
FORM_BYTES = 2**16
"""What a form may hold beside its file."""
JSON_S = 30.0
"""Seconds in which JSON must be there."""

UPLOAD = "/gradio_api/upload"
_API = ("app_id", "call/", "file=", "heartbeat/", "info", "login_check", "queue/", "startup-events", "theme.css")
_API += ("token", "upload_progress", "user")
READ = ("/assets/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/static/", "/svelte/", "/theme.css")
READ += tuple(f"/gradio_api/{name}" for name in _API)
WRITTEN = (UPLOAD, *(f"/gradio_api/{name}" for name in ("call/", "cancel", "queue/join", "reset")))
"""What the page asks for by GET and by POST; the rest of Gradio's addresses is not needed, and not there."""

OWN = "'self' data: blob:"
POLICY = f"default-src {OWN}; script-src {OWN} 'unsafe-inline' 'unsafe-eval'; style-src {OWN} 'unsafe-inline'"
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every answer: nothing is fetched from elsewhere, and no other site shows, reads or guesses what is here."""


class _Refused(Exception):
    """Error: a refused request; its arguments are the status and the reason."""


class Guard:
    """Passes the requests that the page itself may send; all others get a status from 400 to 499.

    Args:
        app: answers what is let through.
        uploads: the folder of the visitors' files, the only ones that a request may name.
        upload_bytes: the largest file.
        host: the address on which the server listens.
        names: further names of the server, such as a proxy's, as ``check_names`` accepts them.
    """

    def __init__(self, app: ASGIApp, uploads: Path, upload_bytes: int, host: str, names: Sequence[str] = ()) -> None:
        self.app, self.uploads, self.upload_bytes = app, uploads, upload_bytes
        self.names = {name.lower() for name in names}
        self.hosts = {"localhost", host.strip("[]").lower(), *self.names}
        if not _is_loopback(host):
            self.hosts |= {socket.gethostname().lower(), f"{socket.gethostname()}.local".lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI request: refuse it, or pass it to the page."""
        from starlette.formparsers import MultiPartException
        from starlette.requests import ClientDisconnect
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketClose

        if scope["type"] == "websocket":
            return await WebSocketClose()(scope, receive, send)
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        refused: list[_Refused] = []

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        async def answer_unless_refused(message: Message) -> None:
            if not refused:
                await answer(message)

        async def body() -> Message:
            try:
                return await checked()
            except _Refused as error:
                refused.append(error)
                raise MultiPartException("refused") from error  # at which Gradio deletes what it has of the upload

        try:
            checked = await self._checked(scope, receive)
            with suppress(ClientDisconnect, MultiPartException):
                await self.app(scope, body, answer_unless_refused)
        except _Refused as error:
            refused.append(error)
        if refused:
            status, reason = refused[0].args
            await PlainTextResponse(reason, status)(scope, receive, answer)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """Check all but an upload's body; return what the body is read by."""
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        self._check_sender(headers, scope)
        path, method = scope["path"], scope["method"]
        known: tuple[str, ...] = ()
        if method in ("GET", "HEAD"):
            known = READ
        elif method == "POST":
            known = WRITTEN
        if "=http" in path or not (path.startswith(known) or (path == "/" and known is READ)):
            raise _Refused(404 if known else 405, "nothing here")
        upload = method == "POST" and path.startswith(UPLOAD)
        most = self.upload_bytes + FORM_BYTES if upload else JSON_BYTES
        if int(headers.get("content-length", 0)) > most:  # the web server lets through at most 20 digits
            raise _Refused(413, f"the body is larger than {most} bytes")
        if not upload:
            return await self._json(_counted(receive, most), receive)
        try:
            return _counted(receive, most, UploadForm(headers.get("content-type", ""), FORM_BYTES).feed)
        except ValueError as error:
            raise _Refused(400, "no form") from error

    def _check_sender(self, headers: Headers, scope: Scope) -> None:
        """Refuse a ``Host`` that is not this server's, and an ``Origin`` that is not the page's."""
        here, (reached, _) = headers.get("host", ""), scope.get("server") or ("", 0)
        name = _name(f"//{here}")
        if (
            name not in self.hosts
            and (name != reached or not name)
            and not (_is_loopback(name) and _is_loopback(reached))
        ):
            raise _Refused(421, "no such host here")
        origin = headers.get("origin")
        if origin is None:
            return
        same = origin.lower() in (f"http://{here}".lower(), f"https://{here}".lower())
        if not same and _name(origin) not in self.names:
            raise _Refused(403, "another site's request")

    async def _json(self, counted: Receive, receive: Receive) -> Receive:
        """Read and check a body of JSON; return what gives it out once more."""
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(JSON_S):
                while more:
                    message = await counted()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise _Refused(408, "the body did not come") from error
        try:
            self._check_files(json.loads(body) if body else None)
        except (ValueError, RecursionError) as error:
            raise _Refused(400, "no JSON") from error
        waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        return again

    def _check_files(self, content: Any) -> None:
        """Refuse JSON in which a ``path`` is no file of the visitors, such as a URL."""
        todo = [content]
        while todo:
            value = todo.pop()
            if isinstance(value, dict):
                todo += value.values()
                path = value.get("path")
                if path is not None and not (isinstance(path, str) and self._is_upload(path)):
                    raise _Refused(403, "no file of yours")
            elif isinstance(value, list):
                todo += value

    def _is_upload(self, path: str) -> bool:
        return ".." not in Path(path).parts and Path(path).is_relative_to(self.uploads)


def _counted(receive: Receive, most: int, follow: Callable[[bytes], None] = lambda _: None) -> Receive:
    """Return ``receive`` with a limit to the bytes of the body, each of which is shown to ``follow``."""
    got, more = 0, True

    async def counted() -> Message:
        nonlocal got, more
        message = await receive()
        if not more:
            return message
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the body broke off")
        content, more = message.get("body", b""), message.get("more_body", False)
        got += len(content)
        if got > most:
            raise _Refused(413, f"the body is larger than {most} bytes")
        try:
            follow(content)
        except TooLarge as error:
            raise _Refused(413, str(error)) from error
        except ValueError as error:
            raise _Refused(400, "no form") from error
        return message

    return counted


def check_names(names: Iterable[str]) -> None:
    """Refuse a server name that is not a plain host name, because no request could match it.

    Raises:
        InputError: it is empty, or has a port, a scheme or a path.
    """
    for name in names:
        if not name or _name(f"//{name}") != name.lower():
            raise InputError("--name", f"{name!r}", "the name of a host alone, such as speech.example.org")


def _name(address: str) -> str:
    """Return the host of an address, without its port; empty if there is none."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
