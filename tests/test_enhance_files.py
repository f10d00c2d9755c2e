"""Files and folders on their way through a model: constant memory, nothing half written, bad ones reported."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.noise import tone
from sordino.audio import encoding, sound_files
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference.files import ahead, enhance_file
from sordino.inference.folders import enhance_folder
from sordino.inference.model import Model

RATE = 16000


def same(noisy: np.ndarray) -> np.ndarray:
    return noisy


def encoded(kind: str, seconds: float = 10.0) -> bytes:
    file = BytesIO()
    audio = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    soundfile.write(file, audio, RATE, format=kind)
    return file.getvalue()


def wav_that_promises(seconds: float, holds_s: float) -> bytes:
    size, samples = round(seconds * RATE) * 2, encoded("WAV", holds_s)[44:]
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, RATE, 32000, 2, 16, b"data", size
    )
    return header + samples


# ---- length and memory

PEAK = """
import sys
from sordino.inference.files import enhance_file
enhance_file(sys.argv[1], sys.argv[2], lambda noisy: noisy)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to read the peak of the memory")
def test_ten_minutes_need_no_more_memory_than_one(tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.flac"
        sound_files.write(path, np.tile(tone(60), (2, minutes)), RATE)
        words = [sys.executable, "-c", PEAK, str(path), str(tmp_path / "out.wav")]
        peaks.append(int(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
        assert sound_files.info(tmp_path / "out.wav").length == minutes * 60 * RATE
    # The sound alone is 69 MB longer.
    assert peaks[1] - peaks[0] < 15, f"{peaks} MB"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_long_files_come_out_whole(tmp_path: Path, suffix: str) -> None:
    noisy = np.stack([tone(70, 22050), tone(70, 22050, hertz=300)])
    sound_files.write(tmp_path / f"in{suffix}", noisy, 22050)
    steps: list[tuple[object, ...]] = []
    enhance_file(tmp_path / f"in{suffix}", tmp_path / "out.wav", same, progress=lambda *now: steps.append(now))
    audio, _ = sound_files.read(tmp_path / "out.wav")
    assert audio.shape == noisy.shape
    assert np.abs(audio - noisy)[:, 1000:-1000].max() < (0.005 if suffix in (".wav", ".flac") else 0.1)
    assert len(steps) == 70
    assert steps[-1] == ("enhancing, seconds", 70, 70, {})


def test_what_does_not_fit_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    noisy = np.concatenate([tone(3), 0.1 * tone(3)])
    sound_files.write(tmp_path / "in.wav", noisy, RATE)
    report = enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", lambda wave: 4 * wave)
    audio, _ = sound_files.read(tmp_path / "out.wav")
    np.testing.assert_allclose(audio[0], 2 * noisy, atol=1e-4)
    assert report["gain_db"] == pytest.approx(-20 * np.log10(2), abs=1e-3)
    sound_files.write(tmp_path / "in.wav", noisy, RATE, "FLOAT")
    assert enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", lambda wave: 4 * wave)["gain_db"] == 0
    np.testing.assert_allclose(sound_files.read(tmp_path / "out.wav")[0][0], 4 * noisy, atol=1e-6)


def test_work_is_done_ahead_and_its_errors_come_out() -> None:
    made: list[int] = []
    waiting = threading.Event()

    def items() -> Iterator[int]:
        for item in range(3):
            made.append(item)
            if item == 1:
                waiting.set()
            yield item
        raise InputError("items", "are at an end")

    handed = ahead(items())
    assert next(handed) == 0
    assert waiting.wait(10)  # the next is made while nobody asks for it
    assert [next(handed), next(handed)] == [1, 2]
    with pytest.raises(InputError, match="at an end"):
        next(handed)
    assert list(ahead(iter(()))) == []
    assert made == [0, 1, 2]


# ---- bad input


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "W64", "RF64", "MP3", "CAF"])
def test_files_that_were_cut_short_are_reported(tmp_path: Path, kind: str) -> None:
    whole = encoded(kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match=r"cut\.\w+: (ends after|is damaged|cannot be read)"):
        enhance_file(path, tmp_path / "out.wav", same)
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav_that_promises(36_000, 1.0), "ends after 1.00 s (32044 bytes); expected the 1152000000 bytes"),
        (encoded("WAV", 0.0), "holds no samples"),
        (encoded("FLAC")[:60], "bad.wav"),
        (b"words", "cannot be read as audio"),
    ],
    ids=["ten hours promised", "no samples", "half a header", "text"],
)
def test_a_bad_file_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(
            ["enhance", str(tmp_path / "bad.wav"), "-o", str(tmp_path / "out" / "b.wav"), "--model", f"{__name__}:same"]
        )
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["bad.wav"]


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFFFFF])
def test_files_of_recorders_that_could_not_know_the_length_are_read(tmp_path: Path, placeholder: int) -> None:
    sound = bytearray(encoded("WAV", 1.0))
    sound[40:44] = struct.pack("<I", placeholder)
    (tmp_path / "piped.wav").write_bytes(sound)
    assert enhance_file(tmp_path / "piped.wav", tmp_path / "out.wav", same)["seconds"] == 1.0


def test_one_sample_is_a_sound(tmp_path: Path) -> None:
    for rate in (8000, 16000, 44100, 192000):
        sound_files.write(tmp_path / "one.wav", np.array([0.25]), rate, "FLOAT")
        enhance_file(tmp_path / "one.wav", tmp_path / "out.wav")
        assert (sound_files.info(tmp_path / "out.wav").length, sound_files.info(tmp_path / "out.wav").sample_rate) == (
            1,
            rate,
        )


def test_a_disk_that_fills_up_while_the_sound_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound_files.write(tmp_path / "in.wav", tone(5), RATE)

    class Full:
        """A file that takes no more than it has room for."""

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, data: bytes) -> int:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(encoding.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(InputError, match=r"out.wav: the disk is full"):
        enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", same)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_what_no_wav_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    too_long = encoding.encoder(tmp_path / "a.wav", 48000, 2, "PCM_24", 10 * 3600 * 48000)
    with pytest.raises(InputError, match=r"fit into WAV; expected less than 4 GiB; write \.flac"), too_long:
        pass
    assert list(tmp_path.iterdir()) == []


# ---- folders


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


# ---- places


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


def test_a_model_that_gives_complex_numbers_is_reported(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    with pytest.raises(InputError, match="gave complex numbers; expected samples"):
        enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", lambda noisy: noisy + 0j)


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


def test_a_name_of_255_bytes_is_a_name(tmp_path: Path) -> None:
    name = "录音" * 41 + ".wav"
    soundfile.write(tmp_path / name, tone(0.1), RATE)
    assert Path(enhance_file(tmp_path / name, tmp_path / "out" / name, same)["output"]).is_file()


def test_a_pipe_is_no_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match=r"is a pipe.*--stream"):
        enhance_file(tmp_path / "pipe.wav", tmp_path / "out.wav", same)


# ---- what is kept beside the sound


@pytest.mark.parametrize("name", ["song.flac", "song.wav", "song.mp3", "song.ogg"])
def test_tags_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    with soundfile.SoundFile(tmp_path / name, "w", RATE, 1) as file:
        file.title, file.artist = "Führung", "Someone"
        file.write(tone(0.5))
    enhance_file(tmp_path / name, tmp_path / "out", same)
    with soundfile.SoundFile(tmp_path / "out" / name) as file:
        assert (file.title, file.artist) == ("Führung", "Someone")
    enhance_file(tmp_path / name, tmp_path / "song.au", same)  # which has no tags
    assert soundfile.info(tmp_path / "song.au").frames == soundfile.info(tmp_path / name).frames


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


def test_what_may_have_been_cut_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = encoded("WAV")
    early = bytearray(whole)
    early[40:44] = struct.pack("<I", 2 * RATE)  # the header counts the first second
    ogg = encoded("OGG")
    for name, content, remark in (
        ("early.wav", bytes(early), ", the file holds 9.00 s more than its header says: they were left out"),
        ("whole.wav", whole, ""),
        ("tags.wav", whole + b"LIST" + struct.pack("<I", 80000) + b"INFO" + bytes(79996), ""),
        ("cut.ogg", ogg[: len(ogg) // 2], ", the file lacks the mark of its end: it may have been cut short"),
        ("whole.ogg", ogg, ""),
    ):
        (tmp_path / name).write_bytes(content)
        main(["enhance", str(tmp_path / name), "-o", str(tmp_path / f"out-{name}")])
        line = capsys.readouterr().out.rstrip()
        assert line.endswith(f" s at 16000 Hz{remark}"), line
