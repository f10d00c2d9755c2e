"""Folders on their way through a model: several files at once, where each of them is written, and in which format."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.corpora import RATE
from helpers.functions import same
from helpers.noise import tone
from sordino.audio import sound_files
from sordino.audio.folders import list_audio
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference import folders
from sordino.inference.files import enhance_file
from sordino.inference.folders import enhance_folder
from sordino.inference.model import Model


def test_a_folder_is_worked_at_by_several_threads_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=30)

    def meet(noisy: np.ndarray) -> np.ndarray:
        together.wait()
        return noisy

    for name in "abc":
        sound_files.write(tmp_path / "in" / f"{name}.wav", tone(0.2), RATE)
    reports = list(enhance_folder(tmp_path / "in", tmp_path / "out", Model("meet", RATE, meet), workers=3))
    assert sorted(Path(report["output"]).name for report in reports) == ["a.wav", "b.wav", "c.wav"]
    assert not together.broken


def test_functions_are_called_by_one_thread_at_a_time_unless_asked(tmp_path: Path) -> None:
    within = threading.Lock()

    def alone(noisy: np.ndarray) -> np.ndarray:
        assert within.acquire(blocking=False)
        within.release()
        return noisy

    for index in range(6):
        sound_files.write(tmp_path / "in" / f"{index}.wav", tone(0.2), RATE)
    assert all("error" not in report for report in enhance_folder(tmp_path / "in", tmp_path / "out", alone))


def test_who_leaves_a_folder_half_done_leaves_no_half_file(tmp_path: Path) -> None:
    for index in range(4):
        sound_files.write(tmp_path / "in" / f"{index}.wav", tone(40 if index else 0.1), RATE)
    going = enhance_folder(tmp_path / "in", tmp_path / "out", same)
    next(going)
    going.close()
    whole = [path for path in (tmp_path / "out").iterdir() if sound_files.info(path).length in (1600, 640_000)]
    assert len(whole) == len(list((tmp_path / "out").iterdir())) < 4


def test_the_recording_itself_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.2), RATE)
    kept = path.read_bytes()
    (tmp_path / "link.wav").symlink_to(path)
    for target in (path, tmp_path / "." / "a.wav", tmp_path / "link.wav", tmp_path):
        with pytest.raises(InputError, match="is the recording itself"):
            enhance_file(path, target, same)
    assert path.read_bytes() == kept


def test_in_a_folder_a_recording_keeps_its_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.2), RATE)
    (tmp_path / "out").mkdir()
    assert enhance_file(tmp_path / "a.wav", tmp_path / "out", same)["output"] == str(tmp_path / "out" / "a.wav")
    assert enhance_file(tmp_path / "a.wav", f"{tmp_path}/new/", same)["output"] == str(tmp_path / "new" / "a.wav")


def test_a_file_that_is_replaced_is_spoken_of_or_skipped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write("a.wav", tone(0.2), RATE)
    assert enhance_file("a.wav", "out.wav", same)["notes"] == []
    assert enhance_file("a.wav", "out.wav", same)["notes"] == ["in place of the file that was there"]
    kept = Path("out.wav").stat()
    main(["enhance", "a.wav", "-o", "out.wav", "--skip-existing"])
    assert "out.wav: is there already" in capsys.readouterr().out
    assert Path("out.wav").stat() == kept


def test_several_files_go_into_one_folder_and_what_is_there_may_be_skipped(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("a.wav", "deep/b.wav"):
        sound_files.write(here / path, tone(0.2), RATE)
    main(["enhance", "a.wav", "-o", "out/"])
    main(["enhance", "a.wav", "deep/b.wav", "-o", "out", "--skip-existing", "--json"])
    answer = json.loads(capsys.readouterr().out.partition("\n")[2])
    done = {Path(one["output"]).name: "skipped" in one for one in answer["files"]}
    assert done == {"a.wav": True, "b.wav": False}
    for words, line in (
        (["a.wav", "b.wav"], "did you mean -o b.wav?"),
        (["a.wav", "deep/b.wav", "-o", "out.wav"], "out.wav: is the name of one file; expected a folder"),
        (["deep", "-o", "out.wav"], "out.wav: is the name of one file; expected a folder"),
        (["a.wav"], "sordino enhance: there is no -o OUTPUT"),
        (["a.wav", "-o", "b.m4a"], "b.m4a: .m4a can be read, but not written"),
        (["a.wav", "deep", "-o", "out"], "deep: is a folder among several inputs"),
        (["a.wav", "deep/b.wav", "b.wav", "-o", "new"], "b.wav: is not the only one that would become new/b.wav"),
    ):
        with pytest.raises(SystemExit):
            main(["enhance", *words])
        assert line in capsys.readouterr().err


def test_a_subfolder_that_cannot_be_read_stops_no_other(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("in/a.wav", "in/locked/b.wav"):
        sound_files.write(here / path, tone(0.2), RATE)
    look = os.scandir

    def locked(folder: str) -> Any:
        if str(folder).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(folder)

    monkeypatch.setattr(os, "scandir", locked)
    failed, done = enhance_folder("in", "out", same)
    assert failed == {"input": "in/locked", "error": "in/locked: cannot be read (Permission denied)"}
    assert done["output"] == "out/a.wav"
    with pytest.raises(InputError, match="in/locked: cannot be read"):
        list_audio("in")


def test_two_recordings_with_one_output_do_not_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.m4a").write_bytes(b"sound of a phone becomes a.m4a.wav")
    soundfile.write(tmp_path / "in" / "a.m4a.wav", tone(0.1), RATE)
    phone, other = sorted(enhance_folder(tmp_path / "in", tmp_path / "out", same), key=lambda one: one["input"])
    assert phone["error"] == f"{phone['input']}: has the same output as {other['input']}; rename one of them"
    assert other["output"] == str(tmp_path / "out" / "a.m4a.wav")


@pytest.mark.parametrize("output", ["in", "in/..", "link"])
def test_an_output_folder_that_holds_the_recordings_is_refused(
    tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    soundfile.write(tmp_path / "in" / "a.wav", tone(0.1), RATE)
    with pytest.raises(SystemExit):
        main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / output)])
    assert f"{tmp_path / output}: holds the recordings themselves" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.wav", "in", "link"]


def test_links_are_followed_and_the_output_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for place in ("in/a.WAV", "elsewhere/b.wav"):
        soundfile.write(tmp_path / place, tone(0.1), RATE, format="WAV")
    (tmp_path / "in" / "linked").symlink_to("../elsewhere")
    (tmp_path / "in" / "deep" / "up").symlink_to("../..")  # a circle
    for _ in range(2):
        reports = list(enhance_folder(tmp_path / "in", tmp_path / "in" / "out", same))
        assert {Path(one["output"]).relative_to(tmp_path / "in" / "out").as_posix() for one in reports} >= {
            "a.WAV",
            "linked/b.wav",
        }
        assert len(reports) == 2


@pytest.mark.parametrize(
    ("source", "target", "rate", "kind", "note"),
    [
        ("a.mp3", "out.wav", 16000, "WAV", None),
        ("mp3.wav", "out.wav", 16000, "WAV", "cannot hold MPEG_LAYER_III, so it was written as PCM_16"),
        ("a.wav", "a.opus", 44100, "OGG", "no 44100 Hz, so it was written at 48000 Hz"),
        ("a.wav", "a.mp3", 96000, "MP3", "no 96000 Hz, so it was written at 48000 Hz"),
    ],
)
def test_a_format_that_cannot_hold_the_recording_takes_the_nearest_that_it_can(
    tmp_path: Path, source: str, target: str, rate: int, kind: str, note: str | None
) -> None:
    form = "MP3" if "mp3" in source else "WAV"
    soundfile.write(tmp_path / source, tone(1.0, rate=rate), rate, format=form)
    report = enhance_file(tmp_path / source, tmp_path / target, same)
    about = soundfile.info(tmp_path / target)
    assert about.format == kind
    assert about.duration == pytest.approx(1.0, abs=0.1)
    assert (note is None) == (not report["notes"])
    assert note is None or note in report["notes"][0]


def test_a_recording_that_is_missing_is_not_skipped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound_files.write("out/a.wav", tone(0.1), RATE)
    with pytest.raises(SystemExit):
        main(["enhance", "a.wav", "-o", "out/a.wav", "--skip-existing"])
    assert "a.wav: there is no such file" in capsys.readouterr().err
    (report,) = folders.enhance_files(["a.wav"], "out", same, skip_existing=True)
    assert "there is no such file" in report["error"]


def test_a_folder_that_has_the_name_of_an_output_is_refused(here: Path) -> None:
    sound_files.write("in/a.wav", tone(0.1), RATE)
    (here / "out" / "a.wav").mkdir(parents=True)
    (report,) = enhance_folder("in", "out", same)
    assert report["error"].startswith("out/a.wav: is a folder; expected the name of a file")
    for refused in (
        lambda: enhance_file("in/a.wav", "out/", same),
        lambda: list(folders.enhance_files(["in/a.wav"], "out", same)),
    ):
        with pytest.raises(InputError, match=r"out/a\.wav: is a folder; expected the name of a file"):
            refused()
    assert list((here / "out" / "a.wav").iterdir()) == []


def test_a_name_of_255_bytes_is_a_name(tmp_path: Path) -> None:
    name = "录音" * 41 + ".wav"
    soundfile.write(tmp_path / name, tone(0.1), RATE)
    assert Path(enhance_file(tmp_path / name, tmp_path / "out" / name, same)["output"]).is_file()


def test_a_pipe_is_no_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match=r"is a pipe.*--stream"):
        enhance_file(tmp_path / "pipe.wav", tmp_path / "out.wav", same)


def test_an_output_that_is_a_link_keeps_being_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noisy.wav", tone(0.5), RATE)
    for name in ("there.wav", "not-yet.wav"):
        link = tmp_path / f"link-to-{name}"
        link.symlink_to(name)
        if name == "there.wav":
            (tmp_path / name).write_bytes(b"old")
        enhance_file(tmp_path / "noisy.wav", link, same)
        assert link.is_symlink()
        assert soundfile.info(tmp_path / name).frames == RATE // 2
