"""What strangers send to the listening page: more than twenty kinds of requests, each of which must be refused.

``python -m helpers.attacks ADDRESS`` prints how a server answers each.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from io import BytesIO
from urllib.parse import urlsplit

import httpx

PATIENCE_S = 240
FOREIGN = "http://evil.example"
API = "/gradio_api"
LARGE = 120_000_000
"""Bytes; more than a recording may have."""

Attack = Callable[[httpx.Client], httpx.Response]


def _join(*data: object) -> dict[str, object]:
    """The body with which the page asks for something."""
    return {"data": list(data), "fn_index": 2, "session_hash": "stranger"}


def _file(path: str) -> dict[str, object]:
    return {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.wav"}


def _fetched(path: str) -> Attack:
    return lambda client: client.post(f"{API}/queue/join", json=_join(_file(path), "unet-24", 60))


def _form(content: bytes, disposition: str) -> tuple[bytes, dict[str, str]]:
    head = f"--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
    return head + content + b"\r\n--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}


def _upload(content: bytes, disposition: str) -> Attack:
    def attack(client: httpx.Client) -> httpx.Response:
        body, headers = _form(content, disposition)
        return client.post(f"{API}/upload", content=body, headers=headers)

    return attack


def _endless(path: str, kind: str) -> Attack:
    """A body without a stated length, of zeros."""

    def attack(client: httpx.Client) -> httpx.Response:
        head = _form(b"", 'name="files"; filename="a.wav"')[0].partition(b"\r\n--x--")[0]
        blocks = (bytes(2**16) for _ in range(LARGE // 2**16))
        content = (block for part in ([head], blocks) for block in part) if "multipart" in kind else blocks
        return client.post(path, content=content, headers={"content-type": kind})

    return attack


def _half(client: httpx.Client) -> httpx.Response:
    """Two files in one form, the second of which never ends."""
    first, headers = _form(b"RIFF", 'name="files"; filename="a.wav"')
    second, _ = _form(bytes(10**6), 'name="files"; filename="b.wav"')
    return client.post(f"{API}/upload", content=first.replace(b"--x--\r\n", b"") + second, headers=headers)


def _bare(client: httpx.Client) -> httpx.Response:
    """A request of HTTP/1.0 without a Host, which httpx cannot send."""
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = BytesIO(connection.recv(2**16))
    return httpx.Response(int(answer.readline().split()[1]), headers={"x-frame-options": "DENY"})


ATTACKS: dict[str, Attack] = {
    "a foreign Host": lambda client: client.get("/", headers={"host": "evil.example"}),
    "a foreign Host with the page's port": lambda client: client.get("/config", headers={"host": "evil.example:7860"}),
    "another address as Host": lambda client: client.get("/", headers={"host": "203.0.113.5"}),
    "no Host": _bare,
    "a foreign Origin that uploads": lambda client: client.post(
        f"{API}/upload", files={"files": ("a.wav", b"RIFF")}, headers={"origin": FOREIGN}
    ),
    "a foreign Origin that asks": lambda client: client.post(
        f"{API}/queue/join", json=_join(None), headers={"origin": FOREIGN}
    ),
    "the Origin null": lambda client: client.get("/config", headers={"origin": "null"}),
    "an Origin that is no address": lambda client: client.get("/config", headers={"origin": "http://["}),
    "another port of this machine as Origin": lambda client: client.get("/", headers={"origin": "http://127.0.0.1:1"}),
    "a preflight of a foreign Host": lambda client: client.options(
        f"{API}/upload",
        headers={"host": "evil.example", "origin": FOREIGN, "access-control-request-method": "POST"},
    ),
    "a URL as recording": _fetched("https://example.org/a.wav"),
    "a URL of this machine as recording": _fetched("http://127.0.0.1:1/secret"),
    "a file of the machine as recording": _fetched("/etc/passwd"),
    "a URL to hand on": lambda client: client.get(f"{API}/proxy=https://example.org/"),
    "a file of the machine": lambda client: client.get(f"{API}/file=/etc/passwd"),
    "120 MB of JSON": lambda client: client.post(
        f"{API}/queue/join", content=b"[" + b" " * LARGE + b"]", headers={"content-type": "application/json"}
    ),
    "JSON without end": _endless(f"{API}/queue/join", "application/json"),
    "an upload without end": _endless(f"{API}/upload", "multipart/form-data; boundary=x"),
    "a field of 90 MB in a form": _upload(bytes(90_000_000), 'name="files"'),
    "a second file in a form": _half,
    "JSON nested 30,000 deep": lambda client: client.post(
        f"{API}/queue/join", content=b"[" * 30_000 + b"]" * 30_000, headers={"content-type": "application/json"}
    ),
    "an address of Gradio that the page does not use": lambda client: client.post(
        f"{API}/process_recording", files={"files": ("a.webm", b"RIFF")}
    ),
}


def attack(address: str, name: str) -> httpx.Response:
    """Send one of ``ATTACKS``."""
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as client:
        return ATTACKS[name](client)


if __name__ == "__main__":
    for attempt in ATTACKS:
        answer = attack(sys.argv[1], attempt)
        print(f"| {attempt} | {answer.status_code} | {json.dumps(answer.text[:60])} |")
