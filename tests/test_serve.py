"""``sordino serve`` under what happens to a server: many at once, far too long, no sound at all, tabs that close."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import soundfile

from helpers.attacks import ATTACKS, PATIENCE_S, attack
from helpers.noise import hiss
from helpers.ranks import free_port
from sordino.assets import DEFAULT_STUDENT
from sordino.cli.main import main
from sordino.inference.files import enhance_file

if TYPE_CHECKING:
    from gradio_client import Client

# Gradio is imported by what needs it, as it takes seconds.
pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="needs sordino[web]")
httpx = pytest.importorskip("httpx", reason="needs sordino[web]")

WITHOUT_LIMIT_DB = 60
AT_ONCE, ROUNDS = 20, 8
SPARE_MIB = 60
"""What the memory of a process may keep of work that is done: allocators hold pages back."""
KEPT_MIB_EACH = 0.3
"""Below what an answer takes that is kept, 0.4 MiB or more."""


class Server(NamedTuple):
    """A server in a process of its own, as a user starts it."""

    address: str
    process: subprocess.Popen
    folder: Path

    def left(self) -> list[Path]:
        """The files that it keeps of its visitors."""
        return [path for path in self.files() if "sordino-serve-" in str(path)]

    def files(self) -> list[Path]:
        # Not by rglob, which fails when the server removes a folder meanwhile.
        return [Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names]

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s*(\d+)", status)[0]) / 1024

    def answers(self) -> bool:
        return httpx.get(self.address, timeout=PATIENCE_S).status_code == 200


def start(folder: Path, *words: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "sordino", "serve", "--port", str(port), *words]
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    message = process.stderr.readline()
    assert f"sordino listens on http://127.0.0.1:{port}/" in message, message + process.stderr.read()
    return Server(f"http://127.0.0.1:{port}", process, folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("server"))
    yield server
    server.process.send_signal(signal.SIGTERM)
    out, message = server.process.communicate(timeout=PATIENCE_S)
    assert server.process.returncode == 0, message
    assert "no recording is kept" in out
    assert "Traceback" not in message
    assert list(server.folder.iterdir()) == []


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that comes about by itself, also on a machine that is busy with other things."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def visit(address: str) -> Client:
    from gradio_client import Client

    # No certificates are read, which takes as long as all the rest: the address begins with http.
    options = {"httpx_kwargs": {"timeout": PATIENCE_S}, "ssl_verify": False}
    return Client(address, verbose=False, analytics_enabled=False, **options)


def dropped(source: Path) -> Any:
    """A file as the page sends it."""
    from gradio_client import handle_file

    return handle_file(str(source))


def enhanced(address: str, source: Path) -> tuple[str, bytes]:
    """Drop a file, press Enhance, download, and leave; what the page said, and the file."""
    client = visit(address)
    try:
        recording = dropped(source)
        client.predict(recording, api_name="/admit")
        answer = client.predict(recording, DEFAULT_STUDENT, WITHOUT_LIMIT_DB, api_name="/enhance")
        links = re.findall(r'class="download" href="([^"]*)"', answer)
        return answer, httpx.get(f"{address}/{links[0]}", timeout=PATIENCE_S).content if links else b""
    finally:
        client.close()


def write_noise(path: Path, seconds: float, seed: int = 0) -> Path:
    soundfile.write(path, hiss(seconds, seed=seed, level=0.1), 16000)
    return path


@pytest.mark.slow
def test_twenty_uploads_at_once_are_all_enhanced_and_none_is_kept(server: Server, tmp_path: Path) -> None:
    sources = [write_noise(tmp_path / f"{seed}.wav", 1, seed) for seed in range(AT_ONCE)]
    answers, grown_mib = [], []
    # Allocators grow for some rounds, on one machine longer than on another; kept uploads grow with every round.
    while not grown_mib or (min(grown_mib) >= KEPT_MIB_EACH * AT_ONCE and len(grown_mib) < ROUNDS):
        before = server.resident_mib()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda source: enhanced(server.address, source), sources))
        wait_until(lambda: not server.left())
        grown_mib.append(server.resident_mib() - before)
    assert min(grown_mib) < KEPT_MIB_EACH * AT_ONCE, grown_mib
    for source, (_, content) in zip(sources, answers, strict=True):
        enhance_file(source, tmp_path / "line.wav")
        assert content == (tmp_path / "line.wav").read_bytes()
    assert server.answers()


def test_a_recording_of_two_hours_is_refused_before_it_is_read(server: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hours.flac", np.zeros(2 * 3600 * 8000, np.int16), 8000)
    before = server.resident_mib()
    answer, _ = enhanced(server.address, tmp_path / "hours.flac")
    assert "hours.flac: lasts 120.0 minutes; expected 10 at most" in answer
    assert server.resident_mib() < before + SPARE_MIB
    large = {"files": ("hours.wav", bytes(2 * 3600 * 16000), "audio/wav")}
    refused = httpx.post(f"{server.address}/gradio_api/upload", files=large, timeout=PATIENCE_S)
    assert refused.status_code == 413
    wait_until(lambda: not server.left())
    assert server.answers()


def test_a_text_file_named_wav_is_reported_in_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no sound at all\n" * 100)
    answer, _ = enhanced(server.address, tmp_path / "notes.wav")
    assert answer.startswith('<p class="banner" role="alert">notes.wav: cannot be read as audio')
    wait_until(lambda: not server.left())
    assert server.answers()


def test_a_tab_closed_in_the_middle_stops_the_work_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    before = server.resident_mib()
    client = visit(server.address)
    recording = dropped(write_noise(tmp_path / "long.flac", 500))
    client.predict(recording, api_name="/admit")
    job = client.submit(recording, "manner-s-1.5gf", WITHOUT_LIMIT_DB, api_name="/enhance")
    wait_until(lambda: job.status().code.name in ("PROCESSING", "PROGRESS"))
    assert server.left()
    client.close()
    wait_until(lambda: not server.left())
    answer, content = enhanced(server.address, write_noise(tmp_path / "next.wav", 1))  # whose turn has come
    assert content, answer
    wait_until(lambda: not server.left())
    wait_until(lambda: server.resident_mib() < before + SPARE_MIB)


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    port = int(server.address.rpartition(":")[2])
    head = "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = '--x\r\nContent-Disposition: form-data; name="files"; filename="half.wav"\r\n\r\n'
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall((head + part).encode() + bytes(100_000))
        time.sleep(0.5)
    wait_until(lambda: not server.files())
    assert server.answers()


def test_twenty_attackers_are_refused_beside_five_users_who_are_all_answered(server: Server, tmp_path: Path) -> None:
    sources = [write_noise(tmp_path / f"{seed}.wav", 1, seed) for seed in range(5)]
    before, names = server.resident_mib(), list(ATTACKS)
    with ThreadPoolExecutor(len(names) + len(sources)) as pool:
        attacks = [pool.submit(attack, server.address, name) for name in names]
        users = [pool.submit(enhanced, server.address, source) for source in sources]
    answers = {name: answer.result() for name, answer in zip(names, attacks, strict=True)}
    assert len(names) >= 20
    assert {name: answer.status_code for name, answer in answers.items() if not 400 <= answer.status_code < 500} == {}
    for answer in answers.values():
        assert "evil.example" not in answer.headers.get("access-control-allow-origin", "")
        assert answer.headers["x-frame-options"] == "DENY"
    assert all(content for _, content in (user.result() for user in users))
    wait_until(lambda: not server.left())
    assert server.resident_mib() < before + SPARE_MIB


def test_the_server_fetches_nothing_from_elsewhere(server: Server) -> None:
    for address in ("http://127.0.0.1:1/secret", "https://example.org/x"):
        assert httpx.get(f"{server.address}/gradio_api/file={address}", timeout=PATIENCE_S).status_code == 404
    shown = httpx.get(server.address, timeout=PATIENCE_S).headers
    assert shown["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in shown["content-security-policy"]
    assert "default-src 'self'" in httpx.get(server.address, timeout=PATIENCE_S).headers["content-security-policy"]
    assert httpx.get(f"{server.address}/gradio_api/file=/etc/hostname", timeout=PATIENCE_S).status_code in (403, 404)


def test_an_address_of_ipv6_is_taken() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    from sordino.app.serve import serving

    with serving(host="::1") as address:
        assert address.startswith("http://[::1]:")
        assert httpx.get(address, timeout=PATIENCE_S).status_code == 200


def test_mistakes_in_the_command_are_one_line(capsys: pytest.CaptureFixture[str], server: Server) -> None:
    port = server.address.rpartition(":")[2]
    for words, message in {
        ("--port", port): f"sordino: port: {port} is not free",
        ("--host", "192.0.2.1"): "sordino: --host: 192.0.2.1 is no address of this machine; expected an address",
        ("--host", "256.1.1.1"): "sordino: --host: 256.1.1.1 is no address of this machine; expected an address",
        ("--minutes", "0"): "sordino: minutes: 0.0; expected a number above 0",
        ("none.onnx",): "sordino: none.onnx: no such model",
    }.items():
        with pytest.raises(SystemExit) as left:
            main(["serve", *words])
        assert left.value.code == 2
        assert message in capsys.readouterr().err
