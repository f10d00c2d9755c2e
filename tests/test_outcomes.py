"""What a person gets when a file, a model or a stream is not as it should be: one line, and the rest of the work."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import soundfile

import sordino
from helpers.noise import tone
from sordino.assets import STREAM_SUFFIX, student_file
from sordino.cli import main as command_line
from sordino.cli import progress
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.files import atomic
from sordino.inference import folders

RATE = 16000


def refuse(path: object, *_: object, **__: object) -> NoReturn:
    raise PermissionError(13, "Permission denied", str(path))


def test_a_file_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.5), RATE)
    monkeypatch.setattr("sordino.inference.files.enhance_file", refuse)
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", str(tmp_path / "a.wav"), "-o", str(tmp_path / "b.wav")])
    refused = f"sordino: {tmp_path / 'a.wav'}: Permission denied"
    assert capsys.readouterr().err == f"{refused}; check who may read and write it\n"


def test_a_folder_goes_on_past_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "in" / name, tone(0.5), RATE)
    really = folders.enhance_file
    monkeypatch.setattr(
        folders, "enhance_file", lambda path, *rest: (refuse if path.stem == "a" else really)(path, *rest)
    )
    reports = list(folders.enhance_folder(tmp_path / "in", tmp_path / "out"))
    failed = {Path(one["input"]).name: one.get("error") for one in reports}
    assert failed == {"a.wav": f"{tmp_path / 'in' / 'a.wav'}: Permission denied", "b.wav": None}


@pytest.mark.parametrize("words", [["", "-o", "b.wav"], ["a.wav", "-o", ""]])
def test_an_empty_name_is_no_folder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", *words])
    assert "an empty name; expected INPUT -o OUTPUT" in capsys.readouterr().err


def test_a_folder_is_not_enhanced_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", tone(0.5), RATE)
    shutil.copy(tmp_path / "in" / "a.wav", tmp_path / "b.wav")
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "b.wav")])
    assert "b.wav: is a file; expected a folder" in capsys.readouterr().err


def test_a_graph_and_that_of_a_stream_are_of_one_network(tmp_path: Path) -> None:
    shutil.copy(student_file("unet-24"), tmp_path / "s.onnx")
    shutil.copy(student_file("unet-24", STREAM_SUFFIX), tmp_path / f"s{STREAM_SUFFIX}")
    sordino.enhance(tone(0.2), RATE, tmp_path / "s.onnx")
    shutil.copy(student_file("dualpath-24"), tmp_path / "s.onnx")
    for use in (
        lambda: sordino.enhance(tone(0.2), RATE, tmp_path / "s.onnx"),
        lambda: sordino.Streamer(tmp_path / "s.onnx"),
    ):
        with pytest.raises(InputError, match=r"s\.onnx: is not of the network that s\.stream\.onnx beside it is of"):
            use()


def test_progress_that_nobody_can_read_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0)
    with progress.Display() as show:
        show("training", 1, 2, {})
    progress.Line()("a line")
    assert "training: 1/2" in tried[0]
    assert "a line" in tried[-1]


def test_nothing_is_printed_in_place_of_a_closed_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line._print("10.00 s at 16000 Hz", None)
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        with pytest.raises(SystemExit, match="2"):
            main(["enhance", "absent.wav", "-o", "b.wav"])
    assert capsys.readouterr().out == ""


def test_a_name_that_the_terminal_cannot_show_is_written_in_ascii(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "音.wav", tone(0.2), RATE)
    command = [sys.executable, "-m", "sordino", "enhance", "音.wav", "-o", "音.flac"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout.startswith(b"\\u97f3.flac: 0.20 s")
    assert (tmp_path / "音.flac").is_file()


def test_an_error_of_another_file_is_not_one_of_writing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"weights\.bin"), atomic(tmp_path / "a.wav"):
        (tmp_path / "weights.bin").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_writing_alone_leaves_what_others_write_of_another_kind(tmp_path: Path) -> None:
    with atomic(tmp_path / "best.safetensors") as other:
        other.write_text("theirs")
        with atomic(tmp_path / "best.onnx", alone=True) as own:
            own.write_text("own")
    assert (tmp_path / "best.safetensors").read_text() == "theirs"


def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "private.wav"
    path.write_text("before")
    path.chmod(0o600)
    with atomic(path) as temporary:
        temporary.write_text("after")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("after", 0o600)


def test_sound_of_a_phone_is_enhanced_into_wav_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = pytest.importorskip("sordino.app.serve.service", reason="needs sordino[web]")
    written: list[Path] = []
    monkeypatch.setattr(service.jobs, "enhanced", lambda source, target, *rest: written.append(target))

    class Offered:
        model = None

    page = object.__new__(service.Service)
    page.models = {"one": Offered()}
    for name in ("call.m4a", "call.flac", "call"):
        page._enhanced("session", tmp_path / name, tmp_path, "one", 12.0, lambda *_: None)
    assert [path.name for path in written] == ["call-enhanced.wav", "call-enhanced.flac", "call-enhanced.wav"]
