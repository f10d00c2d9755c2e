"""Files of the listening page's visitors: how large they may be decoded, and how the page is rid of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sordino.app.serve import Limits, sessions
from sordino.app.serve.folder import own_folder
from sordino.app.serve.jobs import look
from sordino.app.serve.sessions import KEEP_S, STRAY_S, Sessions
from sordino.errors import InputError

HOLDER = """
import sys
from sordino.app.serve.folder import own_folder
with own_folder() as folder:
    (folder / "upload.wav").write_bytes(b"RIFF")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_small_file_that_is_large_decoded_is_refused_whatever_its_header_states(tmp_path: Path) -> None:
    limits = Limits(minutes=0.1)
    soundfile.write(tmp_path / "wide.flac", np.zeros((192_000 * 5, 8), np.int16), 192_000)
    content = bytearray((tmp_path / "wide.flac").read_bytes())
    content[21:26] = bytes([content[21] & 0xF0]) + bytes(4)  # of unknown length, which opening it has to count
    (tmp_path / "open.flac").write_bytes(content)
    assert len(content) < 200_000
    for name in ("wide.flac", "open.flac"):
        with pytest.raises(InputError, match=rf"{name}: is too long; expected 576000 samples of all channels"):
            look(tmp_path / name, limits)
    soundfile.write(tmp_path / "fits.flac", np.zeros((48_000 * 5, 2), np.int16), 48_000)
    assert look(tmp_path / "fits.flac", limits).channels == 2


def test_the_next_start_deletes_what_a_killed_server_left_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "held").mkdir()
    (tmp_path / "sordino-serve-link").symlink_to(tmp_path / "others")
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with own_folder() as own:
            assert (left / "upload.wav").is_file()  # of a server that runs
            assert own.is_dir()
        other.kill()
    assert left.is_dir()
    with own_folder():
        assert not left.parent.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"others", "sordino-serve-link"}
    assert (tmp_path / "others" / "held").is_dir()


def test_a_visitor_who_uploads_a_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now)
    visitors = Sessions(tmp_path)
    for name in ("first", "second"):
        visitors.came("here", visitors.uploads / name)
        now += KEEP_S - 1
        visitors.sweep()
        assert "here" in visitors


def test_a_folder_that_a_forged_request_claims_keeps_nothing_of_a_visitor(tmp_path: Path) -> None:
    visitors = Sessions(tmp_path)
    upload = visitors.uploads / "hash" / "a.wav"
    upload.parent.mkdir()
    upload.write_bytes(b"RIFF")
    visitors.came("here", upload)
    visitors.came("here", upload.parent)
    late = visitors.uploads / "late"
    visitors.came("here", late)
    late.mkdir()  # a folder since
    results = visitors.results("here", "one")
    visitors.leave("here")
    assert not upload.exists()
    assert not results.exists()
    assert "here" not in visitors


def test_visitors_who_come_meanwhile_do_not_stop_the_sweeping(tmp_path: Path) -> None:
    visitors, stop, many = Sessions(tmp_path), threading.Event(), 20_000
    for number in range(many):
        visitors.came(f"before {number}", visitors.uploads / "a.wav")

    def come() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            visitors.came(str(number), visitors.uploads / "a.wav")
            visitors.leave(str(number - 3))

    coming, before = threading.Thread(target=come), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    coming.start()
    try:
        for _ in range(60):
            visitors.sweep()
    finally:
        stop.set()
        coming.join()
        sys.setswitchinterval(before)
    assert all(f"before {number}" in visitors for number in range(many))


def test_ages_do_not_depend_on_the_clock_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now)
    monkeypatch.setattr(sessions.time, "time", lambda: pytest.fail("a clock that may be set"))
    visitors = Sessions(tmp_path)
    paths = {name: visitors.uploads / name / "a.wav" for name in ("claimed", "stray", "growing")}
    for path in paths.values():
        path.parent.mkdir()
        path.write_bytes(b"RIFF")
    visitors.came("here", paths["claimed"])

    def left() -> set[str]:
        visitors.sweep()
        return {path.name for path in visitors.uploads.iterdir()}

    assert left() == set(paths)
    now += STRAY_S - 1
    paths["growing"].write_bytes(b"RIFF and more")
    assert left() == set(paths)
    now += 2
    left()
    now += 2  # its folder is seen empty, and is deleted when it stays so
    assert left() == {"claimed", "growing"}
    now += KEEP_S
    left()
    now += 2
    assert left() == set()
